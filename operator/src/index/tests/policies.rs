//! Policies, their references and the configuration.

use crds::types::{DefaultAction, Enforcement, EnforcementConfigSpec};
use policy::bundle::DefaultAction as Action;

use super::world::{
    KEY, OTHER_KEY, World, cluster, found, kinds, namespaced, referring, selecting, spec,
};
use super::{config_map, running, secret};
use crate::index::{Fetched, Found};

fn action(world: &World, node: &str) -> Action {
    let bundle = world.node_policies[node].bundle.as_ref().unwrap();
    let content = world.bundles[bundle].content.as_ref().unwrap();
    content.settings().default_action
}

#[test]
fn an_edit_that_changes_nothing_rewrites_no_node() {
    let (mut world, id) = running();
    world.apply_policy(&id, spec("registry.example/team"));
    assert_eq!(kinds(&world.later()), ["status p"], "observedGeneration");
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn an_invalid_update_keeps_the_last_valid_form_and_names_the_field() {
    let (mut world, id) = running();
    let digest = world.policies[&id].status.digest.clone();
    let mut wrong = spec("registry.example/team");
    wrong.policy.scopes.push("busybox".to_owned());
    world.apply_policy(&id, wrong);
    assert_eq!(kinds(&world.later()), ["status p"]);
    assert_eq!(world.condition(&id, "Accepted"), "False InvalidScope");
    assert_eq!(world.condition(&id, "Stalled"), "True InvalidScope");
    let message = world.message(&id, "Accepted");
    assert!(
        message.starts_with("spec.scopes[1]: ") && message.contains("last valid form"),
        "{message}"
    );
    assert_eq!(world.policies[&id].status.digest, digest);
    assert_eq!(world.on("a"), ["p"]);

    world.apply_policy(&id, spec("registry.example/team"));
    assert_eq!(kinds(&world.later()), ["status p"]);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn what_was_never_valid_is_on_no_node_and_does_not_stop_others() {
    let (mut world, _) = running();
    let bad = cluster("bad");
    world.apply_policy(&bad, spec("busybox"));
    assert_eq!(kinds(&world.later()), ["status bad"]);
    assert_eq!(world.condition(&bad, "Accepted"), "False InvalidScope");
    assert!(world.message(&bad, "Accepted").contains("enforces nothing"));
    let other = cluster("other");
    world.apply_policy(&other, spec("other.example"));
    world.later();
    assert_eq!(world.on("a"), ["other", "p"]);
}

#[test]
fn an_object_of_the_same_name_does_not_inherit_the_last_valid_form() {
    let (mut world, id) = running();
    world.delete_policy(&id);
    world.apply_policy(&id, spec("busybox"));
    world.later();
    assert_eq!(world.on("a"), [""; 0]);
    assert!(world.message(&id, "Accepted").contains("enforces nothing"));
}

#[test]
fn a_deleted_policy_leaves_the_nodes() {
    let (mut world, id) = running();
    world.delete_policy(&id);
    assert_eq!(kinds(&world.settle()), ["create", "set a", "set b"]);
    assert_eq!(world.on("a"), [""; 0]);
    assert_eq!(world.later(), []);
}

#[test]
fn a_rotated_key_reaches_the_nodes() {
    for source in [config_map(), secret()] {
        let (mut world, id) = (World::new(), cluster("p"));
        world.join("a", &[]);
        world.apply_policy(&id, referring(spec("registry.example/team"), &source));
        world.source(&source, found(KEY));
        world.settle();
        world.agents_apply();
        world.later();
        assert_eq!(world.condition(&id, "Ready"), "True Ready");
        let before = world.policies[&id].status.digest.clone();

        world.source(&source, found(KEY));
        assert_eq!(world.later(), [], "read again, the same");
        world.source(&source, found(OTHER_KEY));
        assert_eq!(kinds(&world.settle()), ["create", "status p", "set a"]);
        assert_ne!(world.policies[&id].status.digest, before);
        world.agents_apply();
        world.later();
        assert_eq!(world.condition(&id, "Ready"), "True Ready");
    }
}

#[test]
fn a_key_that_vanished_stays_in_force_and_says_so() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_policy(&id, referring(spec("registry.example/team"), &secret()));
    world.source(&secret(), found(KEY));
    world.settle();
    world.agents_apply();
    world.later();
    let no_key = Fetched::Found(Found {
        values: [("key.pub".to_owned(), None)].into(),
        known: vec!["cosign.pub".to_owned()],
    });
    for (fetched, reason, word) in [
        (
            Fetched::Missing,
            "NotFound",
            "there is no Secret keys/release",
        ),
        (Fetched::Forbidden, "NotPermitted", "nodeseal-key-reader"),
        (no_key, "NotFound", "cosign.pub"),
        (
            found("garbage"),
            "InvalidKey",
            "spec.authorities[0].key.secretKeyRef",
        ),
    ] {
        world.source(&secret(), fetched);
        assert_eq!(kinds(&world.later()), ["status p"]);
        assert_eq!(world.condition(&id, "Accepted"), "True Valid");
        let expected = format!("False {reason}");
        assert_eq!(world.condition(&id, "Resolved"), expected);
        assert!(
            world.message(&id, "Resolved").contains(word),
            "{}",
            world.message(&id, "Resolved")
        );
        assert_eq!(world.on("a"), ["p"]);
        world.restart();
        assert_eq!(world.later(), []);
    }
    world.source(&secret(), found(KEY));
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn a_read_that_fails_is_never_an_answer() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.join("a", &[]);
    world.apply_policy(&id, referring(spec("registry.example/team"), &secret()));
    let failed = || Fetched::Unreadable("timed out".to_owned());
    world.source(&secret(), failed());
    world.later();
    assert_eq!(world.condition(&id, "Resolved"), "Unknown NotRead");
    assert_eq!(world.condition(&id, "Stalled"), "");
    world.source(&secret(), found(KEY));
    world.settle();
    world.agents_apply();
    world.later();
    world.source(&secret(), failed());
    assert_eq!(world.later(), []);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn a_namespace_reads_its_own_keys_only() {
    let (mut world, id) = (World::new(), namespaced("tenant", "p"));
    world.join("a", &[]);
    // The rules of the API refuse it; this is about what happens without them.
    world.apply_policy(&id, referring(spec("registry.example/team"), &secret()));
    assert!(world.index.wanted().is_empty());
    world.later();
    assert_eq!(world.condition(&id, "Accepted"), "False NotPermitted");
}

#[test]
fn the_configuration_limits_what_namespaces_may_do() {
    let mut world = World::new();
    world.join("a", &[]);
    let (one, two) = (namespaced("tenant", "one"), namespaced("tenant", "two"));
    world.apply_policy(&one, spec("registry.example/team"));
    world.apply_policy(&two, spec("elsewhere.example"));
    let mut config = EnforcementConfigSpec::default();
    config.namespaced_policies.allowed_scopes = vec!["registry.example".to_owned()];
    world.configure(config.clone());
    world.later();
    assert_eq!(world.condition(&one, "Accepted"), "True Valid");
    assert_eq!(world.condition(&two, "Accepted"), "False NotPermitted");
    assert!(world.message(&two, "Accepted").contains("spec.scopes[0]"));
    assert_eq!(world.on("a"), ["tenant/one"]);

    config.namespaced_policies.allowed_scopes.clear();
    config.namespaced_policies.max_per_namespace = 1;
    world.configure(config);
    world.later();
    assert_eq!(world.condition(&two, "Accepted"), "False NotPermitted");
    assert!(world.message(&two, "Accepted").contains("maxPerNamespace"));
}

#[test]
fn a_deleted_configuration_keeps_its_values() {
    let (mut world, id) = running();
    let mut config = EnforcementConfigSpec {
        default_action: DefaultAction::Reject,
        ..EnforcementConfigSpec::default()
    };
    world.configure(config.clone());
    assert_eq!(
        kinds(&world.settle()),
        ["create", "config", "set a", "set b"]
    );
    world.agents_apply();
    world.later();
    assert_eq!(action(&world, "a"), Action::Reject);

    world.delete_config();
    assert_eq!(kinds(&world.later()), ["status p"]);
    assert_eq!(world.condition(&id, "Stalled"), "True ConfigDeleted");
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(action(&world, "a"), Action::Reject);
    world.restart();
    assert_eq!(world.later(), [], "also for a new process");

    config.exempt_images = vec!["Registry.example".to_owned()];
    world.configure(config.clone());
    assert_eq!(kinds(&world.later()), ["config", "status p"]);
    let status = &world.config.as_ref().unwrap().status;
    assert_eq!(status.conditions[0].reason, "InvalidScope");
    assert!(
        status.conditions[0]
            .message
            .starts_with("spec.exemptImages[0]"),
        "{status:?}"
    );
    assert_eq!(action(&world, "a"), Action::Reject);

    config.exempt_images.clear();
    config.default_action = DefaultAction::Allow;
    world.configure(config);
    world.later();
    assert_eq!(action(&world, "a"), Action::Allow);
    assert_eq!(world.condition(&id, "Stalled"), "");
}

#[test]
fn the_emergency_stop_takes_everything_off_the_nodes_and_forgets_nothing() {
    let (mut world, id) = running();
    let mut wrong = spec("registry.example/team");
    wrong.policy.scopes.push("busybox".to_owned());
    world.apply_policy(&id, wrong);
    world.later();
    let mut config = EnforcementConfigSpec {
        enforcement: Enforcement::Disabled,
        default_action: DefaultAction::Reject,
        ..EnforcementConfigSpec::default()
    };
    world.configure(config.clone());
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(
        (world.on("a"), action(&world, "a")),
        (vec![], Action::Allow)
    );
    let told = |world: &World| world.bundle_of("a").settings().enforcement;
    assert_eq!(told(&world), policy::settings::Enforcement::Disabled);

    world.restart();
    assert_eq!(world.later(), []);
    config.enforcement = Enforcement::Enabled;
    world.configure(config);
    world.later();
    assert_eq!(action(&world, "a"), Action::Reject);
    assert_eq!(world.on("a"), ["p"]);
}

#[test]
fn nodes_get_the_policies_that_select_them() {
    let mut world = World::new();
    world.join("a", &[("pool", "prod")]);
    world.join("b", &[("pool", "test")]);
    world.join("c", &[("pool", "test"), ("zone", "1")]);
    world.apply_policy(&cluster("all"), spec("a.example"));
    let prod = selecting(spec("b.example"), "pool", "prod");
    world.apply_policy(&cluster("prod"), prod);
    world.apply_policy(&namespaced("ns", "p"), spec("c.example"));
    world.settle();
    assert_eq!(world.on("a"), ["all", "prod", "ns/p"]);
    assert_eq!(world.on("b"), ["all", "ns/p"]);
    assert_eq!(world.bundles.len(), 2, "one for each distinct set");
    let nodes = world.policies[&cluster("prod")].status.nodes.clone();
    assert_eq!(nodes.unwrap().selected, 1);

    let mut node = world.nodes["b"].clone();
    node.labels.insert("pool".to_owned(), "prod".to_owned());
    world.change_node(node);
    assert_eq!(kinds(&world.settle()), ["set b"], "counts are gathered");
    assert_eq!(world.on("b"), ["all", "prod", "ns/p"]);
}
