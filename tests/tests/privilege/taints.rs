//! Taints on real nodes, beside those of others.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::lab::{Lab, api_of, pem, policy, taints};
use crate::manifests;

const READY: &str = "nodeseal.dev/not-ready";
const ENFORCING: &str = "nodeseal.dev/not-enforcing";

fn config(not_ready: bool, not_enforcing: bool, enforcement: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
        "metadata": { "name": "default" },
        "spec": {
            "enforcement": enforcement,
            "taint": { "notReady": not_ready, "notEnforcing": not_enforcing },
        },
    })
}

async fn has(lab: &Lab, node: &str, wanted: &[&str]) -> Result<Value> {
    let what = format!("taints {wanted:?}");
    let is = |node: &Value| taints(node).0 == wanted;
    lab.until(("Node", "", node), &what, is).await
}

/// What the agent of a node says.
async fn says(lab: &Lab, node: &str, applied: bool, enforcing: (&str, &str)) -> Result<()> {
    let kind = "NodeImagePolicy";
    let given = |own: &Value| own["spec"]["bundle"].is_string();
    let own = lab.until((kind, "", node), "a bundle", given).await?;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "by the test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let ready = if applied && enforcing.0 != "False" {
        "True"
    } else {
        "False"
    };
    let reason = if applied { "Applied" } else { "WriteFailed" };
    let status = json!({
        "observedGeneration": own["metadata"]["generation"],
        "appliedBundle": if applied { own["spec"]["bundle"].clone() } else { Value::Null },
        "conditions": [
            condition("Applied", if applied { "True" } else { "False" }, reason),
            condition("Enforcing", enforcing.0, enforcing.1),
            condition("Ready", ready, if ready == "True" { "Ready" } else { reason }),
        ],
    });
    let api = api_of(&lab.client, crds::API_VERSION, kind, "");
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(node, &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_node_is_tainted_until_it_is_ready_and_while_it_cannot_enforce() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.apply(&config(true, true, "Enabled")).await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("", "p", &["registry.example/a"], &inline))
        .await?;
    lab.start_operator().await?;
    lab.join("a").await?;
    // As a kubelet registers with `--register-with-taints`.
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "b" },
        "spec": { "taints": [{ "key": READY, "effect": "NoSchedule" }] },
    }))
    .await?;
    let unknown = ("Unknown", "NotProbed");
    for node in ["a", "b"] {
        has(&lab, node, &[READY]).await?;
        says(&lab, node, false, unknown).await?;
    }
    says(&lab, "a", true, unknown).await?;
    says(&lab, "b", true, unknown).await?;
    for node in ["a", "b"] {
        has(&lab, node, &[]).await?;
    }

    // Another bundle taints nobody, a proof that fails does.
    lab.apply(&policy("", "p", &["registry.example/b"], &inline))
        .await?;
    let other = |own: &Value| own["status"]["appliedBundle"] != own["spec"]["bundle"];
    lab.until(("NodeImagePolicy", "", "a"), "another bundle", other)
        .await?;
    says(&lab, "b", true, ("False", "Bypassed")).await?;
    has(&lab, "b", &[ENFORCING]).await?;
    has(&lab, "a", &[]).await?;
    says(&lab, "b", true, ("True", "Enforcing")).await?;
    has(&lab, "b", &[]).await?;

    // The stop, and the settings.
    lab.join("c").await?;
    has(&lab, "c", &[READY]).await?;
    lab.apply(&config(true, true, "Disabled")).await?;
    has(&lab, "c", &[]).await?;
    lab.apply(&config(true, true, "Enabled")).await?;
    has(&lab, "c", &[READY]).await?;
    lab.apply(&config(false, true, "Enabled")).await?;
    let node = has(&lab, "c", &[]).await?;
    assert!(taints(&node).1 > 0, "{node}");
    Ok(())
}

/// As the node controller does it: with the version that was read, again and again.
async fn toggle(nodes: &Api<Node>, key: &str, on: bool) -> Result<()> {
    loop {
        let mut node = nodes.get("a").await?;
        let spec = node.spec.as_mut().context("a spec")?;
        let taints = spec.taints.get_or_insert_default();
        taints.retain(|taint| taint.key != key);
        if on {
            taints.push(Taint {
                key: key.to_owned(),
                effect: "NoSchedule".to_owned(),
                ..Taint::default()
            });
        }
        match nodes.replace("a", &PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            answer => return answer.map(drop).map_err(Into::into),
        }
    }
}

#[tokio::test]
async fn whoever_else_writes_taints_is_not_overwritten() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.join("a").await?;
    lab.start_operator().await?;
    let nodes: Api<Node> = Api::all(lab.client.clone());
    for round in 0..12 {
        let on = round % 2 == 0;
        lab.apply(&config(on, false, "Enabled")).await?;
        // The operator reads and writes somewhere among these.
        for number in 0..25 {
            toggle(&nodes, &format!("example.com/{number}"), on).await?;
        }
        let wanted: &[&str] = if on { &[READY] } else { &[] };
        let node = has(&lab, "a", wanted).await?;
        let all = node["spec"]["taints"].as_array().context("taints")?;
        for number in 0..25 {
            let key = format!("example.com/{number}");
            let there = all.iter().any(|taint| taint["key"] == key.as_str());
            assert_eq!(there, on, "round {round}: {key}");
        }
    }
    Ok(())
}

/// A node becomes ready by its agent.
#[test]
fn the_agent_tolerates_every_taint() -> Result<()> {
    let base = manifests::base()?;
    let agent = base.iter().find(|object| object["kind"] == "DaemonSet");
    let pod = &agent.context("a DaemonSet")?["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"], json!([{ "operator": "Exists" }]));
    Ok(())
}
