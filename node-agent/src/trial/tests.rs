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
    trials.applied(&subject("a", "n"), true);
    assert!(trials.worked(&subject("a", "n").bundle));
    trials
}

#[test]
fn what_failed_is_not_tried_again_until_it_or_the_node_changes() {
    let mut trials = running();
    let (bad, other) = (subject("b", "n"), subject("c", "n"));
    assert_eq!(trials.choose(&bad), Choice::Wanted);
    trials.applied(&bad, true);
    assert!(trials.fail(Cause::Proof, "refuses everything"));
    assert!(matches!(trials.choose(&bad), Choice::Good(failed) if failed.cause == Cause::Proof));
    assert_eq!(trials.choose(&subject("b", "mended")), Choice::Wanted);
    assert_eq!(trials.choose(&other), Choice::Wanted);

    // Back on what is good, the failure is still known.
    trials.applied(&subject("a", "n"), true);
    assert_eq!(trials.trial(), None);
    assert!(matches!(trials.choose(&bad), Choice::Good(_)));
    // After another bundle it is not.
    trials.applied(&other, true);
    assert_eq!(trials.choose(&bad), Choice::Wanted);
}

#[test]
fn where_nothing_ever_worked_there_is_nothing_to_go_back_to_but_what_was_there_before() {
    let mut trials = Trials::default();
    trials.applied(&subject("a", "n"), true);
    assert!(trials.fail(Cause::Reload, "does not start"));
    assert!(matches!(
        trials.choose(&subject("a", "n")),
        Choice::Nothing(_)
    ));
}

#[test]
fn a_failure_without_a_trial_takes_nothing_back() {
    let mut trials = running();
    assert!(!trials.fail(Cause::Proof, "a registry in the way"));
    assert_eq!(trials.choose(&subject("a", "n")), Choice::Wanted);
}

#[test]
fn what_is_good_is_not_replaced_by_itself() {
    let mut trials = running();
    // The node changed under the bundle that worked.
    trials.trial = Some(subject("a", "m"));
    assert!(trials.fail(Cause::Reload, "does not start"));
    assert_eq!(trials.choose(&subject("a", "m")), Choice::Wanted);
}

#[test]
fn a_trial_survives_the_end_of_the_agent() {
    let mut trials = running();
    trials.applied(&subject("b", "n"), true);
    let mut again = Trials::from_json(&trials.to_json().unwrap());
    assert_eq!(again, trials);
    // Nothing to change on the disk any more, and still on trial.
    again.applied(&subject("b", "n"), false);
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
fn what_works_is_told_once() {
    let mut trials = running();
    assert!(!trials.worked(&subject("a", "n").bundle));
    trials.applied(&subject("b", "n"), true);
    assert!(trials.worked(&subject("b", "n").bundle));
    assert_eq!(trials.good(), Some(&subject("b", "n").bundle));
}
