//! `nodeseal-agent --once`: what a folder of policies makes of a node.

mod common;

use common::{DROP_IN, FOLDER, Node, POLICY, STATE_DIR, VERIFIER, config, policy};

#[test]
fn a_first_run_installs_verifier_policy_and_drop_in() {
    let node = Node::new();
    node.policy_file(
        "release.yaml",
        &policy("release", "registry.example.com/team"),
    );
    let ran = node.once().expect_code(0);
    assert!(node.read_text(POLICY).contains("registry.example.com/team"));
    assert!(
        node.read_text(DROP_IN)
            .contains("bin_dir = \"/opt/nodeseal/image-verifier\"")
    );
    assert_eq!(node.read(VERIFIER).unwrap(), b"#!/bin/sh\nexit 0\n");
    assert_eq!(
        (node.mode(POLICY), node.mode(DROP_IN), node.mode(VERIFIER)),
        (0o644, 0o644, 0o755)
    );
    assert_eq!((node.mode(STATE_DIR), node.mode(FOLDER)), (0o700, 0o755));
    assert_eq!(std::fs::read_dir(node.at(FOLDER)).unwrap().count(), 1);
    assert_eq!(node.leftovers(), [""; 0]);
    assert_eq!(ran.applied().0, "Applied");
    assert_eq!(ran.condition("Enforcing")["reason"], "NotProbed");
    assert_eq!(ran.condition("Ready")["status"], "True");
    assert_eq!(ran.status["files"].as_array().unwrap().len(), 3);
    assert_eq!(ran.status["warnings"], serde_json::Value::Null);
}

#[test]
fn a_second_run_writes_nothing() {
    let node = Node::new();
    node.policy_file(
        "release.yaml",
        &policy("release", "registry.example.com/team"),
    );
    let first = node.once().expect_code(0);
    let before = node.files();
    let second = node.once().expect_code(0);
    assert!(before == node.files(), "some file was written again");
    assert_eq!(first.status, second.status);
}

#[test]
fn a_new_policy_and_a_new_verifier_replace_the_old_ones() {
    let node = Node::new();
    node.policy_file(
        "release.yaml",
        &policy("release", "registry.example.com/team"),
    );
    node.once().expect_code(0);
    node.policy_file(
        "release.yaml",
        &policy("release", "registry.example.com/other"),
    );
    node.verifier_to_install(b"#!/bin/sh\nexit 1\n");
    node.once().expect_code(0);
    let text = node.read_text(POLICY);
    assert!(
        text.contains("registry.example.com/other") && !text.contains("/team"),
        "{text}"
    );
    assert_eq!(node.read(VERIFIER).unwrap(), b"#!/bin/sh\nexit 1\n");
    assert_eq!(node.leftovers(), [""; 0]);
}

#[test]
fn the_sandbox_image_is_always_let_in() {
    let node = Node::new();
    node.policy_file("all.yaml", &policy("all", "registry.k8s.io"));
    node.once_with(&["--sandbox-image", "mirror.example.com/pause:3.10"])
        .expect_code(0);
    let value: serde_json::Value = serde_json::from_str(&node.read_text(POLICY)).unwrap();
    for scope in ["registry.k8s.io/pause", "mirror.example.com/pause:3.10"] {
        assert_eq!(value["scopes"][scope]["action"], "Exempt", "{scope}");
    }
}

#[test]
fn an_invalid_policy_keeps_its_last_valid_form_and_the_others_go_on() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    node.policy_file("a.yaml", &policy("a", "Not_A_Scope!"));
    node.policy_file("b.yaml", &policy("b", "b.example"));
    let ran = node.once().expect_code(1);
    let text = node.read_text(POLICY);
    assert!(
        text.contains("\"a.example\"") && text.contains("\"b.example\""),
        "{text}"
    );
    assert_eq!(ran.applied().0, "Applied");
    assert_eq!(ran.status["kept"][0]["policy"], "a");
    assert_eq!(ran.status["kept"][0]["file"], "a.yaml");
    assert_eq!(ran.status["problems"][0]["file"], "a.yaml");
    assert!(ran.status["problems"][0]["line"].as_u64().unwrap() > 0);
}

#[test]
fn a_policy_that_was_never_valid_enforces_nothing_and_says_so() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "Not_A_Scope!"));
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "Applied");
    assert!(
        ran.text("warnings")
            .contains("a was never valid: it enforces nothing")
    );
    assert_eq!(ran.status["policies"], 0);
}

#[test]
fn a_file_that_is_no_yaml_keeps_what_came_from_it() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.policy_file("a.yaml", "{{{ no: [yaml\n");
    let ran = node.once().expect_code(1);
    assert_eq!(node.read(POLICY), before);
    assert!(
        ran.text("kept").contains("a.yaml cannot be read"),
        "{:#}",
        ran.status
    );
}

#[test]
fn a_folder_that_cannot_be_read_keeps_everything() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    std::fs::rename(node.policies(), node.dir().join("away")).unwrap();
    let ran = node.once().expect_code(1);
    assert_eq!(node.read(POLICY), before);
    let problem = ran.status["problems"][0]["message"].as_str().unwrap();
    let expected = format!(
        "the policy folder {} cannot be read",
        node.policies().display()
    );
    assert!(problem.starts_with(&expected), "{problem}");
    assert!(problem.contains("No such file"), "{problem}");
    assert_eq!(ran.applied().0, "Applied");
}

#[test]
fn a_folder_that_never_could_be_read_writes_nothing_to_the_runtime() {
    let node = Node::new();
    std::fs::remove_dir(node.policies()).unwrap();
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "Pending");
    assert!(node.read(POLICY).is_none() && !node.at(FOLDER).exists());
}

#[test]
fn removed_policies_are_removed_and_an_empty_folder_removes_all() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.policy_file("b.yaml", &policy("b", "b.example"));
    node.once().expect_code(0);
    node.remove_policy_file("a.yaml");
    node.once().expect_code(0);
    assert!(!node.read_text(POLICY).contains("a.example"));
    assert!(node.read_text(POLICY).contains("b.example"));
    node.remove_policy_file("b.yaml");
    let ran = node.once().expect_code(0);
    assert!(!node.read_text(POLICY).contains("b.example"));
    assert_eq!(ran.status["policies"], 0);
}

#[test]
fn removing_the_config_never_turns_reject_into_allow() {
    let node = Node::new();
    node.policy_file("config.yaml", &config("Reject"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    assert!(
        node.read_text(POLICY)
            .contains("\"defaultAction\": \"Reject\"")
    );
    node.policy_file("config.yaml", &config("Sometimes"));
    node.once().expect_code(1);
    assert_eq!(node.read(POLICY), before);
    node.remove_policy_file("config.yaml");
    let ran = node.once().expect_code(0);
    assert_eq!(node.read(POLICY), before);
    assert!(
        ran.text("kept").contains("last values stay in force"),
        "{:#}",
        ran.status
    );
    node.policy_file("config.yaml", &config("Allow"));
    node.once().expect_code(0);
    assert!(
        node.read_text(POLICY)
            .contains("\"defaultAction\": \"Allow\"")
    );
}

#[test]
fn a_damaged_ledger_never_weakens_the_node() {
    let node = Node::new();
    node.policy_file("config.yaml", &config("Reject"));
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.put("var/lib/nodeseal/bundle", "{\"format\": 1, \"bun");
    node.remove_policy_file("config.yaml");
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "RenderFailed");
    assert!(
        ran.applied().1.contains("var/lib/nodeseal/bundle"),
        "{}",
        ran.applied().1
    );
    assert_eq!(node.read(POLICY), before);
    // A folder that says everything mends it.
    node.policy_file("config.yaml", &config("Reject"));
    node.once().expect_code(0);
    assert_eq!(node.read(POLICY), before);
    // What a newer agent wrote is not thrown away.
    let newer =
        node.read_text("var/lib/nodeseal/bundle")
            .replacen("\"format\": 1", "\"format\": 9", 1);
    node.put("var/lib/nodeseal/bundle", &newer);
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "BundleTooNew");
}

#[test]
fn the_drop_in_follows_containerds_own_configuration() {
    let node = Node::new();
    let config = "etc/containerd/config.toml";
    let off = "version = 2\n# theirs\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n";
    node.put(config, off);
    let ran = node.once().expect_code(0);
    let drop_in = node.read_text(DROP_IN);
    assert!(drop_in.contains("version = 2\n"), "{drop_in}");
    assert!(drop_in.contains("max_verifiers = 10"), "{drop_in}");
    let edited = node.read_text(config);
    assert!(edited.contains("imports = [\"/etc/containerd/conf.d/zz-nodeseal*.toml\"]"));
    assert!(edited.contains("# theirs"));
    assert!(ran.text("lastApplyNotes").contains("its copy is"));
    // What its owner changes of it is none of ours to put back.
    node.put(config, &format!("{edited}# more of theirs\n"));
    let ran = node.once().expect_code(0);
    assert_eq!(ran.status["drift"], serde_json::Value::Null);
    assert!(node.read_text(config).contains("# more of theirs"));

    // Nothing of containerd's has to change where it runs the verifiers of its usual folder.
    node.put(config, "version = 3\n");
    let node = Node::new();
    node.put(config, "version = 3\n");
    node.once().expect_code(0);
    assert!(node.read(DROP_IN).is_none());
    let usual = "opt/containerd/image-verifier/bin/nodeseal-verifier";
    assert!(node.read(usual).is_some());
    assert_eq!(node.read_text(config), "version = 3\n");

    node.put("etc/containerd/config.toml", "version = \n");
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "RenderFailed");
    assert_eq!(ran.condition("Detected")["status"], "False");
    assert!(node.read(POLICY).is_some());
}

#[test]
fn a_chosen_folder_gets_the_verifier_and_no_drop_in_is_written() {
    let node = Node::new();
    let bin_dir = "/opt/containerd/image-verifier/bin";
    let text = format!(
        "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '{bin_dir}'\n"
    );
    node.put("etc/containerd/config.toml", &text);
    let ran = node.once_with(&["--bin-dir", bin_dir]).expect_code(0);
    assert!(
        node.read("opt/containerd/image-verifier/bin/nodeseal-verifier")
            .is_some()
    );
    assert!(node.read(DROP_IN).is_none());
    assert_eq!(ran.status["warnings"], serde_json::Value::Null);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let node = Node::new();
    for wrong in [
        &["--bin-dir", "relative"][..],
        &["--sandbox-image", "A B"],
        &["--nonsense"],
    ] {
        assert_eq!(node.once_with(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_verifier_that_is_no_program_is_not_installed() {
    let node = Node::new();
    node.verifier_to_install(b"");
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "WriteFailed");
    assert!(
        ran.applied().1.contains("is no program"),
        "{}",
        ran.applied().1
    );
    assert!(node.read(POLICY).is_none() && !node.at(FOLDER).exists());
}

#[test]
fn the_status_for_people_names_what_matters() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let output = node
        .agent()
        .args(["--once", "--output", "text"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("applied: 1 policy in force, bundle sha256:"),
        "{text}"
    );
    assert!(
        text.contains("/etc/nodeseal/verifier/policy.json"),
        "{text}"
    );
}

#[test]
fn a_misspelt_kind_is_no_removal() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    for (right, wrong) in [
        ("ClusterImageSignaturePolicy", "ClusterImageSignaturPolicy"),
        ("nodeseal.dev/v1alpha1", "nodeseal.dev/v1"),
        ("  name: a", "  nam: a"),
    ] {
        node.policy_file("a.yaml", &policy("a", "a.example").replace(right, wrong));
        let ran = node.once().expect_code(1);
        assert_eq!(node.read(POLICY), before, "{wrong}: {:#}", ran.status);
        assert_eq!(ran.status["kept"][0]["policy"], "a", "{wrong}");
    }
}

#[test]
fn the_emergency_stop_takes_everything_off_and_enabled_brings_it_back() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let config = |enforcement| format!("{}  enforcement: {enforcement}\n", config("Reject"));
    node.policy_file("config.yaml", &config("Enabled"));
    node.once().expect_code(0);
    for _ in 0..2 {
        node.policy_file("config.yaml", &config("Disabled"));
        let ran = node.once().expect_code(0);
        for path in [POLICY, DROP_IN, VERIFIER] {
            assert!(node.read(path).is_none(), "{path}");
        }
        assert_eq!(ran.condition("Enforcing")["reason"], "Disabled");
        assert_eq!(ran.condition("Ready")["status"], "False");
        node.policy_file("config.yaml", &config("Enabled"));
        node.once().expect_code(0);
        assert!(node.read_text(POLICY).contains("a.example"));
        assert!(node.read(VERIFIER).is_some() && node.read(DROP_IN).is_some());
    }
}
