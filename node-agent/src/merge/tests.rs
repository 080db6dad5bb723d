use policy::bundle::DefaultAction;

use super::*;
use crate::testing::{id, ledger, policy};

fn last() -> Ledger {
    ledger(&[("a", "a.yaml", "a.example"), ("b", "b.yaml", "b.example")])
}

fn with_reject(mut ledger: Ledger) -> Ledger {
    let settings = Settings {
        default_action: DefaultAction::Reject,
        ..Settings::default()
    };
    ledger.bundle = Bundle::new(settings, ledger.bundle.policies().cloned());
    ledger.settings_source = Some("config.yaml".to_owned());
    ledger
}

fn reading(policies: &[(&str, &str, &str)]) -> Reading {
    Reading {
        policies: policies
            .iter()
            .map(|(name, file, scope)| (policy(name, scope), (*file).to_owned()))
            .collect(),
        ..Reading::default()
    }
}

fn broken(mut reading: Reading, file: &str) -> Reading {
    reading.broken.insert(file.to_owned());
    reading
}

fn names(merged: &Merged) -> Vec<String> {
    merged
        .ledger
        .bundle
        .policies()
        .map(|policy| policy.id().to_string())
        .collect()
}

fn kept(merged: &Merged) -> Vec<(Option<String>, Why)> {
    merged
        .kept
        .iter()
        .map(|kept| (kept.policy.as_ref().map(ToString::to_string), kept.why))
        .collect()
}

#[test]
fn valid_policies_are_taken_and_absent_ones_removed() {
    let merged = merge(&last(), Some(&reading(&[("a", "a.yaml", "new.example")])));
    assert_eq!(names(&merged), ["a"]);
    let scopes = merged.ledger.bundle.policy(&id("a")).unwrap().scopes();
    assert_eq!(
        scopes
            .iter()
            .map(policy::scope::Scope::as_str)
            .collect::<Vec<_>>(),
        ["new.example"]
    );
    assert!(merged.kept.is_empty());
}

#[test]
fn an_empty_readable_folder_removes_every_policy() {
    let merged = merge(&last(), Some(&Reading::default()));
    assert!(names(&merged).is_empty());
    assert!(merged.kept.is_empty());
}

#[test]
fn a_policy_that_is_invalid_now_keeps_its_last_valid_form() {
    let mut reading = reading(&[("b", "b.yaml", "b.example")]);
    reading.invalid.push((id("a"), "a.yaml".to_owned()));
    let merged = merge(&last(), Some(&reading));
    assert_eq!(names(&merged), ["a", "b"]);
    assert_eq!(kept(&merged), [(Some("a".to_owned()), Why::Invalid)]);
    assert!(merged.never_valid.is_empty());
    assert_eq!(merged.ledger.bundle, last().bundle);
}

#[test]
fn a_policy_that_was_never_valid_enforces_nothing() {
    let mut reading = reading(&[("a", "a.yaml", "a.example")]);
    reading.invalid.push((id("new"), "new.yaml".to_owned()));
    let merged = merge(&Ledger::default(), Some(&reading));
    assert_eq!(names(&merged), ["a"]);
    assert_eq!(merged.never_valid, [id("new")]);
}

#[test]
fn a_policy_that_was_renamed_and_spoiled_at_once_is_kept_under_its_old_name() {
    let mut reading = reading(&[("a", "a.yaml", "a.example")]);
    reading.invalid.push((id("renamed"), "b.yaml".to_owned()));
    let merged = merge(&last(), Some(&reading));
    assert_eq!(names(&merged), ["a", "b"]);
    assert_eq!(kept(&merged), [(Some("b".to_owned()), Why::MayHaveMoved)]);
}

#[test]
fn what_came_from_a_file_that_holds_nothing_now_is_kept() {
    let mut reading = reading(&[("a", "a.yaml", "a.example")]);
    reading.empty.insert("b.yaml".to_owned());
    let merged = merge(&last(), Some(&reading));
    assert_eq!(names(&merged), ["a", "b"]);
    assert_eq!(kept(&merged), [(Some("b".to_owned()), Why::FileEmpty)]);
}

#[test]
fn what_came_from_a_file_that_is_broken_now_is_kept_and_so_is_what_may_have_moved_into_it() {
    let merged = merge(&last(), Some(&broken(Reading::default(), "a.yaml")));
    assert_eq!(names(&merged), ["a", "b"]);
    assert_eq!(
        kept(&merged),
        [
            (Some("a".to_owned()), Why::FileBroken),
            (Some("b".to_owned()), Why::MayHaveMoved)
        ]
    );
    assert_eq!(merged.ledger.sources[&id("a")], "a.yaml");
}

#[test]
fn a_policy_that_may_have_moved_into_a_broken_file_is_kept() {
    let reading = broken(reading(&[("a", "a.yaml", "a.example")]), "renamed.yaml");
    let merged = merge(&last(), Some(&reading));
    assert_eq!(names(&merged), ["a", "b"]);
    assert_eq!(kept(&merged), [(Some("b".to_owned()), Why::MayHaveMoved)]);
}

#[test]
fn a_policy_that_moved_to_another_file_is_followed() {
    let moved = [
        ("a", "all.yaml", "a.example"),
        ("b", "all.yaml", "b.example"),
    ];
    let merged = merge(&last(), Some(&broken(reading(&moved), "a.yaml")));
    assert!(merged.kept.is_empty());
    assert_eq!(merged.ledger.sources[&id("a")], "all.yaml");
}

#[test]
fn an_unreadable_folder_changes_nothing() {
    let last = with_reject(last());
    let merged = merge(&last, None);
    assert_eq!(merged.ledger, last);
    assert_eq!(merged.kept.len(), 3);
    assert!(
        merged
            .kept
            .iter()
            .all(|kept| kept.why == Why::FolderUnreadable)
    );
}

#[test]
fn nothing_that_happens_to_the_config_turns_reject_into_allow() {
    let last = with_reject(last());
    let all = [("a", "a.yaml", "a.example"), ("b", "b.yaml", "b.example")];
    let invalid = Reading {
        settings: SettingsReading::Invalid,
        ..reading(&all)
    };
    for (reading, why) in [
        (reading(&all), Why::Removed),
        (Reading::default(), Why::Removed),
        (invalid, Why::Invalid),
        (broken(reading(&all), "config.yaml"), Why::FileBroken),
    ] {
        let merged = merge(&last, Some(&reading));
        let action = merged.ledger.bundle.settings().default_action;
        assert_eq!(action, DefaultAction::Reject);
        assert_eq!(kept(&merged), [(None, why)]);
        // And it is still so at the next look.
        let again = merge(&merged.ledger, Some(&reading));
        assert_eq!(again.ledger, merged.ledger);
    }
}

#[test]
fn a_valid_config_is_taken_wherever_it_is() {
    let settings = Settings::default();
    let settings = SettingsReading::Valid(settings, "other.yaml".to_owned());
    let reading = Reading {
        settings,
        ..Reading::default()
    };
    let merged = merge(&with_reject(last()), Some(&reading));
    assert_eq!(
        merged.ledger.bundle.settings().default_action,
        DefaultAction::Allow
    );
    assert_eq!(merged.ledger.settings_source.as_deref(), Some("other.yaml"));
    assert!(merged.kept.is_empty());
}
