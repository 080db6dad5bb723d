//! `nodeseal-agent --runtime cri-o`: what a folder of policies makes of a CRI-O node.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};

use common::{
    CRIO_POLICY, NAMESPACES, Node, REGISTRIES, Ran, SHIPPED, config, namespaced, policy, ran,
};
use serde_json::Value;

const TEAM: &str = "etc/crio/policies/team.json";

fn node() -> Node {
    let node = Node::crio();
    node.policy_file("a.yaml", &policy("a", "a.example:5000"));
    node
}

fn json(node: &Node, path: &str) -> Value {
    serde_json::from_slice(&node.read(path).expect(path)).unwrap()
}

/// The types of the rules at a scope of the docker transport.
fn rules(node: &Node, path: &str, scope: &str) -> Vec<String> {
    let document = json(node, path);
    let rules = document["transports"]["docker"][scope].as_array().cloned();
    let kind = |rule: &Value| rule["type"].as_str().unwrap().to_owned();
    rules.unwrap_or_default().iter().map(kind).collect()
}

#[track_caller]
fn refused(node: &Node, reason: &str, message: &str) -> Ran {
    let ran = node.once().expect_code(1);
    let (is, why) = ran.applied();
    assert_eq!(is, reason, "{why}");
    assert!(why.contains(message), "{why}");
    ran
}

#[test]
fn a_first_run_builds_on_the_nodes_own_policy() {
    let node = node();
    let own = r#"{"default":[{"type":"reject"}],"transports":{"docker":{"a.example:5000/x":
        [{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}],"":[{"type":"insecureAcceptAnything"}]},
        "dir":{"":[{"type":"insecureAcceptAnything"}]}}}"#;
    node.put(CRIO_POLICY, own);
    node.policy_file("team.yaml", &namespaced("team", "t", "t.example:5000"));
    let ran = node.once().expect_code(0);
    assert_eq!(
        rules(&node, CRIO_POLICY, "a.example:5000"),
        ["sigstoreSigned"]
    );
    let both = ["sigstoreSigned", "signedBy"];
    assert_eq!(rules(&node, CRIO_POLICY, "a.example:5000/x"), both);
    assert_eq!(rules(&node, CRIO_POLICY, "t.example:5000"), [""; 0]);
    let document = json(&node, CRIO_POLICY);
    assert_eq!(document["default"][0]["type"], "reject");
    assert!(document["transports"]["dir"].is_object());
    assert_eq!(rules(&node, TEAM, "a.example:5000/x"), both);
    assert_eq!(rules(&node, TEAM, "t.example:5000"), ["sigstoreSigned"]);
    let text = node.read_text(REGISTRIES);
    for location in ["a.example:5000", "t.example:5000"] {
        let entry = format!("  \"{location}\":\n    use-sigstore-attachments: true\n");
        assert!(text.contains(&entry), "{text}");
    }
    for path in [CRIO_POLICY, TEAM, REGISTRIES] {
        assert_eq!(node.mode(path), 0o644, "{path}");
    }
    // The sandbox image passes, and nothing of containerd's is there.
    assert_eq!(
        rules(&node, CRIO_POLICY, "registry.k8s.io/pause"),
        ["insecureAcceptAnything"]
    );
    assert!(!node.at("opt").exists() && !node.at("etc/nodeseal").exists());
    assert_eq!(node.leftovers(), [""; 0]);
    assert_eq!(ran.status["runtime"]["name"], "cri-o");
    assert_eq!(ran.status["runtime"]["version"], "1.34.1");
    assert_eq!(ran.condition("Detected")["status"], "True");
    assert_eq!(ran.status["files"].as_array().unwrap().len(), 3);
    assert_eq!(ran.status["warnings"], Value::Null);
    let notes = ran.text("lastApplyNotes");
    assert!(notes.contains("was not written by nodeseal"), "{notes}");
}

#[test]
fn a_second_run_writes_nothing_and_does_not_build_on_our_own_file() {
    let node = node();
    node.once().expect_code(0);
    let before = node.files();
    node.once().expect_code(0);
    assert!(before == node.files(), "some file was written again");
    // What a policy no longer demands is gone, although our file stood there.
    node.policy_file("a.yaml", &policy("a", "b.example:5000"));
    node.once().expect_code(0);
    assert_eq!(rules(&node, CRIO_POLICY, "a.example:5000"), [""; 0]);
    assert!(!node.read_text(REGISTRIES).contains("a.example"));
}

#[test]
fn without_policies_the_node_is_as_it_was_byte_for_byte() {
    let node = node();
    std::fs::set_permissions(node.at(CRIO_POLICY), PermissionsExt::from_mode(0o640)).unwrap();
    chown(node.at(CRIO_POLICY), Some(1234), Some(567)).unwrap();
    let theirs = r#"{"default":[{"type":"reject"}]}"#;
    node.put(TEAM, theirs);
    let texts = [
        ("a.yaml", policy("a", "a.example:5000")),
        ("team.yaml", namespaced("team", "t", "t.example:5000")),
        ("more.yaml", namespaced("more", "m", "m.example:5000")),
    ];
    // More than once: what was given back is the node's own again.
    for _ in 0..2 {
        for (name, text) in &texts {
            node.policy_file(name, text);
        }
        node.once().expect_code(0);
        assert_eq!(rules(&node, TEAM, ""), ["reject"]);
        for (name, _) in &texts {
            node.remove_policy_file(name);
        }
        node.once().expect_code(0);
        assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
        let meta = std::fs::metadata(node.at(CRIO_POLICY)).unwrap();
        assert_eq!(
            (meta.mode() & 0o7777, meta.uid(), meta.gid()),
            (0o640, 1234, 567)
        );
        assert_eq!(node.read_text(TEAM), theirs);
        let left = std::fs::read_dir(node.at(NAMESPACES)).unwrap().count();
        assert_eq!(left, 1);
        assert!(node.read(REGISTRIES).is_none());
        let before = node.files();
        node.once().expect_code(0);
        assert!(before == node.files(), "some file was written again");
    }
}

#[test]
fn where_no_policy_was_the_systems_is_built_on_and_none_is_left() {
    let node = node();
    std::fs::remove_file(node.at(CRIO_POLICY)).unwrap();
    node.put(
        "etc/containers/policy.json",
        r#"{"default":[{"type":"reject"}]}"#,
    );
    let ran = node.once().expect_code(0);
    assert_eq!(rules(&node, CRIO_POLICY, ""), ["reject"]);
    assert!(
        ran.text("warnings")
            .contains("it builds on /etc/containers/policy.json")
    );
    node.remove_policy_file("a.yaml");
    node.once().expect_code(0);
    assert!(node.read(CRIO_POLICY).is_none());
}

#[test]
fn a_node_that_another_system_manages_is_left_alone() {
    let node = node();
    node.put("etc/machine-config-daemon/currentconfig", "{}");
    refused(
        &node,
        "ForeignOwner",
        "OpenShift's machine-config daemon manages",
    );
    assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
    assert!(node.read(REGISTRIES).is_none());
}

#[test]
fn an_own_policy_that_is_not_valid_is_told_and_nothing_is_written() {
    let node = node();
    let bad = r#"{"default":[{"type":"insecureAcceptAnything"}],"bogus":1}"#;
    node.put(CRIO_POLICY, bad);
    refused(&node, "RenderFailed", "bogus");
    assert_eq!(node.read_text(CRIO_POLICY), bad);
    assert!(node.read(REGISTRIES).is_none());
    std::fs::remove_file(node.at(CRIO_POLICY)).unwrap();
    symlink("/etc/other.json", node.at(CRIO_POLICY)).unwrap();
    refused(
        &node,
        "ForeignOwner",
        "is a symbolic link to /etc/other.json",
    );
}

#[test]
fn a_location_of_another_file_is_reported_and_not_written_twice() {
    let node = node();
    let other = "etc/containers/registries.d/other.yaml";
    node.put(
        other,
        "docker:\n  a.example:5000:\n    lookaside: https://x\n",
    );
    let ran = node.once().expect_code(0);
    assert!(node.read(REGISTRIES).is_none());
    assert_eq!(
        ran.status["unsupported"]["first"][0]["reason"],
        "ForeignOwner"
    );
    std::fs::remove_file(node.at(other)).unwrap();
    node.once().expect_code(0);
    assert!(node.read_text(REGISTRIES).contains("a.example:5000"));
    node.put(other, "docker: [\n");
    let ran = node.once().expect_code(0);
    assert!(ran.text("warnings").contains("other.yaml cannot be used"));
}

#[test]
fn the_path_in_force_comes_from_crios_configuration_or_the_command_line() {
    let node = node();
    let drop_in = "[crio.image]\nsignature_policy = \"/etc/own/p.json\"\nsignature_policy_dir = \"/etc/own/ns\"\n";
    node.put("etc/crio/crio.conf.d/20-own.conf", drop_in);
    node.put("etc/own/p.json", SHIPPED);
    node.policy_file("team.yaml", &namespaced("team", "t", "t.example:5000"));
    node.once().expect_code(0);
    assert_eq!(
        rules(&node, "etc/own/p.json", "a.example:5000"),
        ["sigstoreSigned"]
    );
    assert!(node.read("etc/own/ns/team.json").is_some());
    assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
    // And when it moves, the old place gets its own back.
    let args = [
        "--crio-policy",
        "/etc/crio/policy.json",
        "--crio-namespace-dir",
        "/etc/crio/policies",
    ];
    let ran = node.once_with(&args).expect_code(0);
    assert_eq!(
        rules(&node, CRIO_POLICY, "a.example:5000"),
        ["sigstoreSigned"]
    );
    assert_eq!(node.read_text("etc/own/p.json"), SHIPPED);
    assert!(node.read("etc/own/ns/team.json").is_none());
    assert!(
        ran.text("warnings")
            .contains("so /etc/crio/policy.json is not read")
    );
    node.put("etc/crio/crio.conf.d/20-own.conf", "[crio\n");
    let ran = node.once().expect_code(1);
    assert_eq!(ran.condition("Detected")["status"], "False");
}

#[test]
fn files_of_others_for_namespaces_are_reported_where_policies_of_the_cluster_do_not_hold() {
    let node = node();
    node.put("etc/crio/policies/theirs.json", SHIPPED);
    let ran = node.once().expect_code(0);
    let warnings = ran.text("warnings");
    assert!(warnings.contains("for the namespaces theirs"), "{warnings}");
    node.policy_file("theirs.yaml", &namespaced("theirs", "t", "t.example:5000"));
    let ran = node.once().expect_code(0);
    assert_eq!(ran.status["warnings"], Value::Null);
    let path = "etc/crio/policies/theirs.json";
    assert_eq!(rules(&node, path, "a.example:5000"), ["sigstoreSigned"]);
}

#[test]
fn drift_is_put_back_and_never_built_on_and_few_copies_of_it_are_kept() {
    let node = node();
    node.once().expect_code(0);
    let ours = node.read(CRIO_POLICY);
    for n in 0..8 {
        let weaker =
            format!("{{\"default\":[{{\"type\":\"insecureAcceptAnything\"}}], \"n\": {n}}}");
        node.put(CRIO_POLICY, &weaker);
        let ran = node.once().expect_code(0);
        assert_eq!(node.read(CRIO_POLICY), ours);
        assert!(
            ran.text("lastApplyNotes")
                .contains("was changed by someone else")
        );
    }
    // The newest five, and the original for good.
    assert_eq!(node.copies().len(), 6);
    node.remove_policy_file("a.yaml");
    node.once().expect_code(0);
    assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
}

#[test]
fn what_the_nodes_own_file_was_is_never_guessed() {
    let node = node();
    node.once().expect_code(0);
    let state = node.read_text("var/lib/nodeseal/state.json");
    let ours = node.read(CRIO_POLICY);
    node.put("var/lib/nodeseal/state.json", "{");
    refused(&node, "RenderFailed", "the record of written files");
    node.put("var/lib/nodeseal/state.json", &state);
    let copy = format!("var/lib/nodeseal/backup/{}", node.copies()[0]);
    node.put(&copy, "something else");
    node.policy_file("a.yaml", &policy("a", "b.example:5000"));
    refused(&node, "RenderFailed", "is lost or damaged");
    assert_eq!(node.read(CRIO_POLICY), ours);
    node.put(&copy, SHIPPED);
    node.once().expect_code(0);
}

#[test]
fn reject_never_turns_into_allow() {
    let node = node();
    node.policy_file("config.yaml", &config("Reject"));
    node.once().expect_code(0);
    assert_eq!(rules(&node, CRIO_POLICY, ""), ["reject"]);
    let before = node.read(CRIO_POLICY);
    node.remove_policy_file("config.yaml");
    node.once().expect_code(0);
    node.put("var/lib/nodeseal/bundle", "{");
    refused(&node, "RenderFailed", "cannot be used");
    assert_eq!(node.read(CRIO_POLICY), before);
}

#[test]
fn options_of_the_other_runtime_are_wrong_usage() {
    let node = node();
    for wrong in [
        &["--verifier", "/x"][..],
        &["--bin-dir", "/opt/a/b"],
        &["--crio-policy", "relative"],
        &["--crio-policy", "/etc/../x"],
        &["--node-name", "n-1"],
        &["--kubeconfig", "/x"],
    ] {
        assert_eq!(node.once_with(wrong).code, Some(2), "{wrong:?}");
    }
    let mut without_version = node.agent();
    let args: Vec<_> = without_version.get_args().map(ToOwned::to_owned).collect();
    let program = without_version.get_program().to_owned();
    without_version = std::process::Command::new(program);
    without_version.args(
        args.iter()
            .filter(|arg| *arg != "--runtime-version" && *arg != "1.34.1"),
    );
    assert_eq!(ran(without_version.arg("--once")).code, Some(2));
}

#[test]
fn leftovers_of_a_namespace_that_was_never_recorded_are_removed() {
    let node = node();
    node.put("etc/crio/policies/.gone.json.nodeseal-tmp", "half");
    node.put("etc/crio/policies/.other.tmp", "theirs");
    node.once().expect_code(0);
    assert_eq!(node.leftovers(), [""; 0]);
    assert!(node.read("etc/crio/policies/.other.tmp").is_some());
}
