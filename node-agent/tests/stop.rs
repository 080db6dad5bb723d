//! The emergency stop: `enforcement: Disabled` takes everything off with nothing but the agent's own
//! records to go by.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Command, Stdio};

use common::{
    CRIO_POLICY, DROP_IN, Node, POLICY, REGISTRIES, Ran, SHIPPED, STATE_DIR, VERIFIER, config,
    policy, ran,
};

const CONFIG: &str = "etc/containerd/config.toml";
const BROKEN: &str = "version = 3\n[[[ imports = ['/etc/containerd/conf.d/*.toml']\n";

fn wish(node: &Node, enforcement: &str) {
    let text = format!("{}  enforcement: {enforcement}\n", config("Reject"));
    node.policy_file("config.yaml", &text);
}

fn enforcing(node: Node) -> Node {
    node.policy_file("a.yaml", &policy("a", "a.example"));
    wish(&node, "Enabled");
    node.once().expect_code(0);
    node
}

/// An agent that was not told of any runtime, on a node on which none answers.
fn knowing_of_none(node: &Node) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal-agent"));
    let socket = node.dir().join("nobody.sock");
    command
        .arg("--policy-dir")
        .arg(node.policies())
        .arg("--root")
        .arg(node.root())
        .arg("--runtime-endpoint")
        .arg(format!("unix://{}", socket.display()))
        .args(["--once", "--output", "json"])
        .stdin(Stdio::null());
    ran(&mut command)
}

#[track_caller]
fn is_off(node: &Node, ran: &Ran) {
    for path in [POLICY, DROP_IN, VERIFIER, REGISTRIES] {
        assert!(node.read(path).is_none(), "{path}");
    }
    assert_eq!(ran.condition("Applied")["status"], "True");
    assert_eq!(ran.condition("Enforcing")["reason"], "Disabled");
    assert_eq!(ran.text("files"), "[]");
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_containerd_configuration_that_cannot_be_read_does_not_keep_it_from_anything() {
    let node = enforcing(Node::new());
    node.put(CONFIG, BROKEN);
    // What works stays, as long as it is asked for.
    let failed = node.once().expect_code(1);
    assert_eq!(failed.applied().0, "RenderFailed", "{}", failed.applied().1);
    assert!(node.read(POLICY).is_some() && node.read(VERIFIER).is_some());
    wish(&node, "Disabled");
    let ran = node.once().expect_code(0);
    is_off(&node, &ran);
    assert_eq!(node.read_text(CONFIG), BROKEN);
    let detected = ran.condition("Detected");
    assert_eq!(detected["reason"], "NotChecked");
    let message = detected["message"].as_str().unwrap();
    assert!(message.contains("was not looked at"), "{message}");
    assert_eq!(ran.status["runtime"]["name"], "containerd");
}

#[test]
fn an_import_of_ours_in_a_configuration_that_cannot_be_read_any_more_does_neither() {
    let node = Node::new();
    node.put(
        CONFIG,
        "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 0\n",
    );
    let node = enforcing(node);
    let broken = format!("{}[[[\n", node.read_text(CONFIG));
    assert!(broken.contains("zz-nodeseal"), "{broken}");
    node.put(CONFIG, &broken);
    wish(&node, "Disabled");
    let ran = node.once().expect_code(0);
    is_off(&node, &ran);
    // What they made of it is theirs; the pattern in it matches no file any more.
    assert_eq!(node.read_text(CONFIG), broken);
}

#[test]
fn no_runtime_has_to_be_known() {
    for node in [Node::new(), Node::crio()] {
        let is_crio = node.read(CRIO_POLICY).is_some();
        let node = enforcing(node);
        assert!(node.read(POLICY).is_some() != is_crio);
        assert!(node.read(REGISTRIES).is_some() == is_crio);
        // What works stays, as long as it is asked for.
        let failed = knowing_of_none(&node).expect_code(1);
        assert_eq!(failed.applied().0, "Pending", "{}", failed.applied().1);
        assert!(node.read(POLICY).is_some() != is_crio);
        wish(&node, "Disabled");
        let ran = knowing_of_none(&node).expect_code(0);
        is_off(&node, &ran);
        if is_crio {
            assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
        }
        // There is nothing to do a second time, and it comes back.
        let files = node.files();
        knowing_of_none(&node).expect_code(0);
        assert!(files == node.files());
        wish(&node, "Enabled");
        node.once().expect_code(0);
        assert!(node.read(POLICY).is_some() != is_crio);
    }
}

#[test]
fn no_verifier_to_install_is_needed() {
    let node = enforcing(Node::new());
    std::fs::remove_file(node.dir().join("verifier")).unwrap();
    wish(&node, "Disabled");
    let ran = node.once().expect_code(0);
    is_off(&node, &ran);
}

#[test]
fn where_it_is_not_known_what_is_ours_nothing_is_said_to_be_off() {
    let node = enforcing(Node::new());
    node.put(&format!("{STATE_DIR}/state.json"), "{ cut");
    wish(&node, "Disabled");
    let ran = node.once().expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "RenderFailed");
    assert!(
        message.contains("state.json") && message.contains("stays in force"),
        "{message}"
    );
    assert!(node.read(POLICY).is_some() && node.read(VERIFIER).is_some());
    // As it says.
    wish(&node, "Enabled");
    node.once().expect_code(0);
    wish(&node, "Disabled");
    let ran = node.once().expect_code(0);
    is_off(&node, &ran);
    // Where nothing of ours is left, a lost record says as much.
    node.put(&format!("{STATE_DIR}/state.json"), "{ cut");
    let ran = node.once().expect_code(0);
    is_off(&node, &ran);
}
