//! Policies of one kind (the cluster's, or a namespace's) with their rules, and which of them
//! stand back where the files would be too large.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::crio::texts::{Id, REJECT};
use crate::flatten::{Entry, Index, NodeFacts};
use crate::model::{OnUnsupported, Policy, PolicyId};

/// A policy with its rules.
#[derive(Debug, Clone)]
pub(super) struct Standing<'a> {
    pub(super) policy: &'a Policy,
    pub(super) rules: Vec<Id>,
    /// It only refuses, because its own rules cannot be written.
    pub(super) refuses: bool,
}

impl Standing<'_> {
    /// What is left of a policy whose rules cannot be written: a refusal if it asks for that.
    pub(super) fn reduced(self) -> Option<Self> {
        (self.policy.on_unsupported() == OnUnsupported::Reject).then_some(Self {
            rules: vec![REJECT],
            refuses: true,
            ..self
        })
    }

    /// The names of the entries that it makes.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let scopes = self.policy.scopes().iter().chain(self.policy.exclude());
        scopes.flat_map(|scope| {
            let twin = scope.twin().map(|twin| twin.to_string());
            [scope.to_string()].into_iter().chain(twin)
        })
    }
}

/// What covers a scope.
#[derive(Debug, Clone)]
pub(super) enum Covering {
    /// It is accepted, whatever else covers it.
    Exempt,
    /// It is refused, whatever else covers it.
    Refused,
    /// The policies of these numbers.
    By(Vec<usize>),
}

/// Some policies, to be asked which of them cover a scope.
pub(super) struct Layer<'a> {
    pub(super) standing: Vec<Standing<'a>>,
    index: Index<'a>,
    numbers: BTreeMap<&'a PolicyId, usize>,
}

impl<'a> Layer<'a> {
    pub(super) fn new(
        standing: Vec<Standing<'a>>,
        bundle: &'a Bundle,
        node: &'a NodeFacts,
    ) -> Self {
        let policies: Vec<&Policy> = standing.iter().map(|s| s.policy).collect();
        let numbers = policies.iter().enumerate();
        Self {
            index: Index::new(&policies, bundle, node),
            numbers: numbers.map(|(at, policy)| (policy.id(), at)).collect(),
            standing,
        }
    }

    /// What covers the scope that `lookup` begins with.
    pub(super) fn covering(&self, lookup: &[String]) -> Covering {
        match self.index.entry(lookup) {
            Entry::Exempt => Covering::Exempt,
            Entry::Refused => Covering::Refused,
            Entry::Default => Covering::By(Vec::new()),
            Entry::Verify(ids) => {
                let numbers = ids.iter().filter_map(|id| self.numbers.get(id));
                Covering::By(numbers.copied().collect())
            }
        }
    }
}

/// What came of policies and a limit.
pub(super) struct Fitted<'a, T> {
    /// Those that are left, and those that only refuse.
    pub(super) layer: Layer<'a>,
    /// What was made of them; what it would be where even what is left is too large.
    pub(super) made: T,
    /// Whether it is not too large.
    pub(super) fits: bool,
    /// Those whose rules are not written.
    pub(super) reduced: Vec<&'a PolicyId>,
}

/// Something with a size.
pub(super) trait Size {
    fn bytes(&self) -> usize;
}

/// Reduces the policies that take the most, until what `measure` makes of the others is no larger than
/// `most`. `measure` counts to each policy, by its number, what it takes. Of two that take as much the
/// first by name goes.
pub(super) fn fit<'a, T: Size>(
    mut standing: Vec<Standing<'a>>,
    (bundle, node): (&'a Bundle, &'a NodeFacts),
    most: usize,
    mut measure: impl FnMut(&Layer<'a>, &mut [usize]) -> T,
) -> Fitted<'a, T> {
    let mut reduced = Vec::new();
    // Ever more at once: what several have alike is counted to one of them only.
    let mut least = 1;
    loop {
        let layer = Layer::new(standing, bundle, node);
        let mut shares = vec![0; layer.standing.len()];
        let made = measure(&layer, &mut shares);
        let mut largest: Vec<(Reverse<usize>, &PolicyId, usize)> = layer
            .standing
            .iter()
            .zip(&shares)
            .enumerate()
            .filter(|(_, (policy, _))| !policy.refuses)
            .map(|(at, (policy, share))| (Reverse(*share), policy.policy.id(), at))
            .collect();
        let fits = made.bytes() <= most;
        if fits || largest.is_empty() {
            return Fitted {
                layer,
                made,
                fits,
                reduced,
            };
        }
        largest.sort_unstable();
        let mut left = made.bytes();
        let mut go = vec![false; shares.len()];
        for (count, (Reverse(share), id, at)) in largest.into_iter().enumerate() {
            if count >= least && left <= most {
                break;
            }
            left = left.saturating_sub(share);
            go[at] = true;
            reduced.push(id);
        }
        least *= 2;
        standing = layer
            .standing
            .into_iter()
            .zip(go)
            .filter_map(|(policy, goes)| if goes { policy.reduced() } else { Some(policy) })
            .collect();
    }
}
