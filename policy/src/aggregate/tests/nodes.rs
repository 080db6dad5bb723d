//! The class of a node, and what follows from it for a policy.

use super::*;

#[test]
fn a_node_that_does_not_enforce_what_it_applied_has_failed() {
    let report = report(
        (Truth::True, "Applied"),
        (Truth::False, "DenyNotSeen"),
        Truth::False,
    );
    let node = Fixture {
        report: Some(report),
        ..Fixture::updated("a")
    };
    let summary = sum(&valid(), &[node]);
    check_invariants(&summary);
    assert_eq!(summary.failing[0].finding.reason, "DenyNotSeen");
}

/// Only the agent knows the words of its conditions; each has to fall where the API says.
#[test]
fn every_reason_of_a_node_has_its_class() {
    let class = |applied: (Truth, &str), enforcing: (Truth, &str), ready| {
        let node = Fixture {
            report: Some(report(applied, enforcing, ready)),
            ..Fixture::updated("a")
        };
        let node = node.node();
        match node.class(Some(&digest("now"))) {
            Class::Failed(finding) => format!("failed {}", finding.reason),
            Class::Pending(Some(finding)) => format!("pending {}", finding.reason),
            Class::Pending(None) => "pending".to_owned(),
            Class::Updated => "updated".to_owned(),
            other => format!("{other:?}"),
        }
    };
    let applied = (Truth::True, "Applied");
    for (enforcing, expected) in [
        ((Truth::True, "Enforcing"), "updated"),
        ((Truth::Unknown, "NotProbed"), "updated"),
        ((Truth::Unknown, "Unknown"), "updated"),
    ] {
        assert_eq!(class(applied, enforcing, Truth::True), expected);
    }
    for (reason, expected) in [
        ("NotEnforcing", "failed NotEnforcing"),
        ("Bypassed", "failed Bypassed"),
        ("RefusesEverything", "failed RefusesEverything"),
        ("StaleBundle", "failed StaleBundle"),
        ("Disabled", "pending Disabled"),
    ] {
        let enforcing = (Truth::False, reason);
        assert_eq!(class(applied, enforcing, Truth::False), expected);
    }
    let not_probed = (Truth::Unknown, "NotProbed");
    for waiting in ["Pending", "StaleImages"] {
        let pending = format!("pending {waiting}");
        let not_applied = (Truth::False, waiting);
        assert_eq!(class(not_applied, not_probed, Truth::False), pending);
        for reason in ["NotEnforcing", "Bypassed", "StaleBundle"] {
            let enforcing = (Truth::False, reason);
            assert_eq!(class(not_applied, enforcing, Truth::False), pending);
        }
        let refuses = (Truth::False, "RefusesEverything");
        let expected = "failed RefusesEverything";
        assert_eq!(class(not_applied, refuses, Truth::False), expected);
    }
    for reason in [
        "RenderFailed",
        "WriteFailed",
        "ReloadFailed",
        "RolledBack",
        "Drifted",
        "ForeignOwner",
        "BundleTooNew",
        "TooLarge",
    ] {
        let not_applied = (Truth::False, reason);
        let expected = format!("failed {reason}");
        assert_eq!(class(not_applied, not_probed, Truth::False), expected);
    }
}

#[test]
fn what_a_node_waits_for_is_named_and_does_not_stall() {
    let nodes = [
        Fixture::failed("a", "StaleImages"),
        Fixture::failed("b", "Pending"),
        Fixture::behind("c"),
    ];
    let summary = sum(&valid(), &nodes);
    check_invariants(&summary);
    assert_eq!((summary.counts.failed, summary.counts.pending), (0, 3));
    let rolling = Some((Truth::False, reason::ROLLING_OUT));
    assert_eq!(condition(&summary, Programmed), rolling);
    assert_eq!(condition(&summary, Stalled), None);
    let text = message(&summary, Programmed);
    let names = "waiting for a (StaleImages), b (Pending), c";
    assert!(text.ends_with(names), "{text}");
}

#[test]
fn the_emergency_stop_is_no_failure_of_nodes() {
    let stop = report(
        (Truth::True, "Applied"),
        (Truth::False, "Disabled"),
        Truth::False,
    );
    let node = Fixture {
        applied: None,
        report: Some(stop),
        ..Fixture::updated("a")
    };
    let spec = Spec {
        halted: Some(Finding::new("EnforcementDisabled", "enforcement is off")),
        ..valid()
    };
    let summary = sum(&spec, &[node]);
    check_invariants(&summary);
    assert_eq!((summary.counts.failed, summary.failing), (0, Vec::new()));
    let halted = summary.conditions.iter().find(|c| c.kind == Programmed);
    let halted = halted.map(|found| (found.status, found.finding.reason.as_str()));
    assert_eq!(halted, Some((Truth::False, reason::ROLLOUT_HALTED)));
}

#[test]
fn a_node_that_has_just_joined_does_not_clear_ready() {
    let joining = Fixture {
        joining: true,
        report: None,
        applied: None,
        ..Fixture::behind("b")
    };
    let summary = sum(&valid(), &[Fixture::updated("a"), joining]);
    check_invariants(&summary);
    let ready = Some((Truth::True, reason::READY));
    assert_eq!(condition(&summary, Ready), ready);
    assert_eq!(summary.counts.summary(), "1/2");
    assert_eq!(condition(&summary, Reconciling), None);
}

#[test]
fn nodes_that_are_not_selected_count_for_nothing() {
    let other = Fixture::failed("b", "WriteFailed");
    let a = Fixture::updated("a");
    let mut node = other.node();
    node.selected = false;
    let summary = aggregate(&valid(), [a.node(), node]);
    check_invariants(&summary);
    assert_eq!(summary.counts.summary(), "1/1");
}

#[test]
fn each_node_has_one_class_and_what_weighs_more_wins() {
    let gone_and_unsupported = Fixture {
        reachable: false,
        ..Fixture::unsupported("a", Reason::NotEnforcing)
    };
    let gone_and_failed = Fixture {
        reachable: false,
        ..Fixture::failed("b", "WriteFailed")
    };
    let failed_with_the_policy = Fixture {
        applied: Some(digest("now")),
        ..Fixture::failed("c", "Drifted")
    };
    let nodes = [
        gone_and_unsupported,
        gone_and_failed,
        failed_with_the_policy,
        Fixture::updated("d"),
        Fixture::behind("e"),
    ];
    let summary = sum(&valid(), &nodes);
    check_invariants(&summary);
    let expected = Counts {
        selected: 5,
        updated: 1,
        failed: 1,
        unsupported: 1,
        unreachable: 1,
        pending: 1,
    };
    assert_eq!(summary.counts, expected);
    let backwards = aggregate(&valid(), nodes.iter().rev().map(Fixture::node));
    assert_eq!(backwards, summary, "order does not matter");
}

#[test]
fn a_report_begins_with_applied_and_what_is_not_said_is_unknown() {
    let said = |kind: &str| match kind {
        "Applied" => Some((Truth::True, finding("Applied"))),
        _ => None,
    };
    let report = Report::from_conditions(said).unwrap();
    assert_eq!(
        (report.applied, report.ready),
        (Truth::True, Truth::Unknown)
    );
    assert_eq!(report.applied_finding, finding("Applied"));
    assert_eq!(report.enforcing, Truth::Unknown);
    assert_eq!(report.standing(), Standing::NotReady);
    let ready = |kind: &str| (kind != "Applied").then(|| (Truth::True, finding(kind)));
    assert_eq!(Report::from_conditions(ready), None);
}
