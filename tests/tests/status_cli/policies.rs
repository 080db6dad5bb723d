//! `explain` and `verify` by the policies of a cluster.

use anyhow::Result;
use serde_json::json;

use crate::lab::{Lab, NAMESPACE, policy};
use crate::pem;
use crate::tool::{run, viewer};

const IMAGE: &str = "registry.example/team/app:v1";

#[tokio::test]
async fn explain_and_verify_go_by_what_the_cluster_has() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let viewer = viewer(&lab).await?;
    let key_ref =
        |kind: &str| json!({ kind: { "name": "keys", "key": "k.pub", "namespace": "default" } });
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "keys", "namespace": "default" },
        "stringData": { "k.pub": pem(), "other": "nobody needs to see this" },
    }))
    .await?;
    lab.apply(&policy(
        "p",
        &["registry.example/team"],
        &key_ref("secretKeyRef"),
    ))
    .await?;
    lab.apply(&json!({
        "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
        "metadata": { "name": "default" }, "spec": { "defaultAction": "Reject" },
    }))
    .await?;

    // The viewer may read no Secret, and no node has the policy yet.
    for command in ["explain", "verify"] {
        let output = run(&viewer, &[command, IMAGE]).await?;
        assert_eq!(output.code, Some(3), "{output:?}");
        assert!(output.err.contains("Secret/default/keys"), "{output:?}");
        assert!(output.err.contains("you may not read it"), "{output:?}");
    }
    // The administrator may.
    let admin = lab.plane.kubeconfig();
    let output = run(&admin, &["explain", IMAGE, "--output", "json"]).await?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.json()?["policies"][0]["id"], "p");

    // Nodes have it: so it is in force, and in their bundle.
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "nodeseal-keys", "namespace": "default" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "nodeseal-key-reader",
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": "nodeseal-operator", "namespace": NAMESPACE },
        ],
    }))
    .await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    lab.roll_out(&["a"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    let output = run(&viewer, &["explain", IMAGE, "--output", "json"]).await?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(output.json()?["policies"][0]["id"], "p");

    // What no policy covers is refused by the configuration, and no registry has to be asked.
    let output = run(&viewer, &["verify", "other.example/app:v1"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("NotAllowed"), "{output:?}");
    // A registry that is not there: nobody can tell.
    let output = run(&viewer, &["verify", IMAGE, "--timeout", "2"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn keys_in_config_maps_are_read_where_the_user_may() -> Result<()> {
    let lab = Lab::start(&[]).await?;
    let viewer = viewer(&lab).await?;
    let key_ref =
        json!({ "configMapKeyRef": { "name": "keys", "key": "k.pub", "namespace": "default" } });
    lab.apply(&policy("p", &["registry.example/team"], &key_ref))
        .await?;
    let explain = async || run(&viewer, &["explain", IMAGE]).await;
    let output = explain().await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.err.contains("ConfigMap/default/keys"), "{output:?}");
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "keys", "namespace": "default" },
        "rules": [{
            "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["keys"], "verbs": ["get"],
        }],
    }))
    .await?;
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "keys", "namespace": "default" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "keys" },
        "subjects": [{ "kind": "ServiceAccount", "name": "viewer", "namespace": "default" }],
    }))
    .await?;
    // It is not there, which the user may know now: the policy is not valid, and left out.
    let output = explain().await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "keys", "namespace": "default" }, "data": { "k.pub": pem() },
    }))
    .await?;
    let output = explain().await?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.out.contains('p'), "{output:?}");
    Ok(())
}
