//! Summaries as the API has them.

use crds::types::{FailingNode, NodeCounts, PolicyStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::aggregate::{Finding, Summary, Truth};
use policy::digest::Digest;

use super::objects::PolicyObject;

/// A condition without its times.
pub(crate) struct Line<'a> {
    pub(crate) kind: &'static str,
    pub(crate) truth: Truth,
    pub(crate) finding: &'a Finding,
}

/// Adds the times: a condition whose status did not change keeps the one it had.
pub(crate) fn with_times(
    lines: &[Line<'_>],
    generation: i64,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |line: &Line<'_>| {
        let old = before
            .iter()
            .find(|old| old.type_ == line.kind && old.status == line.truth.as_str());
        Condition {
            type_: line.kind.to_owned(),
            status: line.truth.as_str().to_owned(),
            reason: line.finding.reason.clone(),
            message: cut(&line.finding.message),
            observed_generation: Some(generation),
            last_transition_time: old.map_or_else(
                || whole_seconds(now),
                |old| old.last_transition_time.clone(),
            ),
        }
    };
    lines.iter().map(condition).collect()
}

/// The schema admits no longer messages; of what is wrong the first words say the most.
fn cut(message: &str) -> String {
    const MOST: usize = 32_768;
    let end = message.char_indices().nth(MOST);
    end.map_or(message, |(end, _)| message.get(..end).unwrap_or_default())
        .to_owned()
}

/// The API server keeps whole seconds; what it gives back must be equal to what was sent.
pub(crate) fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// The status of a policy.
pub(crate) fn status(
    object: &PolicyObject,
    digest: Option<&Digest>,
    summary: Summary,
    now: Timestamp,
) -> PolicyStatus {
    let lines: Vec<Line<'_>> = summary
        .conditions
        .iter()
        .map(|condition| Line {
            kind: condition.kind.as_str(),
            truth: condition.status,
            finding: &condition.finding,
        })
        .collect();
    let generation = object.meta.generation;
    let conditions = with_times(&lines, generation, &object.status.conditions, now);
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let counts = &summary.counts;
    let failing = summary.failing.into_iter().map(|failing| FailingNode {
        node: failing.node,
        // The schema of a condition's reason admits longer ones.
        reason: failing.finding.reason.chars().take(64).collect(),
        message: failing.finding.message,
    });
    PolicyStatus {
        observed_generation: Some(generation),
        digest: digest.map(ToString::to_string),
        nodes: Some(NodeCounts {
            summary: counts.summary(),
            selected: number(counts.selected),
            updated: number(counts.updated),
            failed: number(counts.failed),
            unsupported: number(counts.unsupported),
            unreachable: number(counts.unreachable),
        }),
        failing: failing.collect(),
        conditions,
    }
}

/// Whether two different statuses differ only in counts and in the messages that repeat them.
/// Nobody waits for those, so they may be gathered.
pub(crate) fn only_counts_differ(a: &PolicyStatus, b: &PolicyStatus) -> bool {
    // `Compatible` names the runtimes of the nodes: one that joins may bring another version.
    const COUNTING: [&str; 5] = [
        "Compatible",
        "Programmed",
        "Ready",
        "Reconciling",
        "Stalled",
    ];
    let same = |a: &Condition, b: &Condition| {
        let message = COUNTING.contains(&a.type_.as_str()) || a.message == b.message;
        a.type_ == b.type_
            && a.status == b.status
            && a.reason == b.reason
            && a.observed_generation == b.observed_generation
            && message
    };
    a.observed_generation == b.observed_generation
        && a.digest == b.digest
        && a.nodes.is_some() == b.nodes.is_some()
        && a.conditions.len() == b.conditions.len()
        && a.conditions
            .iter()
            .zip(&b.conditions)
            .all(|(a, b)| same(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_the_schema_would_refuse_is_cut() {
        let finding = Finding::new("Invalid", "é".repeat(40_000));
        let line = Line {
            kind: "Ready",
            truth: Truth::False,
            finding: &finding,
        };
        let conditions = with_times(&[line], 1, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(conditions[0].message.chars().count(), 32_768);
        assert_eq!(cut("short"), "short");
    }
}
