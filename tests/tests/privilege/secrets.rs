//! Secrets: by name only, and only where a namespace allowed it.

use anyhow::Result;
use serde_json::json;

use crate::lab::{Lab, OPERATOR, pem, policy};
use crate::life::reader;

#[tokio::test]
async fn secrets_are_read_by_name_and_where_a_namespace_allows_it() -> Result<()> {
    let mut lab = Lab::start().await?;
    for namespace in ["allows", "refuses"] {
        lab.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace },
        }))
        .await?;
        lab.apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "keys", "namespace": namespace }, "stringData": { "k": pem() },
        }))
        .await?;
        let key = json!({ "secretKeyRef": { "name": "keys", "key": "k" } });
        lab.apply(&policy(namespace, "p", &["registry.example/a"], &key))
            .await?;
        let key = json!({ "secretKeyRef": { "name": "keys", "key": "k", "namespace": namespace } });
        lab.apply(&policy("", namespace, &["registry.example/b"], &key))
            .await?;
    }
    lab.start_operator().await?;
    let of = |namespace: &'static str| {
        [
            ("ImageSignaturePolicy", namespace, "p"),
            ("ClusterImageSignaturePolicy", "", namespace),
        ]
    };
    for object in of("allows").into_iter().chain(of("refuses")) {
        let message = lab
            .condition(object, "Resolved", "False NotPermitted")
            .await?;
        assert!(message.contains("nodeseal-key-reader"), "{message}");
        lab.condition(object, "Ready", "False NotPermitted").await?;
    }
    lab.apply(&reader("allows")).await?;
    for object in of("allows") {
        lab.condition(object, "Resolved", "True Resolved").await?;
    }
    for object in of("refuses") {
        lab.condition(object, "Resolved", "False NotPermitted")
            .await?;
    }
    // It is taken back: the key stays in force, and nothing more is read.
    lab.delete_binding("allows").await?;
    for object in of("allows") {
        lab.condition(object, "Resolved", "False NotPermitted")
            .await?;
    }

    let mut requests = lab.requests_of(OPERATOR)?;
    requests.retain(|request| request.resource == "secrets");
    assert!(requests.len() > 4, "{requests:?}");
    for request in &requests {
        let by_name = request.verb == "get" && request.name == "keys";
        let allowed = request.code == 403 || request.namespace == "allows";
        assert!(by_name && allowed, "{request:?}");
    }
    let read = requests.iter().filter(|request| request.code == 200);
    assert!(read.count() > 0);
    Ok(())
}

#[tokio::test]
async fn names_of_other_keys_are_in_no_status() -> Result<()> {
    let mut lab = Lab::start().await?;
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" },
    }))
    .await?;
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "keys", "namespace": "team" },
        "stringData": { "k": pem(), "customer-of-ours": "x" },
    }))
    .await?;
    lab.apply(&reader("team")).await?;
    let key = |key: &str| json!({ "secretKeyRef": { "name": "keys", "key": key } });
    for (name, key) in [("good", key("k")), ("wrong", key("absent"))] {
        lab.apply(&policy("team", name, &["registry.example/a"], &key))
            .await?;
    }
    lab.start_operator().await?;
    let (good, wrong) = (
        ("ImageSignaturePolicy", "team", "good"),
        ("ImageSignaturePolicy", "team", "wrong"),
    );
    lab.condition(good, "Resolved", "True Resolved").await?;
    let message = lab.condition(wrong, "Resolved", "False NotFound").await?;
    assert!(
        message.contains("Secret team/keys has no key `absent`: add it"),
        "{message}"
    );
    for (kind, namespace, name) in [good, wrong] {
        let object = lab.get(kind, namespace, name).await?;
        let status = object.map(|object| object["status"].to_string());
        let status = status.unwrap_or_default();
        assert!(
            !status.is_empty() && !status.contains("customer"),
            "{status}"
        );
    }
    Ok(())
}
