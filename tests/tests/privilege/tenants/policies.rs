//! Policies that say more than he may.

use std::fs;

use anyhow::{Context as _, Result};
use e2e::process;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{CLUSTERS, OWN, Scene};
use crate::lab::{SOON, api_of, apply_as, pem, policy};

pub(super) async fn attempts(scene: &mut Scene) -> Result<()> {
    outside(scene).await?;
    too_many(scene).await?;
    namesake(scene).await?;
    field_manager(scene).await?;
    needed_images(scene).await?;
    metadata(scene).await?;
    finalizer(scene).await?;
    cluster_fields(scene).await
}

async fn outside(scene: &mut Scene) -> Result<()> {
    let inline = json!({ "data": pem() });
    scene
        .write(&policy(OWN, "outside", &["elsewhere.example"], &inline))
        .await?;
    let said = scene
        .own("outside", "Accepted", "False NotPermitted")
        .await?;
    assert!(said.contains("allowedScopes"), "{said}");
    let wide = policy(OWN, "wide", &["*.example"], &inline);
    scene.write(&wide).await?;
    scene.own("wide", "Accepted", "False NotPermitted").await?;
    assert_eq!(scene.on_node().await?, ["p", "victim/p"]);
    scene.tell("a policy for images outside of the allowed scopes", said);
    scene.clean().await
}

async fn too_many(scene: &mut Scene) -> Result<()> {
    let inline = json!({ "data": pem() });
    for number in 0..40 {
        let (name, scope) = (
            format!("n{number:02}"),
            format!("registry.example/n{number}"),
        );
        scene.write(&policy(OWN, &name, &[&scope], &inline)).await?;
    }
    let said = scene.own("n39", "Accepted", "False NotPermitted").await?;
    assert!(said.contains("maxPerNamespace"), "{said}");
    process::wait_for("as many as are allowed", SOON, async || {
        let on = scene.on_node().await?;
        let mine = on.iter().filter(|name| name.starts_with("tenant/")).count();
        assert!(mine <= 8, "{on:?}");
        Ok((mine == 8).then_some(()))
    })
    .await?;
    scene.others_go_on("many").await?;
    scene.tell("more policies than a namespace may have", said);
    scene.clean().await
}

async fn digest(scene: &Scene) -> Result<Value> {
    let (kind, namespace, name) = CLUSTERS;
    let object = scene.lab.get(kind, namespace, name).await?;
    Ok(object.context("the cluster's policy")?["status"]["digest"].clone())
}

/// With the name of the cluster's policy.
async fn namesake(scene: &mut Scene) -> Result<()> {
    let before = digest(scene).await?;
    let mine = policy(OWN, "p", &["registry.example"], &json!({ "data": pem() }));
    scene.write(&mine).await?;
    let said = scene.own("p", "Accepted", "True Valid").await?;
    process::wait_for("all three on the node", SOON, async || {
        let on = scene.on_node().await?;
        Ok((on == ["p", "tenant/p", "victim/p"]).then_some(()))
    })
    .await?;
    assert_eq!(digest(scene).await?, before);
    scene.tell("a policy with the name of one of the cluster's", said);
    scene.clean().await
}

/// Under the name that the operator writes with.
async fn field_manager(scene: &mut Scene) -> Result<()> {
    for host in ["one", "two"] {
        let scope = format!("registry.example/{host}");
        let mine = policy(OWN, "managed", &[&scope], &json!({ "data": pem() }));
        apply_as(&scene.attacker, &mine, "nodeseal-operator").await?;
        let said = scene.own("managed", "Accepted", "True Valid").await?;
        let object = scene
            .lab
            .get("ImageSignaturePolicy", OWN, "managed")
            .await?;
        assert_eq!(object.context("it")?["spec"]["scopes"], json!([scope]));
        if host == "two" {
            scene.tell("to write under the operator's field manager", said);
        }
    }
    scene.clean().await
}

/// What the product and every pod need.
async fn needed_images(scene: &mut Scene) -> Result<()> {
    let scopes = ["registry.k8s.io", "registry.example"];
    let mine = policy(OWN, "needed", &scopes, &json!({ "data": pem() }));
    scene.write(&mine).await?;
    let root = scene.lab.root("a");
    let file = root.join("etc/crio/policies/tenant.json");
    let read = |path: &std::path::Path| -> Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    };
    let own = process::wait_for("the tenant's file on the node", SOON, async || {
        let found = read(&file).ok();
        let there = |found: &Value| !found["transports"]["docker"]["registry.k8s.io"].is_null();
        Ok(found.filter(there))
    })
    .await?;
    let accepts = json!([{ "type": "insecureAcceptAnything" }]);
    let docker = &own["transports"]["docker"];
    for needed in ["registry.k8s.io/pause", "registry.example/nodeseal"] {
        assert_eq!(docker[needed], accepts, "{docker:#}");
    }
    let cluster = read(&root.join("etc/crio/policy.json"))?;
    let docker = &cluster["transports"]["docker"];
    for scope in scopes {
        assert!(docker[scope].is_null(), "{docker:#}");
    }
    scene.others_go_on("needed").await?;
    scene.tell(
        "a policy for the images of the product and of sandboxes",
        "it is for pods of his namespace only, and both are accepted there as well",
    );
    scene.clean().await
}

/// Labels, annotations and owners that make others believe something.
async fn metadata(scene: &mut Scene) -> Result<()> {
    let mine = policy(
        OWN,
        "labelled",
        &["registry.example/l"],
        &json!({ "data": pem() }),
    );
    scene.write(&mine).await?;
    scene.own("labelled", "Ready", "True Ready").await?;
    let own = ("NodeImagePolicy", "", "a");
    let before = scene.lab.get(own.0, own.1, own.2).await?.context("it")?;
    let (kind, namespace, name) = CLUSTERS;
    let clusters = scene.lab.get(kind, namespace, name).await?.context("it")?;
    let object = ("ImageSignaturePolicy", OWN, "labelled");
    let patch = json!({ "metadata": {
        "labels": { "app.kubernetes.io/managed-by": "nodeseal-operator" },
        "annotations": { "nodeseal.dev/exempt": "x".repeat(200_000) },
    } });
    scene.patch(object, &patch).await?;
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": crds::API_VERSION, "kind": kind, "name": name,
        "uid": clusters["metadata"]["uid"], "blockOwnerDeletion": true, "controller": true,
    }] } });
    scene.patch(object, &owner).await?;
    scene.others_go_on("labels").await?;
    let after = scene.lab.get(own.0, own.1, own.2).await?.context("it")?;
    let owners = &after["metadata"]["ownerReferences"];
    assert_eq!(owners, &before["metadata"]["ownerReferences"]);
    assert_eq!(owners[0]["kind"], "Node");
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    for bundle in scene.lab.names("PolicyBundle").await? {
        let bundle = scene.lab.get("PolicyBundle", "", &bundle).await?;
        let metadata = bundle.map(|mut bundle| bundle["metadata"].take());
        let metadata = metadata.unwrap_or_default();
        assert!(metadata["ownerReferences"].is_null(), "{metadata}");
    }
    scene.tell(
        "labels and annotations as the product would write them",
        "they are part of no bundle, and nobody reads them",
    );
    scene.tell(
        "owner references, so that garbage collection deletes what is not his",
        "nothing that the operator writes is owned by a policy; only his own could go",
    );
    scene.clean().await
}

async fn finalizer(scene: &mut Scene) -> Result<()> {
    let mut mine = policy(
        OWN,
        "stays",
        &["registry.example/s"],
        &json!({ "data": pem() }),
    );
    mine["metadata"]["finalizers"] = json!(["attacker.example/never"]);
    scene.write(&mine).await?;
    scene.own("stays", "Accepted", "True Valid").await?;
    let api = api_of(
        &scene.attacker,
        crds::API_VERSION,
        "ImageSignaturePolicy",
        OWN,
    );
    api.delete("stays", &DeleteParams::default()).await?;
    scene.others_go_on("stays").await?;
    assert!(scene.on_node().await?.contains(&"tenant/stays".to_owned()));
    // It is his to take away, and the administrator's.
    let patch = json!({ "metadata": { "finalizers": null } });
    scene
        .patch(("ImageSignaturePolicy", OWN, "stays"), &patch)
        .await?;
    scene.tell(
        "a finalizer that keeps his policy from being deleted",
        "it stays in force for his namespace until the finalizer is gone, and nobody waits for it",
    );
    scene.clean().await
}

/// Fields that only the cluster's kind has.
async fn cluster_fields(scene: &mut Scene) -> Result<()> {
    for (field, value) in [
        ("nodeSelector", json!({ "matchLabels": { "pool": "prod" } })),
        ("onUnsupported", json!("Reject")),
    ] {
        let mut mine = policy(
            OWN,
            "fields",
            &["registry.example/f"],
            &json!({ "data": pem() }),
        );
        mine["spec"][field] = value;
        let said = scene.refused(field, &mine).await;
        assert!(said.contains(field), "{said}");
        if field == "onUnsupported" {
            scene.tell("to have nodes refuse what they cannot express", said);
        }
    }
    Ok(())
}
