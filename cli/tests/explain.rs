//! `nodeseal explain` as users run it.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::process::Output;

use serde_json::{Value, json};
use support::{nodeseal, policy, text};

mod support;

const SCOPE: &str = "registry.example.com/team";
const IMAGE: &str = "registry.example.com/team/app:v1";

fn explain(image: &str, more: &[&str], stdin: &str) -> Output {
    nodeseal(&[&["explain", image, "-f", "-"], more].concat(), stdin)
}

fn told(image: &str, more: &[&str], stdin: &str) -> String {
    let output = explain(image, more, stdin);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

fn report(image: &str, more: &[&str], stdin: &str) -> Value {
    support::json(&explain(
        image,
        &[&["--output", "json"], more].concat(),
        stdin,
    ))
}

/// The policy as one of the namespace `team`.
fn namespaced(scope: &str) -> String {
    policy(scope)
        .replace("kind: Cluster", "kind: ")
        .replace("{name: release-images}", "{name: own, namespace: team}")
}

fn config(spec: &str) -> String {
    format!(
        "---\napiVersion: nodeseal.dev/v1alpha1\nkind: EnforcementConfig\nmetadata: {{name: default}}\nspec: {spec}\n"
    )
}

#[test]
fn people_read_what_covers_the_image_what_it_takes_and_what_each_runtime_does() {
    let out = told(IMAGE, &[], &policy(SCOPE));
    let mut lines = out.lines();
    assert_eq!(
        lines.next(),
        Some(
            "registry.example.com/team/app:v1 passes if: signed by `release-key` (policy `release-images`)"
        )
    );
    for part in [
        "\nlooked up as\n  registry.example.com/team/app:v1\n  registry.example.com/team/app\n",
        "\n  release-images  covers it: scope registry.example.com/team\n",
        "\n    this authority must have signed:\n      release-key  key ECDSA P-256 sha256:",
        "\n    the signature must name registry.example.com/team/app, with any tag or none; one that names only the digest passes\n",
        "\ncri-o 1.38.0: passes if: signed by `release-key` (policy `release-images`)\n",
        "\n  warning     release-images: SignatureFormat: CRI-O reads only ",
        "\n  decided by  /etc/crio/policy.json, scope registry.example.com/team:\n    [\n",
        "\"type\": \"sigstoreSigned\"",
        "\ncontainerd: passes if: signed by `release-key` (policy `release-images`)\n",
        "\n  decided by  /etc/nodeseal/verifier/policy.json, scope registry.example.com/team: release-images\n",
    ] {
        assert!(out.contains(part), "{part}\nis not in\n{out}");
    }
    assert!(!out.contains('\u{1b}'), "{out}");
}

#[test]
fn scripts_read_one_object() {
    let report = report(IMAGE, &["--namespace", "team"], &policy(SCOPE));
    assert_eq!(report["image"], IMAGE);
    assert_eq!(report["namespace"], "team");
    assert_eq!(report["lookup"][3], "registry.example.com");
    assert_eq!(report["verdict"]["outcome"], "verify");
    assert_eq!(report["verdict"]["policies"], json!(["release-images"]));
    assert_eq!(report["defaultAction"], "Allow");
    assert_eq!(report["unrelated"], 0);
    assert_eq!(report["problems"], json!([]));
    let first = &report["policies"][0];
    assert_eq!(
        (&first["id"], &first["coverage"]),
        (&json!("release-images"), &json!("covers"))
    );
    assert_eq!(first["scope"], SCOPE);
    assert_eq!(first["demand"]["threshold"], 1);
    assert_eq!(first["demand"]["mode"], "Enforce");
    assert_eq!(first["demand"]["signedIdentity"]["type"], "MatchRepository");
    let authority = &first["demand"]["authorities"][0];
    assert_eq!(authority["name"], "release-key");
    assert_eq!(authority["key"]["keys"][0]["kind"], "ECDSA P-256");
    let [crio, containerd] = [0, 1].map(|index| &report["runtimes"][index]);
    assert_eq!(
        (&crio["runtime"], &crio["version"]),
        (&json!("cri-o"), &json!("1.38.0"))
    );
    assert_eq!(crio["compiled"]["file"], "/etc/crio/policy.json");
    assert_eq!(crio["compiled"]["rules"][0]["type"], "sigstoreSigned");
    assert!(
        crio["compiled"]["rules"][0]["keyData"]
            .as_str()
            .unwrap()
            .len()
            > 200
    );
    assert_eq!(crio["policies"][0]["does"], "enforces");
    assert_eq!(
        crio["policies"][0]["warnings"][0]["reason"],
        "SignatureFormat"
    );
    assert_eq!(
        (&containerd["runtime"], &containerd["version"]),
        (&json!("containerd"), &json!(null))
    );
    assert_eq!(containerd["compiled"]["action"], "Verify");
    assert_eq!(
        containerd["compiled"]["policies"],
        json!(["release-images"])
    );
}

#[test]
fn a_policy_of_a_namespace_counts_for_its_pods_and_not_on_containerd() {
    let out = told(IMAGE, &["--namespace", "team"], &namespaced(SCOPE));
    assert!(
        out.contains("pulled for a pod of the namespace `team`\n"),
        "{out}"
    );
    assert!(
        out.contains("  team/own  covers it: scope registry.example.com/team\n"),
        "{out}"
    );
    assert!(out.contains("cri-o 1.38.0: passes if: signed by `release-key` (policy `team/own`)"));
    assert!(
        out.contains("/etc/crio/policies/team.json, scope registry.example.com/team:"),
        "{out}"
    );
    assert!(
        out.contains("  left out    team/own: NamespacedUnsupported: "),
        "{out}"
    );

    let other = told(IMAGE, &["--namespace", "other"], &namespaced(SCOPE));
    let line =
        "  team/own  is for pods of the namespace `team` alone: scope registry.example.com/team\n";
    assert!(other.contains(line), "{other}");
    assert!(
        other.contains("the node's own policy.json (that of CRI-O's packages), default:"),
        "{other}"
    );
}

#[test]
fn exempt_excluded_audited_and_refused_images_are_told_as_such() {
    let exempt = policy(SCOPE) + &config("{exemptImages: [registry.example.com/team/app]}");
    let out = told(IMAGE, &[], &exempt);
    let first = "registry.example.com/team/app:v1 passes without a signature (`registry.example.com/team/app` is exempt)\n";
    assert!(out.starts_with(first), "{out}");
    assert!(
        out.contains("scope registry.example.com/team/app: exempt\n"),
        "{out}"
    );

    let excluded = policy(SCOPE).replace(
        "  authorities:",
        "  exclude: [registry.example.com/team/app]\n  authorities:",
    );
    let out = told(IMAGE, &[], &excluded);
    let line = "  release-images  leaves it out: scope registry.example.com/team, exclude registry.example.com/team/app\n";
    assert!(out.contains(line), "{out}");
    assert!(out.contains("app: the default action\n"), "{out}");

    let audited = policy(SCOPE).replace("  authorities:", "  mode: Audit\n  authorities:")
        + &config("{defaultAction: Reject}");
    let out = told(IMAGE, &[], &audited);
    let first = "registry.example.com/team/app:v1 is refused (no enforcing policy, default action Reject)\n";
    assert!(out.starts_with(first), "{out}");
    assert!(
        out.contains("covers it and only reports (mode Audit): scope registry.example.com/team\n"),
        "{out}"
    );
    assert!(
        out.contains("  left out    release-images: AuditUnsupported: "),
        "{out}"
    );
}

#[test]
fn an_image_that_nothing_covers_is_told_in_its_normal_form() {
    let out = told("nginx", &[], &policy(SCOPE));
    let first = "docker.io/library/nginx:latest passes without a signature (no enforcing policy, default action Allow)\n";
    assert!(out.starts_with(first), "{out}");
    assert!(
        out.contains("\nno policy is about it (1 other is not about this image)\n"),
        "{out}"
    );
    assert!(out.contains("no scope: the default action"), "{out}");
    assert!(out.contains("default of the transport docker:"), "{out}");
}

#[test]
fn one_runtime_in_one_version_may_be_asked() {
    let rotation = support::two_keys(SCOPE)
        .replace("  authorities:", "  onUnsupported: Reject\n  authorities:");
    let out = told(
        IMAGE,
        &["--runtime", "cri-o", "--runtime-version", "1.30"],
        &rotation,
    );
    assert!(!out.contains("containerd:"), "{out}");
    let line = "cri-o 1.30.0: is refused (this runtime cannot express `release-images`, where onUnsupported is Reject)\n";
    assert!(out.contains(line), "{out}");
    assert!(
        out.contains(
            "  refuses     release-images: NotExpressible: authority `release-key`, key: "
        ),
        "{out}"
    );
    assert!(out.contains("\"type\": \"reject\""), "{out}");

    let old = ["--runtime", "containerd", "--runtime-version", "2.0.4"];
    let out = told(IMAGE, &old, &rotation);
    assert!(
        out.contains("containerd 2.0.4: passes unchecked (this runtime calls no verifier)\n"),
        "{out}"
    );
    assert!(
        out.contains("  note        containerd 2.0.4 calls no verifier"),
        "{out}"
    );
    assert!(out.contains("  decided by  nobody\n"), "{out}");
}

#[test]
fn keys_are_cut_short_for_people() {
    let out = told(IMAGE, &["--runtime", "cri-o"], &policy(SCOPE));
    assert!(
        out.contains("\"keyData\": \"LS0tLS1CRUdJTiBQVUJMSUMg… ("),
        "{out}"
    );
    assert!(
        out.lines()
            .all(|line| !line.contains("LS0tLS1CRUdJTiBQVUJMSUMgS0VZ")),
        "{out}"
    );
}

#[test]
fn an_invalid_policy_is_left_out_and_told_and_the_rest_is_explained() {
    let invalid = policy("busybox").replace("release-images", "other");
    let both = format!("{}---\n{invalid}", policy(SCOPE));
    let output = explain(IMAGE, &[], &both);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("(policy `release-images`)"));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("docker.io/library/busybox"), "{stderr}");
    assert!(
        stderr.contains("error: what is not valid is left out of this answer"),
        "{stderr}"
    );
    let report = report(IMAGE, &[], &both);
    assert_eq!(report["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn nothing_is_explained_where_some_policies_could_not_be_read() {
    let output = explain(IMAGE, &["-f", "no-such.yaml"], &policy(SCOPE));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("no-such.yaml: error: no such file or folder"),
        "{stderr}"
    );
    assert!(stderr.contains("nothing certain can be said"), "{stderr}");
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    for (arguments, message) in [
        (&["explain"][..], "<IMAGE>"),
        (
            &["explain", "https://a.example/app", "-f", "-"],
            "an image has no scheme in front",
        ),
        (
            &["explain", "a.example/App", "-f", "-"],
            "`App` is not a repository path component",
        ),
        (&["explain", "a.example/app:", "-f", "-"], "`` is not a tag"),
        (&["explain", "", "-f", "-"], "the image reference is empty"),
        (&["explain", "a.example/app@sha256:12", "-f", "-"], "digest"),
        (
            &["explain", IMAGE, "-f", "-", "--namespace", "A_"],
            "a namespace has 1 to 63 lower-case letters",
        ),
        (
            &["explain", IMAGE, "-f", "-", "--runtime", "docker"],
            "[possible values: cri-o, containerd]",
        ),
        (
            &["explain", IMAGE, "-f", "-", "--runtime-version", "1.30"],
            "--runtime <RUNTIME>",
        ),
        (
            &[
                "explain",
                IMAGE,
                "-f",
                "-",
                "--runtime",
                "cri-o",
                "--runtime-version",
                "new",
            ],
            "`new` is not a version: write it as 2.2.1",
        ),
    ] {
        let output = nodeseal(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(message),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn keyless_signers_and_their_trust_root_are_told_by_name() {
    let corpus = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crds/tests/corpus/valid/keyless.yaml"
    );
    let output = nodeseal(
        &["explain", "registry.example.com/team/app:v1", "-f", corpus],
        "",
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.contains(", vouched for by https://"), "{out}");
    assert!(
        out.contains("certified, and logged, by the trust root `"),
        "{out}"
    );
}
