//! `kill -9` at every point of an installation and of leaving: whatever it was cut off at, the next
//! `uninstall` makes the node what it was before.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use super::common::{Node, killed_at};
use super::layouts::{LAYOUTS, Layout};
use super::tree::{Tree, assert_same, tree};
use super::{install, leave};

/// Ends an uninstall at point `n`: true if it was ended there.
fn uninstall_killed_at(node: &Node, n: u64) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal-agent"));
    command.args(["uninstall", "--root"]).arg(node.root());
    command.env("NODESEAL_FAULT_AT", n.to_string());
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    match (status.signal(), status.code()) {
        (Some(9), None) => true,
        (None, Some(0)) => false,
        other => panic!("fault {n}: uninstall ended with {other:?}"),
    }
}

/// Ends an uninstall at every point; returns how many there are.
fn drive(layout: &Layout, start: &Node, before: &Tree) -> u64 {
    for n in 1.. {
        let node = start.copy();
        let when = format!("{}, uninstall, point {n}", layout.name);
        let killed = uninstall_killed_at(&node, n);
        if killed {
            leave(&node);
        }
        assert_same(&tree(&node.root()), before, &when);
        if !killed {
            return n - 1;
        }
    }
    unreachable!()
}

#[test]
fn leaving_that_is_killed_anywhere_is_completed_by_the_next() {
    for layout in &LAYOUTS {
        let start = layout.node();
        let before = tree(&start.root());
        install(layout, &start);
        let points = drive(layout, &start, &before);
        println!(
            "{}: uninstall killed at each of {points} points",
            layout.name
        );
        assert!(
            points > 50,
            "{}: only {points} points were reached",
            layout.name
        );
    }
}

#[test]
fn an_installation_that_is_killed_anywhere_can_be_left() {
    for layout in &LAYOUTS {
        let start = layout.node();
        let before = tree(&start.root());
        layout.policies(&start);
        let mut points = 0;
        for n in 1.. {
            let node = start.copy();
            if !killed_at(&node, n) {
                break;
            }
            leave(&node);
            let when = format!("{}, installation, point {n}", layout.name);
            assert_same(&tree(&node.root()), &before, &when);
            points = n;
        }
        println!(
            "{}: installation killed at each of {points} points",
            layout.name
        );
        assert!(
            points > 50,
            "{}: only {points} points were reached",
            layout.name
        );
    }
}
