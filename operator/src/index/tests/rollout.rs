//! How changes reach the nodes, a few at a time.

use crds::types::{Canary, Enforcement, EnforcementConfigSpec, LabelValue, NodeSelector, Share};
use jiff::SignedDuration;
use policy::aggregate::Truth;
use policy::model::PolicyId;

use super::world::{World, cluster, kinds, report, spec};
use crate::index::Write;

pub(super) const NODES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

pub(super) fn config(most: i32) -> EnforcementConfigSpec {
    let mut config = EnforcementConfigSpec::default();
    config.rollout.max_unavailable = Share::Count(most);
    config
}

/// Six nodes that run a policy, and change two at a time.
pub(super) fn running() -> (World, PolicyId) {
    let (mut world, id) = (World::limited(), cluster("p"));
    for node in NODES {
        let pool = if node == "f" { "canary" } else { "other" };
        world.join(node, &[("pool", pool)]);
    }
    world.configure(config(2));
    world.apply_policy(&id, spec("registry.example/team"));
    finish(&mut world);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    (world, id)
}

/// Agents answer until nothing is left to do.
pub(super) fn finish(world: &mut World) {
    for _ in 0..10 {
        world.later();
        world.agents_apply();
    }
    assert_eq!(world.later(), []);
}

/// A new process writes nothing but what it would tell, under the name that it has already.
pub(super) fn told_again(writes: &[Write]) {
    assert!(
        writes.iter().all(|w| matches!(w, Write::Notice(_))),
        "{writes:#?}"
    );
}

pub(super) fn sets(writes: &[Write]) -> Vec<String> {
    let all = kinds(writes).into_iter();
    all.filter_map(|kind| kind.strip_prefix("set ").map(str::to_owned))
        .collect()
}

pub(super) fn fails(world: &mut World, node: &str) {
    let failed = report(Truth::False, "WriteFailed", Truth::False);
    world.agent_reports(node, false, failed);
}

pub(super) fn bundle(world: &World, node: &str) -> String {
    world.node_policies[node].bundle.clone().unwrap()
}

/// The nodes that shall run the policy in another form than `old`.
pub(super) fn moved(world: &World, old: &str) -> Vec<&'static str> {
    let moved = NODES.into_iter().filter(|node| bundle(world, node) != old);
    moved.collect()
}

pub(super) fn config_condition(world: &World, kind: &str) -> String {
    let conditions = &world.config.as_ref().unwrap().status.conditions;
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.map_or_else(String::new, |found| {
        format!("{} {}: {}", found.status, found.reason, found.message)
    })
}

#[test]
fn no_more_nodes_than_allowed_change_at_once() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    assert_eq!(sets(&world.settle()), ["a", "b"]);
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
    let message = world.message(&id, "Programmed");
    assert!(
        message.ends_with("; at most 2 at a time change"),
        "{message}"
    );
    assert_eq!(
        sets(&world.later()),
        Vec::<String>::new(),
        "they are waited for"
    );
    world.agent_reports("b", true, report(Truth::True, "Applied", Truth::True));
    assert_eq!(sets(&world.later()), ["c"]);
    // Nor by a new process.
    world.restart();
    assert_eq!(world.settle(), []);
    finish(&mut world);
    assert_eq!(moved(&world, &old), NODES);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn a_changed_rollout_changes_no_bundle_and_moves_no_node() {
    let (mut world, _) = running();
    let before = bundle(&world, "a");
    let mut other = config(4);
    other.rollout.max_failures = Share::Count(3);
    other.rollout.progress_deadline_seconds = 40;
    other.rollout.canary = Some(canary());
    other.rollout.paused = true;
    world.configure(other);
    assert_eq!(kinds(&world.later()), ["config"]);
    let paused = "rollouts are paused: set spec.rollout.paused to false";
    assert!(config_condition(&world, "Ready").contains(paused));
    assert_eq!((bundle(&world, "a"), world.bundles.len()), (before, 1));
}

pub(super) fn canary() -> Canary {
    let pool = [("pool".to_owned(), LabelValue("canary".to_owned()))];
    Canary {
        node_selector: NodeSelector {
            match_labels: pool.into(),
            match_expressions: Vec::new(),
        },
    }
}

#[test]
fn canary_nodes_go_first_by_their_labels() {
    let (mut world, id) = running();
    let mut first = config(4);
    first.rollout.canary = Some(canary());
    world.configure(first);
    world.apply_policy(&id, spec("registry.example/other"));
    assert_eq!(sets(&world.later()), ["f"]);
    let message = world.message(&id, "Programmed");
    assert!(message.contains("the canary nodes go first"), "{message}");
    world.agent_reports("f", false, report(Truth::False, "Pending", Truth::False));
    assert_eq!(sets(&world.later()), Vec::<String>::new());
    world.agents_apply();
    assert_eq!(sets(&world.settle()), ["a", "b", "c", "d"]);
}

#[test]
fn a_failed_node_halts_the_rollout_and_nodes_go_back() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    assert_eq!(moved(&world, &old), ["a", "b"]);
    fails(&mut world, "a");
    // Both were not past it: one failed, the other was in change.
    assert_eq!(sets(&world.settle()), ["a", "b"]);
    assert_eq!(moved(&world, &old), Vec::<&str>::new());
    for kind in ["Programmed", "Ready"] {
        assert_eq!(world.condition(&id, kind), "False RolloutHalted");
    }
    assert_eq!(world.condition(&id, "Stalled"), "True RolloutHalted");
    assert_eq!(world.condition(&id, "Reconciling"), "");
    let message = world.message(&id, "Stalled").to_owned();
    assert!(
        message.starts_with("1 node failed: a (WriteFailed); no other node"),
        "{message}"
    );
    assert!(
        message.contains("nodeseal.dev/retry=\"$(date +%s)\" --overwrite"),
        "{message}"
    );
    assert!(config_condition(&world, "Stalled").starts_with("True RolloutHalted: 1 node failed"));
    assert!(config_condition(&world, "Accepted").starts_with("True"));
    world.later();
    let told = world.events.values().map(|notice| notice.kind.as_str());
    assert_eq!(told.collect::<Vec<_>>(), ["RolloutHalted"]);
    // It stays so: for a new process, and when the nodes are well under what they had.
    world.agents_apply();
    finish(&mut world);
    world.restart();
    told_again(&world.later());
    assert_eq!(world.condition(&id, "Ready"), "False RolloutHalted");
    // What nodes may be given again is kept.
    assert_eq!(world.bundles.len(), 2);

    world.annotate(Some("1"), None);
    assert_eq!(sets(&world.settle()).len(), 2);
    finish(&mut world);
    assert_eq!(moved(&world, &old), NODES);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(config_condition(&world, "Stalled"), "");
}

#[test]
fn nodes_past_a_halted_target_stay_and_a_new_policy_goes_on() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    world.agents_apply();
    world.settle();
    assert_eq!(moved(&world, &old), ["a", "b", "c", "d"]);
    fails(&mut world, "c");
    world.settle();
    assert_eq!(moved(&world, &old), ["a", "b"], "they are past it");
    world.agents_apply();
    world.apply_policy(&id, spec("registry.example/third"));
    finish(&mut world);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(world.on("c"), ["p"]);
    assert_eq!(config_condition(&world, "Stalled"), "");
}

#[test]
fn a_node_that_is_not_ready_in_time_has_failed() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    world.now += SignedDuration::from_secs(599);
    assert_eq!(sets(&world.settle()), Vec::<String>::new());
    world.now += SignedDuration::from_secs(1);
    world.settle();
    assert_eq!(moved(&world, &old), Vec::<&str>::new());
    let message = world.message(&id, "Stalled");
    assert!(
        message.contains("a (ProgressDeadlineExceeded), b (Pro"),
        "{message}"
    );
}

#[test]
fn a_node_that_waits_for_somebody_is_no_failure_and_holds_others_up_for_a_while_only() {
    let (mut world, id) = running();
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    for node in ["a", "b"] {
        world.agent_reports(node, false, report(Truth::False, "Pending", Truth::False));
    }
    world.now += SignedDuration::from_secs(599);
    assert_eq!(sets(&world.settle()), Vec::<String>::new());
    world.now += SignedDuration::from_secs(1);
    assert_eq!(sets(&world.settle()), ["c", "d"]);
    assert_eq!(world.condition(&id, "Stalled"), "");
}

#[test]
fn paused_stands_still_and_the_stop_passes_that() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    // The write is handed out, and not begun.
    let writes = world.ask();
    for write in writes
        .iter()
        .filter(|w| matches!(w, Write::CreateBundle { .. }))
    {
        world.perform(write);
    }
    let set: Vec<Write> = world.ask();
    let set = set
        .into_iter()
        .find(|w| matches!(w, Write::SetBundle { .. }))
        .unwrap();
    assert!(world.index.wants(&set));
    let mut paused = config(2);
    paused.rollout.paused = true;
    world.configure(paused.clone());
    world.ask();
    assert!(!world.index.wants(&set), "not any more");
    world.index.resign();
    world.later();
    assert_eq!(moved(&world, &old), Vec::<&str>::new());
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
    let message = world.message(&id, "Programmed");
    assert!(
        message.contains("rollouts are paused: set spec.rollout.paused"),
        "{message}"
    );

    paused.enforcement = Enforcement::Disabled;
    let mut node = world.nodes["f"].clone();
    node.reachable = false;
    world.change_node(node);
    world.configure(paused);
    assert_eq!(sets(&world.settle()), NODES, "all, at once, whatever else");
}

#[test]
fn a_node_that_joins_while_a_rollout_stands_gets_what_the_others_have() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    fails(&mut world, "a");
    world.settle();
    world.join("new", &[]);
    let mut node = world.nodes["new"].clone();
    node.meta.created = world.now;
    world.change_node(node);
    assert!(sets(&world.settle()).contains(&"new".to_owned()));
    assert_eq!(bundle(&world, "new"), old);
}

#[test]
fn unreachable_nodes_are_left_alone_and_silent_ones_hold_nobody_up_for_long() {
    let (mut world, id) = running();
    let old = bundle(&world, "a");
    let mut node = world.nodes["a"].clone();
    node.reachable = false;
    world.change_node(node.clone());
    world.apply_policy(&id, spec("registry.example/other"));
    finish(&mut world);
    assert_eq!(moved(&world, &old), ["b", "c", "d", "e", "f"]);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    node.reachable = true;
    world.change_node(node);
    assert_eq!(sets(&world.settle()), ["a"]);

    // Old nodes without an agent.
    world.join("g", &[]);
    world.join("h", &[]);
    world.join("i", &[]);
    finish_but(&mut world, &["g", "h", "i"]);
    let given = |world: &World, node: &str| world.node_policies.contains_key(node);
    world.now += SignedDuration::from_mins(6);
    world.settle();
    assert!(["g", "h", "i"].iter().all(|node| given(&world, node)));
    assert_eq!(world.condition(&id, "Stalled"), "");
}

fn finish_but(world: &mut World, silent: &[&str]) {
    for _ in 0..4 {
        world.settle();
        let names: Vec<String> = world.node_policies.keys().cloned().collect();
        for name in names.iter().filter(|name| !silent.contains(&name.as_str())) {
            let own = &world.node_policies[name];
            if own.applied != own.bundle {
                world.agent_reports(name, true, report(Truth::True, "Applied", Truth::True));
            }
        }
    }
}
