//! Which node is given which bundle next.
//!
//! ```text
//!  desired bundles ─┐
//!  nodes, records  ─┼─▶ step ─▶ assignments, halted targets, when to look again
//!  settings, now   ─┘
//! ```
//!
//! [`step`] is pure: no clock, no client. Nothing is remembered between two calls: all state is in
//! the cluster, in `spec.bundle` of each `NodeImagePolicy`, its status, and a [`Record`] that is
//! written with the bundle. So a new process goes on where the last one stood.
//!
//! A rollout is about a *core*: what cluster administrators wrote of a bundle. Bundles of one core
//! differ in the policies of namespaces only. Those change within the same limits, but what tenants
//! do holds up no change of the administrators: it needs no canary, restarts no node that is in
//! change, and its failures count for that bundle alone.

mod breaker;
mod record;
mod state;
mod step;

use jiff::{SignedDuration, Timestamp};

use crds::types::Share;

pub use self::breaker::{Vanished, vanished};
pub use self::record::{ANNOTATION, Mark, Record, Weight};
pub use self::step::step;

/// The annotation of the `EnforcementConfig` with which failures are forgotten.
pub const RETRY: &str = "nodeseal.dev/retry";
/// The annotation of the `EnforcementConfig` that confirms the removal of most policies.
pub const CONFIRM_REMOVAL: &str = "nodeseal.dev/confirm-removal";

/// What holds for all rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many reachable nodes are in change at once; at least one is.
    pub max_unavailable: Share,
    /// How many failed nodes halt a rollout; at least one does.
    pub max_failures: Share,
    /// After how long a node that is not ready has failed.
    pub deadline: SignedDuration,
    /// For how long a node is new, and for how long one that never said anything is waited for.
    pub grace: SignedDuration,
    /// Nobody is moved because the administrator says so.
    pub paused: bool,
    /// Nobody is moved because most policies vanished.
    pub frozen: bool,
    /// The emergency stop: everybody is moved at once.
    pub disabled: bool,
    /// The value of [`RETRY`]; failures that were recorded under another one are forgotten.
    pub retry: Option<String>,
}

/// What a node's agent says about the bundle that the node is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// It has never said anything.
    Never,
    /// Nothing about this bundle yet, or nothing that settles it.
    Nothing,
    /// The node runs it and all is well.
    Ready,
    /// It waits for somebody: the reason word.
    Waits(&'a str),
    /// It could not run it, or does not enforce it: the reason word.
    Failed(&'a str),
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it changes before others.
    pub canary: bool,
    /// Whether the cluster hears of it.
    pub reachable: bool,
    /// Whether it joined within the grace period.
    pub young: bool,
    /// The bundle that it should run in the end; nothing where it keeps what it has.
    pub desired: Option<&'a str>,
    /// The bundle that it was given.
    pub assigned: Option<&'a str>,
    /// What was written down when it was given that.
    pub record: Option<&'a Record>,
    /// What its agent says.
    pub said: Said<'a>,
    /// Since when it is not ready, by its own clock, if it is not.
    pub broke: Option<Timestamp>,
}

/// The bundles that are there, each with what tells its core.
pub type Bundles<'a> = std::collections::BTreeMap<&'a str, &'a str>;

/// A node is to be given a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// The node.
    pub node: &'a str,
    /// The bundle; the one that it has where only the record changes.
    pub bundle: &'a str,
    /// What to write down.
    pub record: Record,
}

/// A target that nobody is moved to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted<'a> {
    /// A core, or a bundle.
    pub target: &'a str,
    /// The nodes that failed, by name, each with the reason word.
    pub failed: Vec<(&'a str, &'a str)>,
    /// What nodes have that are held back, and what they would be given.
    pub held: Vec<(Option<&'a str>, &'a str)>,
}

/// What follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// What is to be written, the most urgent first.
    pub assignments: Vec<Assignment<'a>>,
    /// What stands still because nodes failed.
    pub halted: Vec<Halted<'a>>,
    /// How many nodes are in change, those of `assignments` included.
    pub changing: usize,
    /// How many may be.
    pub limit: usize,
    /// How many reachable nodes have yet to be given their bundle.
    pub remaining: usize,
    /// Whether nodes wait until the canary nodes are ready.
    pub canary: bool,
    /// When something may follow although nothing happens.
    pub next: Option<Timestamp>,
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
