//! Keys that are not his, or not keys.

use anyhow::Result;
use serde_json::{Value, json};

use super::{OWN, Scene, VICTIM};
use crate::lab::{OPERATOR, policy};
use crate::life::reader;

/// What stands in the Secrets, and must not stand anywhere else.
const CONTENT: &str = "Zm9ya2VkLXRvbmd1ZQ";

pub(super) async fn attempts(scene: &mut Scene) -> Result<()> {
    for namespace in [OWN, VICTIM] {
        scene.lab.apply(&secret(namespace)).await?;
    }
    others_keys(scene).await?;
    secret_without_binding(scene).await?;
    content_in_messages(scene).await?;
    large_map(scene).await
}

fn secret(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "private", "namespace": namespace },
        "stringData": { "k": CONTENT, "nearly": format!("-----BEGIN PUBLIC KEY-----\n{CONTENT}\n-----END PUBLIC KEY-----\n") },
    })
}

fn from_secret(name: &str, key: &str) -> Value {
    let key_ref = json!({ "secretKeyRef": { "name": "private", "key": key } });
    policy(OWN, name, &["registry.example/k"], &key_ref)
}

async fn others_keys(scene: &mut Scene) -> Result<()> {
    for field in ["configMapKeyRef", "secretKeyRef"] {
        let mut key = json!({});
        key[field] = json!({ "name": "private", "key": "k", "namespace": VICTIM });
        let said = scene
            .refused(field, &policy(OWN, "theirs", &["registry.example/k"], &key))
            .await;
        assert!(said.contains("namespace"), "{said}");
        let attempt = match field {
            "secretKeyRef" => "a key from a Secret of another namespace",
            _ => "a key from a ConfigMap of another namespace",
        };
        scene.tell(attempt, said);
    }
    let said = scene.refused("a binding", &reader(VICTIM)).await;
    assert!(said.contains("forbidden"), "{said}");
    scene.tell(
        "to let the operator read the Secrets of another namespace",
        said,
    );
    Ok(())
}

async fn secret_without_binding(scene: &mut Scene) -> Result<()> {
    scene.write(&from_secret("unbound", "k")).await?;
    let said = scene
        .own("unbound", "Resolved", "False NotPermitted")
        .await?;
    scene.tell("a key from a Secret without a RoleBinding", said);
    scene.clean().await
}

/// Of his own Secrets he may let the operator read all, and so he would learn what they hold without
/// the right to read them.
async fn content_in_messages(scene: &mut Scene) -> Result<()> {
    scene.write(&reader(OWN)).await?;
    for (name, key, reason) in [
        ("no-key", "k", "False InvalidKey"),
        ("nearly", "nearly", "False InvalidKey"),
    ] {
        scene.write(&from_secret(name, key)).await?;
        let said = match scene.own(name, "Accepted", reason).await {
            Ok(said) => said,
            Err(_) => scene.own(name, "Resolved", reason).await?,
        };
        let object = scene.lab.get("ImageSignaturePolicy", OWN, name).await?;
        assert!(!object.unwrap_or_default().to_string().contains(CONTENT));
        assert!(!scene.lab.operator_log().contains(CONTENT));
        if name == "nearly" {
            scene.tell("to read a Secret through what is said about it", said);
        }
    }
    scene.write(&from_secret("absent", "absent")).await?;
    let said = scene.own("absent", "Resolved", "False NotFound").await?;
    assert!(!said.contains(CONTENT), "{said}");
    let mut read = scene.lab.requests_of(OPERATOR)?;
    read.retain(|request| request.resource == "secrets");
    assert!(read.iter().all(|request| request.verb == "get"));
    assert!(
        read.iter().all(|request| request.namespace == OWN),
        "{read:?}"
    );
    scene.clean().await
}

/// As much as a `ConfigMap` holds.
async fn large_map(scene: &mut Scene) -> Result<()> {
    let large = "x".repeat(1_000_000);
    scene
        .write(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "large", "namespace": OWN }, "data": { "k": large },
        }))
        .await?;
    let key = json!({ "configMapKeyRef": { "name": "large", "key": "k" } });
    scene
        .write(&policy(OWN, "large", &["registry.example/k"], &key))
        .await?;
    let object = ("ImageSignaturePolicy", OWN, "large");
    let told = scene
        .lab
        .until(object, "said to be too long", |object| {
            object["status"].to_string().contains("longer than 256 KiB")
        })
        .await?;
    assert!(told["status"].to_string().len() < 8192);
    // Many more keys than anybody would list.
    let many: serde_json::Map<String, Value> = (0..20_000)
        .map(|number| (format!("key-{number}"), "x".into()))
        .collect();
    scene
        .write(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "many", "namespace": OWN }, "data": many,
        }))
        .await?;
    let key = json!({ "configMapKeyRef": { "name": "many", "key": "absent" } });
    scene
        .write(&policy(OWN, "many", &["registry.example/k"], &key))
        .await?;
    let said = scene.own("many", "Resolved", "False NotFound").await?;
    assert!(said.len() < 1024, "{}", said.len());
    scene.others_go_on("large").await?;
    scene.tell(
        "a key from a ConfigMap of a megabyte, or of twenty thousand keys",
        said,
    );
    scene.clean().await
}
