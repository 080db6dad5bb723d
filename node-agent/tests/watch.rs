//! The watching agent: changes, swapped folders, drift, signals.

// Helpers of tests, which the lints take for library code.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{
    CRIO_POLICY, DROP_IN, FOLDER, NAMESPACES, Node, POLICY, REGISTRIES, SHIPPED, VERIFIER,
    namespaced, policy,
};

/// Ends the agent whatever happens to the test.
struct Agent(Child);

impl Agent {
    /// Starts an agent whose interval is too long to help: what happens, happens by events.
    fn start(node: &Node) -> Self {
        let mut command = node.agent();
        command
            .args(["--recheck", "3600"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn end(mut self, signal: rustix::process::Signal) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn has(node: &Node, text: &str) -> bool {
    node.read(POLICY)
        .is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
}

#[test]
fn changes_are_applied_as_they_come() {
    let node = Node::new();
    let agent = Agent::start(&node);
    eventually("the first apply", || {
        node.read("var/lib/nodeseal/status.json").is_some()
    });
    node.policy_file("a.yaml", &policy("a", "a.example"));
    eventually("a new file", || has(&node, "a.example"));
    node.policy_file("a.yaml", &policy("a", "b.example"));
    eventually("a changed file", || has(&node, "b.example"));
    node.remove_policy_file("a.yaml");
    eventually("a removed file", || !has(&node, "b.example"));
    assert_eq!(agent.end(rustix::process::Signal::TERM), Some(0));
}

#[test]
fn a_config_map_that_kubernetes_swaps_is_followed() {
    let node = Node::new();
    let policies = node.policies();
    let publish = |version: &str, scope: &str| {
        let dir = policies.join(format!("..{version}"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("a.yaml"), policy("a", scope)).unwrap();
        symlink(format!("..{version}"), policies.join("..data_tmp")).unwrap();
        std::fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
    };
    publish("1", "one.example");
    symlink("..data/a.yaml", policies.join("a.yaml")).unwrap();
    let _agent = Agent::start(&node);
    eventually("the first version", || has(&node, "one.example"));
    publish("2", "two.example");
    eventually("the second version", || has(&node, "two.example"));
    publish("3", "three.example");
    eventually("the third version", || has(&node, "three.example"));
}

#[test]
fn a_folder_that_is_itself_a_swapped_link_is_followed() {
    let node = Node::new();
    std::fs::remove_dir(node.policies()).unwrap();
    let publish = |version: &str, scope: &str| {
        let dir = node.dir().join(version);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("a.yaml"), policy("a", scope)).unwrap();
        symlink(&dir, node.dir().join("next")).unwrap();
        std::fs::rename(node.dir().join("next"), node.policies()).unwrap();
    };
    publish("1", "one.example");
    let _agent = Agent::start(&node);
    eventually("the first version", || has(&node, "one.example"));
    publish("2", "two.example");
    eventually("the second version", || has(&node, "two.example"));
}

#[test]
fn drift_is_put_back_without_waiting_for_the_interval() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let _agent = Agent::start(&node);
    eventually("the first apply", || {
        node.read("var/lib/nodeseal/status.json").is_some()
    });
    let before = node.read(POLICY);
    node.put(POLICY, "weaker");
    eventually("the policy", || node.read(POLICY) == before);
    std::fs::remove_file(node.at(DROP_IN)).unwrap();
    eventually("the drop-in", || node.read(DROP_IN).is_some());
    std::fs::remove_file(node.at(VERIFIER)).unwrap();
    eventually("the verifier", || node.read(VERIFIER).is_some());
    std::fs::remove_dir_all(node.at(FOLDER)).unwrap();
    eventually("the verifier's folder", || node.read(VERIFIER).is_some());
}

#[test]
fn on_crio_drift_and_files_of_others_are_seen_as_they_come() {
    let node = Node::crio();
    node.policy_file("a.yaml", &policy("a", "a.example:5000"));
    node.policy_file("team.yaml", &namespaced("team", "t", "t.example:5000"));
    let _agent = Agent::start(&node);
    let team = format!("{NAMESPACES}/team.json");
    eventually("the first apply", || {
        node.read("var/lib/nodeseal/status.json").is_some()
    });
    for path in [CRIO_POLICY, REGISTRIES, &team] {
        let before = node.read(path);
        node.put(path, SHIPPED);
        eventually(path, || node.read(path) == before);
        std::fs::remove_file(node.at(path)).unwrap();
        eventually(path, || node.read(path) == before);
    }
    let taken = "docker: {a.example:5000: {}}\n";
    node.put("etc/containers/registries.d/other.yaml", taken);
    eventually("a taken location", || {
        !node.read_text(REGISTRIES).contains("a.example")
    });
}

#[test]
fn a_signal_ends_the_agent_and_changes_nothing() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let node = Node::new();
        node.policy_file("a.yaml", &policy("a", "a.example"));
        let agent = Agent::start(&node);
        eventually("the first apply", || {
            node.read("var/lib/nodeseal/status.json").is_some()
        });
        let before = node.files();
        assert_eq!(agent.end(signal), Some(0));
        assert!(before == node.files());
    }
}

#[test]
fn at_rest_nothing_is_written() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let mut command = node.agent();
    command
        .args(["--recheck", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _agent = Agent(command.spawn().unwrap());
    eventually("the first apply", || {
        node.read("var/lib/nodeseal/status.json").is_some()
    });
    let before = node.files();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(before == node.files(), "some file was written again");
}
