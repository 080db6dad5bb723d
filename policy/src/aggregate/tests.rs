//! Each reason of each condition has a test that names it.

mod compatible;
mod groups;
mod nodes;

use super::*;
use crate::problem::Reason;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn valid() -> Spec {
    Spec {
        invalid: None,
        resolution: Resolution::Resolved,
        inexpressible: None,
        in_force: InForce::Current(digest("now")),
        halted: None,
        holds: None,
        stalled: None,
    }
}

fn finding(reason: &str) -> Finding {
    Finding::new(reason, format!("about {reason}"))
}

/// An owner for what a [`Node`] borrows.
#[derive(Debug)]
struct Fixture {
    name: String,
    reachable: bool,
    joining: bool,
    runtime: &'static str,
    unsupported: Option<Finding>,
    warnings: Vec<String>,
    applied: Option<Digest>,
    report: Option<Report>,
}

fn report(applied: (Truth, &str), enforcing: (Truth, &str), ready: Truth) -> Report {
    Report {
        applied: applied.0,
        applied_finding: finding(applied.1),
        enforcing: enforcing.0,
        enforcing_finding: finding(enforcing.1),
        ready,
    }
}

impl Fixture {
    /// A node that runs the policy as it is now.
    fn updated(name: &str) -> Self {
        let applied = (Truth::True, "Applied");
        let enforcing = (Truth::Unknown, "NotProbed");
        Self {
            name: name.to_owned(),
            reachable: true,
            joining: false,
            runtime: "containerd 2.2.1",
            unsupported: None,
            warnings: Vec::new(),
            applied: Some(digest("now")),
            report: Some(report(applied, enforcing, Truth::True)),
        }
    }

    /// A node that runs what it had before.
    fn behind(name: &str) -> Self {
        Self {
            applied: Some(digest("before")),
            ..Self::updated(name)
        }
    }

    fn failed(name: &str, reason: &str) -> Self {
        let applied = (Truth::False, reason);
        let enforcing = (Truth::Unknown, "NotProbed");
        Self {
            report: Some(report(applied, enforcing, Truth::False)),
            ..Self::behind(name)
        }
    }

    fn unsupported(name: &str, reason: Reason) -> Self {
        Self {
            unsupported: Some(finding(reason.as_str())),
            ..Self::behind(name)
        }
    }

    fn node(&self) -> Node<'_> {
        Node {
            name: &self.name,
            selected: true,
            reachable: self.reachable,
            joining: self.joining,
            runtime: self.runtime,
            unsupported: self.unsupported.as_ref(),
            warnings: &self.warnings,
            applied: self.applied.as_ref(),
            report: self.report.as_ref(),
        }
    }
}

fn sum(spec: &Spec, nodes: &[Fixture]) -> Summary {
    aggregate(spec, nodes.iter().map(Fixture::node))
}

fn condition(summary: &Summary, kind: ConditionType) -> Option<(Truth, &str)> {
    let found = summary.conditions.iter().find(|c| c.kind == kind)?;
    Some((found.status, found.finding.reason.as_str()))
}

fn message(summary: &Summary, kind: ConditionType) -> &str {
    let found = summary.conditions.iter().find(|c| c.kind == kind);
    found.map_or("", |found| found.finding.message.as_str())
}

use ConditionType::{Accepted, Compatible, Programmed, Ready, Reconciling, Resolved, Stalled};

/// What every summary has to obey.
fn check_invariants(summary: &Summary) {
    let first: Vec<_> = summary.conditions.iter().take(5).map(|c| c.kind).collect();
    assert_eq!(first, [Accepted, Resolved, Compatible, Programmed, Ready]);
    let holds = |kind| condition(summary, kind).map(|(status, _)| status) == Some(Truth::True);
    let all = [Accepted, Resolved, Compatible, Programmed]
        .into_iter()
        .all(holds);
    assert_eq!(holds(Ready), all, "{summary:?}");
    assert!(
        !(holds(Stalled) && holds(Reconciling)),
        "one of the two at most: {summary:?}"
    );
    for kind in [Stalled, Reconciling] {
        let status = condition(summary, kind).map(|(status, _)| status);
        assert!(matches!(status, None | Some(Truth::True)), "{summary:?}");
    }
    let counts = &summary.counts;
    let parts = counts.updated + counts.failed + counts.unsupported + counts.unreachable;
    assert!(parts + counts.pending <= counts.selected, "{counts:?}");
    for condition in &summary.conditions {
        assert!(!condition.finding.message.is_empty(), "{condition:?}");
    }
}

#[test]
fn valid_resolved_compatible_programmed_ready() {
    let summary = sum(&valid(), &[Fixture::updated("a"), Fixture::updated("b")]);
    check_invariants(&summary);
    for (kind, reason) in [
        (Accepted, reason::VALID),
        (Resolved, reason::RESOLVED),
        (Compatible, reason::COMPATIBLE),
        (Programmed, reason::PROGRAMMED),
        (Ready, reason::READY),
    ] {
        assert_eq!(condition(&summary, kind), Some((Truth::True, reason)));
    }
    assert_eq!(summary.conditions.len(), 5, "neither of the kstatus pair");
    assert_eq!(summary.counts.summary(), "2/2");
    assert_eq!(message(&summary, Programmed), "2/2 nodes run it");
}

#[test]
fn not_accepted_has_the_reason_of_the_problem() {
    for reason in [
        Reason::InvalidKey,
        Reason::InvalidCertificate,
        Reason::InvalidRegExp,
        Reason::InvalidScope,
        Reason::NotPermitted,
        Reason::Invalid,
    ] {
        let spec = Spec {
            invalid: Some(finding(reason.as_str())),
            in_force: InForce::Kept(digest("now")),
            ..valid()
        };
        let summary = sum(&spec, &[Fixture::updated("a")]);
        check_invariants(&summary);
        let reason = reason.as_str();
        for kind in [Accepted, Programmed, Ready] {
            assert_eq!(condition(&summary, kind), Some((Truth::False, reason)));
        }
        assert_eq!(condition(&summary, Stalled), Some((Truth::True, reason)));
        let text = message(&summary, Accepted);
        assert!(text.contains("last valid form stays in force"), "{text}");
        let text = message(&summary, Programmed);
        assert!(text.contains("last valid form is on 1/1"), "{text}");
    }
}

#[test]
fn what_was_never_valid_enforces_nothing_and_says_so() {
    let spec = Spec {
        invalid: Some(finding("InvalidScope")),
        in_force: InForce::Nothing,
        ..valid()
    };
    let summary = sum(&spec, &[Fixture::updated("a")]);
    check_invariants(&summary);
    assert!(message(&summary, Accepted).contains("enforces nothing"));
    assert_eq!(
        condition(&summary, Compatible),
        Some((Truth::Unknown, "InvalidScope"))
    );
    assert_eq!(summary.counts.updated, 0, "no form, so no node runs it");
}

#[test]
fn not_resolved_has_the_reason_of_the_reference() {
    for reason in [
        Reason::NotFound.as_str(),
        Reason::NotPermitted.as_str(),
        Reason::InvalidKey.as_str(),
        reason::TRUST_ROOT_NOT_READY,
    ] {
        let spec = Spec {
            resolution: Resolution::Failed(finding(reason)),
            in_force: InForce::Kept(digest("now")),
            ..valid()
        };
        let summary = sum(&spec, &[Fixture::updated("a")]);
        check_invariants(&summary);
        for kind in [Resolved, Programmed, Ready] {
            assert_eq!(condition(&summary, kind), Some((Truth::False, reason)));
        }
        assert_eq!(
            condition(&summary, Accepted),
            Some((Truth::True, reason::VALID))
        );
        assert_eq!(condition(&summary, Stalled), Some((Truth::True, reason)));
    }
}

#[test]
fn not_read_is_unknown_and_never_stalls() {
    let spec = Spec {
        resolution: Resolution::Unknown(finding(reason::NOT_READ)),
        in_force: InForce::Kept(digest("now")),
        ..valid()
    };
    let summary = sum(&spec, &[Fixture::updated("a")]);
    check_invariants(&summary);
    let unknown = Some((Truth::Unknown, reason::NOT_READ));
    assert_eq!(condition(&summary, Resolved), unknown);
    assert_eq!(condition(&summary, Ready), unknown);
    assert_eq!(
        condition(&summary, Reconciling),
        Some((Truth::True, reason::NOT_READ))
    );
}

#[test]
fn no_nodes_is_nothing_to_wait_for() {
    let summary = sum(&valid(), &[]);
    check_invariants(&summary);
    let no_nodes = Some((Truth::True, reason::NO_NODES));
    assert_eq!(condition(&summary, Programmed), no_nodes);
    assert_eq!(
        condition(&summary, Ready),
        Some((Truth::True, reason::READY))
    );

    let gone = Fixture {
        reachable: false,
        ..Fixture::behind("a")
    };
    let summary = sum(&valid(), &[gone]);
    assert_eq!(condition(&summary, Programmed), no_nodes);
    assert!(message(&summary, Programmed).contains("1 unreachable"));
}

#[test]
fn rolling_out_names_whom_it_waits_for() {
    let mut nodes: Vec<_> = (0..5).map(|n| Fixture::behind(&format!("n{n}"))).collect();
    nodes[0].report = None;
    nodes.push(Fixture::updated("z"));
    // A node that applied the policy and is not ready for another reason.
    let not_ready = report(
        (Truth::True, "Applied"),
        (Truth::Unknown, "NotProbed"),
        Truth::Unknown,
    );
    nodes.push(Fixture {
        report: Some(not_ready),
        ..Fixture::updated("y")
    });
    // A restart is due: that is no failure.
    nodes.push(Fixture::failed("x", "Pending"));
    let spec = Spec {
        holds: Some("they are few at a time".to_owned()),
        ..valid()
    };
    let summary = sum(&spec, &nodes);
    check_invariants(&summary);
    for kind in [Programmed, Ready] {
        let rolling = Some((Truth::False, reason::ROLLING_OUT));
        assert_eq!(condition(&summary, kind), rolling);
    }
    let reconciling = Some((Truth::True, reason::ROLLING_OUT));
    assert_eq!(condition(&summary, Reconciling), reconciling);
    let text = message(&summary, Programmed);
    let words = "1/8 nodes run it, waiting for n0, n1, n2 and 4 more; they are few at a time";
    assert_eq!(text, words);
}

#[test]
fn nodes_failed_names_at_most_ten_of_them() {
    let mut nodes: Vec<_> = (0..12)
        .map(|n| Fixture::failed(&format!("n{n:02}"), "WriteFailed"))
        .collect();
    let long = "x".repeat(MAX_MESSAGE + 1);
    if let Some(report) = &mut nodes[0].report {
        report.applied_finding.message = long;
    }
    let summary = sum(&valid(), &nodes);
    check_invariants(&summary);
    for kind in [Programmed, Ready] {
        let failed = Some((Truth::False, reason::NODES_FAILED));
        assert_eq!(condition(&summary, kind), failed);
    }
    let reconciling = Some((Truth::True, reason::NODES_FAILED));
    assert_eq!(condition(&summary, Reconciling), reconciling);
    assert_eq!(summary.counts.failed, 12);
    assert_eq!(summary.failing.len(), MAX_FAILING);
    assert_eq!(summary.failing[0].finding.message.len(), MAX_MESSAGE);
    assert_eq!(summary.failing[9].node, "n09");
    let text = message(&summary, Programmed);
    assert!(
        text.contains("n00 (WriteFailed), n01 (WriteFailed), n02 (WriteFailed) and 9 more"),
        "{text}"
    );
}

#[test]
fn rollout_halted_is_stalled() {
    let spec = Spec {
        halted: Some(finding("TooManyFailures")),
        ..valid()
    };
    let summary = sum(&spec, &[Fixture::behind("a")]);
    check_invariants(&summary);
    let halted = Some((Truth::False, reason::ROLLOUT_HALTED));
    assert_eq!(condition(&summary, Programmed), halted);
    let stalled = Some((Truth::True, reason::ROLLOUT_HALTED));
    assert_eq!(condition(&summary, Stalled), stalled);
}

#[test]
fn config_deleted_is_stalled_and_leaves_the_policy_ready() {
    let spec = Spec {
        stalled: Some(finding(reason::CONFIG_DELETED)),
        ..valid()
    };
    let summary = sum(&spec, &[Fixture::updated("a")]);
    check_invariants(&summary);
    let stalled = Some((Truth::True, reason::CONFIG_DELETED));
    assert_eq!(condition(&summary, Stalled), stalled);
    let ready = Some((Truth::True, reason::READY));
    assert_eq!(condition(&summary, Ready), ready);
}
