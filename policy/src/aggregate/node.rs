//! One node, as one policy sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::Truth;
use super::{Counts, Finding, MAX_MESSAGE};
use crate::digest::Digest;

/// What is known of a node, as far as one policy is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the policy selects it. Others count for nothing.
    pub selected: bool,
    /// Whether the cluster hears of it.
    pub reachable: bool,
    /// Whether it joined so recently that waiting for it would only make conditions flap.
    pub joining: bool,
    /// Its runtime as people call it, such as `cri-o 1.34.1`; empty while it or its version is
    /// unknown. Then nobody but the node's agent can say whether it can express the policy.
    pub runtime: &'a str,
    /// Why its runtime cannot express the policy, if so.
    pub unsupported: Option<&'a Finding>,
    /// What to know where its runtime can express the policy: above all which signatures verify
    /// there.
    pub warnings: &'a [String],
    /// The digest of this policy in the bundle that the node runs.
    pub applied: Option<&'a Digest>,
    /// What its agent says; nothing before it first reported.
    pub report: Option<&'a Report>,
}

/// The conditions of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `Applied`: whether the bundle that it was given is on the node.
    pub applied: Truth,
    /// The reason and message of `Applied`.
    pub applied_finding: Finding,
    /// `Enforcing`: whether pulls were proven to obey.
    pub enforcing: Truth,
    /// The reason and message of `Enforcing`.
    pub enforcing_finding: Finding,
    /// `Ready`.
    pub ready: Truth,
}

/// Reasons of `Applied` that mean "not yet" and no failure: a restart is due, images have to be pulled
/// again.
const ON_ITS_WAY: [&str; 2] = ["Pending", "StaleImages"];
/// Reasons of `Enforcing` that are no failure of a node that is on its way: what it shall run is not
/// in force there yet. Only one that refuses everything has failed all the same.
const UNTIL_THEN: [&str; 3] = ["NotEnforcing", "Bypassed", "StaleBundle"];
/// The reason of `Enforcing` where the administrator wants nothing enforced.
const DISABLED: &str = "Disabled";

impl Report {
    /// Why the node is on its way, if its agent says that it waits for something.
    #[must_use]
    pub fn waits(&self) -> Option<&Finding> {
        let finding = &self.applied_finding;
        let waits = self.applied == Truth::False && ON_ITS_WAY.contains(&finding.reason.as_str());
        waits.then_some(finding)
    }

    /// Whether nothing is enforced because the administrator wants that.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.enforcing == Truth::False && self.enforcing_finding.reason == DISABLED
    }

    /// Why the node does not enforce what it should by now, if so.
    #[must_use]
    pub fn unenforced(&self) -> Option<&Finding> {
        let finding = &self.enforcing_finding;
        let excused = self.waits().is_some() && UNTIL_THEN.contains(&finding.reason.as_str());
        let fails = self.enforcing == Truth::False && !self.is_disabled() && !excused;
        fails.then_some(finding)
    }
}

/// How far a selected node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class<'a> {
    /// Its runtime cannot express the policy.
    Unsupported(&'a Finding),
    /// It has not been heard of for too long.
    Unreachable,
    /// It could not apply the policy, or does not enforce what it applied.
    Failed(&'a Finding),
    /// It runs the form in force and is ready.
    Updated,
    /// It has yet to report so, and why, where its agent says that.
    Pending(Option<&'a Finding>),
}

impl<'a> Node<'a> {
    /// The one class of this node, for the form in force.
    #[must_use]
    pub fn class(&self, in_force: Option<&Digest>) -> Class<'a> {
        if let Some(finding) = self.unsupported {
            return Class::Unsupported(finding);
        }
        if !self.reachable {
            return Class::Unreachable;
        }
        let Some(report) = self.report else {
            return Class::Pending(None);
        };
        let waits = report.waits();
        if report.applied == Truth::False && waits.is_none() {
            return Class::Failed(&report.applied_finding);
        }
        if let Some(finding) = report.unenforced() {
            return Class::Failed(finding);
        }
        if report.is_disabled() {
            return Class::Pending(Some(&report.enforcing_finding));
        }
        if waits.is_some() {
            return Class::Pending(waits);
        }
        let runs_it = in_force.is_some() && self.applied == in_force;
        if runs_it && report.ready == Truth::True {
            Class::Updated
        } else {
            Class::Pending(None)
        }
    }
}

/// What the nodes add up to.
#[derive(Default)]
pub(super) struct Tally<'a> {
    pub(super) counts: Counts,
    /// By node.
    pub(super) failing: BTreeMap<String, Finding>,
    /// Nodes that are waited for, with the reason word where they say what they wait for.
    pub(super) pending: BTreeMap<String, Option<String>>,
    /// What runtimes cannot express, with the runtimes and how many nodes have them.
    pub(super) unsupported: BTreeMap<Finding, BTreeMap<String, usize>>,
    /// Nodes whose runtime is not known and whose agents have yet to report the policy.
    pub(super) unknown: BTreeSet<String>,
    /// By runtime, what to know about those that can express the policy.
    pub(super) warnings: BTreeMap<&'a str, &'a [String]>,
}

pub(super) fn tally<'a>(
    in_force: Option<&Digest>,
    nodes: impl IntoIterator<Item = Node<'a>>,
) -> Tally<'a> {
    let mut tally = Tally::default();
    for node in nodes.into_iter().filter(|node| node.selected) {
        let counts = &mut tally.counts;
        counts.selected += 1;
        if node.unsupported.is_none() && !node.warnings.is_empty() {
            tally.warnings.entry(node.runtime).or_insert(node.warnings);
        }
        let class = node.class(in_force);
        let waited_for = matches!(class, Class::Failed(_))
            || (matches!(class, Class::Pending(_)) && !node.joining);
        if node.runtime.is_empty() && waited_for {
            tally.unknown.insert(node.name.to_owned());
        }
        match class {
            Class::Unsupported(finding) => {
                counts.unsupported += 1;
                let runtimes = tally.unsupported.entry(finding.clone()).or_default();
                *runtimes.entry(node.runtime.to_owned()).or_default() += 1;
            }
            Class::Unreachable => counts.unreachable += 1,
            Class::Failed(finding) => {
                counts.failed += 1;
                let finding = Finding {
                    reason: finding.reason.clone(),
                    message: finding.message.chars().take(MAX_MESSAGE).collect(),
                };
                tally.failing.insert(node.name.to_owned(), finding);
            }
            Class::Updated => counts.updated += 1,
            Class::Pending(_) if node.joining => {}
            Class::Pending(why) => {
                counts.pending += 1;
                let why = why.map(|finding| finding.reason.clone());
                tally.pending.insert(node.name.to_owned(), why);
            }
        }
    }
    tally
}
