//! What nodes need of the configuration reaches all of them, and nothing else makes a new bundle.

use crds::types::{
    ContainerdSettings, CrioSettings, Enforcement, EnforcementConfigSpec, Restart, StaleImages,
};
use jiff::SignedDuration;
use policy::aggregate::{Finding, Truth};
use policy::settings::{self, ProbeInterval};

use super::running;
use super::world::{World, cluster, kinds, namespaced, report, runtime, spec};

fn bundle(world: &World, node: &str) -> String {
    world.node_policies[node].bundle.clone().unwrap()
}

fn disabled() -> EnforcementConfigSpec {
    EnforcementConfigSpec {
        enforcement: Enforcement::Disabled,
        ..EnforcementConfigSpec::default()
    }
}

/// Agents do what the emergency stop asks, and say so.
fn agents_leave(world: &mut World) {
    let nodes: Vec<String> = world.node_policies.keys().cloned().collect();
    for node in nodes {
        let mut left = report(Truth::True, "Applied", Truth::False);
        left.enforcing = Truth::False;
        left.enforcing_finding = Finding::new("Disabled", "the node is as it was");
        world.agent_reports(&node, true, left);
    }
}

#[test]
fn each_value_for_nodes_makes_one_bundle_that_goes_to_all_of_them() {
    let mut config = EnforcementConfigSpec::default();
    let changes: [fn(&mut EnforcementConfigSpec); 6] = [
        |config| {
            config.containerd = ContainerdSettings {
                restart: Restart::Allowed,
                ..config.containerd
            };
        },
        |config| config.containerd.fix_local_pull = true,
        |config| {
            config.crio = CrioSettings {
                restart: Restart::Allowed,
                ..config.crio
            };
        },
        |config| config.crio.stale_images = StaleImages::Proceed,
        |config| config.probe.interval = "1h".to_owned(),
        |config| config.probe.interval = "0s".to_owned(),
    ];
    let (mut world, _) = running();
    world.configure(config.clone());
    assert_eq!(
        kinds(&world.settle()),
        ["config"],
        "all of it is the default"
    );
    for (place, change) in changes.iter().enumerate() {
        change(&mut config);
        let before = bundle(&world, "a");
        world.configure(config.clone());
        let written = kinds(&world.settle());
        let about: Vec<&str> = written
            .iter()
            .map(String::as_str)
            .filter(|kind| !kind.contains(" p") && *kind != "delete")
            .collect();
        assert_eq!(about, ["create", "config", "set a", "set b"], "{place}");
        assert_ne!(bundle(&world, "a"), before);
        assert_eq!(bundle(&world, "a"), bundle(&world, "b"));
        assert_eq!(world.on("a"), ["p"]);
        world.agents_apply();
        world.later();
    }
    let settings = world.bundle_of("a").settings();
    let expected = settings::Settings {
        containerd: settings::ContainerdSettings {
            restart: settings::Restart::Allowed,
            fix_local_pull: true,
        },
        crio: settings::CrioSettings {
            restart: settings::Restart::Allowed,
            stale_images: settings::StaleImages::Proceed,
        },
        probe_interval: ProbeInterval::of_seconds(0),
        ..settings::Settings::default()
    };
    assert_eq!(*settings, expected);
    world.restart();
    assert_eq!(world.later(), []);
}

#[test]
fn what_nodes_do_not_need_makes_no_bundle() {
    let (mut world, _) = running();
    let mut config = EnforcementConfigSpec::default();
    config.namespaced_policies.max_per_namespace = 3;
    config.taint.not_ready = true;
    config.rollout.paused = true;
    let before = bundle(&world, "a");
    world.configure(config);
    assert_eq!(kinds(&world.settle()), ["config"]);
    assert_eq!(bundle(&world, "a"), before);
}

#[test]
fn the_emergency_stop_waits_for_nothing_that_is_gathered() {
    let (mut world, _) = running();
    let tenant = namespaced("ns", "own");
    let mut node = world.nodes["b"].clone();
    node.runtime = Some(runtime("cri-o", "1.34.1"));
    world.change_node(node);
    world.apply_policy(&tenant, spec("a.example"));
    world.settle();
    world.apply_policy(&tenant, spec("b.example"));
    let before = bundle(&world, "a");
    world.settle();
    assert_eq!(bundle(&world, "a"), before, "it is gathered");

    world.configure(disabled());
    let written = kinds(&world.settle());
    let sets: Vec<&String> = written.iter().filter(|k| k.starts_with("set")).collect();
    assert_eq!(sets, ["set a", "set b"], "at the same instant");
    let told = world.bundle_of("a").settings().enforcement;
    assert_eq!(
        (told, world.on("a")),
        (settings::Enforcement::Disabled, vec![])
    );
    // And back, with what came meanwhile.
    world.configure(EnforcementConfigSpec::default());
    world.settle();
    assert_eq!(world.on("a"), ["p", "ns/own"]);
    let digest = |world: &World| world.bundle_of("a").policy(&tenant).unwrap().digest();
    let now = digest(&world);
    world.now += SignedDuration::from_mins(1);
    world.settle();
    assert_eq!(digest(&world), now, "nothing waits any more");
}

#[test]
fn the_emergency_stop_reaches_nodes_whose_policies_fit_into_no_bundle() {
    let (mut world, _) = running();
    for number in 0..100 {
        let id = cluster(&format!("large-{number:02}"));
        let mut large = spec("registry.example/team");
        let scope = |n: usize| {
            let digest = policy::digest::Digest::of(format!("{number} {n}").as_bytes());
            format!("registry.example/{}", digest.hex())
        };
        large.policy.scopes = (0..256).map(scope).collect();
        world.apply_policy(&id, large);
    }
    world.settle();
    assert_eq!(
        world.condition(&cluster("large-00"), "Stalled"),
        "True TooLarge"
    );
    world.configure(disabled());
    world.settle();
    for node in ["a", "b"] {
        let told = world.bundle_of(node).settings().enforcement;
        assert_eq!(told, settings::Enforcement::Disabled);
    }
}

#[test]
fn nodes_that_were_told_to_stop_have_not_failed() {
    let (mut world, id) = running();
    world.configure(disabled());
    world.settle();
    agents_leave(&mut world);
    world.later();
    for kind in ["Programmed", "Ready"] {
        assert_eq!(world.condition(&id, kind), "False RolloutHalted");
    }
    assert_eq!(world.condition(&id, "Stalled"), "True RolloutHalted");
    assert_eq!(world.condition(&id, "Compatible"), "True Compatible");
    let message = world.message(&id, "Programmed");
    assert!(message.contains("enforcement is Disabled"), "{message}");
    let status = &world.policies[&id].status;
    assert_eq!(status.nodes.as_ref().unwrap().failed, 0);
    assert_eq!(status.failing, []);

    // Enabled again, they are on their way until they say otherwise.
    world.configure(EnforcementConfigSpec::default());
    world.later();
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
    assert_eq!(world.condition(&id, "Stalled"), "");
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn a_node_that_waits_is_on_its_way_and_one_that_enforces_nothing_is_not_compatible() {
    let (mut world, id) = running();
    for reason in ["Pending", "StaleImages"] {
        world.agent_reports("b", false, report(Truth::False, reason, Truth::False));
        world.later();
        assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
        assert_eq!(world.condition(&id, "Reconciling"), "True RollingOut");
        let message = world.message(&id, "Programmed");
        assert!(
            message.contains(&format!("waiting for b ({reason})")),
            "{message}"
        );
    }
    // The agent found that pulls go past the verifier.
    let mut own = world.node_policies["b"].clone();
    own.not_enforcing = Some(Finding::new("NotEnforcing", "pulls go past it"));
    let mut failing = report(Truth::True, "Applied", Truth::False);
    failing.enforcing = Truth::False;
    failing.enforcing_finding = Finding::new("NotEnforcing", "pulls go past it");
    own.report = Some(failing);
    world.change_node_policy(own);
    world.later();
    assert_eq!(world.condition(&id, "Compatible"), "False NotEnforcing");
    assert_eq!(world.condition(&id, "Programmed"), "True Programmed");
    assert_eq!(world.condition(&id, "Ready"), "False NotEnforcing");
}

#[test]
fn the_stop_does_not_wait_until_the_rest_of_the_configuration_is_right() {
    let (mut world, _) = running();
    let mut config = disabled();
    config.exempt_images = vec!["Not A Scope".to_owned()];
    world.configure(config.clone());
    world.settle();
    let told = |world: &World| world.bundle_of("a").settings().enforcement;
    assert_eq!(told(&world), settings::Enforcement::Disabled);
    // Only a configuration that is right ends it.
    config.enforcement = Enforcement::Enabled;
    world.configure(config.clone());
    world.settle();
    assert_eq!(told(&world), settings::Enforcement::Disabled);
    config.exempt_images.clear();
    world.configure(config);
    world.settle();
    assert_eq!(told(&world), settings::Enforcement::Enabled);
}
