//! What an earlier agent left: a journal, temporary files, a lock.

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Node, POLICY, VERIFIER, policy, ran};

#[test]
fn a_damaged_journal_is_told_discarded_and_everything_rendered_again() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    node.policy_file("a.yaml", &policy("a", "b.example"));
    node.put(
        "var/lib/nodeseal/journal",
        "{\"version\": 1, \"steps\": [{\"path\"",
    );
    let ran = node.once().expect_code(0);
    let notes = ran.text("lastApplyNotes");
    assert!(
        notes.contains("var/lib/nodeseal/journal: it is damaged"),
        "{notes}"
    );
    assert!(node.read_text(POLICY).contains("b.example"));
    assert_eq!(node.leftovers(), [""; 0]);
    node.once().expect_code(0);
}

#[test]
fn our_leftovers_go_and_those_of_others_stay() {
    let node = Node::new();
    node.once().expect_code(0);
    let ours = [
        "etc/nodeseal/verifier/.policy.json.nodeseal-tmp",
        "etc/containerd/conf.d/.zz-nodeseal.toml.nodeseal-tmp",
        "opt/nodeseal/staging/.nodeseal-verifier.nodeseal-tmp",
        "opt/nodeseal/staging/.image-verifier.nodeseal-tmp/nodeseal-verifier",
        "var/lib/nodeseal/.state.json.nodeseal-tmp",
        "var/lib/nodeseal/backup/.x.nodeseal-tmp",
        "var/lib/nodeseal/backup/rollback/x",
    ];
    let others = [
        "etc/containerd/conf.d/.other.tmp",
        "opt/nodeseal/staging/other",
    ];
    for path in ours.iter().chain(&others) {
        node.put(path, "leftover");
    }
    node.once().expect_code(0);
    assert_eq!(node.leftovers(), [""; 0]);
    for path in others {
        assert!(node.read(path).is_some(), "{path}");
    }
}

#[test]
fn a_damaged_record_of_files_costs_nothing_but_a_note() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.put("var/lib/nodeseal/state.json", "{");
    let ran = node.once().expect_code(0);
    assert!(
        ran.text("lastApplyNotes")
            .contains("state.json was made anew")
    );
    assert_eq!(node.read(POLICY), before);
    assert!(node.read(VERIFIER).is_some());
}

#[test]
fn a_second_agent_on_the_same_root_is_refused() {
    let node = Node::new();
    let mut first = node
        .agent()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while node.read("var/lib/nodeseal/status.json").is_none() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "the first agent does not start"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = ran(node.agent().args(["--once", "--output", "json"]));
    let pid = first.id();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(1));
    let expected = format!("another nodeseal-agent (process {pid}) works on");
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    // The kernel let go of the lock of the killed one.
    node.once().expect_code(0);
}
