//! What is told as Kubernetes events, and how seldom.
//!
//! ```text
//!  statuses of nodes ──▶ matters: what is the case, by topic ──▶ teller: what of it is news
//!                        (an object and a reason)                  └──▶ Notice, a write
//! ```
//!
//! They are called notices here, because an [`Event`](super::Event) is what a watch says. Nothing
//! decides by them: what they tell stands in the statuses too, and one that is lost costs nothing.

mod advised;
mod matters;
mod teller;
mod words;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use policy::digest::Digest;
use policy::flatten::Flat;
use policy::model::PolicyId;

use self::matters::Matter;
use self::teller::Teller;
use super::Index;
use super::objects::{Change, Meta, NodePolicyObject};
use super::write::Write;

/// For how long a notice that could not be written is tried again.
const STALE: SignedDuration = SignedDuration::from_mins(10);
/// The most characters of an object's name in that of an event.
const NAME: usize = 200;
/// Where events about objects without a namespace are.
const CLUSTER_NAMESPACE: &str = "default";

/// What an event is about; its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// Pulls of images that a policy covers were refused.
    ImagesRefused,
    /// Covered images are on nodes without a verdict.
    UnverifiedImages,
    /// Files on a node were changed by somebody else and put back.
    FilesPutBack,
    /// A node could not run what it was given and went back.
    RolledBack,
    /// A node does not enforce what it runs.
    NotEnforcing,
    /// A policy, or the configuration, is valid and may not do what its author expects.
    PolicyWarning,
    /// Something in a trust root ends soon.
    TrustRootExpiring,
    /// A rollout stands still because nodes failed.
    RolloutHalted,
    /// Most policies do not exist any more, and nodes keep them.
    PoliciesVanished,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ImagesRefused,
        Self::UnverifiedImages,
        Self::FilesPutBack,
        Self::RolledBack,
        Self::NotEnforcing,
        Self::PolicyWarning,
        Self::TrustRootExpiring,
        Self::RolloutHalted,
        Self::PoliciesVanished,
    ];

    /// The event's `reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImagesRefused => "ImagesRefused",
            Self::UnverifiedImages => "UnverifiedImages",
            Self::FilesPutBack => "FilesPutBack",
            Self::RolledBack => "RolledBack",
            Self::NotEnforcing => "NotEnforcing",
            Self::PolicyWarning => "PolicyWarning",
            Self::TrustRootExpiring => "TrustRootExpiring",
            Self::RolloutHalted => "RolloutHalted",
            Self::PoliciesVanished => "PoliciesVanished",
        }
    }

    /// The event's `type`.
    #[must_use]
    pub fn severity(self) -> &'static str {
        match self {
            Self::UnverifiedImages => "Normal",
            _ => "Warning",
        }
    }

    /// The event's `action`: what was under way.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::ImagesRefused => "Pull",
            Self::UnverifiedImages => "Inspect",
            Self::FilesPutBack => "Repair",
            Self::RolledBack => "Apply",
            Self::NotEnforcing => "Prove",
            Self::PolicyWarning => "Check",
            Self::TrustRootExpiring => "Refresh",
            Self::RolloutHalted | Self::PoliciesVanished => "RollOut",
        }
    }
}

/// The object that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A policy.
    Policy(PolicyId),
    /// The `EnforcementConfig`: its default action, not a policy, decides.
    Config,
    /// A trust root, by its name.
    TrustRoot(String),
    /// A node, by the name of its `NodeImagePolicy`.
    Node(String),
}

/// What is told at most once at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Topic {
    pub(crate) subject: Subject,
    pub(crate) kind: NoticeKind,
}

/// An event to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The event's name: the same for the same news about the same object, so that whoever tells it
    /// again finds it told.
    pub name: String,
    /// What it is about.
    pub subject: Subject,
    /// The uid of that object.
    pub uid: String,
    /// The uid of the Node, where it is about one.
    pub node_uid: Option<String>,
    /// Its reason, type and action.
    pub kind: NoticeKind,
    /// What happened and what to do, at most 1 KiB.
    pub note: String,
    /// When it became known.
    pub time: Timestamp,
}

impl Notice {
    /// The namespace of the event.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.object_namespace().unwrap_or(CLUSTER_NAMESPACE)
    }

    /// The namespace of the object, if it has one.
    #[must_use]
    pub fn object_namespace(&self) -> Option<&str> {
        match &self.subject {
            Subject::Policy(id) => id.namespace(),
            Subject::Config | Subject::TrustRoot(_) | Subject::Node(_) => None,
        }
    }

    /// The kind of the object.
    #[must_use]
    pub fn object_kind(&self) -> &'static str {
        match &self.subject {
            Subject::Policy(PolicyId::Cluster { .. }) => "ClusterImageSignaturePolicy",
            Subject::Policy(PolicyId::Namespaced { .. }) => "ImageSignaturePolicy",
            Subject::Config => "EnforcementConfig",
            Subject::TrustRoot(_) => "TrustRoot",
            Subject::Node(_) => "NodeImagePolicy",
        }
    }

    /// The name of the object.
    #[must_use]
    pub fn object_name(&self) -> &str {
        match &self.subject {
            Subject::Policy(id) => id.name(),
            Subject::Config => "default",
            Subject::TrustRoot(name) | Subject::Node(name) => name,
        }
    }
}

/// What was told, and what is to be.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    teller: Teller,
    /// Tables of bundles whose nodes have something to tell.
    tables: BTreeMap<String, Flat>,
    /// Not written yet, by name.
    pending: BTreeMap<String, Notice>,
    /// Whether a node told something since the last look.
    changed: bool,
    /// When to look again at the earliest.
    next_look: Option<Timestamp>,
}

impl Notices {
    /// A watch says this about nodes.
    pub(crate) fn hear(&mut self, change: &Change<NodePolicyObject>) {
        self.changed |= match change {
            Change::Reset(all) => all.iter().any(NodePolicyObject::has_news),
            Change::Apply(own) => own.has_news(),
            Change::Delete(_) => false,
        };
    }

    /// There is something else to tell than before.
    pub(crate) fn look_again(&mut self) {
        self.changed = true;
    }

    /// It was written, or had been before.
    pub(crate) fn done(&mut self, notice: &Notice) {
        self.pending.remove(&notice.name);
    }

    /// When there may be something to tell although nothing happened.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let look = self.next_look.filter(|_| self.changed);
        // What the teller holds back is looked at together with what else there is by then.
        let held = self
            .teller
            .deadline()
            .map(|held| self.next_look.map_or(held, |look| held.max(look)));
        look.into_iter().chain(held).min()
    }
}

impl Index {
    /// What is news, and what could not be told so far.
    pub(super) fn notice_writes(&mut self, now: Timestamp) -> Vec<Write> {
        let window = self.options.notices;
        let early = |look: Timestamp| now < look && look.duration_since(now) <= window;
        if !self.notices.next_look.is_some_and(early) {
            self.look_for_news(now);
            self.notices.next_look = now.checked_add(window).ok();
        }
        let notices = &mut self.notices;
        notices.pending.retain(|_, notice| {
            let age = now.duration_since(notice.time);
            age <= STALE && !age.is_negative()
        });
        let mut writes = Vec::new();
        for notice in notices.pending.values() {
            let write = Write::Notice(Box::new(notice.clone()));
            if self.outbox.offer(&write, 0, now) {
                writes.push(write);
            }
        }
        writes
    }

    fn look_for_news(&mut self, now: Timestamp) {
        let mut tables = std::mem::take(&mut self.notices.tables);
        let matters = self.matters(&mut tables);
        let news = self.notices.teller.tell(&matters, now);
        let made = news.into_iter().filter_map(|(topic, new)| {
            let matter = matters.get(&topic)?;
            self.notice(topic, matter, &new, now)
        });
        let made: Vec<Notice> = made.collect();
        let made = made.into_iter().map(|notice| (notice.name.clone(), notice));
        self.notices.pending.extend(made);
        self.notices.tables = tables;
        self.notices.changed = false;
    }

    fn notice(
        &self,
        topic: Topic,
        matter: &Matter,
        new: &[String],
        now: Timestamp,
    ) -> Option<Notice> {
        let Topic { subject, kind } = topic;
        let (meta, node_uid) = self.subject(&subject)?;
        let mut text = format!("{} {}", meta.uid, kind.as_str());
        for key in matter.items.keys() {
            text.push('\n');
            text.push_str(key);
        }
        let digest = Digest::of(text.as_bytes());
        let short: String = digest.hex().chars().take(16).collect();
        let mut notice = Notice {
            name: String::new(),
            uid: meta.uid.clone(),
            node_uid,
            kind,
            note: words::note(matter, new),
            time: now,
            subject,
        };
        let name: String = notice.object_name().chars().take(NAME).collect();
        notice.name = format!("{}.{short}", name.trim_end_matches(['.', '-']));
        Some(notice)
    }

    /// What the object has, with the uid of its Node.
    fn subject(&self, subject: &Subject) -> Option<(&Meta, Option<String>)> {
        match subject {
            Subject::Policy(id) => Some((&self.policy(id)?.meta, None)),
            Subject::Config => Some((&self.configs.get(&())?.meta, None)),
            Subject::TrustRoot(name) => Some((&self.trust_roots.get(name)?.meta, None)),
            Subject::Node(name) => {
                let own = self.node_policies.get(name)?;
                Some((&own.meta, own.owner.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
