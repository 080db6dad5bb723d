//! What tenants can do to the rest of the cluster, which is nothing.

use crds::types::EnforcementConfigSpec;
use jiff::SignedDuration;
use policy::digest::Digest;
use policy::model::PolicyId;

use super::config_map;
use super::world::{
    KEY, OTHER_KEY, World, cluster, found, kinds, namespaced, referring, runtime, spec,
};
use crate::index::{MAX_NAMESPACE_BYTES, MAX_NAMESPACE_SOURCES, Source, SpecObject, Write};

/// A spec of about 23 KiB that hardly compresses; another one for each seed.
fn large(seed: &str) -> SpecObject {
    let scope = |number: usize| {
        let digest = Digest::of(format!("{seed} {number}").as_bytes());
        format!("registry.example/{}", digest.hex())
    };
    let mut spec = spec("registry.example/team");
    spec.policy.scopes = (0..256).map(scope).collect();
    spec
}

/// A cluster with a CRI-O node and a small cluster policy.
pub(super) fn with_crio() -> (World, PolicyId) {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    let mut node = world.nodes["a"].clone();
    node.runtime = Some(runtime("cri-o", "1.34.1"));
    world.change_node(node);
    world.apply_policy(&id, spec("registry.example/team"));
    (world, id)
}

pub(super) fn roll_out(world: &mut World) {
    world.later();
    world.agents_apply();
    world.later();
}

/// Policies of one namespace, as many as it has room for.
fn fill(world: &mut World, namespace: &str) {
    for number in 0..5 {
        let id = namespaced(namespace, &format!("p{number}"));
        world.apply_policy(&id, large(&id.to_string()));
    }
}

pub(super) fn limits(most: i32, allowed: &[&str]) -> EnforcementConfigSpec {
    let mut config = EnforcementConfigSpec::default();
    config.namespaced_policies.max_per_namespace = most;
    config.namespaced_policies.allowed_scopes = allowed.iter().map(|s| (*s).to_owned()).collect();
    config
}

#[test]
fn a_namespace_has_room_for_so_many_bytes_and_what_is_beyond_is_refused() {
    let (mut world, cluster) = with_crio();
    fill(&mut world, "big");
    let (beyond, small) = (namespaced("big", "p5"), namespaced("big", "small"));
    world.apply_policy(&beyond, large("beyond"));
    world.apply_policy(&small, spec("small.example"));
    let other = namespaced("other", "p");
    world.apply_policy(&other, spec("other.example"));
    roll_out(&mut world);
    assert_eq!(world.condition(&beyond, "Accepted"), "False TooLarge");
    assert_eq!(world.condition(&beyond, "Stalled"), "True TooLarge");
    let message = world.message(&beyond, "Accepted");
    let most = format!("{} KiB", MAX_NAMESPACE_BYTES / 1024);
    assert!(
        message.contains(&most) && message.contains("use fewer scopes"),
        "{message}"
    );
    for id in [&cluster, &other, &small, &namespaced("big", "p4")] {
        assert_eq!(world.condition(id, "Ready"), "True Ready", "{id}");
    }
    assert!(!world.on("a").contains(&"big/p5".to_owned()));
    world.restart();
    assert_eq!(world.later(), []);

    world.delete_policy(&namespaced("big", "p0"));
    roll_out(&mut world);
    assert_eq!(world.condition(&beyond, "Ready"), "True Ready");
    // One that grows does not push out those before it, and takes its own old form with it.
    let grown = namespaced("big", "small");
    world.apply_policy(&grown, large("grown"));
    roll_out(&mut world);
    assert_eq!(world.condition(&grown, "Accepted"), "False TooLarge");
    assert!(!world.on("a").contains(&"big/small".to_owned()));
    assert_eq!(world.condition(&beyond, "Ready"), "True Ready");
}

#[test]
fn of_namespaces_that_do_not_fit_together_the_largest_is_left_out_and_all_else_goes_on() {
    let (mut world, cluster) = with_crio();
    for number in 0..17 {
        fill(&mut world, &format!("tenant-{number:02}"));
    }
    let largest = namespaced("tenant-07", "extra");
    world.apply_policy(&largest, spec("extra.example"));
    roll_out(&mut world);
    let on = world.on("a");
    let without: Vec<String> = (0..17)
        .map(|number| format!("tenant-{number:02}"))
        .filter(|tenant| !on.contains(&format!("{tenant}/p0")))
        .collect();
    assert!(without.contains(&"tenant-07".to_owned()), "{without:?}");
    // All others are of one size: the first names go first, and no more than have to.
    assert!(without.len() < 5, "{without:?}");
    let expected = (0..).map(|number| format!("tenant-{number:02}"));
    let expected: Vec<String> = expected.take(without.len() - 1).collect();
    assert_eq!(without[..expected.len()], expected);

    assert_eq!(world.condition(&cluster, "Ready"), "True Ready");
    let small = namespaced("tenant-16", "p0");
    assert_eq!(world.condition(&small, "Ready"), "True Ready");
    for kind in ["Compatible", "Ready"] {
        assert_eq!(world.condition(&largest, kind), "False TooLarge");
    }
    assert_eq!(world.condition(&largest, "Stalled"), "True TooLarge");
    assert_eq!(world.condition(&largest, "Accepted"), "True Valid");
    let message = world.message(&largest, "Compatible");
    assert!(
        message.contains("those of `tenant-07` take") && message.contains("remove policies"),
        "{message}"
    );
    world.restart();
    assert_eq!(world.later(), [], "always the same are left out");

    // What administrators write reaches the nodes.
    world.apply_policy(&cluster, spec("registry.example/other"));
    roll_out(&mut world);
    assert_eq!(world.condition(&cluster, "Ready"), "True Ready");
    // And what fits again comes back.
    for number in 0..4 {
        for policy in 0..5 {
            world.delete_policy(&namespaced(
                &format!("tenant-{number:02}"),
                &format!("p{policy}"),
            ));
        }
    }
    roll_out(&mut world);
    assert_eq!(world.condition(&largest, "Ready"), "True Ready");
}

#[test]
fn where_the_clusters_own_policies_do_not_fit_nodes_keep_what_they_have() {
    let (mut world, id) = with_crio();
    let tenant = namespaced("tenant", "p");
    world.apply_policy(&tenant, spec("tenant.example"));
    roll_out(&mut world);
    let before = world.node_policies["a"].bundle.clone();
    for number in 0..75 {
        let id = cluster(&format!("large-{number}"));
        world.apply_policy(&id, large(&id.to_string()));
    }
    world.later();
    for id in [&id, &tenant, &cluster("large-0")] {
        assert_eq!(world.condition(id, "Stalled"), "True TooLarge", "{id}");
    }
    assert_eq!(world.node_policies["a"].bundle, before);
}

#[test]
fn policies_beyond_the_number_are_refused_before_they_are_compiled() {
    let (mut world, _) = with_crio();
    world.configure(limits(1, &[]));
    let (one, two) = (namespaced("tenant", "one"), namespaced("tenant", "two"));
    // One that is of no use counts too: its last valid form may be in force.
    world.apply_policy(&one, spec("busybox"));
    world.apply_policy(&two, spec("busybox"));
    world.later();
    assert_eq!(world.condition(&one, "Accepted"), "False InvalidScope");
    assert_eq!(world.condition(&two, "Accepted"), "False NotPermitted");
    assert_eq!(world.condition(&two, "Resolved"), "Unknown NotPermitted");
    assert_eq!(world.condition(&two, "Stalled"), "True NotPermitted");
    assert!(world.message(&two, "Accepted").contains("maxPerNamespace"));

    world.apply_policy(&two, spec("two.example"));
    world.later();
    assert_eq!(world.condition(&two, "Accepted"), "False NotPermitted");
    world.configure(limits(2, &[]));
    roll_out(&mut world);
    assert_eq!(world.condition(&two, "Ready"), "True Ready");
    assert_eq!(world.on("a"), ["p", "tenant/two"]);
}

#[test]
fn a_restart_after_limits_were_tightened_changes_the_nodes_once() {
    for (config, broken) in [
        (limits(0, &[]), false),
        (limits(20, &["allowed.example"]), false),
        (limits(20, &["allowed.example"]), true),
    ] {
        let (mut world, id) = with_crio();
        let tenant = namespaced("tenant", "p");
        world.apply_policy(&tenant, spec("tenant.example"));
        roll_out(&mut world);
        if broken {
            // It is kept in its last valid form, which is no way around the limit.
            world.apply_policy(&tenant, spec("busybox"));
            roll_out(&mut world);
        }
        assert_eq!(world.on("a"), ["p", "tenant/p"]);
        world.configure(config);
        world.restart();
        let writes = kinds(&world.settle());
        let creates = writes.iter().filter(|kind| *kind == "create");
        assert_eq!(creates.count(), 1, "{writes:?}");
        assert_eq!(world.on("a"), ["p"]);
        world.agents_apply();
        let writes = kinds(&world.later());
        assert!(!writes.contains(&"create".to_owned()), "{writes:?}");
        assert_eq!(world.condition(&id, "Ready"), "True Ready");
        assert_ne!(world.condition(&tenant, "Ready"), "True Ready");
    }
}

fn bundles(writes: &[Write]) -> usize {
    kinds(writes).iter().filter(|k| *k == "create").count()
}

#[test]
fn a_source_of_a_tenant_that_changes_to_and_fro_is_gathered() {
    let (mut world, id) = with_crio();
    let tenant = namespaced("keys", "p");
    let mut spec_of_tenant = referring(spec("tenant.example"), &config_map());
    let key = spec_of_tenant.policy.authorities[0].key.as_mut().unwrap();
    key.config_map_key_ref.as_mut().unwrap().namespace = None;
    let source: Source = config_map();
    world.apply_policy(&tenant, spec_of_tenant);
    world.source(&source, found(KEY));
    roll_out(&mut world);
    assert_eq!(world.condition(&tenant, "Ready"), "True Ready");
    let began = world.now;

    // The first change goes at once.
    world.source(&source, found(OTHER_KEY));
    assert_eq!(bundles(&world.settle()), 1);
    world.agents_apply();
    world.settle();
    // Every further one waits, however many there are, and nodes keep what they have meanwhile.
    let held = world.node_policies["a"].bundle.clone();
    for second in 1..10 {
        world.now = began + SignedDuration::from_secs(second);
        let key = if second % 2 == 1 { KEY } else { OTHER_KEY };
        world.source(&source, found(key));
        assert_eq!(bundles(&world.settle()), 0);
        assert_eq!(world.node_policies["a"].bundle, held);
        world.agents_apply();
    }
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(world.condition(&tenant, "Programmed"), "False RollingOut");
    let due = began + SignedDuration::from_secs(10);
    assert_eq!(world.index.deadline(world.now), Some(due));
    // Then what is in force goes, once.
    world.now = due;
    world.settle();
    assert_ne!(world.node_policies["a"].bundle, held);
    roll_out(&mut world);
    assert_eq!(world.condition(&tenant, "Ready"), "True Ready");
    assert_eq!(world.index.deadline(world.now), None);
}

#[test]
fn what_administrators_change_waits_for_nothing_and_takes_along_what_waits() {
    let (mut world, id) = with_crio();
    let tenant = namespaced("tenant", "p");
    world.apply_policy(&tenant, spec("one.example"));
    roll_out(&mut world);
    world.apply_policy(&tenant, spec("two.example"));
    world.settle();
    world.delete_policy(&tenant);
    assert_eq!(bundles(&world.settle()), 0, "it waits");
    assert_eq!(world.on("a"), ["p", "tenant/p"]);
    // A node that joins meanwhile is given what the others have.
    world.join("b", &[]);
    world.settle();
    assert_eq!(world.on("b"), ["p", "tenant/p"]);

    world.apply_policy(&id, spec("registry.example/other"));
    assert_eq!(bundles(&world.settle()), 1);
    assert_eq!(world.on("a"), ["p"]);
    // Limits of the configuration are the administrators' too, and so is the emergency stop.
    for tenant in ["x", "y", "z"] {
        world.apply_policy(&namespaced(tenant, "p"), spec("x.example"));
        world.settle();
    }
    world.configure(limits(0, &[]));
    world.settle();
    assert_eq!(world.on("a"), ["p"]);
    world.apply_policy(&id, spec("registry.example/third"));
    assert_eq!(bundles(&world.settle()), 1, "each of them at once");
}

#[test]
fn a_tenant_who_names_another_source_in_every_turn_does_not_keep_a_new_process_from_starting() {
    let (mut world, id) = with_crio();
    let (tenant, steady) = (namespaced("keys", "p"), namespaced("keys", "steady"));
    world.apply_policy(&tenant, spec("tenant.example"));
    roll_out(&mut world);
    assert_eq!(world.on("a"), ["p", "keys/p"]);
    world.apply_policy(&id, spec("registry.example/new"));
    world.apply_policy(&steady, from_map("steady"));
    world.apply_policy(&tenant, from_map("m0"));
    world.restart();
    assert_eq!(world.ask(), [], "both were referred to when it began");
    // Two take turns: what is not wanted for a moment is not waited for either, if it comes back.
    for name in ["m1", "m0", "m2"] {
        world.apply_policy(&tenant, from_map(name));
        assert_eq!(world.ask(), [], "the steady one was not looked at");
    }
    let source = |name: &str| Source {
        name: name.to_owned(),
        ..config_map()
    };
    world.source(&source("steady"), found(KEY));
    world.apply_policy(&tenant, from_map("m0"));
    assert!(world.index.is_synced());
    world.settle();
    // Everybody else's is as it is now, and his is what it was.
    assert_eq!(world.on("a"), ["p", "keys/p", "keys/steady"]);
    assert_eq!(world.condition(&id, "Accepted"), "True Valid");
    roll_out(&mut world);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(world.on("a"), ["p", "keys/p", "keys/steady"]);
    world.source(&source("m0"), found(KEY));
    roll_out(&mut world);
    assert_eq!(world.condition(&tenant, "Ready"), "True Ready");
}

/// A policy of a namespace that takes its key from a `ConfigMap` of this name.
fn from_map(name: &str) -> SpecObject {
    let source = Source {
        name: name.to_owned(),
        ..config_map()
    };
    let mut spec = referring(spec("tenant.example"), &source);
    let key = spec.policy.authorities[0].key.as_mut().unwrap();
    key.config_map_key_ref.as_mut().unwrap().namespace = None;
    spec
}

#[test]
fn a_namespace_has_so_many_sources_and_nothing_is_read_beyond() {
    let (mut world, _) = with_crio();
    world.configure(limits(100, &[]));
    let id = |number: usize| namespaced("keys", &format!("p{number:02}"));
    for number in 0..40 {
        world.apply_policy(&id(number), from_map(&format!("m{number:02}")));
    }
    let wanted: Vec<String> = world.index.wanted().into_keys().map(|s| s.name).collect();
    assert_eq!(wanted.len(), MAX_NAMESPACE_SOURCES);
    for name in wanted {
        let source = Source {
            name,
            ..config_map()
        };
        world.source(&source, found(KEY));
    }
    roll_out(&mut world);
    assert_eq!(world.condition(&id(31), "Ready"), "True Ready");
    assert_eq!(world.condition(&id(32), "Accepted"), "False NotPermitted");
    assert!(
        world
            .message(&id(32), "Accepted")
            .contains("put several keys into one")
    );
    // One that takes its key from where others do is fine.
    world.apply_policy(&id(39), from_map("m00"));
    roll_out(&mut world);
    assert_eq!(world.condition(&id(39), "Ready"), "True Ready");
}

#[test]
fn nothing_is_read_for_policies_that_are_not_permitted() {
    let (mut world, _) = with_crio();
    world.configure(limits(1, &["allowed.example"]));
    world.apply_policy(&namespaced("keys", "one"), from_map("one"));
    world.apply_policy(&namespaced("keys", "two"), from_map("two"));
    assert_eq!(world.index.wanted().len(), 0, "outside of what is allowed");
    world.configure(limits(1, &[]));
    let wanted: Vec<String> = world.index.wanted().into_keys().map(|s| s.name).collect();
    assert_eq!(wanted, ["one"], "as soon as the configuration says so");
}
