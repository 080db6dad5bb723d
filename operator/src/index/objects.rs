//! What the operator keeps of the objects that it watches.

use std::collections::BTreeMap;

use crds::types::{
    Drift, EnforcementConfigSpec, EnforcementConfigStatus, NodeSelector, OnUnsupported, PolicySpec,
    PolicyStatus, RefusedImage, TrustRootSpec, TrustRootStatus, UnverifiedImages,
};
use jiff::Timestamp;
use policy::aggregate::{Finding, Report, Truth};
use policy::bundle::Bundle;
use policy::model::PolicyId;

use super::taints::Taints;
use crate::rollout::Record;

/// What a watch says about objects of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<T> {
    /// These are all objects there are.
    Reset(Vec<T>),
    /// This object is there, new or changed.
    Apply(T),
    /// This object is gone.
    Delete(T),
}

/// Anything that is watched.
pub trait Object {
    /// What tells objects of the kind apart.
    type Key: Ord + Clone;

    /// The object's key.
    fn key(&self) -> Self::Key;
    /// What tells it from an object that had its name before.
    fn meta(&self) -> &Meta;
}

/// What every object has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion` as a number, which etcd lets only grow; 0 where it is none.
    pub version: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
}

/// A policy of either kind.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyObject {
    /// Which.
    pub id: PolicyId,
    /// What every object has.
    pub meta: Meta,
    /// The spec, or why it cannot be read.
    pub spec: Result<SpecObject, String>,
    /// The status as the API server has it.
    pub status: PolicyStatus,
}

/// The spec of a policy of either kind.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecObject {
    /// What both kinds say.
    pub policy: PolicySpec,
    /// The nodes; nothing selects all.
    pub node_selector: Option<NodeSelector>,
    /// For nodes that cannot express it.
    pub on_unsupported: OnUnsupported,
}

/// Whom signatures and logs are checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustRootObject {
    /// Its name.
    pub name: String,
    /// What every object has.
    pub meta: Meta,
    /// The spec, or why it cannot be read.
    pub spec: Result<TrustRootSpec, String>,
    /// The status as the API server has it.
    pub status: TrustRootStatus,
}

/// The configuration of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigObject {
    /// What every object has.
    pub meta: Meta,
    /// The spec, or why it cannot be read.
    pub spec: Result<EnforcementConfigSpec, String>,
    /// The status as the API server has it.
    pub status: EnforcementConfigStatus,
    /// The annotation [`RETRY`](crate::rollout::RETRY).
    pub retry: Option<String>,
    /// The annotation [`CONFIRM_REMOVAL`](crate::rollout::CONFIRM_REMOVAL).
    pub confirm: Option<String>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeObject {
    /// Its name.
    pub name: String,
    /// What every object has. The version is left at 0: a heartbeat is no change.
    pub meta: Meta,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether the cluster hears of it.
    pub reachable: bool,
    /// What its kubelet says its runtime is.
    pub runtime: Option<Runtime>,
    /// Which of the product's taints it has.
    pub taints: Taints,
}

/// A container runtime.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Runtime {
    /// `containerd` or `cri-o`.
    pub name: String,
    /// As it prints it; empty where it is not known.
    pub version: String,
}

/// What a node shall run and does run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePolicyObject {
    /// The node's name.
    pub name: String,
    /// What every object has.
    pub meta: Meta,
    /// The uid of the Node that owns it.
    pub owner: Option<String>,
    /// The bundle that the node shall run. Nothing where the object cannot be read.
    pub bundle: Option<String>,
    /// What was written down when it was given that.
    pub record: Option<Box<Record>>,
    /// The generation that its status is about.
    pub observed: Option<i64>,
    /// Since when it is not ready, if it is not.
    pub broke: Option<Timestamp>,
    /// The bundle that it runs.
    pub applied: Option<String>,
    /// The bundle that it ran before.
    pub previous: Option<String>,
    /// What its agent says its runtime is.
    pub runtime: Option<Runtime>,
    /// Why the runtime enforces nothing at all, if its agent says so.
    pub not_enforcing: Option<Finding>,
    /// Policies that the agent reports as unsupported.
    pub unsupported: BTreeMap<PolicyId, Finding>,
    /// Its conditions, once it has any.
    pub report: Option<Report>,
    /// What besides its conditions may be worth an event.
    pub news: News,
}

/// What a node's agent tells that changes no condition of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Files that were put back.
    pub drift: Option<Drift>,
    /// Images that were refused in the last hour.
    pub refused: Vec<RefusedImage>,
    /// Whether more were.
    pub refused_cut: bool,
    /// Covered images without a verdict.
    pub unverified: Option<UnverifiedImages>,
    /// When the status of `Applied` last changed.
    pub applied_since: Option<Timestamp>,
    /// When that of `Enforcing` did.
    pub enforcing_since: Option<Timestamp>,
}

impl News {
    /// Whether there are images in it.
    #[must_use]
    pub fn names_images(&self) -> bool {
        let unverified = self.unverified.as_ref();
        !self.refused.is_empty() || unverified.is_some_and(|all| !all.first.is_empty())
    }

    /// Whether it has all images that were refused, or all those without a verdict.
    #[must_use]
    pub fn names_all(&self, refused: bool) -> bool {
        if refused {
            return !self.refused_cut;
        }
        self.unverified.as_ref().is_none_or(|unverified| {
            usize::try_from(unverified.count).is_ok_and(|count| count <= unverified.first.len())
        })
    }
}

impl NodePolicyObject {
    /// Whether the node is ready under the bundle that it shall run now, and says so about that very
    /// order.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let current = self.observed == Some(self.meta.generation);
        let ready = self.report.as_ref().map(|report| report.ready) == Some(Truth::True);
        current && ready && self.bundle.is_some() && self.applied == self.bundle
    }

    /// Whether any of it may be worth an event.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let report = self.report.as_ref();
        self.news.names_images()
            || self.news.drift.is_some()
            || self.rolled_back()
            || report.is_some_and(|report| report.unenforced().is_some())
    }

    /// Whether the node could not run what it was given, and went back.
    #[must_use]
    pub fn rolled_back(&self) -> bool {
        self.report.as_ref().is_some_and(|report| {
            report.applied == Truth::False && report.applied_finding.reason == ROLLED_BACK
        })
    }
}

/// The reason of `Applied` on a node that went back.
const ROLLED_BACK: &str = "RolledBack";

/// A bundle of policies.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleObject {
    /// Its name, which is the digest of its content.
    pub name: String,
    /// What every object has.
    pub meta: Meta,
    /// The content, or why it cannot be used.
    pub content: Result<Bundle, String>,
}

impl Object for PolicyObject {
    type Key = PolicyId;

    fn key(&self) -> PolicyId {
        self.id.clone()
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Object for ConfigObject {
    type Key = ();

    fn key(&self) {}

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

macro_rules! named {
    ($kind:ty) => {
        impl Object for $kind {
            type Key = String;

            fn key(&self) -> String {
                self.name.clone()
            }

            fn meta(&self) -> &Meta {
                &self.meta
            }
        }
    };
}

named!(TrustRootObject);
named!(NodeObject);
named!(NodePolicyObject);
named!(BundleObject);

/// All objects of a kind as last seen.
#[derive(Debug)]
pub(crate) struct Store<T: Object> {
    objects: BTreeMap<T::Key, T>,
    synced: bool,
}

impl<T: Object> Default for Store<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            synced: false,
        }
    }
}

impl<T: Object> Store<T> {
    /// Whether a complete list was seen.
    pub(crate) fn synced(&self) -> bool {
        self.synced
    }

    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        self.objects.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.objects.values()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Takes a change in. What is older than what is known is left out: the answer to a write may
    /// overtake the events of a watch.
    pub(crate) fn change(&mut self, change: Change<T>) {
        match change {
            Change::Apply(object) => {
                let key = object.key();
                if self
                    .objects
                    .get(&key)
                    .is_none_or(|known| !older(&object, known))
                {
                    self.objects.insert(key, object);
                }
            }
            Change::Delete(object) => {
                let key = object.key();
                let same = |known: &T| known.meta().uid == object.meta().uid;
                if self.objects.get(&key).is_some_and(same) {
                    self.objects.remove(&key);
                }
            }
            Change::Reset(objects) => {
                let mut before = std::mem::take(&mut self.objects);
                for object in objects {
                    let key = object.key();
                    let known = before.remove(&key).filter(|known| older(&object, known));
                    self.objects.insert(key, known.unwrap_or(object));
                }
                self.synced = true;
            }
        }
    }
}

fn older<T: Object>(new: &T, known: &T) -> bool {
    let (new, known) = (new.meta(), known.meta());
    new.uid == known.uid && new.version < known.version
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str, uid: &str, version: u64) -> BundleObject {
        BundleObject {
            name: name.to_owned(),
            meta: Meta {
                uid: uid.to_owned(),
                version,
                ..Meta::default()
            },
            content: Ok(Bundle::default()),
        }
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let mut store = Store::default();
        assert!(!store.synced());
        store.change(Change::Reset(vec![bundle("a", "1", 5)]));
        assert!(store.synced());
        store.change(Change::Apply(bundle("a", "1", 4)));
        store.change(Change::Reset(vec![bundle("a", "1", 3)]));
        assert_eq!(store.get(&"a".to_owned()).unwrap().meta.version, 5);
        // Another object of the same name is another object.
        store.change(Change::Apply(bundle("a", "2", 1)));
        assert_eq!(store.get(&"a".to_owned()).unwrap().meta.version, 1);
        store.change(Change::Delete(bundle("a", "1", 9)));
        assert!(!store.is_empty());
        store.change(Change::Reset(Vec::new()));
        assert!(store.is_empty());
    }
}
