//! `kill -9` at every point of what happens to a CRI-O node.
//!
//! After each kill every file is whole, and the files together are one of few mixes, in one order.
//! Wherever rules demand signatures, registries.d already, or still, says to look them up; no
//! namespace loses its file before the rules of the cluster stand in for it. The end-to-end tests
//! put the same mixes before the library that CRI-O verifies with.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use common::{
    CRIO_POLICY, Node, REGISTRIES, SHIPPED, config, interrupted, killed_at, namespaced, policy,
};

const KEPT: &str = "etc/crio/policies/kept.json";
const GONE: &str = "etc/crio/policies/gone.json";
const MORE: &str = "etc/crio/policies/more.json";
const FILES: [&str; 5] = [REGISTRIES, KEPT, MORE, CRIO_POLICY, GONE];

/// What stands at [`FILES`].
type Mix = [Option<Vec<u8>>; 5];

fn mix(node: &Node) -> Mix {
    FILES.map(|path| node.read(path))
}

fn shipped() -> Node {
    Node::crio()
}

fn set_old(node: &Node) {
    node.policy_file("a.yaml", &policy("a", "old.example:1"));
    node.policy_file("config.yaml", &config("Allow"));
    node.policy_file("kept.yaml", &namespaced("kept", "k", "kept.example:1"));
    node.policy_file("gone.yaml", &namespaced("gone", "g", "gone.example:1"));
}

/// Every managed file changes, one goes and one comes.
fn set_new(node: &Node) {
    set_old(node);
    node.policy_file("a.yaml", &policy("a", "new.example:1"));
    node.policy_file("more.yaml", &namespaced("more", "m", "more.example:1"));
    node.policy_file("config.yaml", &config("Reject"));
    node.remove_policy_file("gone.yaml");
}

fn set_nothing(node: &Node) {
    for name in ["a.yaml", "config.yaml", "kept.yaml", "gone.yaml"] {
        node.remove_policy_file(name);
    }
    // Without an EnforcementConfig its last values would stay in force.
    node.policy_file("config.yaml", &config("Allow"));
}

fn old() -> Node {
    let node = shipped();
    set_old(&node);
    node.once().expect_code(0);
    node
}

/// The locations that a file in registries.d turns lookups on for.
fn locations(bytes: Option<&Vec<u8>>) -> BTreeSet<String> {
    let text = bytes.map_or(String::new(), |bytes| {
        String::from_utf8(bytes.clone()).unwrap()
    });
    text.lines()
        .filter_map(|line| line.strip_prefix("  \"")?.strip_suffix("\":"))
        .map(str::to_owned)
        .collect()
}

/// The scopes at which a policy.json demands signatures.
fn demanded(bytes: Option<&Vec<u8>>) -> BTreeSet<String> {
    let Some(bytes) = bytes else {
        return BTreeSet::new();
    };
    let document: serde_json::Value = serde_json::from_slice(bytes).expect("a whole file");
    let docker = document["transports"]["docker"].as_object().cloned();
    let signed = |rules: &serde_json::Value| rules[0]["type"] == "sigstoreSigned";
    docker
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, rules)| signed(rules))
        .map(|(scope, _)| scope)
        .collect()
}

/// What holds in every mix.
#[track_caller]
fn assert_sound(mix: &Mix, when: &str) {
    let [registries, rules @ ..] = mix;
    let looked_up = locations(registries.as_ref());
    for rules in rules {
        for scope in demanded(rules.as_ref()) {
            assert!(
                looked_up.contains(&scope),
                "{when}: {scope} is not looked up"
            );
        }
    }
}

/// Kills at every point on the way from `start`; returns how many there are, and the mixes in the
/// order in which they came.
fn drive(start: &Node, name: &str) -> (u64, Vec<Mix>) {
    let end = start.copy();
    end.once().expect_code(0);
    let end = mix(&end);
    let mut mixes: Vec<Mix> = vec![mix(start)];
    for n in 1.. {
        let node = start.copy();
        let when = format!("{name}, point {n}");
        let killed = killed_at(&node, n);
        let now = mix(&node);
        assert_sound(&now, &when);
        if mixes.last() != Some(&now) {
            assert!(!mixes.contains(&now), "{when}: back to an earlier mix");
            mixes.push(now);
        }
        if !killed {
            assert!(mixes.last() == Some(&end), "{when}");
            return (n - 1, mixes);
        }
        for path in FILES.iter().filter(|path| node.read(path).is_some()) {
            assert_eq!(node.mode(path), 0o644, "{when}: {path}");
        }
        node.once().expect_code(0);
        assert!(
            mix(&node) == end,
            "{when}: the next agent did not complete it"
        );
        assert_eq!(node.leftovers(), [""; 0], "{when}");
        // Of all that it met, only the distribution's own file was another's.
        assert!(node.copies().len() <= 1, "{when}: {:?}", node.copies());
    }
    unreachable!()
}

/// The update, driven once for all tests.
fn update() -> &'static (u64, Vec<Mix>) {
    static UPDATE: OnceLock<(u64, Vec<Mix>)> = OnceLock::new();
    UPDATE.get_or_init(|| drive(&updating(), "update"))
}

fn updating() -> Node {
    let node = old();
    set_new(&node);
    node
}

/// Which files differ between neighbouring mixes.
fn order(mixes: &[Mix]) -> Vec<Vec<&'static str>> {
    let changed = |pair: &[Mix]| {
        let differs = |at: &usize| pair[0][*at] != pair[1][*at];
        (0..FILES.len())
            .filter(differs)
            .map(|at| FILES[at])
            .collect()
    };
    mixes.windows(2).map(changed).collect()
}

#[test]
fn an_update_passes_through_the_mixes_of_the_transition_and_no_others() {
    let (points, mixes) = update();
    println!(
        "update: killed at each of {points} points, {} mixes",
        mixes.len()
    );
    // One file at a time; the locations of both sets first, those of the new set alone last.
    let steps = [REGISTRIES, KEPT, MORE, CRIO_POLICY, GONE, REGISTRIES];
    assert_eq!(order(mixes), steps.map(|path| vec![path]));
    let (first, last) = (
        locations(mixes[0][0].as_ref()),
        locations(mixes[6][0].as_ref()),
    );
    assert_eq!(locations(mixes[1][0].as_ref()), &first | &last);
    assert!(*points > 100, "only {points} points were reached");
}

#[test]
fn an_installation_looks_signatures_up_before_it_demands_them() {
    let start = shipped();
    set_old(&start);
    let (points, mixes) = drive(&start, "installation");
    println!(
        "installation: killed at each of {points} points, {} mixes",
        mixes.len()
    );
    assert_eq!(
        order(&mixes),
        [REGISTRIES, GONE, KEPT, CRIO_POLICY].map(|path| vec![path])
    );
}

#[test]
fn the_last_policy_gone_the_lookups_go_last() {
    let start = old();
    set_nothing(&start);
    let (points, mixes) = drive(&start, "removal");
    println!(
        "removal: killed at each of {points} points, {} mixes",
        mixes.len()
    );
    assert_eq!(
        order(&mixes),
        [CRIO_POLICY, GONE, KEPT, REGISTRIES].map(|path| vec![path])
    );
    let [registries, kept, more, policy, gone] = mixes.last().unwrap();
    assert!(
        [registries, kept, more, gone]
            .iter()
            .all(|file| file.is_none())
    );
    assert_eq!(policy.as_deref(), Some(SHIPPED.as_bytes()));
}

/// Kills agents that recover: none of them makes a mix that an undisturbed one does not make.
#[test]
fn a_recovery_that_is_killed_anywhere_makes_no_new_mix() {
    let start = updating();
    let (_, mixes) = update();
    let mut points = 0;
    for (at, node) in interrupted(&start).iter().enumerate().step_by(25) {
        let (more, seen) = drive(node, &format!("recovery {at}"));
        assert!(seen.iter().all(|mix| mixes.contains(mix)), "recovery {at}");
        points += more;
    }
    println!("recovery: killed at each of {points} points");
    assert!(points > 100, "only {points} points were reached");
}

/// Kills agents that go back, because a staged file was lost with the power: the mixes of the way
/// there, the other way round, and then again.
#[test]
fn going_back_that_is_killed_anywhere_makes_no_new_mix() {
    let start = updating();
    let (_, mixes) = update();
    let staged = "etc/crio/.policy.json.nodeseal-tmp";
    // As far as a node comes that has the namespace files and not yet the cluster's policy.
    let node = interrupted(&start)
        .into_iter()
        .find(|node| node.read(staged).is_some() && mix(node) == mixes[3])
        .expect("such a point");
    std::fs::remove_file(node.at(staged)).unwrap();
    let mut points = 0;
    for n in 1.. {
        let node = node.copy();
        points = n;
        if !killed_at(&node, n) {
            break;
        }
        assert!(mixes.contains(&mix(&node)), "going back, point {n}");
        node.once().expect_code(0);
        assert!(mixes.last() == Some(&mix(&node)), "going back, point {n}");
        assert_eq!(node.leftovers(), [""; 0], "going back, point {n}");
    }
    println!("going back: killed at each of {points} points");
    assert!(points > 100, "only {points} points were reached");
}
