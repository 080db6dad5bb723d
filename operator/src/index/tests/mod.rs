//! What is written, exactly, and that nothing else is.

mod advice;
mod expressions;
mod figures;
mod groups;
mod nodes;
mod notices;
mod policies;
mod rollout;
mod rollout_safety;
mod roots;
mod scale;
mod settings;
mod skew;
mod taints;
mod tenants;
mod world;

use crds::convert::Holder;
use policy::aggregate::Truth;

use self::world::{World, cluster, found, kinds, report, spec};
use super::*;
use crate::rollout::{Record, Weight};

fn config_map() -> Source {
    Source {
        holder: Holder::ConfigMap,
        namespace: "keys".to_owned(),
        name: "release".to_owned(),
    }
}

fn secret() -> Source {
    Source {
        holder: Holder::Secret,
        ..config_map()
    }
}

/// One policy on two nodes that run it.
fn running() -> (World, PolicyId) {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[("pool", "prod")]);
    world.join("b", &[]);
    world.apply_policy(&id, spec("registry.example/team"));
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    (world, id)
}

#[test]
fn nothing_is_written_before_every_kind_was_listed() {
    let full = running().0;
    let policies: Vec<_> = full.policies.values().cloned().collect();
    let events = [
        Event::ClusterPolicy(Change::Reset(policies)),
        Event::Policy(Change::Reset(Vec::new())),
        Event::TrustRoot(Change::Reset(Vec::new())),
        Event::Config(Change::Reset(Vec::new())),
        Event::Node(Change::Reset(full.nodes.values().cloned().collect())),
        Event::NodePolicy(Change::Reset(Vec::new())),
        Event::Bundle(Change::Reset(Vec::new())),
    ];
    for left_out in 0..events.len() {
        let mut index = Index::default();
        for (place, event) in events.iter().enumerate() {
            if place != left_out {
                index.apply(event.clone());
            }
        }
        assert!(!index.is_synced(), "without {:?}", events[left_out]);
        assert_eq!(index.reconcile(full.now), []);
        index.apply(events[left_out].clone());
        assert!(index.is_synced());
        assert_ne!(index.reconcile(full.now), []);
    }
}

#[test]
fn nothing_is_written_before_every_reference_was_looked_at() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    let spec = world::referring(spec("registry.example/team"), &config_map());
    world.apply_policy(&id, spec);
    world.restart();
    assert!(!world.index.is_synced());
    assert_eq!(world.ask(), []);
    let wanted = world.index.wanted();
    assert_eq!(wanted.keys().collect::<Vec<_>>(), [&config_map()]);
    world.source(&config_map(), found(world::KEY));
    assert!(world.index.is_synced());
    assert_eq!(kinds(&world.ask()), ["create", "status p"]);
}

#[test]
fn a_policy_becomes_a_bundle_then_the_nodes_are_pointed_at_it() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.join("b", &[]);
    world.apply_policy(&id, spec("registry.example/team"));

    let first = world.ask();
    assert_eq!(kinds(&first), ["create", "status p"]);
    assert_eq!(world.ask(), [], "it is asked for once");
    let Write::CreateBundle { name, spec } = &first[0] else {
        panic!("{first:?}");
    };
    let bundle = crds::bundle::decode(name, spec).unwrap();
    let digest = bundle.policy(&id).unwrap().digest();

    for write in &first {
        world.perform(write);
    }
    let second = world.ask();
    let record = Record::new(name, None, Weight::Reported, world.now);
    let set = |node: &str| Write::SetBundle {
        node: node.to_owned(),
        uid: world.nodes[node].meta.uid.clone(),
        bundle: name.clone(),
        record: Some(record.clone()),
        version: 0,
    };
    assert_eq!(second, [set("a"), set("b")]);
    for write in &second {
        world.perform(write);
    }
    assert_eq!(world.ask(), []);
    let status = &world.policies[&id].status;
    assert_eq!(status.digest, Some(digest.to_string()));
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");

    world.agents_apply();
    let third = world.settle();
    assert_eq!(kinds(&third), ["status p"]);
    for (kind, expected) in [
        ("Accepted", "True Valid"),
        ("Resolved", "True Resolved"),
        ("Compatible", "True Compatible"),
        ("Programmed", "True Programmed"),
        ("Ready", "True Ready"),
        ("Reconciling", ""),
        ("Stalled", ""),
    ] {
        assert_eq!(world.condition(&id, kind), expected);
    }
    let nodes = world.policies[&id].status.nodes.clone().unwrap();
    assert_eq!((nodes.summary.as_str(), nodes.updated), ("2/2", 2));
}

#[test]
fn a_resync_and_a_new_process_write_nothing() {
    let (mut world, _) = running();
    world.resync();
    assert_eq!(world.later(), []);
    world.restart();
    assert_eq!(world.later(), []);
    // A heartbeat of a node, and a status that an agent wrote again.
    let node = world.nodes["a"].clone();
    world.change_node(node);
    world.agent_reports("a", false, report(Truth::True, "Applied", Truth::True));
    assert_eq!(world.later(), []);
}

#[test]
fn a_restart_while_a_policy_is_kept_writes_nothing() {
    let (mut world, id) = running();
    let mut wrong = spec("registry.example/team");
    wrong.policy.exclude = vec!["other.example".to_owned()];
    world.apply_policy(&id, world::selecting(wrong, "pool", "none"));
    world.later();
    assert_eq!(world.on("a"), ["p"]);
    world.restart();
    assert_eq!(world.later(), []);
    assert_eq!(world.condition(&id, "Accepted"), "False InvalidScope");
}

#[test]
fn a_failed_write_is_asked_for_again_after_a_pause() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_policy(&id, spec("registry.example/team"));
    let writes = world.ask();
    for write in &writes {
        world.index.failed(write, world.now);
    }
    assert_eq!(world.ask(), []);
    world.now = world.index.deadline(world.now).unwrap();
    assert_eq!(kinds(&world.ask()), kinds(&writes));
    world.now += SignedDuration::from_secs(5);
    assert_eq!(world.ask(), [], "under way, whatever the time is");
}

#[test]
fn whoever_leads_next_asks_for_what_was_not_done() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_policy(&id, spec("registry.example/team"));
    let writes = world.ask();
    world.index.resign();
    assert_eq!(world.ask(), writes);
}

#[test]
fn a_bundle_of_no_use_is_deleted_after_a_while() {
    let (mut world, id) = running();
    let first = world.bundles.keys().next().unwrap().clone();
    world.apply_policy(&id, spec("registry.example/other"));
    assert_eq!(
        kinds(&world.settle()),
        ["create", "status p", "set a", "set b"]
    );
    world.now += SignedDuration::from_mins(9);
    assert_eq!(kinds(&world.settle()), ["count p"], "nodes still run it");
    world.agents_apply();
    world.settle();
    world.now += SignedDuration::from_hours(1);
    assert_eq!(world.settle(), [], "nodes had it before");
    world.apply_policy(&id, spec("registry.example/third"));
    world.settle();
    world.agents_apply();
    assert_eq!(kinds(&world.settle()), ["status p"], "not at once");
    world.now = world.index.deadline(world.now).unwrap();
    assert_eq!(kinds(&world.settle()), ["delete"]);
    assert!(!world.bundles.contains_key(&first));
    assert_eq!(world.later(), []);
}

#[test]
fn a_bundle_that_is_wanted_while_it_is_deleted_is_created_again() {
    let (mut world, id) = running();
    let first = world.bundles.keys().next().unwrap().clone();
    for scope in ["registry.example/other", "registry.example/third"] {
        world.apply_policy(&id, spec(scope));
        world.settle();
        world.agents_apply();
        world.settle();
    }
    world.now = world.index.deadline(world.now).unwrap();
    let delete = world.ask();
    assert_eq!(kinds(&delete), ["delete"]);
    world.apply_policy(&id, spec("registry.example/team"));
    assert_eq!(
        kinds(&world.ask()),
        ["status p"],
        "no node is pointed at it"
    );
    world.perform(&delete[0]);
    assert_eq!(kinds(&world.ask()), ["create"]);
    world.index.resign();
    world.settle();
    assert_eq!(world.node_policies["a"].bundle.as_ref(), Some(&first));
}
