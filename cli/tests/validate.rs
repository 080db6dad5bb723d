//! `nodeseal validate` as users run it: what it reads, what it says, and its exit codes.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::path::Path;
use std::process::Output;

use support::{json, nodeseal, policy, text};

mod support;

const SCOPE: &str = "registry.example.com/team";

fn validate(path: &Path, more: &[&str]) -> Output {
    let arguments = ["validate", "-f", path.to_str().unwrap()];
    nodeseal(&[&arguments[..], more].concat(), "")
}

/// A folder with two good policies, one of them in a folder below.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("below")).unwrap();
    fs::write(dir.path().join("a.yaml"), policy(SCOPE)).unwrap();
    let other = policy("registry.example.com/app").replace("release-images", "other");
    fs::write(dir.path().join("below/b.yml"), other).unwrap();
    dir
}

#[test]
fn a_folder_is_read_with_all_folders_in_it_and_what_is_no_manifest_is_passed_over() {
    let dir = folder();
    fs::write(dir.path().join("README.md"), "no: [yaml").unwrap();
    fs::write(dir.path().join(".hidden.yaml"), "no: [yaml").unwrap();
    let output = validate(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "2 policies valid, 0 errors, 0 warnings\n"
    );
}

#[test]
fn files_folders_and_standard_input_are_read_together() {
    let dir = folder();
    let third = policy("registry.example.com/x").replace("release-images", "third");
    let file = dir.path().join("below/b.yml");
    let arguments = [
        "validate",
        "-f",
        dir.path().to_str().unwrap(),
        "-f",
        "-",
        "-f",
    ];
    // The file that is in the folder as well counts once.
    let output = nodeseal(
        &[&arguments[..], &[file.to_str().unwrap()]].concat(),
        &third,
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "3 policies valid, 0 errors, 0 warnings\n"
    );
}

#[test]
fn each_problem_of_each_document_stands_on_its_own_line_with_its_place() {
    let stream = format!(
        "{}---\n{}---\n{}",
        policy("busybox"),
        policy(SCOPE).replace("release-images", "good"),
        policy("registry.example.com/").replace("release-images", "third"),
    );
    let output = nodeseal(&["validate", "-f", "-"], &stream);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(lines[0].starts_with("<stdin>:5:"), "{stderr}");
    let third = policy(SCOPE).lines().count() * 2 + 2 + 5;
    assert!(
        lines[1].starts_with(&format!("<stdin>:{third}:")),
        "{stderr}"
    );
    assert!(lines[1].contains("error: ClusterImageSignaturePolicy/third: spec.scopes[0]: "));
    assert!(
        lines[1].contains("write `registry.example.com`"),
        "{stderr}"
    );
    assert_eq!(
        text(&output.stdout),
        "1 policy valid, 2 errors, 0 warnings\n"
    );
}

#[test]
fn what_is_no_yaml_is_a_no_with_its_line() {
    let output = nodeseal(&["validate", "-f", "-"], "spec:\n  scopes: [a\nx: }\n");
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("<stdin>:"), "{stderr}");
    assert!(stderr.contains(": error: "), "{stderr}");
}

#[test]
fn json_counts_and_says_for_each_problem_where_what_and_how() {
    let tagged = policy("registry.example.com/team/app:v1");
    let both = format!(
        "{tagged}---\n{}",
        policy("busybox").replace("release-images", "other")
    );
    let output = nodeseal(&["validate", "--output", "json", "-f", "-"], &both);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    let report = json(&output);
    let counts = ["policies", "trustRoots", "errors", "warnings"].map(|name| report[name].clone());
    assert_eq!(counts, [1, 0, 1, 1].map(serde_json::Value::from));
    let severities = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["severity"]);
    assert_eq!(severities.collect::<Vec<_>>(), ["warning", "error"]);
    for problem in report["problems"].as_array().unwrap() {
        for field in [
            "file", "line", "column", "object", "field", "layer", "reason", "message",
        ] {
            assert!(!problem[field].is_null(), "{field}: {problem}");
        }
    }
}

#[test]
fn files_without_any_object_of_ours_are_a_warning_that_strict_refuses() {
    let others = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n";
    let output = nodeseal(&["validate", "-f", "-"], others);
    assert_eq!(output.status.code(), Some(0));
    let warning = "<stdin>: warning: no object of nodeseal.dev is in there: is it the right place?";
    assert!(
        text(&output.stderr).contains(warning),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(
        text(&output.stdout),
        "0 policies valid, 0 errors, 1 warning\n"
    );
    assert_eq!(
        nodeseal(&["validate", "--strict", "-f", "-"], others)
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn a_folder_without_manifests_is_one_warning() {
    let dir = tempfile::tempdir().unwrap();
    let output = validate(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("warning: no .yaml, .yml or .json file is in this folder"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(validate(dir.path(), &["--strict"]).status.code(), Some(1));
}

#[test]
fn a_config_alone_is_something() {
    let config = "apiVersion: nodeseal.dev/v1alpha1\nkind: EnforcementConfig\nmetadata: {name: default}\nspec: {defaultAction: Reject, exemptImages: [registry.k8s.io]}\n";
    let output = nodeseal(&["validate", "--strict", "-f", "-"], config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_missing_path_beside_a_wrong_policy_is_still_a_no() {
    let output = nodeseal(
        &["validate", "-f", "-", "-f", "no-such"],
        &policy("busybox"),
    );
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("no-such: error: no such file or folder: correct the path"),
        "{stderr}"
    );
    assert!(stderr.contains("docker.io/library/busybox"), "{stderr}");
}

#[test]
fn nothing_is_coloured_where_no_terminal_is() {
    let output = nodeseal(&["validate", "-f", "-"], &policy("busybox"));
    assert!(
        !text(&output.stderr).contains('\u{1b}'),
        "{}",
        text(&output.stderr)
    );
}
