//! One node, as one policy sees it.

use std::collections::{BTreeMap, BTreeSet};

use super::conditions::Truth;
use super::group::{Group, Member};
use super::{Counts, Finding, MAX_FAILING, MAX_MESSAGE};
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
    /// What the conditions of a node come to, each asked for by its type; nothing before its agent said
    /// anything of `Applied`.
    pub fn from_conditions(condition: impl Fn(&str) -> Option<(Truth, Finding)>) -> Option<Self> {
        let unknown = || (Truth::Unknown, Finding::new("Unknown", ""));
        let (applied, applied_finding) = condition("Applied")?;
        let (enforcing, enforcing_finding) = condition("Enforcing").unwrap_or_else(unknown);
        Some(Self {
            applied,
            applied_finding,
            enforcing,
            enforcing_finding,
            ready: condition("Ready").unwrap_or_else(unknown).0,
        })
    }

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

    /// What the report comes to.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let waits = self.waits().is_some();
        if (self.applied == Truth::False && !waits) || self.unenforced().is_some() {
            Standing::Failed
        } else if self.is_disabled() {
            Standing::Disabled
        } else if waits {
            Standing::Waits
        } else if self.ready == Truth::True {
            Standing::Ready
        } else {
            Standing::NotReady
        }
    }

    /// Why it failed; where it did not, that is what it says of `Applied`.
    fn failure(&self) -> &Finding {
        let applied = &self.applied_finding;
        if self.applied == Truth::False && self.waits().is_none() {
            return applied;
        }
        self.unenforced().unwrap_or(applied)
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

/// What a report comes to, without its words: under every policy, two nodes that are alike but for
/// the words of their reports are of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It could not apply what it was given, or does not enforce what it should.
    Failed,
    /// Nothing is enforced, as the administrator wants it.
    Disabled,
    /// It waits for something.
    Waits,
    /// It is ready.
    Ready,
    /// It is not.
    NotReady,
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
        let runs_it = in_force.is_some() && self.applied == in_force;
        match report.standing() {
            Standing::Failed => Class::Failed(report.failure()),
            Standing::Disabled => Class::Pending(Some(&report.enforcing_finding)),
            Standing::Waits => Class::Pending(report.waits()),
            Standing::Ready if runs_it => Class::Updated,
            Standing::Ready | Standing::NotReady => Class::Pending(None),
        }
    }
}

/// The most nodes that a message names.
pub(super) const MAX_NAMED: usize = 3;

/// What the nodes add up to.
#[derive(Default)]
pub(super) struct Tally<'a> {
    pub(super) counts: Counts,
    /// By node, the first [`MAX_FAILING`].
    pub(super) failing: BTreeMap<&'a str, Finding>,
    /// The first [`MAX_NAMED`] nodes that are waited for, with the reason word where they say what
    /// they wait for.
    pub(super) pending: BTreeMap<&'a str, Option<&'a str>>,
    /// What runtimes cannot express, with the runtimes and how many nodes have them.
    pub(super) unsupported: BTreeMap<&'a Finding, BTreeMap<&'a str, usize>>,
    /// How many nodes there are whose runtime is not known and whose agents have yet to report the
    /// policy, and the first [`MAX_NAMED`] of them.
    pub(super) unknown: (usize, BTreeSet<&'a str>),
    /// By runtime, what to know about those that can express the policy.
    pub(super) warnings: BTreeMap<&'a str, &'a [String]>,
}

/// Adds to the first `most`, by name.
fn add<'a, T>(first: &mut BTreeMap<&'a str, T>, most: usize, name: &'a str, what: T) {
    first.insert(name, what);
    if first.len() > most {
        first.pop_last();
    }
}

pub(super) fn tally<'a>(
    in_force: Option<&Digest>,
    groups: impl IntoIterator<Item = Group<'a>>,
) -> Tally<'a> {
    let mut tally = Tally::default();
    for Group { like, members } in groups.into_iter().filter(|group| group.like.selected) {
        let (counts, number) = (&mut tally.counts, members.len());
        counts.selected += number;
        if like.unsupported.is_none() && !like.warnings.is_empty() {
            tally.warnings.entry(like.runtime).or_insert(like.warnings);
        }
        let class = like.class(in_force);
        let waited_for = matches!(class, Class::Failed(_))
            || (matches!(class, Class::Pending(_)) && !like.joining);
        if like.runtime.is_empty() && waited_for {
            let (count, first) = &mut tally.unknown;
            *count += number;
            first.extend(members.iter().take(MAX_NAMED).map(|member| member.name));
            while first.len() > MAX_NAMED {
                first.pop_last();
            }
        }
        let of_member = |member: &Member<'a>| {
            let node = Node {
                name: member.name,
                report: member.report,
                ..like.clone()
            };
            node.class(in_force)
        };
        match class {
            Class::Unsupported(finding) => {
                counts.unsupported += number;
                let runtimes = tally.unsupported.entry(finding).or_default();
                *runtimes.entry(like.runtime).or_default() += number;
            }
            Class::Unreachable => counts.unreachable += number,
            Class::Failed(_) => {
                counts.failed += number;
                for member in members.iter().take(MAX_FAILING) {
                    let Class::Failed(finding) = of_member(member) else {
                        continue;
                    };
                    let finding = Finding {
                        reason: finding.reason.clone(),
                        message: finding.message.chars().take(MAX_MESSAGE).collect(),
                    };
                    add(&mut tally.failing, MAX_FAILING, member.name, finding);
                }
            }
            Class::Updated => counts.updated += number,
            Class::Pending(_) if like.joining => {}
            Class::Pending(_) => {
                counts.pending += number;
                for member in members.iter().take(MAX_NAMED) {
                    let why = match of_member(member) {
                        Class::Pending(why) => why.map(|finding| finding.reason.as_str()),
                        _ => None,
                    };
                    add(&mut tally.pending, MAX_NAMED, member.name, why);
                }
            }
        }
    }
    tally
}
