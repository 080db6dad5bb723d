//! What must not be lost, stopped or held up while nodes change a few at a time.

use crds::types::Mode;
use jiff::SignedDuration;
use policy::model::PolicyId;

use super::rollout::{
    NODES, bundle, canary, config, config_condition, fails, finish, moved, running, sets,
    told_again,
};
use super::world::{World, cluster, namespaced, selecting, spec};
use crate::index::{Change, Event};
use crate::rollout::{Record, Weight};

#[test]
fn most_policies_vanish_and_nodes_keep_them_until_that_is_confirmed() {
    let (mut world, _) = running();
    let ids: Vec<PolicyId> = (0..5).map(|n| cluster(&format!("q{n}"))).collect();
    for id in &ids {
        world.apply_policy(id, spec(&format!("registry.example/{}", id.name())));
    }
    let tenant = namespaced("ns", "own");
    world.apply_policy(&tenant, spec("a.example"));
    finish(&mut world);
    let old = bundle(&world, "a");
    for id in &ids[..4] {
        world.delete_policy(id);
    }
    world.later();
    assert_eq!(moved(&world, &old), Vec::<&str>::new());
    assert_eq!(world.condition(&ids[4], "Stalled"), "True PoliciesVanished");
    let told = config_condition(&world, "Stalled");
    let words = "True PoliciesVanished: 4 of 6 enforcing cluster policies that nodes have do not exist any more (q0, q1, q2 and 1 more)";
    assert!(told.starts_with(words), "{told}");
    assert!(config_condition(&world, "Ready").starts_with("False PoliciesVanished"));
    let told: Vec<&str> = world.events.values().map(|n| n.kind.as_str()).collect();
    assert_eq!(told, ["PoliciesVanished"]);
    world.restart();
    told_again(&world.later());
    world.annotate(None, Some("another"));
    world.later();
    assert_eq!(moved(&world, &old), Vec::<&str>::new());

    let token = config_condition(&world, "Stalled");
    let (_, token) = token.split_once("nodeseal.dev/confirm-removal=").unwrap();
    let token = token.split(' ').next().unwrap().to_owned();
    world.annotate(None, Some(&token));
    assert_eq!(sets(&world.settle()), ["a", "b"], "and then as ever");
    finish(&mut world);
    assert_eq!(moved(&world, &old), NODES);
    assert_eq!(config_condition(&world, "Stalled"), "");
}

#[test]
fn a_tenant_never_trips_the_breaker_nor_does_a_policy_that_denies_nothing() {
    let (mut world, _) = running();
    let mut gone: Vec<PolicyId> = (0..5).map(|n| namespaced("ns", &format!("t{n}"))).collect();
    for id in &gone {
        world.apply_policy(id, spec("a.example"));
    }
    for n in 0..4 {
        let id = cluster(&format!("audit{n}"));
        let mut audit = spec("b.example");
        audit.policy.mode = Mode::Audit;
        world.apply_policy(&id, audit);
        gone.push(id);
    }
    finish(&mut world);
    let old = bundle(&world, "a");
    for id in &gone {
        world.delete_policy(id);
    }
    finish(&mut world);
    assert_eq!(moved(&world, &old), NODES);
    assert_eq!(world.on("a"), ["p"]);
}

#[test]
fn what_tenants_do_keeps_to_the_limits_and_holds_up_no_administrator() {
    let (mut world, id) = running();
    let tenant = namespaced("ns", "own");
    world.apply_policy(&tenant, spec("t0.example"));
    assert_eq!(sets(&world.settle()).len(), 2, "within the limits");
    finish(&mut world);
    let mut first = config(2);
    first.rollout.canary = Some(canary());
    world.configure(first);
    world.apply_policy(&id, spec("registry.example/other"));
    let wanted = |world: &World, node: &str| {
        let digest = world.policies[&id].status.digest.clone();
        let policy = world
            .bundle_of(node)
            .policy(&id)
            .map(policy::model::Policy::digest);
        policy.map(|digest| digest.to_string()) == digest
    };
    // The tenant changes to and fro, faster than agents answer.
    for n in 1..40 {
        world.apply_policy(&tenant, spec(&format!("t{}.example", n % 7)));
        world.now += SignedDuration::from_secs(11);
        world.settle();
        if n % 2 == 0 {
            world.agents_apply();
        }
    }
    for node in NODES {
        assert!(wanted(&world, node), "{node}");
    }
}

#[test]
fn other_targets_go_on_while_one_stands_still() {
    let (mut world, id) = running();
    let other = cluster("q");
    world.apply_policy(&other, selecting(spec("b.example"), "pool", "canary"));
    finish(&mut world);
    let old = bundle(&world, "f");
    world.apply_policy(&other, selecting(spec("c.example"), "pool", "canary"));
    world.settle();
    fails(&mut world, "f");
    world.settle();
    assert_eq!(bundle(&world, "f"), old);
    assert_eq!(world.condition(&other, "Stalled"), "True RolloutHalted");
    assert_eq!(
        world.condition(&id, "Stalled"),
        "",
        "it is the same in both"
    );
    world.agents_apply();
    world.apply_policy(&id, spec("registry.example/other"));
    finish(&mut world);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn an_owner_that_is_put_right_takes_no_record_away() {
    let (mut world, _) = running();
    let mut own = world.node_policies["a"].clone();
    let record = Record::new(
        &bundle(&world, "a"),
        Some("sha256-old"),
        Weight::Full,
        world.now,
    );
    (own.owner, own.record) = (None, Some(Box::new(record.clone())));
    world.change_node_policy(own);
    assert_eq!(sets(&world.settle()), ["a"]);
    let own = &world.node_policies["a"];
    assert_eq!(own.record.as_deref(), Some(&record));
    assert!(own.owner.is_some());
}

#[test]
fn what_a_node_may_go_back_to_is_not_deleted() {
    let (mut world, id) = running();
    let first = bundle(&world, "a");
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    // Its agent never said that it had the first one.
    let mut own = world.node_policies["a"].clone();
    (own.applied, own.previous) = (None, None);
    world.change_node_policy(own);
    for node in ["b", "c", "d", "e", "f"] {
        let node = world.nodes.remove(node).unwrap();
        world.node_policies.remove(&node.name);
        world.index.apply(Event::Node(Change::Delete(node)));
    }
    world.resync();
    world.later();
    assert!(world.bundles.contains_key(&first));
}

#[test]
fn a_form_that_no_node_has_yet_outlives_the_process() {
    let (mut world, id) = running();
    world.apply_policy(&id, spec("registry.example/other"));
    world.settle();
    fails(&mut world, "a");
    world.settle();
    world.agents_apply();
    let mut wrong = spec("registry.example/other");
    wrong.policy.exclude = vec!["elsewhere.example".to_owned()];
    world.apply_policy(&id, wrong);
    finish(&mut world);
    let digest = world.policies[&id].status.digest.clone();
    world.restart();
    told_again(&world.later());
    assert_eq!(world.policies[&id].status.digest, digest);
}
