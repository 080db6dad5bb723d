//! Policies of both kinds.

use anyhow::Result;
use serde_json::{Value, json};

use crate::lab::policy;
use crate::reader::expect;
use crate::scene::{Named, Scene, config, pem};

const CLUSTER: Named = Named {
    collection: "clusterimagesignaturepolicies",
    name: "p",
};
const TENANT: Named = Named {
    collection: "namespaces/default/imagesignaturepolicies",
    name: "t",
};
const NODES: [&str; 2] = ["a", "b"];

fn tenant(scope: &str, key: &Value) -> Value {
    let mut object = policy("t", &[scope], key);
    object["kind"] = json!("ImageSignaturePolicy");
    object["metadata"]["namespace"] = json!("default");
    object
}

/// Every node has a CRI-O that can express everything, and runs what it shall run.
async fn all_apply(scene: &Scene) -> Result<()> {
    for node in NODES {
        scene.lab.agent_says(node, &on_crio()).await?;
    }
    Ok(())
}

fn on_crio() -> Value {
    json!({ "runtime": { "name": "cri-o", "version": "1.34.1", "enforcement": "Full" } })
}

#[tokio::test]
async fn policies_through_their_lives() -> Result<()> {
    let mut scene = Scene::start(&NODES).await?;
    let inline = json!({ "data": pem() });
    for object in [
        policy("p", &["registry.example/team"], &inline),
        tenant("registry.example", &inline),
    ] {
        scene.lab.apply(&object).await?;
    }
    scene.just_created(CLUSTER).await?;
    scene.just_created(TENANT).await?;
    let _operator = scene.operator().await?;

    scene
        .stage(CLUSTER, "Ready", "False RollingOut", "InProgress")
        .await?;
    scene.lab.roll_out(&NODES, &["p", "default/t"]).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;
    // containerd tells its verifier no namespace.
    scene
        .stage(TENANT, "Ready", "False NamespacedUnsupported", "Failed")
        .await?;
    all_apply(&scene).await?;
    scene
        .stage(TENANT, "Ready", "True Ready", "Current")
        .await?;

    // A change, on its way and there.
    scene
        .lab
        .apply(&policy("p", &["registry.example/other"], &inline))
        .await?;
    scene
        .lab
        .apply(&tenant("registry.example/other", &inline))
        .await?;
    scene
        .stage(CLUSTER, "Ready", "False RollingOut", "InProgress")
        .await?;
    scene
        .stage(TENANT, "Ready", "False RollingOut", "InProgress")
        .await?;
    scene.lab.roll_out(&NODES, &["p", "default/t"]).await?;
    all_apply(&scene).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;
    scene
        .stage(TENANT, "Ready", "True Ready", "Current")
        .await?;

    // A warning changes nothing.
    scene
        .lab
        .apply(&policy("p", &["registry.example/other:v1"], &inline))
        .await?;
    scene
        .stage(CLUSTER, "Ready", "False RollingOut", "InProgress")
        .await?;
    scene.lab.roll_out(&NODES, &["p", "default/t"]).await?;
    all_apply(&scene).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;

    // Not valid.
    scene
        .lab
        .apply(&policy("p", &["docker.io/busybox"], &inline))
        .await?;
    scene
        .lab
        .apply(&tenant("docker.io/busybox", &inline))
        .await?;
    scene
        .stage(CLUSTER, "Ready", "False InvalidScope", "Failed")
        .await?;
    scene
        .stage(TENANT, "Ready", "False InvalidScope", "Failed")
        .await?;

    // Not resolvable.
    let nowhere =
        json!({ "configMapKeyRef": { "name": "none", "key": "k", "namespace": "default" } });
    scene
        .lab
        .apply(&policy("p", &["registry.example/team"], &nowhere))
        .await?;
    let nowhere = json!({ "configMapKeyRef": { "name": "none", "key": "k" } });
    scene
        .lab
        .apply(&tenant("registry.example", &nowhere))
        .await?;
    scene
        .stage(CLUSTER, "Ready", "False NotFound", "Failed")
        .await?;
    scene
        .stage(TENANT, "Ready", "False NotFound", "Failed")
        .await?;
    Ok(())
}

#[tokio::test]
async fn policies_that_nodes_or_the_cluster_hold_up() -> Result<()> {
    let mut scene = Scene::start(&NODES).await?;
    let _operator = scene.operator().await?;
    let object = policy("p", &["registry.example/team"], &json!({ "data": pem() }));
    scene.lab.apply(&object).await?;
    scene.lab.roll_out(&NODES, &["p"]).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;

    // A node that failed tries again by itself; a rollout that it halts is another matter.
    let failed = json!({ "conditions": [
        condition("Applied", "False", "WriteFailed"),
        condition("Ready", "False", "WriteFailed"),
    ] });
    scene.lab.agent_says("b", &failed).await?;
    scene
        .stage(CLUSTER, "Ready", "False NodesFailed", "InProgress")
        .await?;

    // A runtime that calls no verifier.
    let old =
        json!({ "runtime": { "name": "containerd", "version": "1.7.35", "enforcement": "None" } });
    scene.lab.agent_says("b", &old).await?;
    scene
        .stage(CLUSTER, "Ready", "False NotEnforcing", "Failed")
        .await?;
    scene.lab.agent_says("b", &json!({})).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;

    // The emergency stop.
    scene
        .lab
        .apply(&config(&json!({ "enforcement": "Disabled" })))
        .await?;
    scene
        .stage(CLUSTER, "Programmed", "False RolloutHalted", "Failed")
        .await?;
    scene.lab.apply(&config(&json!({}))).await?;
    scene.lab.roll_out(&NODES, &["p"]).await?;
    scene
        .stage(CLUSTER, "Ready", "True Ready", "Current")
        .await?;

    // The configuration is gone, and its values are not.
    let name = Named {
        collection: "enforcementconfigs",
        name: "default",
    };
    scene.delete(name).await?;
    scene
        .stage(CLUSTER, "Stalled", "True ConfigDeleted", "Failed")
        .await?;

    let bundle = scene.first("policybundles").await?;
    expect("PolicyBundle", &bundle, "Current")
}

pub(crate) fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "by the test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}
