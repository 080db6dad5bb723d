//! `nodeseal render --runtime cri-o` as users run it.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::path::Path;
use std::process::Output;

use policy::crio::document::PolicyJson;
use serde_json::json;
use support::{json, nodeseal, policy, text};

mod support;

const SCOPE: &str = "registry.example.com/team";

fn render(dir: &Path, more: &[&str], stdin: &str) -> Output {
    let dir = dir.to_str().unwrap();
    let arguments = ["render", "-f", "-", "--runtime", "cri-o", "--out-dir", dir];
    nodeseal(&[&arguments[..], more].concat(), stdin)
}

/// The policy, as one of the namespace `team`.
fn namespaced(scope: &str) -> String {
    policy(scope)
        .replace("kind: Cluster", "kind: ")
        .replace("{name: release-images}", "{name: own, namespace: team}")
}

fn read(dir: &Path, path: &str) -> serde_json::Value {
    let bytes = fs::read(dir.join(path)).unwrap();
    PolicyJson::parse(&bytes).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_files_of_a_node_stand_at_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!(
        "{}---\n{}",
        policy(SCOPE),
        namespaced("registry.example.com/app")
    );
    let output = render(dir.path(), &["--runtime-version", "1.34.1"], &both);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for line in text(&output.stderr).lines() {
        assert!(line.starts_with("warning: "), "{line}");
    }
    assert_eq!(text(&output.stdout).lines().count(), 3);
    let cluster = read(dir.path(), "etc/crio/policy.json");
    let docker = &cluster["transports"]["docker"];
    assert_eq!(docker[SCOPE][0]["type"], "sigstoreSigned");
    assert_eq!(docker["registry.example.com/app"], json!(null));
    let team = read(dir.path(), "etc/crio/policies/team.json");
    for scope in [SCOPE, "registry.example.com/app"] {
        assert_eq!(
            team["transports"]["docker"][scope][0]["type"],
            "sigstoreSigned"
        );
    }
    let locations =
        fs::read_to_string(dir.path().join("etc/containers/registries.d/nodeseal.yaml")).unwrap();
    assert!(
        locations.contains("\"registry.example.com/app\":\n    use-sigstore-attachments: true")
    );
}

#[test]
fn the_nodes_own_policy_is_built_on() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.json");
    let own = r#"{"default":[{"type":"reject"}],"transports":{"dir":{"":[{"type":"reject"}]}}}"#;
    fs::write(&base, own).unwrap();
    let base = base.to_str().unwrap();
    let output = render(dir.path(), &["--base-policy", base], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let rendered = read(dir.path(), "etc/crio/policy.json");
    assert_eq!(rendered["default"][0]["type"], "reject");
    assert_eq!(rendered["transports"]["dir"][""][0]["type"], "reject");
}

#[test]
fn a_base_policy_that_crio_would_refuse_is_a_no_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base.json");
    fs::write(&base, r#"{"default":[],"bogus":1}"#).unwrap();
    let base = base.to_str().unwrap();
    let output = render(dir.path(), &["--base-policy", base], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("base.json: CRI-O would not accept"));
    assert!(!dir.path().join("etc").exists());
}

#[test]
fn a_base_policy_that_cannot_be_read_leaves_the_answer_open() {
    let dir = tempfile::tempdir().unwrap();
    let output = render(
        dir.path(),
        &["--base-policy", "no-such.json"],
        &policy(SCOPE),
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("no-such.json"));
}

#[test]
fn a_base_policy_for_containerd_is_wrong_usage() {
    let arguments = [
        "render",
        "-f",
        "-",
        "--runtime",
        "containerd",
        "--out-dir",
        "unused",
        "--base-policy",
        "x",
    ];
    let output = nodeseal(&arguments, "");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("--runtime cri-o"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_a_version_cannot_express_is_reported_and_is_still_a_yes() {
    let dir = tempfile::tempdir().unwrap();
    let old = ["--runtime-version", "1.30.0"];
    let output = render(dir.path(), &old, &namespaced(SCOPE));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("team/own: NotExpressible: CRI-O 1.30.0"));
    assert!(!dir.path().join("etc/crio").exists());
    let old = [&old[..], &["--output", "json"]].concat();
    let report = json(&render(dir.path(), &old, &namespaced(SCOPE)));
    let diagnostic = &report["diagnostics"][0];
    assert_eq!(
        (
            &diagnostic["policy"],
            &diagnostic["namespace"],
            &diagnostic["reason"]
        ),
        (&json!("own"), &json!("team"), &json!("NotExpressible"))
    );
    assert_eq!(report["files"], json!([]));
}

#[test]
fn an_invalid_policy_is_left_out_and_the_rest_is_still_written() {
    let dir = tempfile::tempdir().unwrap();
    let invalid = policy("busybox").replace("release-images", "other");
    let output = render(dir.path(), &[], &format!("{}---\n{invalid}", policy(SCOPE)));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("docker.io/library/busybox"));
    read(dir.path(), "etc/crio/policy.json");
}

#[test]
fn a_second_run_takes_away_what_only_the_first_one_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let both = format!("{}---\n{}", policy(SCOPE), namespaced(SCOPE));
    render(dir.path(), &[], &both);
    assert!(dir.path().join("etc/crio/policies/team.json").exists());
    render(dir.path(), &[], &policy(SCOPE));
    assert!(!dir.path().join("etc/crio/policies/team.json").exists());
    read(dir.path(), "etc/crio/policy.json");
}

#[test]
fn signatures_are_looked_up_on_mirrors_too() {
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("registries.conf");
    let mirrored = format!(
        "[[registry]]\nlocation = \"{SCOPE}\"\n[[registry.mirror]]\nlocation = \"mirror.local/cache\"\n"
    );
    fs::write(&conf, mirrored).unwrap();
    let arguments = ["--registries-conf", conf.to_str().unwrap()];
    let output = render(dir.path(), &arguments, &policy(SCOPE));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let locations =
        fs::read_to_string(dir.path().join("etc/containers/registries.d/nodeseal.yaml")).unwrap();
    assert!(locations.contains("\"mirror.local/cache\":"), "{locations}");
    fs::write(&conf, "[[registry").unwrap();
    let output = render(dir.path(), &arguments, &policy(SCOPE));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn how_to_sign_for_crio_is_told_once_for_all_policies() {
    let dir = tempfile::tempdir().unwrap();
    let two = format!(
        "{}---\n{}",
        policy(SCOPE),
        policy(SCOPE).replace("release-images", "too")
    );
    let output = render(dir.path(), &[], &two);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(
        stderr.starts_with("warning: release-images, too: SignatureFormat: "),
        "{stderr}"
    );
    assert!(
        stderr.contains("sign with --new-bundle-format=false"),
        "{stderr}"
    );
    assert!(
        stderr.contains("warning: release-images, too: RecursiveSigningNeeded: "),
        "{stderr}"
    );
    let report = json(&render(dir.path(), &["--output", "json"], &two));
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 4, "{report}");
    assert_eq!(warnings[0]["policy"], "release-images");
    assert_eq!(warnings[0]["reason"], "SignatureFormat");
    assert_eq!(report["diagnostics"], json!([]));
}

#[test]
fn a_diagnostic_names_authority_and_field() {
    let dir = tempfile::tempdir().unwrap();
    let two_keys = support::two_keys(SCOPE);
    let old = ["--runtime-version", "1.31.0"];
    let output = render(dir.path(), &old, &two_keys);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let line = "release-images: NotExpressible: authority `release-key`, key: CRI-O 1.31.0";
    assert!(
        text(&output.stderr).contains(line),
        "{}",
        text(&output.stderr)
    );
    let report = json(&render(
        dir.path(),
        &[&old[..], &["--output", "json"]].concat(),
        &two_keys,
    ));
    let diagnostic = &report["diagnostics"][0];
    assert_eq!(diagnostic["authority"], "release-key");
    assert_eq!(diagnostic["field"], "key");
    assert_eq!(report["warnings"], json!([]));
}

#[test]
fn versions_that_nobody_knows_work_and_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for (version, told) in [
        ("1.24.3", "note: CRI-O 1.24.3 is older than 1.25.0"),
        ("1.99", "note: CRI-O 1.99.0 is newer than "),
    ] {
        let output = render(dir.path(), &["--runtime-version", version], &policy(SCOPE));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains(told),
            "{}",
            text(&output.stderr)
        );
        let arguments = ["--runtime-version", version, "--output", "json"];
        let report = json(&render(dir.path(), &arguments, &policy(SCOPE)));
        assert_eq!(report["notes"].as_array().unwrap().len(), 1);
    }
    let output = render(dir.path(), &["--runtime-version", "newest"], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("write it as 2.2.1"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn what_is_missing_on_the_command_line_is_named() {
    for (arguments, missing) in [
        (&["-f", "-", "--runtime", "cri-o"][..], "--out-dir <DIR>"),
        (&["-f", "-", "--out-dir", "unused"], "--runtime <RUNTIME>"),
        (
            &["--runtime", "cri-o", "--out-dir", "unused"],
            "--filename <PATH>",
        ),
        (
            &["-f", "-", "--out-dir", "unused", "--runtime", "docker"],
            "[possible values: cri-o, containerd]",
        ),
    ] {
        let output = nodeseal(&[&["render"], arguments].concat(), "");
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains(missing),
            "{}",
            text(&output.stderr)
        );
    }
    assert!(!Path::new("unused").exists());
}

#[test]
fn nothing_is_written_where_some_policies_could_not_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let output = render(dir.path(), &["-f", "no-such.yaml"], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("no-such.yaml: error: no such file or folder"),
        "{stderr}"
    );
    assert!(stderr.contains("so nothing is written"), "{stderr}");
    assert!(!dir.path().join("etc").exists());
}

#[test]
fn an_endless_base_policy_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let output = render(dir.path(), &["--base-policy", "/dev/zero"], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("/dev/zero has more than"),
        "{}",
        text(&output.stderr)
    );
}
