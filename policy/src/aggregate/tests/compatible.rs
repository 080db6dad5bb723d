//! `Compatible`: what prevents, and what only has to be known.

use super::*;

#[test]
fn not_compatible_has_the_worst_reason_and_the_words_of_all() {
    for reason in [
        Reason::NotExpressible,
        Reason::NamespacedUnsupported,
        Reason::NotEnforcing,
        Reason::TooLarge,
    ] {
        let nodes = [
            Fixture::updated("a"),
            Fixture::unsupported("b", Reason::AuditUnsupported),
            Fixture::unsupported("c", Reason::AuditUnsupported),
            Fixture::unsupported("d", reason),
        ];
        let summary = sum(&valid(), &nodes);
        check_invariants(&summary);
        let reason = reason.as_str();
        for kind in [Compatible, Ready] {
            assert_eq!(condition(&summary, kind), Some((Truth::False, reason)));
        }
        assert_eq!(condition(&summary, Stalled), Some((Truth::True, reason)));
        let programmed = Some((Truth::True, reason::PROGRAMMED));
        assert_eq!(condition(&summary, Programmed), programmed);
        let text = message(&summary, Compatible);
        assert!(
            text.starts_with(&format!(
                "1 of the selected nodes (containerd 2.2.1): about {reason}; 2 of the selected nodes (containerd 2.2.1): about AuditUnsupported. "
            )),
            "{text}"
        );
        assert_eq!(summary.counts.unsupported, 3);
    }
}

#[test]
fn audit_unsupported_is_the_reason_where_nothing_is_worse() {
    let nodes = [
        Fixture::unsupported("a", Reason::AuditUnsupported),
        Fixture {
            unsupported: Some(finding("WhateverAnAgentSays")),
            ..Fixture::unsupported("b", Reason::AuditUnsupported)
        },
    ];
    let summary = sum(&valid(), &nodes);
    check_invariants(&summary);
    let reason = Reason::AuditUnsupported.as_str();
    assert_eq!(
        condition(&summary, Compatible),
        Some((Truth::False, reason))
    );
}

#[test]
fn of_two_reasons_as_bad_that_of_more_nodes_comes_first() {
    let with = |name: &str, message: &str| Fixture {
        unsupported: Some(Finding::new("NotExpressible", message)),
        ..Fixture::behind(name)
    };
    let summary = sum(&valid(), &[with("a", "A"), with("b", "B"), with("c", "B")]);
    check_invariants(&summary);
    let text = message(&summary, Compatible);
    assert!(text.starts_with("2 of the selected nodes"), "{text}");
}

#[test]
fn a_message_about_many_findings_stays_short() {
    let with = |n: usize| Fixture {
        unsupported: Some(Finding::new("NotExpressible", format!("finding {n:02}"))),
        ..Fixture::behind(&format!("n{n}"))
    };
    let summary = sum(&valid(), &(0..13).map(with).collect::<Vec<_>>());
    let text = message(&summary, Compatible);
    assert!(
        text.contains("; and 3 more. ")
            && text.contains("finding 09")
            && !text.contains("finding 12"),
        "{text}"
    );
}

#[test]
fn compatible_carries_what_to_know_about_the_runtimes_once() {
    let with = |name: &str, runtime: &'static str, warnings: &[&str]| Fixture {
        runtime,
        warnings: warnings.iter().map(|&text| text.to_owned()).collect(),
        ..Fixture::updated(name)
    };
    let gone = Fixture {
        reachable: false,
        ..with("e", "cri-o 1.33.0", &["sign so"])
    };
    let nodes = [
        with("a", "cri-o 1.34.1", &["sign so", "and so"]),
        with("b", "cri-o 1.34.1", &["sign so", "and so"]),
        with("c", "containerd 2.2.1", &[]),
        with("d", "cri-o 1.35.0", &["sign so"]),
        gone,
    ];
    let summary = sum(&valid(), &nodes);
    check_invariants(&summary);
    assert_eq!(
        condition(&summary, Compatible),
        Some((Truth::True, reason::COMPATIBLE))
    );
    assert_eq!(
        message(&summary, Compatible),
        "the runtime of every selected node can express the policy; cri-o 1.33.0, cri-o 1.34.1, cri-o 1.35.0: sign so; cri-o 1.34.1: and so"
    );
    // What prevents comes before what is only to be known, and nodes that cannot have the policy
    // have nothing to be known.
    let unsupported = Fixture {
        warnings: vec!["never said".to_owned()],
        ..Fixture::unsupported("f", Reason::NotExpressible)
    };
    let summary = sum(
        &valid(),
        &[with("a", "cri-o 1.34.1", &["sign so"]), unsupported],
    );
    let text = message(&summary, Compatible);
    assert!(
        !text.contains("sign so") && !text.contains("never said"),
        "{text}"
    );
    // A policy does not select all nodes.
    let a = with("a", "cri-o 1.34.1", &["sign so"]);
    let mut node = a.node();
    node.selected = false;
    let summary = aggregate(&valid(), [node]);
    assert!(!message(&summary, Compatible).contains("sign so"));
}

#[test]
fn warnings_are_bounded_in_number_and_in_runtimes() {
    let warnings: Vec<String> = (0..12).map(|n| format!("warning {n}")).collect();
    let versions = [
        "cri-o 1.31.0",
        "cri-o 1.32.0",
        "cri-o 1.33.0",
        "cri-o 1.34.0",
    ];
    let nodes: Vec<Fixture> = versions
        .iter()
        .map(|&runtime| Fixture {
            runtime,
            warnings: warnings.clone(),
            ..Fixture::updated(runtime)
        })
        .collect();
    let summary = sum(&valid(), &nodes);
    let text = message(&summary, Compatible);
    assert!(
        text.contains("cri-o 1.31.0, cri-o 1.32.0, cri-o 1.33.0 and 1 more: warning 0; ")
            && text.ends_with("warning 9; and 2 more"),
        "{text}"
    );
}

#[test]
fn what_no_node_can_express_is_not_expressible() {
    let reason = Reason::NotExpressible.as_str();
    let spec = Spec {
        inexpressible: Some(finding(reason)),
        in_force: InForce::Nothing,
        ..valid()
    };
    let summary = sum(&spec, &[]);
    check_invariants(&summary);
    for kind in [Compatible, Programmed, Ready] {
        assert_eq!(condition(&summary, kind), Some((Truth::False, reason)));
    }
    assert_eq!(condition(&summary, Stalled), Some((Truth::True, reason)));
}

#[test]
fn a_runtime_of_unknown_version_is_unknown_until_its_agent_runs_the_policy() {
    let unknown = |fixture: Fixture| Fixture {
        runtime: "",
        ..fixture
    };
    let runtime_unknown = Some((Truth::Unknown, reason::RUNTIME_UNKNOWN));
    for waited_for in [
        unknown(Fixture::behind("b")),
        unknown(Fixture::failed("b", "WriteFailed")),
    ] {
        let summary = sum(&valid(), &[Fixture::updated("a"), waited_for]);
        check_invariants(&summary);
        for kind in [Compatible, Ready] {
            assert_eq!(condition(&summary, kind), runtime_unknown);
        }
        assert_eq!(condition(&summary, Stalled), None);
        assert!(condition(&summary, Reconciling).is_some());
        let text = message(&summary, Compatible);
        assert!(text.contains("1 of the selected nodes (b)"), "{text}");
    }
    let joining = Fixture {
        joining: true,
        ..Fixture::behind("b")
    };
    let gone = Fixture {
        reachable: false,
        ..Fixture::behind("b")
    };
    for not_waited_for in [joining, gone, Fixture::updated("b")] {
        let summary = sum(&valid(), &[Fixture::updated("a"), unknown(not_waited_for)]);
        check_invariants(&summary);
        let compatible = Some((Truth::True, reason::COMPATIBLE));
        assert_eq!(condition(&summary, Compatible), compatible);
    }
    // What is known to be unsupported is said first.
    let nodes = [
        Fixture::unsupported("a", Reason::NotExpressible),
        unknown(Fixture::behind("b")),
    ];
    let compatible = condition(&sum(&valid(), &nodes), Compatible).map(|(truth, _)| truth);
    assert_eq!(compatible, Some(Truth::False));
}
