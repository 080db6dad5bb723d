//! What agents say, and what is said about rollouts.

use policy::aggregate::Truth;

use crate::index::objects::NodePolicyObject;
use crate::rollout::{Halted, RETRY, Said};

/// The most names that a message has.
const MOST_NAMES: usize = 3;

/// What an agent says about the bundle that its node was given.
pub(super) fn said(own: &NodePolicyObject) -> Said<'_> {
    let Some(report) = &own.report else {
        return Said::Never;
    };
    if own.observed != Some(own.meta.generation) {
        return Said::Nothing;
    }
    if let Some(waits) = report.waits() {
        return Said::Waits(&waits.reason);
    }
    if report.applied == Truth::False {
        return Said::Failed(&report.applied_finding.reason);
    }
    // A runtime that calls no verifier never enforces anything: there is nothing to wait for.
    let enforces = own.not_enforcing.is_none();
    if let Some(finding) = report.unenforced().filter(|_| enforces) {
        return Said::Failed(&finding.reason);
    }
    let done = report.applied == Truth::True && own.applied == own.bundle;
    let well = report.ready == Truth::True || report.is_disabled() || !enforces;
    if done && well {
        Said::Ready
    } else {
        Said::Nothing
    }
}

pub(super) fn halted_words(halted: &Halted<'_>, hint: &str) -> String {
    let named: Vec<String> = halted
        .failed
        .iter()
        .map(|(node, why)| format!("{node} ({why})"))
        .collect();
    let (count, plural) = (named.len(), if named.len() == 1 { "" } else { "s" });
    format!(
        "{count} node{plural} failed: {}; no other node is given it, and those that it was not yet in force on go back to what they had. Change the policy, or mend what is wrong there and try again: `kubectl annotate enforcementconfig default {RETRY}=\"$(date +%s)\" --overwrite`{hint}",
        first(named.iter().map(String::as_str)),
    )
}

/// The first names, and how many more.
pub(super) fn first<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let first = names.take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    match more {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
