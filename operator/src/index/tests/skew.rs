//! Operators and agents of different versions.

use policy::aggregate::Truth;

use super::running;
use super::world::{kinds, report};

/// An agent that is older than the bundle keeps what it has; the policy says where and why.
#[test]
fn a_node_whose_agent_is_too_old_for_its_bundle_is_named_with_the_reason() {
    let (mut world, id) = running();
    let too_new = report(Truth::False, "BundleTooNew", Truth::False);
    world.agent_reports("b", false, too_new);
    world.settle();
    assert_eq!(world.condition(&id, "Ready"), "False NodesFailed");
    let message = world.message(&id, "Ready");
    assert!(message.contains("b (BundleTooNew)"), "{message}");
    let failing = &world.policies[&id].status.failing;
    assert_eq!(
        (failing[0].node.as_str(), failing[0].reason.as_str()),
        ("b", "BundleTooNew")
    );
}

/// An operator that was replaced by an older one meets bundles that it cannot read.
#[test]
fn a_bundle_of_a_newer_operator_is_replaced_by_one_of_its_own_and_kept_while_nodes_run_it() {
    let (mut world, id) = running();
    let (_, own) = world.bundles.first_key_value().unwrap();
    let (mut newer, own) = (own.clone(), own.name.clone());
    newer.name = format!("sha256-{}", "2".repeat(64));
    newer.meta.uid = "newer".to_owned();
    newer.content = Err("the bundle has format 2".to_owned());
    let name = newer.name.clone();
    world.bundles.insert(name.clone(), newer);
    for node in ["a", "b"] {
        let mut object = world.node_policies[node].clone();
        object.bundle = Some(name.clone());
        object.applied = Some(name.clone());
        world.change_node_policy(object);
    }
    world.restart();
    let written = kinds(&world.settle());
    for node in ["a", "b"] {
        assert!(written.contains(&format!("set {node}")), "{written:?}");
        assert_eq!(world.node_policies[node].bundle.as_ref(), Some(&own));
    }
    // It is what the nodes run until they have the other one.
    world.later();
    assert!(world.bundles.contains_key(&name));
    assert_eq!(world.condition(&id, "Accepted"), "True Valid");
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}
