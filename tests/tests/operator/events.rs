//! What becomes events, and the emergency stop.

use std::time::Instant;

use anyhow::{Context as _, Result};
use e2e::process;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use policy::settings::Enforcement;
use serde_json::json;

use crate::lab::{Lab, SOON, condition, message, policy};
use crate::pem;

/// Those of the product.
async fn events(lab: &Lab) -> Result<Vec<Event>> {
    let api = Api::<Event>::all(lab.client.clone());
    let all = api.list(&ListParams::default()).await?;
    let ours =
        |event: &Event| event.reporting_controller.as_deref() == Some("nodeseal.dev/operator");
    Ok(all.into_iter().filter(ours).collect())
}

async fn told(lab: &Lab, reason: &str) -> Result<Event> {
    process::wait_for(&format!("an event {reason}"), SOON, async || {
        let all = events(lab).await?;
        let found = all
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(reason));
        Ok(found)
    })
    .await
}

#[tokio::test]
async fn what_nodes_refuse_becomes_one_event_on_the_policy() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    lab.apply(&policy(
        "p",
        &["registry.example/team"],
        &json!({ "data": pem() }),
    ))
    .await?;
    lab.roll_out(&["a", "b"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    assert_eq!(events(&lab).await?, [], "nothing is news");

    let refused = json!({
        "refused": [
            { "image": "registry.example/team/app:1", "reason": "NoSignature" },
            { "image": "elsewhere.example/app:1", "reason": "RegistryError" },
        ],
        "unverified": { "count": 1, "first": ["registry.example/team/old:1"] },
    });
    for node in ["a", "b"] {
        lab.agent_says(node, &refused).await?;
    }
    let event = told(&lab, "ImagesRefused").await?;
    told(&lab, "UnverifiedImages").await?;
    let uid = lab.policies().get("p").await?.metadata.uid;
    let regarding = event.regarding.context("an event about nothing")?;
    assert_eq!((regarding.name.as_deref(), regarding.uid), (Some("p"), uid));
    assert_eq!(
        regarding.kind.as_deref(),
        Some("ClusterImageSignaturePolicy")
    );
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    let note = event.note.unwrap_or_default();
    assert!(
        note.contains("registry.example/team/app:1 (NoSignature"),
        "{note}"
    );
    assert!(!note.contains("elsewhere"), "{note}");

    // Tried again, on another node too, and a new operator that leads: it is told already.
    let count = events(&lab).await?.len();
    lab.join("c").await?;
    lab.roll_out(&["c"], &["p"]).await?;
    lab.agent_says("c", &refused).await?;
    operator.terminate().await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let me = operator.process.id().to_string();
    process::wait_for("the new process to lead", SOON, async || {
        let leader = lab.leader().await?.unwrap_or_default();
        Ok(leader.ends_with(&me).then_some(()))
    })
    .await?;
    // It has looked once something later was told.
    let drift = json!({
        "drift": { "count": 1, "lastTime": "2999-01-01T00:00:00Z", "message": "/etc/x was changed" },
    });
    lab.agent_says("b", &drift).await?;
    let event = told(&lab, "FilesPutBack").await?;
    let regarding = event.regarding.context("an event about nothing")?;
    assert_eq!(
        (regarding.kind.as_deref(), regarding.name.as_deref()),
        (Some("NodeImagePolicy"), Some("b"))
    );
    assert_eq!(
        event.related.and_then(|node| node.kind).as_deref(),
        Some("Node")
    );
    let all = events(&lab).await?;
    assert_eq!(all.len(), count + 1, "{all:#?}");
    assert!(!operator.process.log().contains("a write failed"));
    Ok(())
}

#[tokio::test]
async fn the_emergency_stop_reaches_all_nodes_at_once() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    lab.roll_out(&["a", "b"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    // A tenant's changes are gathered just now.
    for scope in ["one.example", "two.example"] {
        let mut own = policy("own", &[scope], &inline);
        own["kind"] = "ImageSignaturePolicy".into();
        own["metadata"]["namespace"] = "default".into();
        lab.apply(&own).await?;
    }

    let config = |enforcement: &str| {
        json!({
            "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
            "metadata": { "name": "default" },
            "spec": {
                "enforcement": enforcement, "rollout": { "paused": enforcement == "Disabled" },
            },
        })
    };
    let began = Instant::now();
    lab.apply(&config("Disabled")).await?;
    let given = async |is: Enforcement, policies: usize| {
        let what = format!("all nodes to be told {is:?}");
        process::wait_for(&what, SOON, async || {
            for node in ["a", "b"] {
                let name = lab.node_policies().get(node).await?.spec.bundle;
                let bundle = lab.bundles().get(&name).await?;
                let content = crds::bundle::decode(&name, &bundle.spec)?;
                let count = content.policies().count();
                if (content.settings().enforcement, count) != (is, policies) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    };
    given(Enforcement::Disabled, 0).await?;
    println!("the stop was on all nodes after {:?}", began.elapsed());
    let disabled = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "by the test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let left = json!({ "conditions": [
        disabled("Applied", "True", "Applied"),
        disabled("Enforcing", "False", "Disabled"),
        disabled("Ready", "False", "Disabled"),
    ] });
    for node in ["a", "b"] {
        lab.agent_says(node, &left).await?;
    }
    let status = lab
        .condition("p", "Programmed", "False RolloutHalted")
        .await?;
    let words = message(&status, "Programmed");
    assert!(words.contains("enforcement is Disabled"), "{words}");
    assert_eq!(condition(&status, "Compatible"), "True Compatible");
    // A report of a moment ago may still have been counted.
    let status = lab
        .status("p", "no node to have failed", |status| {
            status.nodes.as_ref().is_some_and(|nodes| nodes.failed == 0)
        })
        .await?;
    assert_eq!(status.failing, []);

    lab.apply(&config("Enabled")).await?;
    lab.roll_out(&["a", "b"], &["p", "default/own"]).await?;
    given(Enforcement::Enabled, 2).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    assert_eq!(events(&lab).await?, []);
    Ok(())
}
