//! What other policies and the configuration make of a policy.
//!
//! Everything is looked up by scope, along the lookup list, so that a thousand policies cost a
//! thousand times the depth of their scopes and not the square of their number. At each place the
//! first [`MOST`] policies are looked at: what is said is certain, and of very many policies over one
//! scope something may stay unsaid.

use std::collections::BTreeMap;

use super::covers::Sets;
use super::{Advice, Around, Input, Word};
use crate::identity::SignedIdentity;
use crate::model::{Mode, PolicyId};
use crate::scope::Scope;
use crate::settings::DefaultAction;

/// The most policies that are looked at in one place.
pub(super) const MOST: usize = 16;

/// What other policies and the configuration make of each policy that has something to know; of
/// each word the first place only, in the order of the fields.
#[must_use]
pub fn together(inputs: &[Input], around: &Around) -> BTreeMap<PolicyId, Vec<Advice>> {
    let (sets, index) = (Sets::new(around), Index::new(inputs));
    let mut all = BTreeMap::new();
    for input in inputs {
        let mut said = sets.advise(input, around);
        said.extend(exempt(input, around));
        said.extend(index.under_reject(input, around));
        said.extend(index.names(input));
        said.sort();
        if !said.is_empty() {
            all.insert(input.id.clone(), said);
        }
    }
    all
}

/// Whether everything that it covers is exempt.
fn exempt(input: &Input, around: &Around) -> Option<Advice> {
    let is_exempt = |scope: &Scope| is_in(scope, around);
    let all = !input.scopes.is_empty() && input.scopes.iter().all(|(_, scope)| is_exempt(scope));
    let message = "everything that it covers is exempt in the EnforcementConfig, so it holds nowhere: narrow exemptImages, or remove the policy";
    all.then(|| Advice::new("spec.scopes", Word::AllExempt, message))
}

fn is_in(scope: &Scope, around: &Around) -> bool {
    let lookup = scope.lookup();
    let mut wider = lookup.iter().map(String::as_str);
    wider.any(|wider| around.exempt.contains(wider) || around.own.contains(wider))
}

/// Enforcing policies by scope.
struct Index<'a> {
    /// Cluster policies that cover a scope by this very name.
    cluster: Places<'a, &'a str>,
    /// Cluster policies with a scope inside this one, which need not be any policy's; only where
    /// some policy wants a name of its own in signatures.
    inside: Places<'a, String>,
    /// The same of the policies of one namespace.
    of_namespace: Places<'a, (&'a str, &'a str)>,
    inside_of_namespace: Places<'a, (&'a str, String)>,
}

type Places<'a, K> = BTreeMap<K, Vec<Holder<'a>>>;

/// A policy with one of its scopes.
#[derive(Clone, Copy)]
struct Holder<'a> {
    input: &'a Input,
    scope: &'a Scope,
}

impl<'a> Index<'a> {
    fn new(inputs: &'a [Input]) -> Self {
        let mut index = Self {
            cluster: BTreeMap::new(),
            inside: BTreeMap::new(),
            of_namespace: BTreeMap::new(),
            inside_of_namespace: BTreeMap::new(),
        };
        let by_name = inputs.iter().any(|input| {
            matches!(
                input.signed_identity,
                SignedIdentity::ExactRepository { .. } | SignedIdentity::RemapIdentity { .. }
            )
        });
        let mut enforcing: Vec<&Input> = inputs
            .iter()
            .filter(|input| input.mode == Mode::Enforce)
            .collect();
        enforcing.sort_by_key(|input| &input.id);
        for input in enforcing {
            for (_, scope) in sorted(&input.scopes) {
                let holder = Holder { input, scope };
                let wider = if by_name { scope.lookup() } else { Vec::new() };
                match input.id.namespace() {
                    None => {
                        add(&mut index.cluster, scope.as_str(), holder);
                        for name in wider {
                            add(&mut index.inside, name, holder);
                        }
                    }
                    Some(namespace) => {
                        let key = (namespace, scope.as_str());
                        add(&mut index.of_namespace, key, holder);
                        for name in wider {
                            add(&mut index.inside_of_namespace, (namespace, name), holder);
                        }
                    }
                }
            }
        }
        index
    }

    /// What a default action that refuses makes of images that a policy does not, or only in audit
    /// mode.
    fn under_reject(&self, input: &Input, around: &Around) -> Vec<Advice> {
        let mut all = Vec::new();
        if around.default_action == DefaultAction::Allow || input.id.namespace().is_some() {
            return all;
        }
        let refused = |scope: &Scope| !is_in(scope, around) && !self.enforced(input, scope);
        if input.mode == Mode::Audit {
            let left_out = |scope: &Scope| {
                let mut excludes = input.exclude.iter();
                excludes.any(|(_, exclude)| scope.is_within(exclude))
            };
            let scopes = input.scopes.iter();
            if let Some((field, scope)) = scopes
                .filter(|(_, scope)| !left_out(scope) && refused(scope))
                .min_by_key(|(_, scope)| scope.as_str())
            {
                let message = format!(
                    "an auditing policy lets nothing pass: defaultAction is Reject, so images in `{scope}` that no enforcing policy covers are refused. Exempt them while you audit, or enforce"
                );
                all.push(Advice::new(field, Word::AuditUnderReject, message));
            }
            return all;
        }
        let excludes = input.exclude.iter().filter(|(_, scope)| refused(scope));
        if let Some((field, scope)) = excludes.min_by_key(|(_, scope)| scope.as_str()) {
            let message = format!(
                "what it leaves out is not accepted by that: defaultAction is Reject, so images in `{scope}` that no other policy covers are refused. List it in the EnforcementConfig's exemptImages to let it pass"
            );
            all.push(Advice::new(field, Word::ExcludeUnderReject, message));
        }
        all
    }

    /// Whether another enforcing cluster policy covers all of the scope; where very many may, yes.
    fn enforced(&self, input: &Input, scope: &Scope) -> bool {
        scope.lookup().iter().any(|wider| {
            let holders = self.cluster.get(wider.as_str());
            holders.is_some_and(|holders| {
                let full = holders.len() >= MOST;
                let covers =
                    |holder: &Holder<'_>| holder.input.id != input.id && holder.input.covers(scope);
                full || holders.iter().any(covers)
            })
        })
    }

    /// Whether some policy wants another name in signatures than this one, for the same images.
    fn names(&self, input: &Input) -> Option<Advice> {
        if input.mode == Mode::Audit {
            return None;
        }
        let namespace = input.id.namespace();
        for (field, scope) in sorted(&input.scopes) {
            let lookup = scope.lookup();
            let mut near: Vec<Holder<'_>> = Vec::new();
            for wider in &lookup {
                near.extend(self.cluster.get(wider.as_str()).into_iter().flatten());
                if let Some(namespace) = namespace {
                    let key = (namespace, wider.as_str());
                    near.extend(self.of_namespace.get(&key).into_iter().flatten());
                }
            }
            near.extend(self.inside.get(scope.as_str()).into_iter().flatten());
            if let Some(namespace) = namespace {
                let key = (namespace, scope.to_string());
                near.extend(self.inside_of_namespace.get(&key).into_iter().flatten());
            }
            let other = near
                .into_iter()
                .filter(|other| apart(Holder { input, scope }, *other))
                .min_by_key(|other| &other.input.id);
            if let Some(Holder { input: other, .. }) = other {
                let message = format!(
                    "the policy `{}` covers the same images and wants another repository's name in signatures, so no one signature satisfies both: sign such images once for each name (`cosign sign --sign-container-identity`), or align signedIdentity",
                    other.id
                );
                return Some(Advice::new(field, Word::SeveralSignaturesNeeded, message));
            }
        }
        None
    }
}

/// Lists of scopes are sets: what is said of them must not depend on their order.
pub(super) fn sorted(scopes: &[(String, Scope)]) -> Vec<&(String, Scope)> {
    let mut sorted: Vec<_> = scopes.iter().collect();
    sorted.sort_by_key(|(_, scope)| scope.as_str());
    sorted
}

/// Of one policy, or of policies that want the same of the same nodes, the first is enough.
fn add<'a, K: Ord>(places: &mut Places<'a, K>, key: K, holder: Holder<'a>) {
    let holders = places.entry(key).or_default();
    let same = |known: &Holder<'_>| {
        let (known, new) = (known.input, holder.input);
        known.signed_identity == new.signed_identity
            && known.nodes == new.nodes
            && known.exclude.is_empty()
            && new.exclude.is_empty()
    };
    // Two of a kind: either of them may be the one that asks.
    if holders.len() < MOST && holders.iter().filter(|known| same(known)).count() < 2 {
        holders.push(holder);
    }
}

/// Whether both hold for the same images on the same nodes, and no name fits both.
fn apart(one: Holder<'_>, two: Holder<'_>) -> bool {
    let (a, b) = (one.input, two.input);
    let meet = a.nodes.is_none() || b.nodes.is_none() || a.nodes == b.nodes;
    if a.id == b.id || !meet {
        return false;
    }
    let narrow = if one.scope.is_within(two.scope) {
        one.scope
    } else {
        two.scope
    };
    a.covers(narrow) && b.covers(narrow) && Wanted::of(a, narrow).excludes(&Wanted::of(b, narrow))
}

/// The names that signatures for the images of a scope have to carry.
enum Wanted {
    /// This repository's.
    One(Scope),
    /// For each image that of the repository in its place below this scope.
    Each(Scope),
    /// It depends on the image.
    Unknown,
}

impl Wanted {
    fn of(input: &Input, scope: &Scope) -> Self {
        match &input.signed_identity {
            SignedIdentity::MatchRepository { .. } | SignedIdentity::MatchRepoDigestOrExact => {
                Self::Each(scope.clone())
            }
            SignedIdentity::ExactRepository { repository } => {
                Scope::parse(repository).map_or(Self::Unknown, Self::One)
            }
            SignedIdentity::RemapIdentity {
                prefix,
                signed_prefix,
            } => {
                let Ok(from) = Scope::parse(prefix) else {
                    return Self::Unknown;
                };
                if !scope.is_within(&from) {
                    return if from.is_within(scope) {
                        Self::Unknown
                    } else {
                        Self::Each(scope.clone())
                    };
                }
                let rest = scope.as_str().strip_prefix(prefix.as_str());
                let to = rest.map(|rest| Scope::parse(&format!("{signed_prefix}{rest}")));
                to.and_then(Result::ok).map_or(Self::Unknown, Self::Each)
            }
        }
    }

    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(one), Self::One(two)) | (Self::Each(one), Self::Each(two)) => one != two,
            (Self::One(one), Self::Each(each)) | (Self::Each(each), Self::One(one)) => {
                !one.is_within(each) && !each.is_within(one)
            }
            (Self::Unknown, _) | (_, Self::Unknown) => false,
        }
    }
}

impl Input {
    /// Whether it covers all of a scope that lies in one of its own.
    fn covers(&self, scope: &Scope) -> bool {
        let lookup = scope.lookup();
        let named = |(_, other): &(String, Scope)| lookup.iter().any(|name| name == other.as_str());
        self.scopes.iter().any(named) && !self.exclude.iter().any(named)
    }
}
