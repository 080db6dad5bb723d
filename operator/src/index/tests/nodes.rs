//! Nodes: joining, failing, leaving, and what their runtimes cannot do.

use policy::aggregate::Truth;
use policy::model::PolicyId;

use super::running;
use super::world::{World, cluster, kinds, namespaced, report, runtime, selecting, spec};
use crate::index::{Change, Event};

fn counts(world: &World, id: &PolicyId) -> (i32, i32, i32, i32, i32) {
    let nodes = world.policies[id].status.nodes.clone().unwrap();
    (
        nodes.selected,
        nodes.updated,
        nodes.failed,
        nodes.unsupported,
        nodes.unreachable,
    )
}

#[test]
fn a_node_that_joins_gets_its_object_and_clears_nothing() {
    let (mut world, id) = running();
    world.join("c", &[]);
    let mut node = world.nodes["c"].clone();
    node.meta.created = world.now;
    world.change_node(node.clone());
    assert_eq!(kinds(&world.settle()), ["set c"]);
    assert_eq!(world.node_policies["c"].owner, Some(node.meta.uid));
    world.now = world.index.deadline(world.now).unwrap();
    assert_eq!(kinds(&world.settle()), ["count p"]);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(counts(&world, &id), (3, 2, 0, 0, 0));

    // It stays new for five minutes only.
    world.now = world.index.deadline(world.now).unwrap();
    assert_eq!(kinds(&world.settle()), ["status p"]);
    assert_eq!(world.condition(&id, "Programmed"), "False RollingOut");
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
}

#[test]
fn a_node_that_leaves_is_not_counted() {
    let (mut world, id) = running();
    let node = world.nodes.remove("b").unwrap();
    world.index.apply(Event::Node(Change::Delete(node)));
    assert_eq!(kinds(&world.later()), ["count p"]);
    assert_eq!(counts(&world, &id), (1, 1, 0, 0, 0));
}

#[test]
fn a_node_of_the_same_name_takes_the_object_over() {
    let (mut world, _) = running();
    let mut node = world.nodes["a"].clone();
    node.meta.uid = "another".to_owned();
    world.change_node(node);
    assert_eq!(kinds(&world.settle()), ["set a"]);
    assert_eq!(world.node_policies["a"].owner.as_deref(), Some("another"));
}

#[test]
fn what_somebody_else_wrote_into_a_nodes_spec_is_put_right() {
    let (mut world, _) = running();
    let mut own = world.node_policies["a"].clone();
    let right = own.bundle.replace("sha256-else".to_owned());
    world.change_node_policy(own);
    assert_eq!(kinds(&world.settle()), ["set a"]);
    assert_eq!(world.node_policies["a"].bundle, right);
}

#[test]
fn a_node_that_failed_is_named() {
    let (mut world, id) = running();
    world.agent_reports(
        "b",
        false,
        report(Truth::False, "WriteFailed", Truth::False),
    );
    assert_eq!(kinds(&world.settle()), ["status p"]);
    assert_eq!(world.condition(&id, "Ready"), "False NodesFailed");
    let failing = &world.policies[&id].status.failing;
    assert_eq!(
        (failing[0].node.as_str(), failing[0].reason.as_str()),
        ("b", "WriteFailed")
    );
    assert_eq!(counts(&world, &id), (2, 1, 1, 0, 0));
}

#[test]
fn an_unreachable_node_is_counted_apart() {
    let (mut world, id) = running();
    let mut node = world.nodes["b"].clone();
    node.reachable = false;
    world.change_node(node);
    assert_eq!(kinds(&world.later()), ["count p"]);
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    assert_eq!(counts(&world, &id), (2, 1, 0, 0, 1));
}

#[test]
fn what_a_runtime_cannot_express_makes_the_policy_incompatible() {
    let (mut world, id) = running();
    let mut node = world.nodes["b"].clone();
    node.runtime = Some(runtime("containerd", "1.7.28"));
    world.change_node(node.clone());
    assert_eq!(kinds(&world.settle()), ["status p"]);
    assert_eq!(world.condition(&id, "Compatible"), "False NotEnforcing");
    assert!(
        world
            .message(&id, "Compatible")
            .contains("containerd 1.7.28")
    );
    assert_eq!(counts(&world, &id), (2, 1, 0, 1, 0));

    let tenant = namespaced("ns", "p");
    world.apply_policy(&tenant, spec("b.example"));
    node.runtime = Some(runtime("cri-o", "1.34.1"));
    world.change_node(node);
    world.settle();
    world.agents_apply();
    world.later();
    assert_eq!(world.condition(&id, "Ready"), "True Ready");
    let compatible = world.condition(&tenant, "Compatible");
    assert_eq!(compatible, "False NamespacedUnsupported");
    assert_eq!(counts(&world, &tenant), (2, 1, 0, 1, 0));
}

#[test]
fn what_the_agent_found_out_about_its_runtime_wins() {
    let (mut world, id) = running();
    let mut own = world.node_policies["b"].clone();
    own.runtime = Some(runtime("containerd", "2.0.5"));
    world.change_node_policy(own);
    world.settle();
    assert_eq!(world.condition(&id, "Compatible"), "False NotEnforcing");
}

#[test]
fn a_policy_without_nodes_waits_for_nothing() {
    let (mut world, id) = (World::new(), cluster("p"));
    world.apply_policy(&id, spec("registry.example/team"));
    assert_eq!(kinds(&world.later()), ["status p"]);
    assert_eq!(world.condition(&id, "Programmed"), "True NoNodes");
    // The first node has to run it, however new it is.
    world.join("a", &[]);
    let mut node = world.nodes["a"].clone();
    node.meta.created = world.now;
    world.change_node(node);
    world.settle();
    assert_eq!(world.condition(&id, "Ready"), "False RollingOut");
}

#[test]
fn a_status_that_came_late_is_not_mistaken_for_the_present() {
    let (mut world, id) = running();
    let before = world.policies[&id].clone();
    world.apply_policy(&id, spec("registry.example/other"));
    let writes = world.ask();
    assert_eq!(kinds(&writes), ["create", "status p"]);
    world
        .index
        .apply(Event::ClusterPolicy(Change::Apply(before)));
    assert_eq!(world.ask(), [], "an older version changes nothing");
}

fn on_runtime(world: &mut World, node: &str, name: &str, version: &str) {
    let mut node = world.nodes[node].clone();
    node.runtime = Some(runtime(name, version));
    world.change_node(node);
}

#[test]
fn compatible_says_which_signatures_the_runtimes_of_the_nodes_read() {
    let (mut world, id) = running();
    assert!(!world.message(&id, "Compatible").contains("containerd"));
    on_runtime(&mut world, "b", "cri-o", "1.34.1");
    assert_eq!(world.settle(), [], "words are gathered");
    assert_eq!(kinds(&world.later()), ["count p"]);
    assert_eq!(world.condition(&id, "Compatible"), "True Compatible");
    let message = world.message(&id, "Compatible");
    assert!(
        message.contains("; cri-o 1.34.1: CRI-O reads only signatures that are attached")
            && message.contains("--new-bundle-format=false")
            && message.matches("CRI-O reads only").count() == 1,
        "{message}"
    );
    // Two versions that say the same say it once, and a node that is not selected says nothing.
    on_runtime(&mut world, "a", "cri-o", "1.33.0");
    world.apply_policy(
        &id,
        selecting(spec("registry.example/team"), "pool", "prod"),
    );
    world.later();
    let message = world.message(&id, "Compatible");
    assert!(
        message.contains("; cri-o 1.33.0: CRI-O reads only") && !message.contains("1.34.1"),
        "{message}"
    );
    world.apply_policy(&id, spec("registry.example/team"));
    world.later();
    let message = world.message(&id, "Compatible");
    assert!(
        message.contains("; cri-o 1.33.0, cri-o 1.34.1: CRI-O reads only"),
        "{message}"
    );
    world.restart();
    assert_eq!(world.later(), []);
}

#[test]
fn not_compatible_names_runtime_version_authority_and_field_and_the_worst_reason() {
    let (mut world, id) = running();
    on_runtime(&mut world, "b", "cri-o", "1.34.1");
    let certificates = policy::trust::TrustRoot::from_trusted_root_json(
        sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT,
    );
    let roots = certificates.unwrap().root.fulcio_roots()[0].to_pem();
    let mut spec = spec("registry.example/team");
    spec.policy.mode = crds::types::Mode::Audit;
    let pki = |name: &str| {
        serde_json::from_value(serde_json::json!({
            "name": name,
            "certificate": { "roots": roots, "subject": { "email": format!("{name}@b.example") } },
        }))
        .unwrap()
    };
    spec.policy.authorities = vec![pki("corp"), pki("other")];
    world.apply_policy(&id, spec);
    world.later();
    assert_eq!(world.condition(&id, "Compatible"), "False NotExpressible");
    let message = world.message(&id, "Compatible");
    let mode = message.find("mode: the files of CRI-O know no audit");
    let authority = message.find("authority `corp`, certificate");
    assert!(
        message.starts_with("1 of the selected nodes (cri-o 1.34.1): ") && authority < mode,
        "{message}"
    );
    assert!(authority.is_some(), "{message}");
    assert_eq!(world.condition(&id, "Stalled"), "True NotExpressible");
}

#[test]
fn a_runtime_of_unknown_version_is_not_compatible_before_its_agent_reports() {
    let unknown = [
        Some(runtime("cri-o", "")),
        Some(runtime("containerd", "")),
        Some(runtime("cri-o", "nightly")),
        None,
    ];
    for unknown in unknown {
        let (mut world, id) = (World::new(), cluster("p"));
        world.join("a", &[]);
        world.join("b", &[]);
        let mut node = world.nodes["b"].clone();
        node.runtime = unknown;
        world.change_node(node);
        world.apply_policy(&id, spec("registry.example/team"));
        world.settle();
        for kind in ["Compatible", "Ready"] {
            assert_eq!(world.condition(&id, kind), "Unknown RuntimeUnknown");
        }
        assert_eq!(world.condition(&id, "Stalled"), "");
        assert_eq!(world.condition(&id, "Reconciling"), "True RollingOut");
        let message = world.message(&id, "Compatible");
        assert!(message.contains("1 of the selected nodes (b)"), "{message}");
        assert_eq!(counts(&world, &id), (2, 0, 0, 0, 0));
        world.agents_apply();
        world.later();
        assert_eq!(world.condition(&id, "Ready"), "True Ready");
        assert_eq!(counts(&world, &id), (2, 2, 0, 0, 0));

        // What holds for every version needs none.
        let tenant = namespaced("ns", "p");
        world.apply_policy(&tenant, spec("b.example"));
        world.settle();
        let compatible = world.condition(&tenant, "Compatible");
        assert_eq!(compatible, "False NamespacedUnsupported");
    }
}
