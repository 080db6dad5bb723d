//! Which forms of namespaced policies nodes are given just now.
//!
//! Namespaced policies are in the bundles of all nodes: a tenant whose policy, or whose key,
//! changes to and fro would have every node written anew each time. So what changes in namespaces
//! only is gathered: the first change goes at once, and the next ones
//! [`Options::namespaced`](super::Options::namespaced) later, together. A change by the cluster's
//! administrators waits for nothing and takes along what waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::convert::Configuration;
use jiff::{SignedDuration, Timestamp};
use policy::digest::Digest;
use policy::model::{Policy, PolicyId};

/// A policy as nodes are given it.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) policy: Arc<Policy>,
    pub(crate) digest: Digest,
    /// Of its canonical JSON.
    pub(crate) bytes: usize,
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// What administrators have written, as far as it goes into bundles or decides what does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) configuration: Configuration,
    pub(crate) disabled: bool,
    pub(crate) policies: BTreeMap<PolicyId, Digest>,
}

/// The namespaced policies of all nodes' bundles, by id.
pub(crate) type Namespaced = BTreeMap<PolicyId, Given>;

/// What nodes are given, and when that may change.
#[derive(Debug, Default)]
pub(crate) struct Release {
    given: Arc<Namespaced>,
    /// With what it was given; nothing before the first time.
    cluster: Option<Cluster>,
    /// Until when changes of namespaces are gathered, once one went out.
    until: Option<Timestamp>,
    /// Whether any wait.
    waiting: bool,
}

impl Release {
    /// What nodes are to be given now, where `namespaced` is in force and `cluster` beside it.
    pub(crate) fn now(
        &mut self,
        namespaced: Namespaced,
        cluster: Cluster,
        window: SignedDuration,
        now: Timestamp,
    ) -> Arc<Namespaced> {
        let by_cluster = self.cluster.as_ref() != Some(&cluster);
        let differs = *self.given != namespaced;
        let early = self.until.is_some_and(|until| now < until);
        self.waiting = differs && early && !by_cluster;
        if self.waiting {
            return Arc::clone(&self.given);
        }
        if differs {
            if !by_cluster {
                self.until = now.checked_add(window).ok();
            }
            self.given = Arc::new(namespaced);
        }
        self.cluster = Some(cluster);
        Arc::clone(&self.given)
    }

    /// When what waits may go.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.until.filter(|_| self.waiting)
    }
}
