//! A trust root over TUF: fetched, rotated, kept while its mirror fails, remembered by the next
//! process.

use anyhow::{Context as _, Result};
use crds::types::TrustRootStatus;
use e2e::keys::{Key, Kind};
use e2e::process;
use e2e::sigstore::Authority;
use e2e::tuf_repository::{Answer, Role, Server, TufRepository};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use policy::trust::TrustRoot;
use serde_json::{Value, json};

use crate::lab::{Lab, NAMESPACE, SOON, condition_of};

fn trusted_root() -> Result<String> {
    let authority = Authority::root("Fulcio")?.pem();
    let log = Key::generate(Kind::P256)?.public_pem()?;
    let root = TrustRoot::from_pem(Some(&authority), &[log], &[], None)?;
    Ok(root.to_trusted_root_json())
}

fn digest(json: &str) -> Result<String> {
    let parsed = TrustRoot::from_trusted_root_json(json)?;
    Ok(parsed.root.digest().to_string())
}

/// The operator asks at once when the spec changes, here the interval.
fn trust_root(mirror: &str, root: &str, interval: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "TrustRoot",
        "metadata": { "name": "own" },
        "spec": { "tuf": { "mirror": mirror, "rootJSON": root, "refreshInterval": interval } },
    })
}

fn keyless() -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "ClusterImageSignaturePolicy",
        "metadata": { "name": "p" },
        "spec": {
            "scopes": ["registry.example/team"],
            "authorities": [{
                "name": "ci",
                "keyless": {
                    "trustRoot": "own",
                    "identities": [{ "issuer": "https://i.example", "subject": "a@b.example" }],
                },
            }],
        },
    })
}

/// Waits until `Refreshed` is `status reason`, for the spec as it is now.
async fn refreshed(lab: &Lab, is: &str) -> Result<TrustRootStatus> {
    let mut last = None;
    let found = process::wait_for(&format!("Refreshed to be {is}"), SOON, async || {
        let object = lab.trust_roots().get("own").await?;
        let status = object.status.unwrap_or_default();
        let current = status.observed_generation == object.metadata.generation;
        let good = current && condition_of(&status.conditions, "Refreshed") == is;
        last = Some(status.clone());
        Ok(good.then_some(status))
    })
    .await;
    found.with_context(|| format!("{last:#?}"))
}

/// The digests of the trust roots that the node shall have.
async fn on_the_node(lab: &Lab) -> Result<Vec<String>> {
    let name = lab.node_policies().get("a").await?.spec.bundle;
    let bundle = lab.bundles().get(&name).await?;
    let content = crds::bundle::decode(&name, &bundle.spec)?;
    Ok(content
        .trust_roots()
        .keys()
        .map(ToString::to_string)
        .collect())
}

#[tokio::test]
async fn a_trust_root_over_tuf_reaches_the_nodes_and_stays_while_its_mirror_fails() -> Result<()> {
    let first = trusted_root()?;
    let mut repository =
        TufRepository::new("trusted_root.json", first.as_bytes(), Timestamp::now())?;
    let server = Server::start(&repository).await?;
    let (url, root) = (server.url(), repository.root_json(1)?);
    let mut lab = Lab::start(&["a"]).await?;
    let ca = lab.folder.join("mirror-ca.pem");
    std::fs::write(&ca, server.ca())?;
    let flag = ["--tuf-ca-file".to_owned(), ca.display().to_string()];
    lab.apply(&keyless()).await?;
    lab.apply(&trust_root(&url, &root, "24h")).await?;
    let operator = lab.operator_flagged(&flag).await?;
    operator.ready().await?;

    let status = refreshed(&lab, "True Refreshed").await?;
    assert_eq!(status.digest, Some(digest(&first)?));
    assert!(status.last_refresh.is_some());
    lab.roll_out(&["a"], &["p"]).await?;
    assert_eq!(on_the_node(&lab).await?, [digest(&first)?]);

    // The owner publishes another content, by another key of the root.
    let second = trusted_root()?;
    let old = repository.file("timestamp.json")?;
    repository.rotate(Role::Root)?;
    repository.publish_target(second.as_bytes())?;
    lab.apply(&trust_root(&url, &root, "23h")).await?;
    process::wait_for("the new content to be seen", SOON, async || {
        let status = lab.trust_roots().get("own").await?.status;
        let seen = status.and_then(|status| status.digest) == Some(digest(&second)?);
        Ok(seen.then_some(()))
    })
    .await?;
    lab.status("p", "the policy to have it", |status| {
        status.observed_generation.is_some() && status.digest.is_some()
    })
    .await?;
    process::wait_for("the node to be given it", SOON, async || {
        let given = on_the_node(&lab).await? == [digest(&second)?];
        Ok(given.then_some(()))
    })
    .await?;
    lab.roll_out(&["a"], &["p"]).await?;
    let bundle = lab.node_policies().get("a").await?.spec.bundle;

    // The mirror fails: nothing changes on the node.
    server.answer("*", Answer::Status(503));
    lab.apply(&trust_root(&url, &root, "22h")).await?;
    let failed = refreshed(&lab, "False Unreachable").await?;
    assert_eq!(failed.digest, Some(digest(&second)?));
    assert_eq!(condition_of(&failed.conditions, "Ready"), "True Resolved");
    lab.condition("p", "Ready", "True Ready").await?;

    // What is known is kept, owned by the trust root.
    let maps = Api::<ConfigMap>::namespaced(lab.client.clone(), NAMESPACE);
    let kept = maps.get("nodeseal-tuf-own").await?;
    let owners = kept.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners[0].kind, "TrustRoot");

    // The next process remembers it: it refuses an older state, and the content stays.
    drop(operator);
    server.behave();
    repository.put("timestamp.json", old);
    let operator = lab.operator_flagged(&flag).await?;
    operator.ready().await?;
    process::wait_for("the new process to refuse it", SOON * 3, async || {
        let status = lab.trust_roots().get("own").await?.status;
        let conditions = status.unwrap_or_default().conditions;
        let refused = condition_of(&conditions, "Refreshed") == "False Rollback";
        Ok(refused.then_some(()))
    })
    .await
    .with_context(|| operator.process.log())?;
    let status = lab.trust_root("own", "True Resolved").await?;
    assert_eq!(status.digest, Some(digest(&second)?));
    assert_eq!(lab.node_policies().get("a").await?.spec.bundle, bundle);
    Ok(())
}

#[tokio::test]
async fn a_padded_repository_is_remembered_over_a_restart() -> Result<()> {
    let (first, second) = (trusted_root()?, trusted_root()?);
    let mut repository =
        TufRepository::new("trusted_root.json", first.as_bytes(), Timestamp::now())?;
    let server = Server::start(&repository).await?;
    let (url, root) = (server.url(), repository.root_json(1)?);
    let old = repository.all();
    repository.padding.insert(Role::Targets, 240 * 1024);
    repository.padding.insert(Role::Snapshot, 110 * 1024);
    repository.publish_target(second.as_bytes())?;
    let mut lab = Lab::start(&["a"]).await?;
    let ca = lab.folder.join("mirror-ca.pem");
    std::fs::write(&ca, server.ca())?;
    let flag = ["--tuf-ca-file".to_owned(), ca.display().to_string()];
    lab.apply(&keyless()).await?;
    lab.apply(&trust_root(&url, &root, "24h")).await?;
    let operator = lab.operator_flagged(&flag).await?;
    operator.ready().await?;
    let status = refreshed(&lab, "True Refreshed").await?;
    assert_eq!(status.digest, Some(digest(&second)?));
    let maps = Api::<ConfigMap>::namespaced(lab.client.clone(), NAMESPACE);
    process::wait_for("all of it to be kept", SOON, async || {
        let kept = maps.get_opt("nodeseal-tuf-own").await?;
        let kept = kept.and_then(|kept| kept.data).unwrap_or_default();
        let bytes: usize = kept.values().map(String::len).sum();
        Ok((bytes > 350 * 1024).then_some(()))
    })
    .await?;

    // The next process knows it, whatever the mirror serves now.
    drop(operator);
    repository.put_back(old);
    let operator = lab.operator_flagged(&flag).await?;
    operator.ready().await?;
    lab.apply(&trust_root(&url, &root, "23h")).await?;
    let failed = refreshed(&lab, "False Rollback").await;
    let failed = failed.with_context(|| operator.process.log())?;
    assert_eq!(failed.digest, Some(digest(&second)?));
    assert_eq!(condition_of(&failed.conditions, "Ready"), "True Resolved");
    Ok(())
}

#[tokio::test]
async fn a_mirror_with_an_authority_that_the_operator_does_not_know_is_not_ready() -> Result<()> {
    let content = trusted_root()?;
    let repository = TufRepository::new("trusted_root.json", content.as_bytes(), Timestamp::now())?;
    let server = Server::start(&repository).await?;
    let mut lab = Lab::start(&["a"]).await?;
    lab.apply(&keyless()).await?;
    lab.apply(&trust_root(&server.url(), &repository.root_json(1)?, "24h"))
        .await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let status = refreshed(&lab, "False Unreachable").await?;
    assert_eq!(
        condition_of(&status.conditions, "Ready"),
        "False TrustRootNotReady"
    );
    assert_eq!(
        condition_of(&status.conditions, "Stalled"),
        "True TrustRootNotReady"
    );
    lab.condition("p", "Resolved", "False TrustRootNotReady")
        .await?;
    Ok(())
}
