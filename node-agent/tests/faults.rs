//! `kill -9` at every point of an apply, of a first installation, and of their recovery.
//!
//! After each kill every managed file is whole: byte for byte the old one or the new one. The
//! verifier's folder, if it is there, holds the verifier alone. The next agent completes the
//! change and leaves nothing behind.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{
    CONTAINERD, DROP_IN, FOLDER, Node, POLICY, VERIFIER, config, interrupted, killed_at, policy,
};

const FILES: [&str; 3] = [POLICY, DROP_IN, VERIFIER];

type Whole = [Option<Vec<u8>>; 3];

/// Before the first installation.
const NOTHING: Whole = [None, None, None];

/// A program of some size, so that half a file differs from a whole one.
fn verifier(version: u8) -> Vec<u8> {
    let mut bytes = format!("#!/bin/sh\nexit {version}\n#").into_bytes();
    bytes.resize(64 * 1024, b'0' + version);
    bytes
}

/// What the policies, containerd's configuration and the agent's verifier are at first.
fn set_old(node: &Node) {
    node.policy_file("a.yaml", &policy("a", "old.example"));
    node.policy_file("config.yaml", &config("Allow"));
    node.put(
        "etc/containerd/config.toml",
        &CONTAINERD.replace("version = 3", "version = 2"),
    );
    node.verifier_to_install(&verifier(1));
}

/// And then: each managed file changes.
fn set_new(node: &Node) {
    node.policy_file("a.yaml", &policy("a", "new.example"));
    node.policy_file("b.yaml", &policy("b", "more.example"));
    node.policy_file("config.yaml", &config("Reject"));
    node.put("etc/containerd/config.toml", CONTAINERD);
    node.verifier_to_install(&verifier(2));
}

fn whole(node: &Node) -> Whole {
    FILES.map(|path| node.read(path))
}

#[track_caller]
fn assert_whole(node: &Node, old: &Whole, new: &Whole, when: &str) {
    for (at, path) in FILES.iter().enumerate() {
        let now = node.read(path);
        assert!(
            now == old[at] || now == new[at],
            "{when}: {path} is neither old nor new"
        );
        if now.is_some() {
            let mode = if *path == VERIFIER { 0o755 } else { 0o644 };
            assert_eq!(node.mode(path), mode, "{when}: {path}");
        }
    }
    if let Ok(entries) = std::fs::read_dir(node.at(FOLDER)) {
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(
            names,
            ["nodeseal-verifier"],
            "{when}: the verifier's folder"
        );
    }
    // A verifier without a policy would refuse every pull.
    assert!(
        node.read(VERIFIER).is_none() || node.read(POLICY).is_some(),
        "{when}: a verifier without a policy"
    );
}

#[track_caller]
fn assert_completes(node: &Node, new: &Whole, when: &str) {
    let ran = node.once();
    assert_eq!(
        ran.code,
        Some(0),
        "{when}: {:#}\n{}",
        ran.status,
        ran.stderr
    );
    assert!(
        whole(node) == *new,
        "{when}: the next agent did not complete the change"
    );
    assert_eq!(node.leftovers(), [""; 0], "{when}");
    // Nothing of the agent's own was taken for another's on the way.
    let notes = ran.text("lastApplyNotes");
    assert!(
        !notes.contains("was not written by nodeseal"),
        "{when}: {notes}"
    );
    assert!(!notes.contains("by someone else"), "{when}: {notes}");
}

/// The managed files of a node on which nothing went wrong.
fn undisturbed() -> (Whole, Whole) {
    let node = Node::new();
    set_old(&node);
    node.once().expect_code(0);
    let old = whole(&node);
    set_new(&node);
    node.once().expect_code(0);
    let new = whole(&node);
    for (at, path) in FILES.iter().enumerate() {
        assert!(
            old[at].is_some() && new[at].is_some() && old[at] != new[at],
            "{path}"
        );
    }
    (old, new)
}

fn updating() -> Node {
    let node = Node::new();
    set_old(&node);
    node.once().expect_code(0);
    set_new(&node);
    node
}

fn installing() -> Node {
    let node = Node::new();
    set_new(&node);
    node
}

/// Drives a kill at every point; returns how many there are.
fn drive(start: &Node, old: &Whole, new: &Whole, name: &str) -> u64 {
    for n in 1.. {
        let node = start.copy();
        let when = format!("{name}, point {n}");
        if !killed_at(&node, n) {
            assert!(whole(&node) == *new, "{when}");
            return n - 1;
        }
        assert_whole(&node, old, new, &when);
        assert_completes(&node, new, &when);
        if n % 10 == 0 {
            let before = node.files();
            node.once().expect_code(0);
            assert!(
                before == node.files(),
                "{when}: a further run wrote something"
            );
        }
    }
    unreachable!()
}

#[test]
fn an_update_that_is_killed_anywhere_is_whole_and_is_completed() {
    let (old, new) = undisturbed();
    let points = drive(&updating(), &old, &new, "update");
    println!("update: killed at each of {points} points");
    assert!(points > 50, "only {points} points were reached");
}

#[test]
fn a_first_installation_that_is_killed_anywhere_is_whole_and_is_completed() {
    let (_, new) = undisturbed();
    let points = drive(&installing(), &NOTHING, &new, "installation");
    println!("installation: killed at each of {points} points");
    assert!(points > 50, "only {points} points were reached");
}

#[test]
fn a_recovery_that_is_killed_anywhere_is_whole_and_is_completed() {
    let (old, new) = undisturbed();
    let mut points = 0;
    for (name, start, old) in [
        ("update", updating(), &old),
        ("first", installing(), &NOTHING),
    ] {
        // Neighbouring points leave nearly the same on disk; every eighth is driven through.
        for (at, node) in interrupted(&start).iter().enumerate().step_by(8) {
            points += drive(node, old, &new, &format!("recovery of {name} {at}"));
        }
    }
    println!("recovery: killed at each of {points} points");
    assert!(points > 50, "only {points} points were reached");
}

/// Kills an agent while it goes back, because a staged file was lost with the power.
#[test]
fn going_back_that_is_killed_anywhere_is_whole_and_is_completed() {
    let (old, new) = undisturbed();
    let staged = "etc/containerd/conf.d/.zz-nodeseal.toml.nodeseal-tmp";
    let mut points = 0;
    for (start, old) in [(updating(), &old), (installing(), &NOTHING)] {
        // As far as a node comes whose policy and verifier are new and whose drop-in is not.
        let node = interrupted(&start)
            .into_iter()
            .find(|node| {
                node.read(staged).is_some()
                    && node.read(POLICY) == new[0]
                    && node.read(VERIFIER) == new[2]
            })
            .expect("such a point");
        std::fs::remove_file(node.at(staged)).unwrap();
        points += drive(&node, old, &new, "going back");
    }
    println!("going back: killed at each of {points} points");
    assert!(points > 50, "only {points} points were reached");
}
