//! Taints through the life of a node.

use crds::types::{Enforcement, EnforcementConfigSpec, Taint};
use policy::aggregate::{Finding, Report, Truth};

use super::world::{World, cluster, kinds, report, spec};
use crate::index::Write;
use crate::index::taints::{Taints, wanted};

fn settings(not_ready: bool, not_enforcing: bool) -> EnforcementConfigSpec {
    EnforcementConfigSpec {
        taint: Taint {
            not_ready,
            not_enforcing,
        },
        ..EnforcementConfigSpec::default()
    }
}

/// A cluster with a policy and these settings.
fn with(not_ready: bool, not_enforcing: bool) -> World {
    let mut world = World::new();
    world.configure(settings(not_ready, not_enforcing));
    world.apply_policy(&cluster("p"), spec("a.example"));
    world.later();
    world
}

fn tainted(world: &World, node: &str) -> (bool, bool) {
    let taints = world.nodes[node].taints;
    (taints.not_ready, taints.not_enforcing)
}

/// The writes about taints.
fn taints(writes: &[Write]) -> Vec<String> {
    let mut all = kinds(writes);
    all.retain(|kind| kind.starts_with("taint"));
    all
}

fn enforcing(truth: Truth, reason: &str) -> Report {
    let mut report = report(Truth::True, "Applied", Truth::True);
    report.enforcing = truth;
    report.enforcing_finding = Finding::new(reason, "said the agent");
    report
}

#[test]
fn a_node_that_joins_is_tainted_at_once_until_it_is_ready() {
    let mut world = with(true, true);
    world.join("a", &[]);
    let first = kinds(&world.ask());
    assert!(first.contains(&"taint a r-".to_owned()), "{first:?}");
    assert!(
        !first.contains(&"set a".to_owned()),
        "before it has a bundle"
    );
    let mut world = with(true, true);
    world.join("a", &[]);
    world.settle();
    assert_eq!(tainted(&world, "a"), (true, false));

    // It tells of a failure, then of having applied it without being ready, then of being ready.
    world.agent_reports(
        "a",
        false,
        report(Truth::False, "WriteFailed", Truth::False),
    );
    assert_eq!(taints(&world.settle()), Vec::<String>::new());
    world.agent_reports("a", true, report(Truth::True, "Applied", Truth::False));
    assert_eq!(taints(&world.settle()), Vec::<String>::new());
    assert_eq!(tainted(&world, "a"), (true, false));
    world.agent_reports("a", true, report(Truth::True, "Applied", Truth::True));
    assert_eq!(taints(&world.settle()), ["taint a --"]);
}

#[test]
fn ready_is_believed_only_of_the_bundle_and_the_generation_that_are_current() {
    for outdated in ["generation", "bundle"] {
        let mut world = with(true, false);
        world.join("a", &[]);
        world.settle();
        let mut own = world.node_policies["a"].clone();
        own.report = Some(report(Truth::True, "Applied", Truth::True));
        own.applied = own.bundle.clone();
        own.observed = Some(own.meta.generation);
        match outdated {
            "bundle" => own.applied = Some("sha256-other".to_owned()),
            _ => own.observed = Some(own.meta.generation - 1),
        }
        world.change_node_policy(own);
        world.settle();
        assert_eq!(tainted(&world, "a"), (true, false), "{outdated}");
        world.agent_reports("a", true, report(Truth::True, "Applied", Truth::True));
        world.settle();
        assert_eq!(tainted(&world, "a"), (false, false), "{outdated}");
    }
}

#[test]
fn a_rollout_taints_no_node_that_was_ready_once() {
    let mut world = with(true, true);
    for node in ["a", "b"] {
        world.join(node, &[]);
    }
    world.later();
    world.agents_apply();
    world.later();
    assert_eq!(tainted(&world, "a"), (false, false));
    world.apply_policy(&cluster("p"), spec("other.example"));
    let mut writes = world.later();
    // One fails, and a new process looks at both.
    world.agent_reports(
        "a",
        false,
        report(Truth::False, "WriteFailed", Truth::False),
    );
    writes.extend(world.later());
    world.restart();
    writes.extend(world.later());
    assert_eq!(taints(&writes), Vec::<String>::new());
}

#[test]
fn a_new_process_knows_who_was_not_ready_yet() {
    let mut world = with(true, false);
    world.join("a", &[]);
    world.settle();
    world.agent_reports("a", true, report(Truth::True, "Applied", Truth::False));
    world.restart();
    world.settle();
    assert_eq!(tainted(&world, "a"), (true, false));
    world.agents_apply();
    world.agent_reports("a", true, report(Truth::True, "Applied", Truth::True));
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, false));
}

#[test]
fn what_a_node_of_the_same_name_said_is_nothing() {
    let mut world = with(true, true);
    world.join("a", &[]);
    world.settle();
    world.agent_reports("a", true, enforcing(Truth::False, "Bypassed"));
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, true));
    let own = world.node_policies["a"].clone();
    world.join("a", &[]);
    let wanted = wanted(
        &world.nodes["a"],
        Some(&own),
        Some(&settings(true, true).taint),
    );
    let new = Taints {
        not_ready: true,
        not_enforcing: false,
    };
    assert_eq!(wanted, new);
}

#[test]
fn a_node_that_cannot_enforce_is_tainted_while_it_cannot() {
    let mut world = with(false, true);
    world.join("a", &[]);
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, false), "nobody said so");
    for (truth, reason, is) in [
        (Truth::False, "Bypassed", true),
        (Truth::Unknown, "NotProbed", false),
        (Truth::False, "NotEnforcing", true),
        (Truth::True, "Enforcing", false),
        (Truth::False, "StaleBundle", true),
        (Truth::False, "Disabled", false),
    ] {
        world.agent_reports("a", true, enforcing(truth, reason));
        world.settle();
        assert_eq!(tainted(&world, "a"), (false, is), "{reason}");
    }
    // It waits for a restart with the bundle before in force.
    let mut waits = enforcing(Truth::False, "StaleBundle");
    waits.applied = Truth::False;
    waits.applied_finding = Finding::new("Pending", "a restart is due");
    world.agent_reports("a", false, waits.clone());
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, false));
    // Or with none in force.
    waits.enforcing_finding = Finding::new("NotEnforcing", "it calls no verifier");
    world.agent_reports("a", false, waits);
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, true));
    world.agent_reports("a", true, enforcing(Truth::True, "Enforcing"));
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, false));

    let mut own = world.node_policies["a"].clone();
    own.not_enforcing = Some(Finding::new("NotEnforcing", "it calls no verifier"));
    world.change_node_policy(own);
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, true));
}

#[test]
fn of_a_node_that_is_not_heard_of_nothing_changes_but_by_the_administrator() {
    let mut world = with(true, true);
    world.join("a", &[]);
    world.join("b", &[]);
    world.settle();
    world.agent_reports("b", true, enforcing(Truth::False, "Bypassed"));
    world.settle();
    for name in ["a", "b"] {
        let mut node = world.nodes[name].clone();
        node.reachable = false;
        world.change_node(node);
    }
    world.agent_reports("a", true, enforcing(Truth::False, "Bypassed"));
    world.agent_reports("b", true, enforcing(Truth::True, "Enforcing"));
    assert_eq!(taints(&world.settle()), Vec::<String>::new());
    assert_eq!(tainted(&world, "a"), (true, false));
    assert_eq!(tainted(&world, "b"), (false, true));
    world.configure(settings(false, false));
    assert_eq!(taints(&world.settle()), ["taint a --", "taint b --"]);
}

#[test]
fn the_emergency_stop_and_the_settings_take_them_away() {
    let stop = EnforcementConfigSpec {
        enforcement: Enforcement::Disabled,
        ..settings(true, true)
    };
    for config in [stop, settings(false, false)] {
        let mut world = with(true, true);
        world.join("a", &[]);
        world.settle();
        assert_eq!(tainted(&world, "a"), (true, false));
        world.configure(config);
        world.settle();
        assert_eq!(tainted(&world, "a"), (false, false));
        // One that a kubelet registers with goes too.
        let mut node = world.nodes["a"].clone();
        node.taints.not_ready = true;
        world.change_node(node);
        assert_eq!(taints(&world.settle()), ["taint a --"]);
    }
}

#[test]
fn where_both_are_off_nothing_is_written() {
    let mut world = with(false, false);
    world.join("a", &[]);
    let mut writes = world.later();
    world.agent_reports("a", true, enforcing(Truth::False, "Bypassed"));
    writes.extend(world.later());
    assert_eq!(taints(&writes), Vec::<String>::new());
}

#[test]
fn a_configuration_that_is_gone_takes_none_away() {
    let mut config = settings(true, false);
    config.exempt_images = vec!["exempt.example/x".to_owned()];
    let mut world = World::new();
    world.configure(config);
    world.apply_policy(&cluster("p"), spec("a.example"));
    world.later();
    world.join("a", &[]);
    world.settle();
    world.delete_config();
    world.settle();
    assert_eq!(tainted(&world, "a"), (true, false));
    // While nobody watched: its values come from the bundle, which does not hold these.
    world.restart();
    world.settle();
    assert_eq!(tainted(&world, "a"), (true, false));
    world.configure(settings(false, false));
    world.settle();
    assert_eq!(tainted(&world, "a"), (false, false));
}

#[test]
fn a_node_that_no_agent_can_be_on_is_never_tainted() {
    let mut world = with(true, true);
    world.join("a", &[("kubernetes.io/os", "windows")]);
    world.join("b", &[("kubernetes.io/os", "linux")]);
    world.later();
    assert_eq!(tainted(&world, "a"), (false, false));
    assert_eq!(tainted(&world, "b"), (true, false));
}

#[test]
fn bundles_go_before_taints_and_taints_before_words() {
    let taint = Write::Taint {
        node: "a".to_owned(),
        uid: "u".to_owned(),
        taints: Taints::default(),
    };
    let set = Write::SetBundle {
        node: "a".to_owned(),
        uid: "u".to_owned(),
        bundle: "b".to_owned(),
        record: None,
        version: 0,
    };
    let status = Write::ConfigStatus {
        status: crds::types::EnforcementConfigStatus::default(),
    };
    assert!(set.rank() < taint.rank() && taint.rank() < status.rank());
    assert_ne!(set.key(), taint.key());
}
