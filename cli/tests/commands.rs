//! The commands as users run them: output, files and exit codes.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::path::{Path, PathBuf};

use support::{json, nodeseal, policy, text};

mod support;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples")
}

#[test]
fn a_valid_policy_from_standard_input_is_a_yes() {
    let output = nodeseal(
        &["validate", "-f", "-"],
        &policy("registry.example.com/team"),
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "1 policy valid, 0 errors, 0 warnings\n"
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_samples_are_valid_without_a_warning() {
    let samples = samples();
    let output = nodeseal(
        &["validate", "--strict", "-f", samples.to_str().unwrap()],
        "",
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn an_invalid_policy_is_a_no_that_says_file_line_object_field_and_cure() {
    let output = nodeseal(&["validate", "-f", "-"], &policy("busybox"));
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("<stdin>:5:"), "{stderr}");
    for part in [
        "error: ClusterImageSignaturePolicy/release-images: spec.scopes[0]: ",
        "docker.io/library/busybox",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn warnings_fail_the_check_only_when_asked() {
    let tagged = policy("registry.example.com/team/app:v1");
    let relaxed = nodeseal(&["validate", "-f", "-"], &tagged);
    assert_eq!(relaxed.status.code(), Some(0), "{}", text(&relaxed.stderr));
    assert!(
        text(&relaxed.stderr).contains("warning:"),
        "{}",
        text(&relaxed.stderr)
    );
    assert_eq!(
        nodeseal(&["validate", "--strict", "-f", "-"], &tagged)
            .status
            .code(),
        Some(1)
    );
}

#[test]
fn json_output_holds_every_problem() {
    let output = nodeseal(
        &["validate", "--output", "json", "-f", "-"],
        &policy("busybox"),
    );
    let report = json(&output);
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"][0]["field"], "spec.scopes[0]");
    assert_eq!(report["problems"][0]["line"], 5);
}

#[test]
fn a_file_that_cannot_be_read_leaves_the_answer_open() {
    let output = nodeseal(&["validate", "-f", "no-such-file.yaml"], "");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("no-such-file.yaml"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    assert_eq!(nodeseal(&["validate"], "").status.code(), Some(2));
    assert_eq!(nodeseal(&["frobnicate"], "").status.code(), Some(2));
}

#[test]
fn render_writes_the_files_of_a_containerd_node_at_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let arguments = [
        "render",
        "-f",
        "-",
        "--runtime",
        "containerd",
        "--out-dir",
        out,
    ];
    let output = nodeseal(&arguments, &policy("registry.example.com/team"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bytes = std::fs::read(dir.path().join(policy::paths::VERIFIER_POLICY)).unwrap();
    policy::verifier::VerifierPolicy::from_json(&bytes).unwrap();
    assert!(dir.path().join(policy::paths::CONTAINERD_DROP_IN).exists());
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn render_leaves_an_invalid_policy_out_and_still_writes_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let both = format!(
        "{}---\n{}",
        policy("registry.example.com/team"),
        policy("busybox").replace("release-images", "other")
    );
    let arguments = [
        "render",
        "-f",
        "-",
        "--runtime",
        "containerd",
        "--out-dir",
        out,
        "--output",
        "json",
    ];
    let output = nodeseal(&arguments, &both);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["problems"].as_array().unwrap().len(), 1);
    let bytes = std::fs::read(dir.path().join(policy::paths::VERIFIER_POLICY)).unwrap();
    let rendered = policy::verifier::VerifierPolicy::from_json(&bytes).unwrap();
    assert_eq!(rendered.flat.requirements().len(), 1);
}

#[test]
fn render_says_what_the_runtime_cannot_express_and_is_still_a_yes() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let namespaced = policy("registry.example.com/team")
        .replace("kind: Cluster", "kind: ")
        .replace(
            "{name: release-images}",
            "{name: release-images, namespace: team}",
        );
    let arguments = [
        "render",
        "-f",
        "-",
        "--runtime",
        "containerd",
        "--out-dir",
        out,
    ];
    let output = nodeseal(&arguments, &namespaced);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("team/release-images: NamespacedUnsupported: "));
    let old = [
        &arguments[..],
        &["--runtime-version", "2.0.4", "--output", "json"],
    ]
    .concat();
    let output = nodeseal(&old, &policy("registry.example.com/team"));
    assert_eq!(json(&output)["diagnostics"][0]["reason"], "NotEnforcing");
}

#[test]
fn render_says_which_file_it_could_not_write() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("etc"), "in the way").unwrap();
    let out = dir.path().to_str().unwrap();
    let arguments = [
        "render",
        "-f",
        "-",
        "--runtime",
        "containerd",
        "--out-dir",
        out,
    ];
    let output = nodeseal(&arguments, &policy("registry.example.com/team"));
    assert_eq!(output.status.code(), Some(3));
    assert!(
        text(&output.stderr).contains("cannot write"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_version_of_containerd_that_nobody_knows_works_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let render = |version: &str| {
        let runtime = ["--runtime", "containerd", "--runtime-version", version];
        let arguments = ["render", "-f", "-", "--out-dir", out];
        nodeseal(
            &[&arguments[..], &runtime].concat(),
            &policy("registry.example.com/team"),
        )
    };
    for (version, told) in [
        ("2.0.7", "note: containerd 2.0.7 calls no verifier"),
        ("3.1", "note: containerd 3.1.0 is newer than "),
    ] {
        let output = render(version);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains(told),
            "{}",
            text(&output.stderr)
        );
    }
    assert_eq!(text(&render("2.1").stderr), "");
}

#[test]
fn every_command_has_a_help_text_that_names_its_exit_codes() {
    for command in [
        &["--help"][..],
        &["validate", "-h"],
        &["render", "-h"],
        &["explain", "-h"],
    ] {
        let output = nodeseal(command, "");
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        assert!(help.contains("Exit codes: 0 "), "{help}");
        assert!(help.contains("Usage: nodeseal"), "{help}");
    }
    let whole = nodeseal(&["--help"], "");
    assert!(text(&whole.stdout).starts_with("Image-signature policies that every node enforces"));
}

#[test]
fn installed_as_a_plugin_of_kubectl_it_is_called_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-nodeseal");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nodeseal"), &plugin).unwrap();
    for (program, name) in [
        (plugin.as_path(), "kubectl nodeseal"),
        (Path::new(env!("CARGO_BIN_EXE_nodeseal")), "nodeseal"),
    ] {
        let output = std::process::Command::new(program)
            .args(["status", "--help"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        let help = text(&output.stdout);
        assert!(help.contains(&format!("Usage: {name} status ")), "{help}");
        let output = std::process::Command::new(program).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let help = text(&output.stderr);
        assert!(help.contains(&format!("Usage: {name} [OPTIONS]")), "{help}");
    }
}

#[test]
fn without_files_and_without_a_cluster_nobody_can_tell() {
    for command in ["explain", "verify"] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nodeseal"))
            .args([command, "registry.example.com/app:v1"])
            .env("KUBECONFIG", "/nonexistent")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3));
        let stderr = text(&output.stderr);
        assert!(stderr.contains("error: no cluster: "), "{stderr}");
        assert!(stderr.contains("--kubeconfig"), "{stderr}");
    }
}
