//! What the token of an agent is good for in the hands of somebody else.

use anyhow::Result;
use e2e::process;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE, SOON, api_of, refusal};

const ONLY_STATUS: &str = "an agent writes the status and nothing else";
const OTHER_NODE: &str = "the agent of node a may not write about node b";
const NO_NODE: &str = "the agent's token does not say which node it runs on";

fn own(client: &Client) -> Api<DynamicObject> {
    api_of(client, crds::API_VERSION, "NodeImagePolicy", "")
}

fn object(node: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
        "metadata": { "name": node },
        "spec": { "bundle": format!("sha256-{}", "0".repeat(64)) },
    })
}

/// A cluster with two nodes and their objects.
async fn two_nodes() -> Result<Lab> {
    let lab = Lab::start().await?;
    for node in ["a", "b"] {
        lab.join(node).await?;
        lab.apply(&object(node)).await?;
    }
    Ok(lab)
}

/// Every right to these objects.
fn everything() -> Value {
    json!([{
        "apiGroups": ["nodeseal.dev"], "verbs": ["*"],
        "resources": ["nodeimagepolicies", "nodeimagepolicies/status"],
    }])
}

fn status(version: &str) -> Patch<Value> {
    Patch::Merge(json!({ "status": { "agentVersion": version } }))
}

/// The admission policy takes a moment to be in force.
async fn in_force(api: &Api<DynamicObject>) -> Result<()> {
    process::wait_for("the admission policy to be in force", SOON, async || {
        let params = PatchParams::default();
        let answer = api.patch_status("b", &params, &status("wait")).await;
        Ok(answer.err().map(drop))
    })
    .await
}

#[tokio::test]
async fn a_token_of_one_node_is_good_for_the_status_of_that_node() -> Result<()> {
    let lab = two_nodes().await?;
    lab.give("nodeseal-agent", &everything()).await?;
    let client = lab.plane.client(&lab.agent_token("a").await?)?;
    let api = own(&client);
    in_force(&api).await?;
    let params = PatchParams::default();
    api.patch_status("a", &params, &status("mine")).await?;

    // Another node's.
    let before = lab.get("NodeImagePolicy", "", "b").await?;
    let answer = api.patch_status("b", &params, &status("forged")).await;
    assert!(refusal(answer).contains(OTHER_NODE));
    for field in ["spec", "metadata"] {
        let patch = match field {
            "spec" => json!({ "spec": { "bundle": format!("sha256-{}", "1".repeat(64)) } }),
            _ => json!({ "metadata": { "labels": { "forged": "true" } } }),
        };
        let answer = api.patch("b", &params, &Patch::Merge(&patch)).await;
        assert!(refusal(answer).contains(OTHER_NODE), "{field}");
    }
    let answer = api.delete("b", &DeleteParams::default()).await;
    assert!(refusal(answer.map(drop)).contains(OTHER_NODE));
    assert_eq!(lab.get("NodeImagePolicy", "", "b").await?, before);

    // Its own, but for the status.
    let before = lab.get("NodeImagePolicy", "", "a").await?.unwrap();
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "b", "uid": "u" });
    for patch in [
        json!({ "spec": { "bundle": format!("sha256-{}", "1".repeat(64)) } }),
        json!({ "metadata": { "labels": { "forged": "true" } } }),
        json!({ "metadata": { "annotations": { "forged": "true" } } }),
        json!({ "metadata": { "finalizers": ["forged.example/stays"] } }),
        json!({ "metadata": { "ownerReferences": [owner] } }),
    ] {
        let answer = api.patch("a", &params, &Patch::Merge(&patch)).await;
        assert!(refusal(answer).contains(ONLY_STATUS), "{patch}");
        // By way of the status the API server leaves all that as it is.
        api.patch_status("a", &params, &Patch::Merge(&patch))
            .await?;
    }
    let after = lab.get("NodeImagePolicy", "", "a").await?.unwrap();
    assert_eq!(after["spec"], before["spec"]);
    for field in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "uid",
    ] {
        assert_eq!(
            after["metadata"][field], before["metadata"][field],
            "{field}"
        );
    }
    let answer = api.delete("a", &DeleteParams::default()).await;
    assert!(refusal(answer.map(drop)).contains(ONLY_STATUS));
    let all = ListParams::default();
    let answer = api.delete_collection(&DeleteParams::default(), &all).await;
    refusal(answer.map(drop));
    assert_eq!(lab.names("NodeImagePolicy").await?, ["a", "b"]);

    // One that is not there, be it its own.
    lab.delete("NodeImagePolicy", "", "a").await?;
    for (node, why) in [("a", ONLY_STATUS), ("c", "may not write about node c")] {
        let new: DynamicObject = serde_json::from_value(object(node))?;
        let answer = api.create(&PostParams::default(), &new).await;
        assert!(refusal(answer).contains(why), "{node}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_names_no_node_is_good_for_nothing() -> Result<()> {
    let lab = two_nodes().await?;
    lab.give("nodeseal-agent", &everything()).await?;
    let pending = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "pending", "namespace": NAMESPACE },
        "spec": {
            "serviceAccountName": "nodeseal-agent",
            "containers": [{ "name": "agent", "image": "nodeseal:0.1.0" }],
        },
    });
    lab.apply(&pending).await?;
    let account = "nodeseal-agent";
    let plane = &lab.plane;
    let unbound = plane
        .service_account_token(NAMESPACE, account, None)
        .await?;
    let of_pending = plane.pod_token(NAMESPACE, account, "pending").await?;
    for token in [unbound, of_pending] {
        let api = own(&lab.plane.client(&token)?);
        in_force(&api).await?;
        let params = PatchParams::default();
        let answer = api.patch_status("a", &params, &status("forged")).await;
        assert!(refusal(answer).contains(NO_NODE));
        let answer = api.delete("a", &DeleteParams::default()).await;
        assert!(refusal(answer.map(drop)).contains(NO_NODE));
        let new: DynamicObject = serde_json::from_value(object("c"))?;
        let answer = api.create(&PostParams::default(), &new).await;
        assert!(refusal(answer).contains(NO_NODE));
    }
    // One that was made for the node itself, as kubelets make them.
    let of_node = lab
        .plane
        .service_account_token(NAMESPACE, account, Some("a"))
        .await?;
    let api = own(&lab.plane.client(&of_node)?);
    let params = PatchParams::default();
    api.patch_status("a", &params, &status("mine")).await?;
    let answer = api.patch_status("b", &params, &status("forged")).await;
    assert!(refusal(answer).contains(OTHER_NODE));
    Ok(())
}

/// This is what docs/privileges.md says of a stolen token.
#[tokio::test]
async fn a_stolen_token_reads_what_nodes_run_and_report_and_nothing_else() -> Result<()> {
    let lab = two_nodes().await?;
    let client = lab.plane.client(&lab.agent_token("a").await?)?;
    let list = ListParams::default();
    let all = own(&client).list(&list).await?;
    assert_eq!(all.items.len(), 2, "RBAC cannot bind a list to one's own");
    let api =
        |version: &str, kind: &str, namespace: &str| api_of(&client, version, kind, namespace);
    let bundles = api(crds::API_VERSION, "PolicyBundle", "");
    let missing = bundles.get_opt("sha256-none").await?;
    assert!(missing.is_none(), "by its name");
    refusal(bundles.list(&list).await);
    for kind in [
        "ClusterImageSignaturePolicy",
        "ImageSignaturePolicy",
        "TrustRoot",
        "EnforcementConfig",
    ] {
        refusal(api(crds::API_VERSION, kind, "").list(&list).await);
    }
    for (version, kind) in [
        ("v1", "Secret"),
        ("v1", "ConfigMap"),
        ("v1", "Node"),
        ("v1", "Pod"),
        ("events.k8s.io/v1", "Event"),
        ("coordination.k8s.io/v1", "Lease"),
    ] {
        refusal(api(version, kind, "").list(&list).await);
    }
    refusal(own(&client).get("a").await);
    let params = PatchParams::default();
    let node = api("v1", "Node", "");
    let patch = json!({ "spec": { "unschedulable": true } });
    refusal(node.patch("a", &params, &Patch::Merge(&patch)).await);
    Ok(())
}
