//! What the index asks to be written, and the memory of what was asked already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crds::types::{EnforcementConfigStatus, PolicyBundleSpec, PolicyStatus, TrustRootStatus};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::digest::Digest;
use policy::model::PolicyId;

use super::notices::Notice;
use super::taints::Taints;
use crate::rollout::Record;
use crate::tuf;

/// One write. They are ordered by what matters first.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Create this bundle. That it exists already is success: its name is its content.
    CreateBundle {
        /// Its name.
        name: String,
        /// Its content.
        spec: PolicyBundleSpec,
    },
    /// Let a node run a bundle.
    SetBundle {
        /// The node's name.
        node: String,
        /// The uid of the Node, which owns the object.
        uid: String,
        /// The bundle's name.
        bundle: String,
        /// What is written down with it.
        record: Option<Record>,
        /// The version of the object when this was decided, 0 where there is none: what was written
        /// since, by whoever leads by then, is not written over.
        version: u64,
    },
    /// Let a node have these of the product's taints, and all others that it has.
    Taint {
        /// The node's name.
        node: String,
        /// Its uid: another node of that name is left alone.
        uid: String,
        /// The taints.
        taints: Taints,
    },
    /// Say this about a policy.
    PolicyStatus {
        /// Which policy.
        id: PolicyId,
        /// Its status.
        status: PolicyStatus,
        /// Whether only counts and messages differ from what stands there.
        counts_only: bool,
    },
    /// Say this about a trust root.
    TrustRootStatus {
        /// Its name.
        name: String,
        /// Its status.
        status: TrustRootStatus,
    },
    /// Say this about the configuration.
    ConfigStatus {
        /// Its status.
        status: EnforcementConfigStatus,
    },
    /// Delete a bundle that nothing refers to.
    DeleteBundle {
        /// Its name.
        name: String,
        /// Its uid: another object of that name stays.
        uid: String,
    },
    /// Keep what is known of the TUF repository of a trust root.
    TufState {
        /// Its name.
        name: String,
        /// Its uid: what is kept goes with it.
        uid: String,
        /// The namespace of the `ConfigMap`.
        namespace: String,
        /// The name of the `ConfigMap`.
        config_map: String,
        /// What is known.
        state: Arc<tuf::State>,
    },
    /// Create an event. That it exists already is success: then it was told.
    Notice(Box<Notice>),
}

/// What a write is about: at most one is under way for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKey {
    /// A bundle, created or deleted.
    Bundle(String),
    /// A node's bundle.
    Node(String),
    /// A node's taints.
    Taints(String),
    /// The status of the configuration.
    ConfigStatus,
    /// The status of a trust root.
    TrustRootStatus(String),
    /// The status of a policy.
    PolicyStatus(PolicyId),
    /// What is known of the TUF repository of a trust root.
    TufState(String),
    /// An event, by its name.
    Notice(String),
}

impl Write {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> WriteKey {
        match self {
            Self::CreateBundle { name, .. } | Self::DeleteBundle { name, .. } => {
                WriteKey::Bundle(name.clone())
            }
            Self::SetBundle { node, .. } => WriteKey::Node(node.clone()),
            Self::Taint { node, .. } => WriteKey::Taints(node.clone()),
            Self::PolicyStatus { id, .. } => WriteKey::PolicyStatus(id.clone()),
            Self::TrustRootStatus { name, .. } => WriteKey::TrustRootStatus(name.clone()),
            Self::ConfigStatus { .. } => WriteKey::ConfigStatus,
            Self::TufState { name, .. } => WriteKey::TufState(name.clone()),
            Self::Notice(notice) => WriteKey::Notice(notice.name.clone()),
        }
    }

    /// Smaller goes first: what nodes wait for, then conditions, then counts, then tidying up, then
    /// events.
    #[must_use]
    pub fn rank(&self) -> u8 {
        match self {
            Self::CreateBundle { .. } => 0,
            Self::SetBundle { .. } => 1,
            Self::Taint { .. } => 2,
            Self::ConfigStatus { .. } | Self::TrustRootStatus { .. } => 3,
            Self::PolicyStatus {
                counts_only: false, ..
            } => 4,
            Self::PolicyStatus { .. } | Self::TufState { .. } => 5,
            Self::DeleteBundle { .. } => 6,
            Self::Notice(_) => 7,
        }
    }

    /// Tells two writes about the same thing apart.
    fn fingerprint(&self) -> Digest {
        let text = match self {
            Self::CreateBundle { name, .. } => format!("create {name}"),
            Self::DeleteBundle { name, uid } => format!("delete {name} {uid}"),
            Self::SetBundle {
                uid,
                bundle,
                record,
                ..
            } => {
                // A write that is asked for a second later is the same write.
                let record = record.as_ref();
                let record = record.map(|record| (&record.from, record.weight, &record.failed));
                format!("{uid} {bundle} {record:?}")
            }
            Self::Taint { uid, taints, .. } => format!("{uid} {taints:?}"),
            Self::Notice(notice) => format!("tell {}", notice.name),
            Self::TufState { uid, state, .. } => format!("{uid} {}", state.to_text()),
            Self::PolicyStatus { status, .. } => {
                let mut status = status.clone();
                timeless(&mut status.conditions);
                json(&status)
            }
            Self::TrustRootStatus { status, .. } => {
                let mut status = status.clone();
                timeless(&mut status.conditions);
                json(&status)
            }
            Self::ConfigStatus { status } => {
                let mut status = status.clone();
                timeless(&mut status.conditions);
                json(&status)
            }
        };
        Digest::of(text.as_bytes())
    }
}

/// A write that is asked for a second later is the same write.
fn timeless(conditions: &mut [Condition]) {
    for condition in conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The longest pause before a failed write is tried again.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug)]
struct Slot {
    fingerprint: Digest,
    state: State,
    /// The version of the object when the write was handed out.
    offered: u64,
    /// How often in a row it failed.
    failures: u32,
}

#[derive(Debug)]
enum State {
    /// Handed out, and not heard of since.
    UnderWay,
    /// Done, with the version that the object then had.
    Done(u64),
    /// Failed, and not to be tried before.
    Failed(Timestamp),
}

/// Which writes were handed out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    slots: BTreeMap<WriteKey, Slot>,
    wanted: BTreeSet<WriteKey>,
}

impl Outbox {
    /// Begins a round: whatever is not offered until [`Outbox::end`] is wanted no more.
    pub(crate) fn begin(&mut self) {
        self.wanted.clear();
    }

    /// Whether to hand this write out now. `version` is that of the object as last seen: while a
    /// write that succeeded left no other trace, repeating it would not either.
    pub(crate) fn offer(&mut self, write: &Write, version: u64, now: Timestamp) -> bool {
        let (key, fingerprint) = (write.key(), write.fingerprint());
        self.wanted.insert(key.clone());
        let mut failures = 0;
        if let Some(slot) = self.slots.get(&key) {
            let same = slot.fingerprint == fingerprint;
            match slot.state {
                State::UnderWay | State::Failed(_) if !same => {}
                State::UnderWay => return false,
                State::Done(then) if same && then == version => return false,
                State::Failed(until) if now < until => return false,
                State::Done(_) | State::Failed(_) => {}
            }
            failures = slot.failures;
        }
        let state = State::UnderWay;
        let slot = Slot {
            fingerprint,
            state,
            offered: version,
            failures,
        };
        self.slots.insert(key, slot);
        true
    }

    /// Ends a round.
    pub(crate) fn end(&mut self) {
        let wanted = &self.wanted;
        self.slots
            .retain(|key, slot| wanted.contains(key) || matches!(slot.state, State::UnderWay));
    }

    /// A write succeeded; `version` is that of the object afterwards, where it is known.
    pub(crate) fn done(&mut self, write: &Write, version: Option<u64>) {
        let fingerprint = write.fingerprint();
        if let Some(slot) = self.slots.get_mut(&write.key())
            && slot.fingerprint == fingerprint
        {
            slot.state = State::Done(version.unwrap_or(slot.offered));
            slot.failures = 0;
        }
    }

    /// A write failed: it is offered again after 1, 2, 4 … 60 seconds.
    pub(crate) fn failed(&mut self, write: &Write, now: Timestamp) {
        let fingerprint = write.fingerprint();
        if let Some(slot) = self.slots.get_mut(&write.key())
            && slot.fingerprint == fingerprint
        {
            let pause = SignedDuration::from_secs(1 << slot.failures.min(6)).min(LONGEST_PAUSE);
            slot.failures += 1;
            slot.state = State::Failed(now + pause);
        }
    }

    /// Forgets everything: somebody else writes now.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    /// When the next failed write may be tried again.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let times = self.slots.values().filter_map(|slot| match slot.state {
            State::Failed(until) => Some(until),
            _ => None,
        });
        times.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bundle: &str) -> Write {
        Write::SetBundle {
            node: "n".to_owned(),
            uid: "u".to_owned(),
            bundle: bundle.to_owned(),
            record: None,
            version: 1,
        }
    }

    #[test]
    fn a_write_is_handed_out_once_and_again_only_when_something_else_happened() {
        let (mut outbox, now) = (Outbox::default(), Timestamp::UNIX_EPOCH);
        assert!(outbox.offer(&write("a"), 1, now));
        assert!(!outbox.offer(&write("a"), 1, now), "under way");
        assert!(outbox.offer(&write("b"), 1, now), "something else");
        outbox.done(&write("a"), Some(2));
        assert!(!outbox.offer(&write("b"), 2, now), "that was the other one");
        outbox.done(&write("b"), Some(3));
        assert!(!outbox.offer(&write("b"), 3, now), "it would do nothing");
        assert!(outbox.offer(&write("b"), 4, now), "somebody changed it");
    }

    #[test]
    fn a_failed_write_waits_longer_each_time() {
        let (mut outbox, mut now) = (Outbox::default(), Timestamp::UNIX_EPOCH);
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(outbox.offer(&write("a"), 1, now), "{pause}");
            outbox.failed(&write("a"), now);
            let next = now + SignedDuration::from_secs(pause);
            assert_eq!(outbox.deadline(), Some(next));
            assert!(!outbox.offer(&write("a"), 1, now));
            now = next;
        }
        assert!(outbox.offer(&write("b"), 1, Timestamp::UNIX_EPOCH), "new");
    }
}
