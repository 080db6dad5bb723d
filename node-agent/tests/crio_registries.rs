//! registries.conf and registries.d on a CRI-O node: where signatures are looked up, and what
//! belongs to others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{CRIO_POLICY, Node, REGISTRIES, Ran, SHIPPED, policy};
use serde_json::Value;

const CONF: &str = "etc/containers/registries.conf";
const DROP_IN: &str = "etc/containers/registries.conf.d/50-own.conf";
const OTHER: &str = "etc/containers/registries.d/other.yaml";

/// A registry with one mirror.
fn mirrored(prefix: &str, mirror: &str) -> String {
    format!("[[registry]]\nlocation = \"{prefix}\"\n[[registry.mirror]]\nlocation = \"{mirror}\"\n")
}

fn node() -> Node {
    let node = Node::crio();
    node.policy_file("a.yaml", &policy("first", "a.example:5000/team"));
    node
}

/// The locations in our file, in their order.
fn locations(node: &Node) -> Vec<String> {
    let Some(bytes) = node.read(REGISTRIES) else {
        return Vec::new();
    };
    let text = String::from_utf8(bytes).unwrap();
    let name = |line: &str| {
        let name = line.strip_prefix("  \"")?.strip_suffix("\":")?;
        Some(name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

fn unsupported(ran: &Ran) -> &Value {
    &ran.status["unsupported"]["first"]
}

#[test]
fn a_mirror_is_found_in_registries_d() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local/cache"));
    node.once().expect_code(0);
    assert_eq!(
        locations(&node),
        ["a.example:5000/team", "mirror.local/cache/team"]
    );
}

#[test]
fn a_drop_in_replaces_the_registry_and_its_mirrors() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local/cache"));
    node.put(DROP_IN, &mirrored("a.example:5000", "second.local"));
    node.once().expect_code(0);
    assert_eq!(
        locations(&node),
        ["a.example:5000/team", "second.local/team"]
    );
    std::fs::remove_file(node.at(DROP_IN)).unwrap();
    node.once().expect_code(0);
    assert_eq!(
        locations(&node),
        ["a.example:5000/team", "mirror.local/cache/team"]
    );
}

#[test]
fn what_only_newer_versions_of_the_library_read_is_looked_up_as_well() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local"));
    let newer = "etc/containers/registries.rootful.conf.d/10.conf";
    node.put(newer, &mirrored("a.example:5000", "newer.local"));
    node.once().expect_code(0);
    assert_eq!(
        locations(&node),
        [
            "a.example:5000/team",
            "mirror.local/team",
            "newer.local/team"
        ]
    );
}

#[test]
fn a_file_that_crio_would_not_take_keeps_everything_as_it_is_and_is_told() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local/cache"));
    node.once().expect_code(0);
    let (policies, before) = (node.read(CRIO_POLICY), node.read(REGISTRIES));
    node.put(DROP_IN, "[[registry]]\nlocation = \"https://a.example\"\n");
    node.policy_file("b.yaml", &policy("second", "b.example:5000"));
    let ran = node.once().expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "RenderFailed");
    let words = "50-own.conf: [[registry]] number 1: `https://a.example` has a scheme";
    assert!(message.contains(words), "{message}");
    assert_eq!(ran.condition("Detected")["status"], "False");
    assert_eq!(
        (node.read(CRIO_POLICY), node.read(REGISTRIES)),
        (policies, before)
    );
    std::fs::remove_file(node.at(DROP_IN)).unwrap();
    node.once().expect_code(0);
    assert!(locations(&node).contains(&"b.example:5000".to_owned()));
}

#[test]
fn a_file_that_crio_would_not_take_does_not_keep_the_last_policy_from_going() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local/cache"));
    node.once().expect_code(0);
    assert_ne!(node.read_text(CRIO_POLICY), SHIPPED);
    node.put(CONF, "[[registry]]\nlocation = \"https://a.example\"\n");
    node.remove_policy_file("a.yaml");
    let ran = node.once().expect_code(0);
    assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
    assert!(node.read(REGISTRIES).is_none());
    let warnings = ran.text("warnings");
    assert!(warnings.contains("registries.conf is not valid"));
    assert!(warnings.contains("`https://a.example` has a scheme"));
    assert_eq!(ran.condition("Detected")["status"], "True");
    // With a policy that needs signatures it stands in the way again.
    node.policy_file("a.yaml", &policy("first", "a.example:5000/team"));
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "RenderFailed");
    assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
}

#[test]
fn a_location_that_another_file_switches_on_is_left_to_it() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local"));
    let on = "docker:\n  a.example:5000/team:\n    use-sigstore-attachments: true\n";
    node.put(OTHER, on);
    let ran = node.once().expect_code(0);
    assert_eq!(unsupported(&ran), &Value::Null);
    assert_eq!(locations(&node), ["mirror.local/team"]);
    node.put(OTHER, &on.replace("true", "false"));
    let ran = node.once().expect_code(0);
    assert_eq!(unsupported(&ran)[0]["reason"], "ForeignOwner");
    let message = unsupported(&ran)[0]["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("/{OTHER}")), "{message}");
    assert!(message.contains("set `use-sigstore-attachments: true` there"));
}

#[test]
fn the_place_of_a_mirror_that_another_file_has_is_reported() {
    let node = node();
    node.put(CONF, &mirrored("a.example:5000", "mirror.local"));
    node.put(
        OTHER,
        "docker:\n  mirror.local/team:\n    lookaside: https://x\n",
    );
    let ran = node.once().expect_code(0);
    assert_eq!(unsupported(&ran)[0]["reason"], "ForeignOwner");
    let message = unsupported(&ran)[0]["message"].to_string();
    assert!(message.contains("where images of `a.example:5000/team` are pulled from"));
    assert_eq!(locations(&node), ["a.example:5000/team"]);
}

#[test]
fn a_node_of_the_machine_config_daemon_is_left_alone_however_it_shows() {
    for marker in [
        "etc/machine-config-daemon/state.json",
        "run/machine-config-daemon/pid",
    ] {
        let node = node();
        node.put(marker, "");
        let before = node.files();
        let ran = node.once().expect_code(1);
        let (reason, message) = ran.applied();
        assert_eq!(reason, "ForeignOwner", "{marker}");
        assert!(message.contains("OpenShift's machine-config daemon manages"));
        assert_eq!(node.read_text(CRIO_POLICY), SHIPPED);
        assert!(node.read(REGISTRIES).is_none());
        for (path, file) in before {
            assert_eq!(node.files().get(&path), Some(&file), "{path}");
        }
    }
}

#[test]
fn a_node_that_the_daemon_takes_over_keeps_what_it_has() {
    let node = node();
    node.once().expect_code(0);
    let (policies, before) = (node.read(CRIO_POLICY), node.read(REGISTRIES));
    node.put("etc/machine-config-daemon/currentconfig", "{}");
    node.policy_file("b.yaml", &policy("second", "b.example:5000"));
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "ForeignOwner");
    assert_eq!(
        (node.read(CRIO_POLICY), node.read(REGISTRIES)),
        (policies, before)
    );
}

/// The running agent; it ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn mirrors_are_seen_as_they_come_and_go() {
    let node = node();
    node.put(CONF, "");
    // Far longer than the test waits: only an event tells.
    let agent = node
        .agent()
        .args(["--recheck", "3600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _agent = Running(agent);
    let has = |wanted: &[&str]| locations(&node) == wanted;
    eventually("the first apply", || has(&["a.example:5000/team"]));
    node.put(CONF, &mirrored("a.example:5000", "mirror.local"));
    let with_mirror = ["a.example:5000/team", "mirror.local/team"];
    eventually("the mirror", || has(&with_mirror));
    // The folder is new as well.
    node.put(DROP_IN, &mirrored("a.example:5000", "second.local"));
    let replaced = ["a.example:5000/team", "second.local/team"];
    eventually("the drop-in's mirror", || has(&replaced));
    node.put(DROP_IN, &mirrored("a.example:5000", "third.local"));
    let again = ["a.example:5000/team", "third.local/team"];
    eventually("the drop-in's other mirror", || has(&again));
    std::fs::remove_file(node.at(DROP_IN)).unwrap();
    eventually("the mirror again", || has(&with_mirror));
}
