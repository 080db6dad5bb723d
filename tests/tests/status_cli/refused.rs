//! Where nothing, or not everything, can be learned.

use anyhow::Result;
use e2e::{ControlPlane, ports};
use serde_json::json;

use crate::lab::{Lab, policy};
use crate::pem;
use crate::tool::{account, run};

#[tokio::test]
async fn without_rights_it_says_which_to_ask_for() -> Result<()> {
    let lab = Lab::start(&[]).await?;
    let nobody = account(&lab, "nobody").await?;
    for arguments in [
        &["status"][..],
        &["status", "--watch"],
        &["explain", "a.example/b"],
        &["verify", "a.example/b"],
    ] {
        let output = run(&nobody, arguments).await?;
        assert_eq!(output.code, Some(3), "{output:?}");
        assert!(output.err.contains("cannot list resource"), "{output:?}");
        assert!(
            output.err.contains("ClusterRole nodeseal-viewer"),
            "{output:?}"
        );
    }
    // A token that nobody has given out.
    let stranger = lab.plane.kubeconfig_for("stranger", "no-token")?;
    let output = run(&stranger, &["status"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.err.contains("does not know you"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_sees_the_policies_of_its_namespace() -> Result<()> {
    let lab = Lab::start(&[]).await?;
    let tenant = account(&lab, "tenant").await?;
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "tenant", "namespace": "default" },
        "rules": [{
            "apiGroups": ["nodeseal.dev"], "resources": ["imagesignaturepolicies"],
            "verbs": ["get", "list", "watch"],
        }],
    }))
    .await?;
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "tenant", "namespace": "default" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant" },
        "subjects": [{ "kind": "ServiceAccount", "name": "tenant", "namespace": "default" }],
    }))
    .await?;
    let mut own = policy("own", &["registry.example/app"], &json!({ "data": pem() }));
    own["kind"] = "ImageSignaturePolicy".into();
    own["metadata"]["namespace"] = "default".into();
    lab.apply(&own).await?;

    let output = run(&tenant, &["status", "-n", "default", "--output", "json"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    let json = output.json()?;
    assert_eq!(json["policies"]["items"][0]["policy"], "default/own");
    // What is left out is said: the cluster's policies, nodes, trust roots, the configuration.
    let notes: Vec<&str> = json["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|note| note.as_str())
        .collect();
    assert_eq!(notes.len(), 4, "{notes:?}");
    assert!(
        notes.iter().all(|note| note.starts_with("left out: ")),
        "{notes:?}"
    );
    let output = run(&tenant, &["status", "default/own"]).await?;
    assert!(output.out.contains("NotSeen"), "{output:?}");
    // All namespaces are another matter, and so is another one.
    for arguments in [&["status"][..], &["status", "-n", "kube-system"]] {
        let output = run(&tenant, arguments).await?;
        assert_eq!(output.code, Some(3), "{output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_definitions_or_without_a_cluster_it_says_so() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let output = run(&plane.kubeconfig(), &["status"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(
        output.err.contains("nodeseal is not installed there"),
        "{output:?}"
    );

    let folder = e2e::Folder::new("status")?;
    let nobody = folder.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "none",
        "clusters": [{ "name": "none", "cluster": { "server": format!("http://{}", ports::free()?) } }],
        "users": [{ "name": "none", "user": {} }],
        "contexts": [{ "name": "none", "context": { "cluster": "none", "user": "none" } }],
    });
    std::fs::write(&nobody, config.to_string())?;
    let output = run(&nobody, &["status"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.err.contains("cannot be reached"), "{output:?}");
    let output = run(&nobody, &["status", "--context", "other"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.err.contains("no cluster: "), "{output:?}");
    let output = run(&folder.join("missing"), &["status"]).await?;
    assert_eq!(output.code, Some(3), "{output:?}");
    assert!(output.err.contains("--kubeconfig"), "{output:?}");
    let output = run(&nobody, &["status", "A/B"]).await?;
    assert_eq!(output.code, Some(2), "{output:?}");
    Ok(())
}
