//! The whole life of the operator and an agent: everything that either ever asks of the API server.
//!
//! Whoever gives one of them a right in `config/base` adds here what needs it; until then
//! `every_right_is_used` fails and names it.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use e2e::process;
use e2e::sigstore::Authority;
use e2e::tuf_repository::{Server, TufRepository};
use jiff::Timestamp;
use policy::trust::TrustRoot;
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE, pem, policy, taints};

const CLUSTER: (&str, &str, &str) = ("ClusterImageSignaturePolicy", "", "of-cluster");
const TENANT: (&str, &str, &str) = ("ImageSignaturePolicy", "tenant", "of-tenant");
const FOLLOWED: &str = "followed";
/// For how long the operator keeps a bundle that is of no use, and what that takes besides.
const COLLECTED: Duration = Duration::from_secs(150);

pub(crate) async fn live(lab: &mut Lab) -> Result<()> {
    let root = sources(lab).await?;
    let repository = TufRepository::new("trusted_root.json", root.as_bytes(), Timestamp::now())?;
    let mirror = Server::start(&repository).await?;
    lab.apply(&followed(&mirror.url(), &repository.root_json(1)?))
        .await?;
    let ca = lab.folder.join("mirror-ca.pem");
    fs::write(&ca, mirror.ca())?;
    lab.apply(&config()).await?;
    lab.join("a").await?;
    lab.join("gone").await?;
    let flags = ["--tuf-ca-file".to_owned(), ca.display().to_string()];
    lab.start_operator_with(&flags).await?;
    statuses(lab).await?;
    readiness(lab).await?;
    news(lab).await?;
    changes(lab).await?;
    let lease = ("Lease", NAMESPACE, "nodeseal-operator");
    let held = |lease: &Value| !lease["spec"]["renewTime"].is_null();
    lab.until(lease, "held", held).await?;
    Ok(())
}

fn config() -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
        "metadata": { "name": "default" },
        "spec": { "taint": { "notReady": true, "notEnforcing": true } },
    })
}

fn map(namespace: &str, name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace }, "data": { key: value },
    })
}

/// Keys in a `ConfigMap` and, where the namespace allows it, in a Secret; trust roots inline and in a
/// `ConfigMap`; policies that use them. Says what the trust roots hold.
async fn sources(lab: &Lab) -> Result<String> {
    for name in ["tenant", "keys"] {
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        lab.apply(&object).await?;
    }
    lab.apply(&map("keys", "public", "k", &pem())).await?;
    let key = json!({ "configMapKeyRef": { "name": "public", "key": "k", "namespace": "keys" } });
    lab.apply(&policy("", CLUSTER.2, &["registry.example/a"], &key))
        .await?;

    lab.apply(&reader("tenant")).await?;
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "public", "namespace": "tenant" }, "stringData": { "k": pem() },
    }))
    .await?;
    let key = json!({ "secretKeyRef": { "name": "public", "key": "k" } });
    lab.apply(&policy("tenant", TENANT.2, &["registry.example/b"], &key))
        .await?;

    let authority = Authority::root("Fulcio")?.pem();
    let root = TrustRoot::from_pem(Some(&authority), &[pem()], &[], None)?;
    let root = root.to_trusted_root_json();
    lab.apply(&map("keys", "root", "r", &root)).await?;
    let key_ref = json!({ "name": "root", "key": "r", "namespace": "keys" });
    for (name, source) in [
        ("inline", json!({ "data": root })),
        ("mapped", json!({ "configMapKeyRef": key_ref })),
    ] {
        lab.apply(&json!({
            "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
            "metadata": { "name": name }, "spec": { "trustedRoot": source },
        }))
        .await?;
    }
    Ok(root)
}

/// A trust root of this repository: what is known of it is kept in a `ConfigMap` of the operator's.
fn followed(mirror: &str, root: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
        "metadata": { "name": FOLLOWED }, "spec": { "tuf": { "mirror": mirror, "rootJSON": root } },
    })
}

/// What a namespace writes that lets the operator read its Secrets by name.
pub(crate) fn reader(namespace: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "keys", "namespace": namespace },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "nodeseal-key-reader",
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": "nodeseal-operator", "namespace": NAMESPACE },
        ],
    })
}

async fn statuses(lab: &Lab) -> Result<()> {
    for object in [CLUSTER, TENANT] {
        lab.condition(object, "Resolved", "True Resolved").await?;
    }
    for name in ["inline", "mapped", FOLLOWED] {
        let object = ("TrustRoot", "", name);
        lab.condition(object, "Ready", "True Resolved").await?;
    }
    let kept = ("ConfigMap", NAMESPACE, "nodeseal-tuf-followed");
    lab.until(kept, "kept", |map| map["data"].is_object())
        .await?;
    let object = ("EnforcementConfig", "", "default");
    lab.condition(object, "Ready", "True Valid").await?;
    Ok(())
}

/// A node is tainted until its agent says that it is ready.
async fn readiness(lab: &mut Lab) -> Result<()> {
    // Of others a node has the one of the test's, and the API server gives every new one another.
    let is = |wanted: &'static [&'static str]| {
        move |node: &Value| taints(node) == (wanted.iter().map(ToString::to_string).collect(), 2)
    };
    let not_ready = is(&["nodeseal.dev/not-ready"]);
    for node in ["a", "gone"] {
        let object = ("Node", "", node);
        lab.until(object, "tainted", &not_ready).await?;
    }
    lab.start_agent("a").await?;
    lab.until(("Node", "", "a"), "without taint", is(&[]))
        .await?;
    // No agent was ever there, and nobody waits for the node any more.
    assert!(not_ready(&lab.get("Node", "", "gone").await?.unwrap()));
    lab.delete("Node", "", "gone").await?;
    // What garbage collection does.
    lab.delete("NodeImagePolicy", "", "gone").await?;
    lab.condition(CLUSTER, "Ready", "True Ready").await?;
    Ok(())
}

/// A file of the agent's is changed, which becomes an event.
async fn news(lab: &Lab) -> Result<()> {
    let path = lab.root("a").join("etc/crio/policy.json");
    fs::write(&path, "{}")?;
    process::wait_for("an event", crate::lab::SOON, async || {
        let names = lab.names("Event").await?;
        Ok((!names.is_empty()).then_some(()))
    })
    .await
}

/// Two changes, after which nobody may return to the first bundle.
async fn changes(lab: &Lab) -> Result<()> {
    let own = async || {
        let own = lab.get("NodeImagePolicy", "", "a").await?;
        anyhow::Ok(own.unwrap()["spec"]["bundle"].clone())
    };
    let first = own().await?;
    let first = first.as_str().unwrap_or_default().to_owned();
    for host in ["one.example", "two.example"] {
        let before = own().await?;
        let inline = json!({ "data": pem() });
        lab.apply(&policy("", CLUSTER.2, &[host], &inline)).await?;
        let applied = |own: &Value| {
            own["spec"]["bundle"] != before
                && own["status"]["appliedBundle"] == own["spec"]["bundle"]
        };
        let object = ("NodeImagePolicy", "", "a");
        lab.until(object, "another bundle", applied).await?;
        lab.condition(CLUSTER, "Ready", "True Ready").await?;
    }
    process::wait_for("a bundle to be deleted", COLLECTED, async || {
        let there = lab.names("PolicyBundle").await?.contains(&first);
        Ok((!there).then_some(()))
    })
    .await
}
