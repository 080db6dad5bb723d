//! How much of a node's files belongs to whom.

use std::collections::{BTreeMap, BTreeSet};

use crate::crio::document::{MAX_BYTES, PolicyJson};
use crate::crio::layer::{Layer, Size as _, Standing, fit};
use crate::crio::table::{Ground, Table};
use crate::crio::texts::{REJECT, Texts};
use crate::files::{Diagnostic, File};
use crate::model::{Policy, PolicyId};
use crate::problem::Reason;

const MIB: usize = 1024 * 1024;
/// The most bytes of a policy.json and of each file of a namespace: as many as our reader takes.
#[allow(clippy::cast_possible_truncation, reason = "it is 32 MiB")]
pub const MAX_POLICY_JSON: usize = MAX_BYTES as usize;
/// The most bytes that the policies of a namespace add to the cluster's table in its file.
pub const MAX_NAMESPACE_ADDS: usize = 4 * MIB;
/// The most bytes of all namespace files of a node. Each repeats the cluster's policy.
pub const MAX_NAMESPACE_BYTES: usize = 64 * MIB;

/// The files of namespaces.
#[derive(Default)]
pub(super) struct Namespaces<'a> {
    pub(super) files: BTreeMap<String, File>,
    /// The policies in them whose signatures have to be looked up.
    pub(super) signed: Vec<&'a Policy>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A namespace whose file is not built yet.
struct Planned<'a> {
    bytes: usize,
    namespace: &'a str,
    standing: Vec<Standing<'a>>,
}

/// Gives namespaces their files, the smallest first.
pub(super) fn namespaces<'a, E>(
    ground: &Ground<'a>,
    (cluster, table): (&Layer<'a>, &Table<'_>),
    of_namespaces: BTreeMap<&'a str, Vec<Standing<'a>>>,
    texts: &mut Texts,
    mut base_of: impl FnMut(&str) -> Result<Option<PolicyJson>, E>,
) -> Result<Namespaces<'a>, E> {
    let mut found = Namespaces::default();
    let facts = (ground.bundle, ground.node);
    let most = MAX_POLICY_JSON.min(table.bytes() + MAX_NAMESPACE_ADDS);
    let mut planned = Vec::new();
    for (namespace, standing) in of_namespaces {
        let base = base_of(namespace)?;
        let own = own_table(ground, cluster, base.as_ref(), texts);
        let table = own.as_ref().unwrap_or(table);
        let fitted = fit(standing, facts, most, |layer, shares| {
            table.overlay(ground, (cluster, layer), most, texts, shares)
        });
        let mut left_out: BTreeSet<&PolicyId> = fitted.reduced.into_iter().collect();
        let standing = fitted.layer.standing;
        if fitted.fits {
            let bytes = fitted.made.bytes();
            planned.push(Planned {
                bytes,
                namespace,
                standing,
            });
        } else {
            left_out.extend(standing.iter().map(|standing| standing.policy.id()));
        }
        found.tell(left_out, || of_namespace(namespace));
    }
    planned.sort_by_key(|planned| (planned.bytes, planned.namespace));
    let mut left = MAX_NAMESPACE_BYTES;
    for planned in planned {
        let Planned {
            namespace,
            standing,
            ..
        } = planned;
        // What a namespace without policies demands is in the node's policy.json.
        if standing.is_empty() {
            continue;
        }
        let too_large = |found: &mut Namespaces<'_>, standing: &[Standing<'_>]| {
            found.tell(standing.iter().map(|one| one.policy.id()), of_node);
        };
        if planned.bytes > left {
            too_large(&mut found, &standing);
            continue;
        }
        let base = base_of(namespace)?;
        let own = own_table(ground, cluster, base.as_ref(), texts);
        let table = own.as_ref().unwrap_or(table);
        let layer = Layer::new(standing, ground.bundle, ground.node);
        let overlay = table.overlay(ground, (cluster, &layer), left, texts, &mut []);
        // Another base than it was a moment ago.
        if overlay.bytes() > left {
            too_large(&mut found, &layer.standing);
            continue;
        }
        let file = file(table.write(Some(&overlay), texts));
        left -= file.bytes.len();
        found.files.insert(namespace.to_owned(), file);
        found.signed.extend(signed(&layer.standing));
    }
    Ok(found)
}

/// The table of the cluster on the base that a namespace has of its own.
fn own_table<'b>(
    ground: &Ground<'b>,
    cluster: &Layer<'b>,
    base: Option<&'b PolicyJson>,
    texts: &mut Texts,
) -> Option<Table<'b>> {
    base.map(|base| Table::new(ground, cluster, base, MAX_POLICY_JSON, texts, &mut []))
}

impl Namespaces<'_> {
    fn tell<'p>(
        &mut self,
        policies: impl IntoIterator<Item = &'p PolicyId>,
        message: impl Fn() -> String,
    ) {
        let policies = policies.into_iter();
        self.diagnostics
            .extend(policies.map(|id| Diagnostic::of(id, Reason::TooLarge, message())));
    }
}

/// The policies that demand signatures.
pub(super) fn signed<'a>(standing: &[Standing<'a>]) -> impl Iterator<Item = &'a Policy> {
    let signed = standing.iter().filter(|s| !s.rules.contains(&REJECT));
    signed.map(|standing| standing.policy)
}

/// What is said of each of the cluster's policies that does not fit.
pub(super) fn of_cluster(reduced: Vec<&PolicyId>) -> impl Iterator<Item = Diagnostic> {
    let message = format!(
        "the policies of the cluster would take more than {} MiB of CRI-O's policy.json, and this one is among those that take the most: the rules of a policy stand at every scope that any policy names inside its scopes, so use fewer authorities and keys, or fewer scopes inside each other",
        MAX_POLICY_JSON / MIB
    );
    let told = reduced.into_iter();
    told.map(move |id| Diagnostic::of(id, Reason::TooLarge, message.clone()))
}

fn of_namespace(namespace: &str) -> String {
    format!(
        "the policies of the namespace {namespace} would add more than {} MiB to its file for CRI-O (or make it larger than {} MiB), and this one is among those that take the most: rules stand at every scope that any policy names inside theirs, so use fewer scopes, authorities or keys in this namespace",
        MAX_NAMESPACE_ADDS / MIB,
        MAX_POLICY_JSON / MIB
    )
}

fn of_node() -> String {
    format!(
        "the namespace files of this node would take more than {} MiB: each repeats the cluster's policy, and the smallest are written, so use fewer namespaced policies or fewer scopes",
        MAX_NAMESPACE_BYTES / MIB
    )
}

pub(super) fn file(bytes: Vec<u8>) -> File {
    File { bytes, mode: 0o644 }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
