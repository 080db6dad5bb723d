//! `nodeseal verify` where no registry is asked. What one says is tested end to end.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::process::Output;

use serde_json::Value;
use support::{nodeseal, policy, text};

mod support;

const SCOPE: &str = "registry.example.com/team";
const IMAGE: &str = "registry.example.com/team/app:v1";
const OTHER: &str = "registry.example.com/other/app:v1";

fn verify(image: &str, more: &[&str], stdin: &str) -> Output {
    nodeseal(&[&["verify", image, "-f", "-"], more].concat(), stdin)
}

fn config(spec: &str) -> String {
    format!(
        "---\napiVersion: nodeseal.dev/v1alpha1\nkind: EnforcementConfig\nmetadata: {{name: default}}\nspec: {spec}\n"
    )
}

fn report(output: &Output) -> Value {
    support::json(output)
}

#[test]
fn an_image_that_no_policy_covers_is_allowed_or_denied_as_the_configuration_says() {
    let output = verify(OTHER, &[], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("allowed: passes without a signature (no enforcing policy"),
        "{said}"
    );
    let policies = policy(SCOPE) + &config("{defaultAction: Reject}");
    let output = verify(OTHER, &["--output", "json"], &policies);
    assert_eq!(output.status.code(), Some(1));
    let report = report(&output);
    assert_eq!(report["verdict"], "denied");
    assert_eq!(report["reason"], "NotAllowed");
}

#[test]
fn an_exempt_image_is_allowed() {
    let policies = policy(SCOPE) + &config("{exemptImages: [registry.example.com/team]}");
    let output = verify(IMAGE, &["--output", "json"], &policies);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = report(&output);
    assert_eq!(report["verdict"], "allowed");
    assert!(report["message"].as_str().unwrap().contains("exempt"));
    assert_eq!(report.get("digest"), None);
}

#[test]
fn a_policy_of_another_namespace_takes_no_part() {
    let own = policy(SCOPE)
        .replace("kind: Cluster", "kind: ")
        .replace("{name: release-images}", "{name: own, namespace: team}");
    for more in [&[][..], &["--namespace", "other"]] {
        let output = verify(IMAGE, more, &own);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
}

#[test]
fn what_is_not_valid_stops_it_before_any_verdict() {
    let broken = policy(SCOPE).replace("BEGIN PUBLIC KEY", "BEGIN NOTHING");
    let output = verify(OTHER, &[], &broken);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("mend them first"));
    let output = nodeseal(&["verify", IMAGE, "-f", "/no/such/folder"], "");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn places_that_are_named_have_to_be_there() {
    for more in [
        ["--docker-config", "/no/such/file"],
        ["--certs-dir", "/no/such/folder"],
        ["--certs-dir", "/dev/null"],
    ] {
        let output = verify(OTHER, &more, &policy(SCOPE));
        assert_eq!(output.status.code(), Some(3), "{more:?}");
        assert!(text(&output.stderr).contains(more[1]));
    }
}

#[test]
fn an_image_that_is_none_and_a_time_that_is_none_are_wrong_usage() {
    for arguments in [
        ["https://registry.example.com/app", "--timeout", "5"],
        [OTHER, "--timeout", "0"],
        [OTHER, "--namespace", "NO"],
        [OTHER, "--platform", "linux"],
        [OTHER, "--platform", "linux/x86_64"],
        [OTHER, "--index-signature", "none"],
    ] {
        let [image, flag, value] = arguments;
        let output = verify(image, &[flag, value], &policy(SCOPE));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
