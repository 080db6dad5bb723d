//! Leaving a node: afterwards it is byte for byte what it was before nodeseal, folders, modes,
//! owners and attributes included.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[cfg(feature = "fault-points")]
#[path = "leave/kills.rs"]
mod kills;
#[path = "leave/layouts.rs"]
mod layouts;
#[path = "leave/locked.rs"]
mod locked;
#[path = "leave/tree.rs"]
mod tree;

use std::process::{Command, Stdio};

use common::{CRIO_POLICY, DROP_IN, Node, POLICY, STATE_DIR, VERIFIER, policy};
use layouts::{LAYOUTS, Layout};
use tree::{assert_same, tree};

/// Runs `nodeseal-agent uninstall` on a node; its exit code, and what it printed.
pub(crate) fn uninstall(node: &Node) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal-agent"));
    command.args(["uninstall", "--root"]).arg(node.root());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[track_caller]
fn leave(node: &Node) {
    let (code, text) = uninstall(node);
    assert_eq!(code, Some(0), "{text}");
}

/// Installs, and sees that there was something to take away.
#[track_caller]
fn install(layout: &Layout, node: &Node) {
    layout.policies(node);
    node.once().expect_code(0);
    for path in layout.written {
        assert!(node.read(path).is_some(), "{}: {path}", layout.name);
    }
}

#[test]
fn uninstalled_each_layout_is_what_it_was_before() {
    for layout in &LAYOUTS {
        let node = layout.node();
        let before = tree(&node.root());
        // What was given back is the node's own again, so more than once.
        for _ in 0..2 {
            install(layout, &node);
            leave(&node);
            assert_same(&tree(&node.root()), &before, layout.name);
            leave(&node);
            assert_same(&tree(&node.root()), &before, layout.name);
        }
    }
}

#[test]
fn disabled_each_layout_is_what_it_was_before_but_for_the_agents_own_folder() {
    for layout in &LAYOUTS {
        let node = layout.node();
        let mut before = tree(&node.root());
        install(layout, &node);
        node.policy_file("config.yaml", DISABLED);
        let ran = node.once().expect_code(0);
        assert_eq!(
            ran.status["files"].as_array().map_or(0, Vec::len),
            0,
            "{}",
            layout.name
        );
        let outside = |tree: &mut tree::Tree| {
            tree.retain(|path, _| !path.starts_with(STATE_DIR));
        };
        let mut now = tree(&node.root());
        outside(&mut now);
        outside(&mut before);
        assert_same(&now, &before, layout.name);
        let files = node.files();
        node.once().expect_code(0);
        assert!(
            files == node.files(),
            "{}: a further run wrote something",
            layout.name
        );
        leave(&node);
        assert!(!node.at(STATE_DIR).exists());
    }
}

const DISABLED: &str = "apiVersion: nodeseal.dev/v1alpha1
kind: EnforcementConfig
metadata:
  name: default
spec:
  defaultAction: Allow
  enforcement: Disabled
";

#[test]
fn drift_leaves_no_trace_either() {
    for layout in &LAYOUTS {
        let node = layout.node();
        let before = tree(&node.root());
        install(layout, &node);
        for path in layout.written {
            if path.starts_with("etc/") && !layout.edited.contains(path) {
                node.put(path, "changed by someone else");
            }
        }
        node.once().expect_code(0);
        leave(&node);
        assert_same(&tree(&node.root()), &before, layout.name);
    }
}

#[test]
fn an_edit_of_others_stays_and_our_import_goes() {
    let layout = layouts::named("containerd with imports to add");
    let node = layout.node();
    install(layout, &node);
    let config = "etc/containerd/config.toml";
    let (before, installed) = (layouts::COMMENTED, node.read_text(config));
    assert_ne!(before, installed);
    let edited = format!("{installed}\n# added later\noom_score = -5\n");
    node.put(config, &edited);
    node.once().expect_code(0);
    leave(&node);
    let now = node.read_text(config);
    assert_eq!(now, format!("{before}\n# added later\noom_score = -5\n"));
    assert!(!node.at("etc/containerd/conf.d").exists() && !node.at(STATE_DIR).exists());
}

#[test]
fn folders_of_ours_with_files_of_others_stay_and_are_told() {
    let layout = layouts::named("containerd with imports to add");
    let node = layout.node();
    let mut before = tree(&node.root());
    install(layout, &node);
    let theirs = "etc/containerd/conf.d/theirs.toml";
    node.put(theirs, "version = 2\n");
    let (code, text) = uninstall(&node);
    assert_eq!(code, Some(0), "{text}");
    let folder = node.at("etc/containerd/conf.d");
    assert!(
        text.contains(&format!("{} was not written by", folder.display())),
        "{text}"
    );
    let now = tree(&node.root());
    for path in ["etc/containerd/conf.d", theirs] {
        let path = std::path::PathBuf::from(path);
        before.insert(path.clone(), now[&path].clone());
    }
    assert_same(&now, &before, "with a file of others");
}

#[test]
fn an_empty_folder_that_was_there_before_stays() {
    let layout = layouts::named("containerd with imports to add");
    let node = layout.node();
    for path in [
        "etc/containerd/conf.d",
        "etc/nodeseal",
        "opt/nodeseal/staging",
    ] {
        std::fs::create_dir_all(node.at(path)).unwrap();
    }
    let before = tree(&node.root());
    install(layout, &node);
    leave(&node);
    assert_same(&tree(&node.root()), &before, "with empty folders");
}

#[test]
fn folders_that_are_not_needed_any_more_go_while_the_agent_stays() {
    let node = Node::crio();
    node.policy_file(
        "team.yaml",
        &common::namespaced("team", "t", "t.example:5000"),
    );
    node.once().expect_code(0);
    assert!(node.at(common::NAMESPACES).is_dir());
    assert_eq!(node.mode(common::NAMESPACES), 0o755);
    node.remove_policy_file("team.yaml");
    node.once().expect_code(0);
    assert!(!node.at(common::NAMESPACES).exists());
    let before = node.files();
    node.once().expect_code(0);
    assert!(before == node.files(), "a further run wrote something");
}

#[test]
fn without_its_copy_a_file_stays_with_the_record_and_the_other_copies() {
    let layout = layouts::named("CRI-O");
    let node = layout.node();
    install(layout, &node);
    let backups = node.at("var/lib/nodeseal/backup");
    let copies = node.copies();
    let copy = copies
        .iter()
        .find(|name| name.starts_with("etc+crio+policy.json"))
        .unwrap();
    std::fs::write(backups.join(copy), "damaged").unwrap();
    for _ in 0..2 {
        let (code, text) = uninstall(&node);
        assert_eq!(code, Some(1), "{text}");
        let path = node.at(common::CRIO_POLICY);
        let told = format!("{} is still nodeseal's", path.display());
        assert!(text.contains(&told), "{text}");
        assert!(backups.join(copy).exists() && node.read("var/lib/nodeseal/state.json").is_some());
        assert!(node.read(common::CRIO_POLICY).is_some());
        assert!(node.read("var/lib/nodeseal/bundle").is_none());
    }
    // Everything else is back.
    assert_eq!(node.read_text(layouts::TEAM), layouts::THEIRS);
}

#[test]
fn the_verifiers_own_files_go_with_the_rest() {
    let layout = layouts::named("containerd with a folder of its own");
    let node = layout.node();
    let before = tree(&node.root());
    install(layout, &node);
    for path in [
        "cache/1f/abc",
        "cache/.new",
        "cache/flights/00",
        "verdicts/verdicts.jsonl",
    ] {
        node.put(&format!("{STATE_DIR}/{path}"), "x");
    }
    leave(&node);
    assert_same(&tree(&node.root()), &before, "with a cache");
}

#[test]
fn where_nothing_of_nodeseal_is_nothing_is_done() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let before = tree(&node.root());
    leave(&node);
    assert_same(&tree(&node.root()), &before, "before any agent");
    for path in [POLICY, DROP_IN, VERIFIER] {
        assert!(node.read(path).is_none(), "{path}");
    }
}

#[test]
fn a_policy_file_that_crio_names_and_that_was_not_there_before_is_left_behind() {
    let anything = "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}\n";
    let system = r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{}}"#;
    for (theirs, left) in [(None, anything), (Some(system), system)] {
        let node = Node::crio();
        std::fs::remove_file(node.at(CRIO_POLICY)).unwrap();
        if let Some(theirs) = theirs {
            node.put("etc/containers/policy.json", theirs);
        }
        node.policy_file("a.yaml", &policy("a", "a.example:5000"));
        let disabled = node.copy();
        node.once().expect_code(0);
        assert!(node.read_text(CRIO_POLICY).contains("a.example:5000"));
        leave(&node);
        assert_eq!(node.read_text(CRIO_POLICY), left);
        leave(&node);
        assert_eq!(node.read_text(CRIO_POLICY), left);
        assert!(!node.at(STATE_DIR).exists());
        // The same where the cluster takes everything off, and it is nobody's to give back later.
        disabled.once().expect_code(0);
        disabled.policy_file("config.yaml", DISABLED);
        for _ in 0..2 {
            let ran = disabled.once().expect_code(0);
            assert_eq!(ran.status["files"].as_array().map_or(0, Vec::len), 0);
            assert_eq!(disabled.read_text(CRIO_POLICY), left);
        }
        leave(&disabled);
        assert_eq!(disabled.read_text(CRIO_POLICY), left);
    }
}
