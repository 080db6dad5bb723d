//! What the token of the operator is good for in the hands of somebody else.

use anyhow::{Context as _, Result};
use e2e::process;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE, SOON, api_of, taints};
use crate::manifests;

const OTHERS: &str = "the operator changes the taints nodeseal.dev/not-ready and nodeseal.dev/not-enforcing and no others";
const METADATA: &str = "the operator does not change the metadata of a Node";
const SPEC: &str = "of the spec of a Node the operator changes taints only";
const NOTHING_ELSE: &str = "the operator changes taints of Nodes and does nothing else to them";

/// The taints of these keys and effects.
fn tainted(all: &[(&str, &str)]) -> Value {
    let taint = |(key, effect): &(&str, &str)| json!({ "key": key, "effect": effect });
    let all: Vec<Value> = all.iter().map(taint).collect();
    json!({ "spec": { "taints": all } })
}

/// What the operator's token may do to the Node `a` with this patch.
async fn patched(api: &Api<DynamicObject>, patch: &Value) -> Result<(), String> {
    let params = PatchParams::default();
    match api.patch("a", &params, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(error) => panic!("{error}"),
    }
}

async fn nodes(lab: &Lab) -> Result<Api<DynamicObject>> {
    let account = "nodeseal-operator";
    let token = lab
        .plane
        .service_account_token(NAMESPACE, account, None)
        .await?;
    let api = api_of(&lab.plane.client(&token)?, "v1", "Node", "");
    // Another value each time: what changes nothing is not refused.
    let mut tried = 0;
    process::wait_for("the admission policy to be in force", SOON, async || {
        tried += 1;
        let forbidden = json!({ "metadata": { "labels": { "tried": tried.to_string() } } });
        Ok(patched(&api, &forbidden).await.err())
    })
    .await?;
    Ok(api)
}

#[tokio::test]
async fn the_operator_changes_two_taints_of_a_node_and_nothing_else() -> Result<()> {
    let lab = Lab::start().await?;
    lab.join("a").await?;
    let api = nodes(&lab).await?;
    // One may have slipped through before the policy was in force.
    lab.apply(
        &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "a", "labels": {} } }),
    )
    .await?;
    let clean = tainted(&[("example.com/other", "NoExecute")]);
    let admin = api_of(&lab.client, "v1", "Node", "");
    patched(&admin, &clean).await.unwrap();
    let before = lab.get("Node", "", "a").await?.context("a node")?;

    let (ready, enforcing) = ("nodeseal.dev/not-ready", "nodeseal.dev/not-enforcing");
    let other = ("example.com/other", "NoExecute");
    for allowed in [
        tainted(&[other, (ready, "NoSchedule")]),
        tainted(&[(enforcing, "NoSchedule"), other]),
        tainted(&[other]),
    ] {
        assert_eq!(patched(&api, &allowed).await, Ok(()), "{allowed}");
    }
    for (refused, why) in [
        (tainted(&[]), OTHERS),
        (json!({ "spec": { "taints": null } }), OTHERS),
        (tainted(&[("example.com/other", "NoSchedule")]), OTHERS),
        (tainted(&[other, ("example.com/new", "NoSchedule")]), OTHERS),
        (tainted(&[other, (ready, "NoExecute")]), OTHERS),
        (tainted(&[other, ("nodeseal.dev/x", "NoSchedule")]), OTHERS),
        (json!({ "metadata": { "labels": { "x": "y" } } }), METADATA),
        (
            json!({ "metadata": { "annotations": { "x": "y" } } }),
            METADATA,
        ),
        (
            json!({ "metadata": { "finalizers": ["x.example/y"] } }),
            METADATA,
        ),
        (
            json!({ "metadata": { "ownerReferences": [
                { "apiVersion": "v1", "kind": "Node", "name": "b", "uid": "u" },
            ] } }),
            METADATA,
        ),
        (json!({ "spec": { "unschedulable": true } }), SPEC),
        (json!({ "spec": { "providerID": "x://y" } }), SPEC),
        (
            json!({ "spec": { "podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"] } }),
            SPEC,
        ),
    ] {
        let answer = patched(&api, &refused).await;
        let message = answer.expect_err(&refused.to_string());
        assert!(message.contains(why), "{refused}: {message}");
    }
    let after = lab.get("Node", "", "a").await?.context("a node")?;
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(taints(&after), (Vec::new(), 1));

    // With every right to Nodes, too.
    let rules =
        json!([{ "apiGroups": [""], "verbs": ["*"], "resources": ["nodes", "nodes/status"] }]);
    lab.give("nodeseal-operator", &rules).await?;
    let new: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "new" },
    }))?;
    let params = PostParams::default();
    let refusal = process::wait_for("the new rights", SOON, async || {
        let message = api.create(&params, &new).await.unwrap_err().to_string();
        Ok(message.contains(NOTHING_ELSE).then_some(message))
    });
    refusal.await?;
    let answer = api.delete("a", &DeleteParams::default()).await;
    assert!(answer.unwrap_err().to_string().contains(NOTHING_ELSE));
    let status = Patch::Merge(json!({ "status": { "capacity": { "example.com/x": "1" } } }));
    let answer = api
        .patch_status("a", &PatchParams::default(), &status)
        .await;
    assert!(answer.unwrap_err().to_string().contains(NOTHING_ELSE));
    let answer = api
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await;
    assert!(answer.is_err());
    Ok(())
}

/// A field that is not compared could be changed.
#[tokio::test]
async fn the_policy_names_every_field_of_a_nodes_spec() -> Result<()> {
    let lab = Lab::start().await?;
    let mut request = kube::core::Request::new("/x").list(&ListParams::default())?;
    *request.uri_mut() = "/openapi/v3/api/v1".parse()?;
    let schemas: Value = lab.client.request(request).await?;
    let fields = &schemas["components"]["schemas"]["io.k8s.api.core.v1.NodeSpec"]["properties"];
    let fields = fields.as_object().context("the fields of a NodeSpec")?;
    assert!(fields.contains_key("taints"));
    let base = manifests::base()?;
    let policy = base.iter().find(|object| {
        object["kind"] == "ValidatingAdmissionPolicy"
            && object["metadata"]["name"] == "nodeseal-operator"
    });
    let validations = policy.context("the policy")?["spec"]["validations"].to_string();
    for field in fields.keys().filter(|field| *field != "taints") {
        let compared = format!("object.?spec.?{field} == oldObject.?spec.?{field}");
        assert!(validations.contains(&compared), "{field} is not compared");
    }
    Ok(())
}
