//! How changes reach ten nodes of a real cluster; the agents are played by the test.

use std::collections::BTreeMap;

use anyhow::Result;
use crds::types::EnforcementConfig;
use e2e::process;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::lab::{Lab, Operator, SOON, condition, condition_of, message, policy};
use super::pem;

const NODES: [&str; 10] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"];

fn config(also: &Value) -> Value {
    let mut rollout = json!({
        "maxUnavailable": 2,
        "canary": { "nodeSelector": { "matchLabels": { "canary": "yes" } } },
    });
    for (field, value) in also.as_object().into_iter().flatten() {
        rollout[field] = value.clone();
    }
    json!({
        "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
        "metadata": { "name": "default" }, "spec": { "rollout": rollout },
    })
}

/// The bundle that each node shall run.
async fn given(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let all = lab.node_policies().list(&ListParams::default()).await?;
    let pairs = all.into_iter().map(|own| (own.name_any(), own.spec.bundle));
    Ok(pairs.collect())
}

/// Waits until exactly these nodes shall run something else than `old`.
async fn moved(lab: &Lab, old: &str, nodes: &[&str]) -> Result<()> {
    let what = format!("{nodes:?} to be moved");
    process::wait_for(&what, SOON, async || {
        let given = given(lab).await?;
        let moved = given.iter().filter(|(_, bundle)| *bundle != old);
        let moved: Vec<&str> = moved.map(|(node, _)| node.as_str()).collect();
        Ok((moved == nodes).then_some(()))
    })
    .await
}

/// Lets the agents answer until all nodes shall run something else, never too many at a time.
async fn to_the_end(lab: &Lab, old: &str) -> Result<String> {
    process::wait_for("all nodes to be moved", SOON * 3, async || {
        let all = lab.node_policies().list(&ListParams::default()).await?;
        let changing = all.iter().filter(|own| {
            let status = own.status.as_ref();
            let observed = status.and_then(|status| status.observed_generation);
            observed != own.metadata.generation
        });
        assert!(changing.count() <= 2, "too many at a time");
        lab.agents_answer(&NODES).await?;
        let given = given(lab).await?;
        let new = given["n0"].clone();
        let all_there = given.values().all(|bundle| *bundle == new);
        Ok((new != old && all_there).then_some(new))
    })
    .await
}

async fn stalled(lab: &Lab) -> Result<String> {
    let api = Api::<EnforcementConfig>::all(lab.client.clone());
    let status = api.get("default").await?.status.unwrap_or_default();
    Ok(condition_of(&status.conditions, "Stalled"))
}

async fn ten_nodes() -> Result<(Lab, Operator)> {
    let mut lab = Lab::start(&NODES).await?;
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": "n7", "labels": { "canary": "yes" } },
    }))
    .await?;
    lab.apply(&config(&json!({}))).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    Ok((lab, operator))
}

#[tokio::test]
async fn a_change_goes_to_canaries_then_to_a_few_at_a_time_and_halts_where_a_node_fails()
-> Result<()> {
    let (mut lab, operator) = ten_nodes().await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["a.example"], &inline)).await?;
    // New nodes get it at once.
    let old = lab.roll_out(&NODES, &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;

    lab.apply(&policy("p", &["b.example"], &inline)).await?;
    moved(&lab, &old, &["n7"]).await?;
    lab.condition("p", "Programmed", "False RollingOut").await?;
    lab.status("p", "the policy to say what is waited for", |status| {
        message(status, "Programmed").contains("the canary nodes go first")
    })
    .await?;
    lab.agent_applies("n7").await?;
    moved(&lab, &old, &["n0", "n1", "n7"]).await?;

    let failed = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "by the test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions = json!({ "conditions": [
        failed("Applied", "False", "ReloadFailed"), failed("Ready", "False", "ReloadFailed"),
    ] });
    lab.agent_says("n1", &conditions).await?;
    // Both go back to what they had; the canary node is past it and stays.
    moved(&lab, &old, &["n7"]).await?;
    let status = lab.condition("p", "Stalled", "True RolloutHalted").await?;
    assert_eq!(condition(&status, "Programmed"), "False RolloutHalted");
    let words = message(&status, "Stalled");
    assert!(
        words.starts_with("1 node failed: n1 (ReloadFailed); "),
        "{words}"
    );
    assert_eq!(stalled(&lab).await?, "True RolloutHalted");
    lab.agents_answer(&NODES).await?;

    // Another process sees the same and writes nothing.
    lab.status("p", "n1 to be well again", |status| {
        status.failing.is_empty()
    })
    .await?;
    let before = given(&lab).await?;
    operator.terminate().await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let retry = json!({ "metadata": { "annotations": { "nodeseal.dev/retry": "1" } } });
    let api = Api::<EnforcementConfig>::all(lab.client.clone());
    assert_eq!(given(&lab).await?, before);
    let params = kube::api::PatchParams::default();
    api.patch("default", &params, &kube::api::Patch::Merge(retry))
        .await?;
    let new = to_the_end(&lab, &old).await?;
    lab.agents_answer(&NODES).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    let own = lab.node_policies().get("n0").await?;
    let record = own.annotations().get("nodeseal.dev/rollout").unwrap();
    let record: Value = serde_json::from_str(record)?;
    assert_eq!(
        (record["bundle"].as_str(), record["from"].as_str()),
        (Some(new.as_str()), Some(old.as_str()))
    );
    process::wait_for("nothing to be stalled", SOON, async || {
        Ok(stalled(&lab).await?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_rollout_is_paused_and_goes_on_and_the_stop_passes_it() -> Result<()> {
    let (lab, _operator) = ten_nodes().await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["a.example"], &inline)).await?;
    let old = lab.roll_out(&NODES, &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;

    lab.apply(&config(&json!({ "paused": true }))).await?;
    lab.apply(&policy("p", &["b.example"], &inline)).await?;
    let what = "the policy to say that it is paused";
    lab.status("p", what, |status| {
        message(status, "Programmed").contains("rollouts are paused")
    })
    .await?;
    moved(&lab, &old, &[]).await?;
    lab.apply(&config(&json!({ "paused": false }))).await?;
    moved(&lab, &old, &["n7"]).await?;

    let mut stop = config(&json!({ "paused": true }));
    stop["spec"]["enforcement"] = "Disabled".into();
    lab.apply(&stop).await?;
    process::wait_for("the stop to be everywhere", SOON, async || {
        let given = given(&lab).await?;
        let first = given["n0"].clone();
        let bundle = lab.bundles().get(&first).await?;
        let content = crds::bundle::decode(&first, &bundle.spec)?;
        let stops = content.policies().count() == 0;
        Ok((stops && given.values().all(|bundle| *bundle == first)).then_some(()))
    })
    .await
}
