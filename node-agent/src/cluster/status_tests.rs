use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::status::{Failure, Report, UnsupportedPolicy as Unsupported};
use crate::verdicts::{Refused, Unverified};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn status(report: Report) -> Status {
    Status::new(report, None, at(0))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(image, reason): &(&str, &str)| ((*image).to_owned(), (*reason).to_owned());
    pairs.iter().map(owned).collect()
}

#[test]
fn nothing_to_tell_is_left_out() {
    let own = of(&status(Report::default()), Some(3));
    let json = serde_json::to_value(&own).unwrap();
    for field in ["drift", "refused", "refusedCut", "unverified"] {
        assert_eq!(json.get(field), None, "{field}");
    }
    assert_eq!(json["observedGeneration"], 3);
}

#[test]
fn drift_has_its_count_and_what_differed() {
    let report = Report {
        drift: 2,
        applied: Some(vec!["a was changed".to_owned(), "b was removed".to_owned()]),
        ..Report::default()
    };
    let first = status(report);
    let expected = Drift {
        count: 2,
        last_time: Some(Time(at(0))),
        message: Some("a was changed; b was removed".to_owned()),
    };
    assert_eq!(of(&first, None).drift, Some(expected.clone()));

    // A later look that finds nothing keeps it.
    let quiet = Report {
        drift: 2,
        ..Report::default()
    };
    let later = Status::new(quiet, Some(&first), at(60));
    assert_eq!(of(&later, None).drift, Some(expected));

    let more = Report {
        drift: 3,
        applied: Some(vec!["c was changed".to_owned()]),
        ..Report::default()
    };
    let third = of(&Status::new(more, Some(&later), at(90)), None).drift;
    let third = third.unwrap();
    assert_eq!(third.last_time, Some(Time(at(90))));
    assert_eq!(third.message.as_deref(), Some("c was changed"));

    // Another agent begins anew.
    let restarted = Status::new(Report::default(), Some(&later), at(99));
    assert_eq!(of(&restarted, None).drift, None);
}

#[test]
fn a_long_drift_fits_into_the_schema() {
    let report = Report {
        drift: 1,
        applied: Some(vec!["é".repeat(2_000)]),
        ..Report::default()
    };
    let message = of(&status(report), None).drift.unwrap().message.unwrap();
    assert_eq!(message.chars().count(), 1_024);
}

#[test]
fn at_most_ten_refused_pairs_are_told_and_whether_there_were_more() {
    let many = (0..12).map(|n| (format!("r.example/{n:02}"), "NoSignature".to_owned()));
    let report = Report {
        refused: Refused {
            pairs: many.collect(),
            is_cut: false,
        },
        ..Report::default()
    };
    let own = of(&status(report), None);
    assert_eq!((own.refused.len(), own.refused_cut), (10, Some(true)));
    let own = of(
        &status(Report {
            refused: Refused {
                pairs: pairs(&[("r.example/a", "NoSignature"), ("r.example/a", "TimedOut")]),
                is_cut: false,
            },
            ..Report::default()
        }),
        None,
    );
    let reasons: Vec<&str> = own.refused.iter().map(|pair| &*pair.reason).collect();
    assert_eq!(reasons, ["NoSignature", "TimedOut"]);
    assert_eq!(own.refused_cut, None);
}

#[test]
fn what_a_pod_may_have_chosen_is_plain_and_short() {
    let long = "a".repeat(600);
    let report = Report {
        refused: Refused {
            pairs: pairs(&[("x\u{1b}[31m\ny", "NoSignature"), (&long, "NoSignature")]),
            is_cut: true,
        },
        ..Report::default()
    };
    let own = of(&status(report), None);
    let names: BTreeSet<&str> = own.refused.iter().map(|pair| &*pair.image).collect();
    assert!(names.contains("x\u{fffd}[31m\u{fffd}y"), "{names:?}");
    assert!(names.iter().all(|name| name.chars().count() <= 512));
    assert_eq!(own.refused_cut, Some(true));
}

#[test]
fn unverified_images_have_their_number_and_ten_names() {
    let names = (0..12).map(|n| format!("r.example/{n:02}"));
    let report = Report {
        unverified: Unverified {
            names: names.collect(),
            count: 40,
        },
        ..Report::default()
    };
    let unverified = of(&status(report), None).unverified.unwrap();
    assert_eq!((unverified.count, unverified.first.len()), (40, 10));
}

#[test]
fn the_same_drift_at_another_time_is_the_same_status() {
    let told = |second| {
        let report = Report {
            drift: 1,
            applied: Some(vec!["a was changed".to_owned()]),
            ..Report::default()
        };
        of(&Status::new(report, None, at(second)), Some(1))
    };
    assert!(is_same(&told(1), &told(2)));
    let mut other = told(1);
    other.refused_cut = Some(true);
    assert!(!is_same(&told(1), &other));
}

fn enforcement(status: &Status) -> (RuntimeEnforcement, Option<String>) {
    let runtime = of(status, None).runtime.unwrap();
    (runtime.enforcement.unwrap(), runtime.detail)
}

#[test]
fn a_runtime_whose_pulls_go_past_the_verifier_enforces_nothing() {
    let report = Report {
        not_enforcing: Some("pulls go past the verifier".to_owned()),
        ..Report::default()
    };
    let detail = Some("pulls go past the verifier".to_owned());
    let expected = (RuntimeEnforcement::None, detail);
    assert_eq!(enforcement(&status(report.clone())), expected);

    // A restart that is due mends it.
    let waits = Report {
        pending: Some("containerd has to be restarted".to_owned()),
        ..report.clone()
    };
    let full = (RuntimeEnforcement::Full, None);
    assert_eq!(enforcement(&status(waits)), full);

    // What could not be written does not.
    let failed = Report {
        failure: Some((Failure::WriteFailed, "no room".to_owned())),
        ..report
    };
    assert_eq!(enforcement(&status(failed)).0, RuntimeEnforcement::None);
}

#[test]
fn a_runtime_that_calls_no_verifier_says_so_in_its_detail() {
    let mut status = status(Report::default());
    let mut say = |reason: &str| {
        status.unsupported.count = 1;
        status.unsupported.first = vec![Unsupported {
            policy: "p".to_owned(),
            namespace: None,
            reason: reason.to_owned(),
            message: "because".to_owned(),
        }];
        enforcement(&status)
    };
    let because = Some("because".to_owned());
    assert_eq!(say("NotEnforcing"), (RuntimeEnforcement::None, because));
    assert_eq!(say("NotExpressible"), (RuntimeEnforcement::Partial, None));
}
