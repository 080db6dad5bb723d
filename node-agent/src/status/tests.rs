use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn good() -> Report {
    Report {
        detected: Detected::Read("containerd, configuration version 3".to_owned()),
        bundle: Some(Digest::of(b"bundle")),
        policies: 1,
        files: vec![FileStatus {
            path: "etc/x".to_owned(),
            sha256: Digest::of(b"x"),
            original: None,
        }],
        ..Report::default()
    }
}

#[test]
fn nothing_new_is_the_same_status_whatever_the_time() {
    let first = Status::new(
        Report {
            applied: Some(vec![]),
            ..good()
        },
        None,
        at(1),
    );
    let second = Status::new(good(), Some(&first), at(2));
    assert_eq!(first, second);
    assert_eq!(second.last_applied_time, Some(at(1)));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let first = Status::new(good(), None, at(1));
    let failed = Report {
        failure: Some((Failure::WriteFailed, "disk".to_owned())),
        ..good()
    };
    let second = Status::new(failed, Some(&first), at(2));
    assert_eq!(
        second.condition("Applied").unwrap().last_transition_time,
        at(2)
    );
    assert_eq!(
        second.condition("Enforcing").unwrap().last_transition_time,
        at(1)
    );
    assert_eq!(second.condition("Ready").unwrap().reason, "WriteFailed");
    assert!(!second.is_applied());
}

#[test]
fn until_it_is_proven_enforcement_is_unknown_and_the_node_is_ready() {
    let status = Status::new(good(), None, at(1));
    let enforcing = status.condition("Enforcing").unwrap();
    assert_eq!(
        (enforcing.status.as_str(), enforcing.reason.as_str()),
        ("Unknown", "NotProbed")
    );
    assert_eq!(status.condition("Ready").unwrap().status, "True");
}

#[test]
fn a_problem_leaves_the_node_applied_and_not_clean() {
    let problem = Problem::of_file("a.yaml".to_owned(), "not YAML".to_owned());
    let status = Status::new(
        Report {
            problems: vec![problem],
            ..good()
        },
        None,
        at(1),
    );
    assert!(status.is_applied() && !status.is_clean());
    let text = status.to_string();
    assert!(
        text.starts_with("applied, with problems: 1 policy in force"),
        "{text}"
    );
    assert!(text.contains("a.yaml: error: not YAML"), "{text}");
}

#[test]
fn a_status_reads_back_as_it_was_written() {
    let status = Status::new(
        Report {
            applied: Some(vec!["x".to_owned()]),
            ..good()
        },
        None,
        at(1),
    );
    let json = status.to_json().unwrap();
    assert_eq!(serde_json::from_slice::<Status>(&json).unwrap(), status);
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    for field in [
        "runtime",
        "appliedBundle",
        "filesDigest",
        "lastAppliedTime",
        "conditions",
    ] {
        assert!(value.get(field).is_some(), "{field}");
    }
}

#[test]
fn what_is_known_to_keep_the_runtime_from_enforcing_makes_the_node_not_ready() {
    let report = Report {
        not_enforcing: Some("containerd runs no verifier".to_owned()),
        ..good()
    };
    let status = Status::new(report, None, at(1));
    for kind in ["Enforcing", "Ready"] {
        let condition = status.condition(kind).unwrap();
        let said = (condition.status.as_str(), condition.reason.as_str());
        assert_eq!(said, ("False", "NotEnforcing"), "{kind}");
    }
    assert!(status.is_applied());
}

/// The one of the two conditions that are there only while they are true, with its reason.
fn standing(report: Report) -> Option<(String, String)> {
    let status = Status::new(report, None, at(1));
    let mut found = status
        .conditions
        .into_iter()
        .filter(|c| c.r#type == "Reconciling" || c.r#type == "Stalled");
    let first = found.next()?;
    assert!(found.next().is_none() && first.status == "True");
    Some((first.r#type, first.reason))
}

#[test]
fn a_node_on_its_way_is_reconciling_and_one_that_needs_a_person_is_stalled() {
    let words = |kind: &str, reason: &str| Some((kind.to_owned(), reason.to_owned()));
    assert_eq!(standing(good()), None);
    for failure in [
        Failure::Pending,
        Failure::RenderFailed,
        Failure::WriteFailed,
        Failure::RolledBack,
        Failure::StaleImages,
        Failure::ForeignOwner,
        Failure::BundleTooNew,
        Failure::TooLarge,
    ] {
        let waits = matches!(failure, Failure::Pending | Failure::StaleImages);
        let kind = if waits { "Reconciling" } else { "Stalled" };
        let report = Report {
            failure: Some((failure, "why".to_owned())),
            ..good()
        };
        assert_eq!(standing(report), words(kind, failure.as_str()));
    }
    let restart = Report {
        pending: Some("restart it".to_owned()),
        not_enforcing: Some("it calls no verifier".to_owned()),
        ..good()
    };
    assert_eq!(standing(restart), words("Reconciling", "Pending"));
    let not_enforcing = Report {
        not_enforcing: Some("it calls no verifier".to_owned()),
        ..good()
    };
    assert_eq!(standing(not_enforcing), words("Stalled", "NotEnforcing"));
    let disabled = Report {
        left: Some(Left::Disabled),
        ..good()
    };
    assert_eq!(standing(disabled), words("Stalled", "Disabled"));
}
