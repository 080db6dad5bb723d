//! Warnings: where they stand, and whom they rewrite.

use crds::types::{DefaultAction, EnforcementConfigSpec, PolicySpec};
use jiff::SignedDuration;

use super::running;
use super::world::{World, cluster, kinds, namespaced, spec};
use crate::index::{Index, Options, SpecObject};

/// The spec with this name in signatures.
fn exactly(scope: &str, repository: &str) -> SpecObject {
    let mut spec = spec(scope);
    let mut json = serde_json::to_value(&spec.policy).unwrap();
    json["signedIdentity"] = serde_json::json!({
        "type": "ExactRepository", "exactRepository": { "repository": repository },
    });
    spec.policy = serde_json::from_value::<PolicySpec>(json).unwrap();
    spec
}

fn tagged(scopes: usize) -> SpecObject {
    let mut spec = spec("registry.example/app:v0");
    spec.policy.scopes = (0..scopes)
        .map(|n| format!("registry.example/app:v{n}"))
        .collect();
    spec
}

#[test]
fn a_warning_stands_in_accepted_and_leaves_the_policy_ready() {
    let (mut world, id) = running();
    assert_eq!(world.message(&id, "Accepted"), "the spec is valid");
    world.apply_policy(&id, tagged(1));
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Accepted"), "True Valid");
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    let message = world.message(&id, "Accepted");
    let start = "the spec is valid; 1 warning: TagScope at spec.scopes[0]: a tag scope does not";
    assert!(message.starts_with(start), "{message}");
    world.apply_policy(&id, spec("registry.example/team"));
    world.later();
    assert_eq!(world.message(&id, "Accepted"), "the spec is valid");
}

#[test]
fn of_many_warnings_the_first_five_are_said() {
    let (mut world, id) = running();
    world.apply_policy(&id, tagged(20));
    world.later();
    let message = world.message(&id, "Accepted");
    assert!(message.contains("; 20 warnings: "), "{message}");
    assert_eq!(message.matches("TagScope at ").count(), 5);
    assert!(message.ends_with("; and 15 more"), "{message}");
}

#[test]
fn an_invalid_policy_says_what_is_wrong_and_no_warning() {
    let (mut world, id) = running();
    let mut bad = tagged(1);
    bad.policy.scopes.push("busybox".to_owned());
    world.apply_policy(&id, bad);
    world.later();
    assert_eq!(world.condition(&id, "Accepted"), "False InvalidScope");
    assert!(!world.message(&id, "Accepted").contains("TagScope"));
}

#[test]
fn a_policy_at_odds_with_another_rewrites_that_one_and_no_third() {
    let (mut world, p) = running();
    world.apply_policy(&cluster("third"), spec("registry.example/other"));
    world.later();
    world.agents_apply();
    world.later();
    let q = cluster("q");
    world.apply_policy(
        &q,
        exactly("registry.example/team/app", "upstream.example/app"),
    );
    let writes = kinds(&world.settle());
    let statuses = writes.iter().filter(|kind| kind.starts_with("status "));
    let statuses: Vec<&String> = statuses.collect();
    assert_eq!(statuses, ["status p", "status q"], "{writes:?}");
    for id in [&p, &q] {
        let message = world.message(id, "Accepted");
        assert!(message.contains("SeveralSignaturesNeeded at"), "{message}");
    }
    world.agents_apply();
    world.later();
    world.delete_policy(&q);
    let writes = kinds(&world.settle());
    assert!(writes.contains(&"status p".to_owned()), "{writes:?}");
    assert!(
        !writes.iter().any(|kind| kind.ends_with("third")),
        "{writes:?}"
    );
    assert_eq!(world.message(&p, "Accepted"), "the spec is valid");
}

#[test]
fn a_tenants_policy_rewrites_no_policy_of_the_cluster() {
    let (mut world, p) = running();
    let tenant = namespaced("team", "t");
    world.apply_policy(
        &tenant,
        exactly("registry.example/team", "upstream.example/app"),
    );
    let writes = kinds(&world.later());
    assert!(
        !writes.iter().any(|kind| kind.ends_with(" p")),
        "{writes:?}"
    );
    assert_eq!(world.message(&p, "Accepted"), "the spec is valid");
    let message = world.message(&tenant, "Accepted");
    assert!(message.contains("SeveralSignaturesNeeded at"), "{message}");
}

#[test]
fn a_warning_is_told_once_when_it_comes_up() {
    let (mut world, id) = running();
    world.apply_policy(&id, tagged(1));
    let told = |world: &mut World| -> Vec<String> {
        let mut kinds = kinds(&world.later());
        kinds.retain(|kind| kind.starts_with("PolicyWarning"));
        kinds
    };
    assert_eq!(told(&mut world), ["PolicyWarning p"]);
    let note = &world.events.values().next_back().unwrap().note;
    assert!(note.contains("TagScope at spec.scopes[0]"), "{note}");
    assert_eq!(told(&mut world), [""; 0]);
    world.now += SignedDuration::from_hours(2);
    world.events.clear();
    world.restart();
    assert_eq!(
        told(&mut world),
        [""; 0],
        "the status says that it was told"
    );
    world.apply_policy(&id, tagged(2));
    assert_eq!(told(&mut world), ["PolicyWarning p"], "another one");
}

#[test]
fn the_configuration_has_its_warnings_and_takes_part_in_those_of_policies() {
    let (mut world, id) = running();
    let mut hole = spec("registry.example/team");
    hole.policy.exclude = vec!["registry.example/team/sandbox".to_owned()];
    world.apply_policy(&id, hole);
    world.later();
    assert_eq!(world.message(&id, "Accepted"), "the spec is valid");
    world.configure(EnforcementConfigSpec {
        default_action: DefaultAction::Reject,
        ..EnforcementConfigSpec::default()
    });
    let writes = kinds(&world.later());
    for subject in ["default", "p"] {
        let told = format!("PolicyWarning {subject}");
        assert!(writes.contains(&told), "{writes:?}");
    }
    let conditions = &world.config.as_ref().unwrap().status.conditions;
    let accepted = &conditions[0];
    assert_eq!(
        (accepted.type_.as_str(), accepted.status.as_str()),
        ("Accepted", "True")
    );
    assert!(
        accepted
            .message
            .contains("NothingExempt at spec.defaultAction")
    );
    assert!(
        world
            .message(&id, "Accepted")
            .contains("ExcludeUnderReject at spec.exclude[0]")
    );
    world.configure(EnforcementConfigSpec {
        default_action: DefaultAction::Reject,
        exempt_images: vec!["registry.example/team/sandbox".to_owned()],
        ..EnforcementConfigSpec::default()
    });
    world.later();
    assert_eq!(world.message(&id, "Accepted"), "the spec is valid");
}

#[test]
fn a_policy_over_the_products_own_images_is_told_so() {
    let (mut world, id) = running();
    let own = policy::scope::Scope::parse("registry.example/team/nodeseal").unwrap();
    world.index = Index::new(Options {
        exempt: [own].into(),
        ..Options::default()
    });
    world.resync();
    world.later();
    let message = world.message(&id, "Accepted");
    assert!(
        message.contains("CoversOwnImages at spec.scopes[0]"),
        "{message}"
    );
}

#[test]
fn a_restart_finds_every_warning_written() {
    let (mut world, id) = running();
    world.apply_policy(&id, tagged(3));
    world.later();
    world.agents_apply();
    world.later();
    world.restart();
    assert_eq!(kinds(&world.later()), [""; 0]);
}

#[test]
fn one_policys_change_and_one_nodes_join_rewrite_no_more_than_they_must() {
    let (mut world, p) = running();
    for name in ["q", "r"] {
        world.apply_policy(&cluster(name), spec(&format!("registry.example/{name}")));
    }
    world.settle();
    world.agents_apply();
    world.later();
    let statuses = |writes: &[crate::index::Write]| -> Vec<String> {
        let mut kinds = kinds(writes);
        kinds.retain(|kind| kind.starts_with("status ") || kind.starts_with("count "));
        kinds
    };
    world.apply_policy(&p, spec("registry.example/other"));
    let mut writes = world.settle();
    world.agents_apply();
    writes.extend(world.later());
    let about_p = statuses(&writes);
    assert!(about_p.len() <= 2, "{about_p:?}");
    assert!(
        about_p.iter().all(|kind| kind.ends_with(" p")),
        "{about_p:?}"
    );
    // However many nodes join within a while, each policy counts them once.
    for n in 0..20 {
        world.join(&format!("new-{n}"), &[]);
        let mut node = world.nodes[&format!("new-{n}")].clone();
        node.meta.created = world.now;
        world.change_node(node);
    }
    let writes = world.settle();
    assert_eq!(statuses(&writes), [""; 0], "{:?}", kinds(&writes));
    world.agents_apply();
    let writes = world.later();
    assert_eq!(statuses(&writes), ["count p", "count q", "count r"]);
}
