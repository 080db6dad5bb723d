use super::*;

fn subject(bundle: &str, node: &str) -> Subject {
    Subject {
        bundle: Digest::of(bundle.as_bytes()),
        node: Digest::of(node.as_bytes()),
    }
}

/// A record in which `a` works.
fn running() -> Trials {
    let mut trials = Trials::default();
    trials.begin(&subject("a", "n"));
    trials.worked(&subject("a", "n"), true);
    trials
}

#[test]
fn what_failed_is_not_tried_again_until_it_or_the_node_changes() {
    let mut trials = running();
    let (bad, other) = (subject("b", "n"), subject("c", "n"));
    assert_eq!(trials.choose(&bad), Choice::Wanted);
    trials.begin(&bad);
    assert!(trials.fail(&bad, Cause::Proof, "refuses everything"));
    assert!(matches!(trials.choose(&bad), Choice::Good(failed) if failed.cause == Cause::Proof));
    assert_eq!(trials.choose(&subject("b", "mended")), Choice::Wanted);
    assert_eq!(trials.choose(&other), Choice::Wanted);

    // With what is good in its place, the failure is still known.
    trials.stand_in();
    assert_eq!(trials.trial(), None);
    assert!(matches!(trials.choose(&bad), Choice::Good(_)));
    // After another bundle it is not.
    trials.begin(&other);
    assert_eq!(trials.choose(&bad), Choice::Wanted);
}

#[test]
fn where_nothing_ever_worked_there_is_nothing_to_go_back_to_but_what_was_there_before() {
    let mut trials = Trials::default();
    let only = subject("a", "n");
    trials.begin(&only);
    assert!(trials.fail(&only, Cause::Reload, "does not start"));
    assert!(matches!(trials.choose(&only), Choice::Nothing(_)));
}

#[test]
fn a_failure_without_a_trial_takes_nothing_back() {
    let mut trials = running();
    let good = subject("a", "n");
    assert!(!trials.fail(&good, Cause::Proof, "a registry in the way"));
    assert_eq!(trials.choose(&good), Choice::Wanted);
    // Nor does one of something else than what is on trial.
    trials.begin(&subject("b", "n"));
    assert!(!trials.fail(&good, Cause::Proof, "late news"));
    assert_eq!(trials.trial(), Some(&subject("b", "n")));
}

#[test]
fn a_changed_node_under_a_bundle_that_worked_is_on_trial_too() {
    let mut trials = running();
    let changed = subject("a", "m");
    trials.begin(&changed);
    assert_eq!(trials.trial(), Some(&changed));
    assert!(trials.fail(&changed, Cause::Reload, "does not start"));
    assert!(matches!(trials.choose(&changed), Choice::Reverted(_)));
    // As it was, it is good.
    assert_eq!(trials.choose(&subject("a", "n")), Choice::Wanted);
}

#[test]
fn what_refuses_everything_under_the_bundle_that_worked_is_not_replaced_by_nothing() {
    let mut trials = running();
    let changed = subject("a", "m");
    trials.begin(&changed);
    assert!(trials.fail(&changed, Cause::Proof, "refuses everything"));
    assert_eq!(trials.choose(&changed), Choice::Wanted);
}

#[test]
fn a_trial_survives_the_end_of_the_agent() {
    let mut trials = running();
    trials.begin(&subject("b", "n"));
    let mut again = Trials::from_json(&trials.to_json().unwrap());
    assert_eq!(again, trials);
    // Nothing to change on the disk any more, and still on trial.
    again.begin(&subject("b", "n"));
    assert_eq!(again.trial(), Some(&subject("b", "n")));
}

#[test]
fn a_damaged_record_says_nothing() {
    let json = running().to_json().unwrap();
    for end in 0..json.len() - 2 {
        assert_eq!(Trials::from_json(&json[..end]), Trials::default());
    }
    let newer = String::from_utf8(json).unwrap().replace(": 1", ": 2");
    assert_eq!(Trials::from_json(newer.as_bytes()), Trials::default());
}

#[test]
fn what_works_is_no_trial_and_is_known_to_have_been_proven() {
    let mut trials = running();
    assert!(trials.was_enforcing());
    let next = subject("b", "n");
    trials.begin(&next);
    trials.worked(&next, false);
    assert_eq!((trials.good(), trials.trial()), (Some(&next.bundle), None));
    assert!(!trials.was_enforcing());
}
