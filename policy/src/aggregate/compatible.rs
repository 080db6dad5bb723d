//! `Compatible`: what the runtimes of the selected nodes make of the policy.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::conditions::{Condition, ConditionType, Truth, blocked, meanwhile, reason};
use super::node::{MAX_NAMED, Tally};
use super::{Finding, InForce, Spec};
use crate::problem::Reason;

/// The most different findings or warnings that the message has.
const MOST: usize = 10;

/// What keeps nodes from having a policy, the worst first: where nothing at all is enforced, where
/// this policy cannot be, where it would not deny anyway.
const WORST_FIRST: [Reason; 5] = [
    Reason::NotEnforcing,
    Reason::NotExpressible,
    Reason::NamespacedUnsupported,
    Reason::TooLarge,
    Reason::AuditUnsupported,
];

/// Where a reason word stands among those that a policy is not [`ConditionType::Compatible`] for:
/// 0 is the worst, and words that are not among them come last. Of several the worst is the reason
/// of the condition.
#[must_use]
pub fn severity(reason: &str) -> usize {
    let place = WORST_FIRST.iter().position(|word| word.as_str() == reason);
    place.unwrap_or(WORST_FIRST.len())
}

pub(super) fn compatible(spec: &Spec, tally: &Tally<'_>) -> Condition {
    let kind = ConditionType::Compatible;
    if let Some(Finding { reason, message }) = &spec.inexpressible {
        let message = format!("{message}{}", meanwhile(spec));
        return Condition::of(kind, Truth::False, reason, message);
    }
    if let (InForce::Nothing, Some(why)) = (&spec.in_force, blocked(spec)) {
        let message =
            "not known before the policy is valid and everything that it refers to is found";
        return Condition::of(kind, Truth::Unknown, &why.reason, message);
    }
    let mut found: Vec<(&Finding, usize, Vec<&str>)> = tally
        .unsupported
        .iter()
        .map(|(finding, runtimes)| {
            let names = runtimes.keys().copied();
            let names = names.filter(|name| !name.is_empty()).collect();
            (*finding, runtimes.values().sum(), names)
        })
        .collect();
    // The worst is the reason, of two that are as bad the one that more nodes share; all of them
    // are in the message.
    found.sort_by_key(|(finding, nodes, _)| (severity(&finding.reason), Reverse(*nodes)));
    let (unknown, first) = &tally.unknown;
    if found.is_empty() && *unknown > 0 {
        let nodes: Vec<&str> = first.iter().copied().collect();
        let message = format!(
            "the version of the runtime is not known yet on {} of the selected nodes ({}), so their agents have to report first: see that they run there",
            unknown,
            some_names(&nodes, *unknown)
        );
        return Condition::of(kind, Truth::Unknown, reason::RUNTIME_UNKNOWN, message);
    }
    let Some((Finding { reason, .. }, ..)) = found.first() else {
        let message = format!(
            "the runtime of every selected node can express the policy{}",
            warnings(&tally.warnings)
        );
        return Condition::of(kind, Truth::True, reason::COMPATIBLE, message);
    };
    let parts = found.iter().map(|(finding, nodes, runtimes)| {
        let on = if runtimes.is_empty() {
            String::new()
        } else {
            format!(" ({})", names(runtimes))
        };
        format!("{nodes} of the selected nodes{on}: {}", finding.message)
    });
    let message = format!(
        "{}. Narrow nodeSelector to other nodes, or change the policy",
        some_of(parts)
    );
    Condition::of(kind, Truth::False, reason, message)
}

/// What users have to know, each thing once with the runtimes that it is about.
fn warnings(by_runtime: &BTreeMap<&str, &[String]>) -> String {
    let mut distinct: Vec<(&str, Vec<&str>)> = Vec::new();
    for (runtime, warnings) in by_runtime {
        for warning in *warnings {
            match distinct.iter_mut().find(|(known, _)| known == warning) {
                Some((_, runtimes)) if runtimes.contains(runtime) => {}
                Some((_, runtimes)) => runtimes.push(runtime),
                None => distinct.push((warning, vec![runtime])),
            }
        }
    }
    if distinct.is_empty() {
        return String::new();
    }
    let parts = distinct
        .iter()
        .map(|(warning, runtimes)| format!("{}: {warning}", names(runtimes)));
    format!("; {}", some_of(parts))
}

/// The first names, and how many more.
fn names(names: &[&str]) -> String {
    some_names(names, names.len())
}

/// The same of so many, of which the first are known.
fn some_names(names: &[&str], count: usize) -> String {
    let first = names.iter().take(MAX_NAMED).copied();
    let first = first.collect::<Vec<_>>().join(", ");
    match count.saturating_sub(MAX_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The first parts, and how many more.
fn some_of(parts: impl ExactSizeIterator<Item = String>) -> String {
    let more = parts.len().saturating_sub(MOST);
    let first = parts.take(MOST).collect::<Vec<_>>().join("; ");
    match more {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}
