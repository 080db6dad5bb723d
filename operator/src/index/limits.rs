//! What the configuration and the size of a bundle leave to namespaces.
//!
//! Tenants write namespaced policies, and all of them go into the bundles of all nodes: so how many
//! a namespace has is looked at before any of them is compiled, and how large they are before any
//! of them is given to a node.

use std::collections::{BTreeMap, BTreeSet};

use crds::convert::Configuration;
use policy::aggregate::Finding;
use policy::problem::Reason;

use super::compile::words;
use super::objects::PolicyObject;
use super::sources::{Source, of_spec};

/// The most bytes of canonical JSON that the policies of one namespace may take together, 128 KiB:
/// with the default of 20 policies six KiB each, and an eighth of what a bundle holds at worst. The
/// material of trust roots does not count, because tenants only name those.
pub const MAX_NAMESPACE_BYTES: usize = 128 * 1024;

/// The most different `ConfigMaps` and Secrets that the policies of one namespace may take keys from:
/// the operator watches each of them, and keeps what it holds.
pub const MAX_NAMESPACE_SOURCES: usize = 32;

/// Counts what namespaces have, in the order of the policies' ids.
#[derive(Debug, Default)]
pub(crate) struct Limits<'a> {
    policies: BTreeMap<&'a str, usize>,
    bytes: BTreeMap<&'a str, usize>,
    sources: BTreeMap<&'a str, BTreeSet<Source>>,
}

impl<'a> Limits<'a> {
    /// Why the configuration does not permit the policy, as far as its object says. Every object of
    /// a namespace counts, whatever is wrong with it: one that cannot be used now may be kept in its
    /// last valid form.
    pub(crate) fn refuse(
        &mut self,
        object: &'a PolicyObject,
        configuration: &Configuration,
    ) -> Option<Finding> {
        let namespace = object.id.namespace()?;
        let count = self.policies.entry(namespace).or_default();
        *count += 1;
        let mut problems = match &object.spec {
            Ok(spec) => configuration.permits(&spec.policy.scopes),
            Err(_) => Vec::new(),
        };
        if *count > configuration.max_per_namespace {
            problems.insert(0, configuration.too_many());
        }
        let Some(first) = problems.first() else {
            return self.read(namespace, object);
        };
        Some(Finding::new(first.reason.as_str(), words(&problems)))
    }

    /// Takes up the room for what the policy takes keys from, or says that there is none.
    fn read(&mut self, namespace: &'a str, object: &PolicyObject) -> Option<Finding> {
        let spec = object.spec.as_ref().ok()?;
        let read = self.sources.entry(namespace).or_default();
        let mut with = of_spec(&object.id, &spec.policy)
            .map(|(source, _)| source)
            .collect::<BTreeSet<_>>();
        if with.is_subset(read) {
            return None;
        }
        with.extend(read.iter().cloned());
        if with.len() > MAX_NAMESPACE_SOURCES {
            return Some(too_many_sources(with.len()));
        }
        *read = with;
        None
    }

    /// Whether there is room for so many bytes more of a namespace.
    pub(crate) fn fits(&self, namespace: &str, bytes: usize) -> bool {
        let taken = self.bytes.get(namespace).copied().unwrap_or_default();
        taken.saturating_add(bytes) <= MAX_NAMESPACE_BYTES
    }

    /// Takes up the room for so many bytes.
    pub(crate) fn take(&mut self, namespace: &'a str, bytes: usize) {
        *self.bytes.entry(namespace).or_default() += bytes;
    }
}

fn too_many_sources(count: usize) -> Finding {
    let message = format!(
        "spec.authorities: the policies of a namespace may take keys from {MAX_NAMESPACE_SOURCES} ConfigMaps and Secrets, and with this one and those before it in the order of names it would be {count}: put several keys into one ConfigMap, or into the policies themselves"
    );
    Finding::from((Reason::NotPermitted, message))
}

/// What is said about a policy that there is no room for.
pub(crate) fn no_room(bytes: usize) -> Finding {
    let message = format!(
        "metadata.namespace: the policies of a namespace may take {} KiB together, and this one, of {} KiB, does not fit beside those before it in the order of names: use fewer scopes, authorities or keys, or remove a policy of this namespace",
        MAX_NAMESPACE_BYTES / 1024,
        bytes.div_ceil(1024)
    );
    Finding::from((Reason::TooLarge, message))
}
