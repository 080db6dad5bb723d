//! Trust roots: inline and in a `ConfigMap`, lost and found again, changed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::process;
use e2e::sigstore::Authority;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use policy::bundle::Bundle;
use policy::trust::TrustRoot;
use serde_json::{Value, json};

use crate::lab::{Lab, condition, condition_of, message};
use crate::pem;

/// A certificate authority and a log of its own.
fn trusted_root() -> Result<String> {
    let authority = Authority::root("Fulcio")?.pem();
    let root = TrustRoot::from_pem(Some(&authority), &[pem()], &[], None)?;
    Ok(root.to_trusted_root_json())
}

fn digest(json: &str) -> Result<String> {
    let parsed = TrustRoot::from_trusted_root_json(json)?;
    Ok(parsed.root.digest().to_string())
}

fn trust_root(name: &str, source: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "TrustRoot",
        "metadata": { "name": name },
        "spec": { "trustedRoot": source },
    })
}

fn inline(json: &str) -> Value {
    trust_root("inline", &json!({ "data": json }))
}

fn config_map(json: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "roots", "namespace": "default" },
        "data": { "trusted_root.json": json },
    })
}

fn keyless(name: &str, root: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "ClusterImageSignaturePolicy",
        "metadata": { "name": name },
        "spec": {
            "scopes": [format!("registry.example/{name}")],
            "authorities": [{
                "name": "ci",
                "keyless": {
                    "trustRoot": root,
                    "identities": [{ "issuer": "https://i.example", "subject": "a@b.example" }],
                },
            }],
        },
    })
}

/// The bundle that the node shall run.
async fn given(lab: &Lab, node: &str) -> Result<(String, Bundle)> {
    let name = lab.node_policies().get(node).await?.spec.bundle;
    let bundle = lab.bundles().get(&name).await?;
    let content = crds::bundle::decode(&name, &bundle.spec)?;
    Ok((name, content))
}

#[tokio::test]
async fn the_life_of_a_trust_root() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let (own, mapped) = (trusted_root()?, trusted_root()?);
    let key_ref = json!({ "name": "roots", "key": "trusted_root.json", "namespace": "default" });
    let from_map = trust_root("mapped", &json!({ "configMapKeyRef": key_ref }));
    lab.apply(&inline(&own)).await?;
    lab.apply(&config_map(&mapped)).await?;
    lab.apply(&from_map).await?;
    lab.apply(&keyless("one", "inline")).await?;
    lab.apply(&keyless("two", "mapped")).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;

    let bundle = both_reach_the_node(&lab, &own, &mapped).await?;
    nothing_is_written(&lab).await?;
    the_config_map_is_lost(&lab, &mapped).await?;
    assert_eq!(given(&lab, "a").await?.0, bundle);
    nothing_is_written(&lab).await?;

    // A new process takes the content from the bundle, and has nothing to say.
    let writes = lab.writes().await?;
    drop(operator);
    let operator = lab.operator().await?;
    operator.ready().await?;
    let me = format!("-{}", operator.process.id());
    let limit = Duration::from_secs(40);
    process::wait_for("the new process to lead", limit, async || {
        let leader = lab.leader().await?.unwrap_or_default();
        Ok(leader.ends_with(&me).then_some(()))
    })
    .await?;
    nothing_is_written(&lab).await?;
    assert_eq!(lab.writes().await?, writes, "{}", operator.process.log());

    // The ConfigMap is found again: no node changes.
    lab.apply(&config_map(&mapped)).await?;
    let found = lab.condition("two", "Ready", "True Ready").await?;
    assert_eq!(condition(&found, "Stalled"), "");
    let status = lab.trust_root("mapped", "True Resolved").await?;
    assert_eq!(condition_of(&status.conditions, "Stalled"), "");
    assert_eq!(given(&lab, "a").await?.0, bundle);

    let other = trusted_root()?;
    let next = a_changed_root_makes_one_bundle(&lab, &bundle, &other).await?;

    // An edit that the schema lets through and that is no trust root, then none at all.
    lab.apply(&inline("{}")).await?;
    let status = lab.trust_root("inline", "False Invalid").await?;
    assert_eq!(status.digest, Some(digest(&other)?));
    lab.condition("one", "Resolved", "False TrustRootNotReady")
        .await?;
    let roots = lab.trust_roots();
    roots.delete("inline", &DeleteParams::default()).await?;
    let gone = lab.condition("one", "Resolved", "False NotFound").await?;
    assert_eq!(condition(&gone, "Stalled"), "True NotFound");
    let (name, content) = given(&lab, "a").await?;
    assert_eq!((name, content.policies().count()), (next, 2));
    Ok(())
}

/// Both trust roots come to the node with the policies that use them.
async fn both_reach_the_node(lab: &Lab, own: &str, mapped: &str) -> Result<String> {
    let bundle = lab.roll_out(&["a"], &["one", "two"]).await?;
    for name in ["one", "two"] {
        let status = lab.condition(name, "Ready", "True Ready").await?;
        assert_eq!(condition(&status, "Resolved"), "True Resolved");
    }
    for (name, json) in [("inline", own), ("mapped", mapped)] {
        let status = lab.trust_root(name, "True Resolved").await?;
        assert_eq!(status.digest, Some(digest(json)?));
        assert_eq!(status.certificate_authorities, Some(1));
        assert_eq!(status.transparency_logs, Some(1));
        assert_eq!(status.timestamp_authorities, Some(0));
        assert!(status.earliest_expiry.is_some(), "the authority's own");
        assert_eq!(status.last_refresh, None);
        assert_eq!(status.conditions.len(), 1, "{:?}", status.conditions);
    }
    let (_, content) = given(lab, "a").await?;
    let roots = content.trust_roots();
    let mut digests = [digest(own)?, digest(mapped)?];
    digests.sort();
    assert!(roots.keys().map(ToString::to_string).eq(digests));
    Ok(bundle)
}

/// Its content stays in force, and the trust root and its policy say so.
async fn the_config_map_is_lost(lab: &Lab, mapped: &str) -> Result<()> {
    let before = lab.condition("two", "Ready", "True Ready").await?.digest;
    let maps = Api::<ConfigMap>::namespaced(lab.client.clone(), "default");
    maps.delete("roots", &DeleteParams::default()).await?;
    let lost = lab
        .condition("two", "Resolved", "False TrustRootNotReady")
        .await?;
    assert_eq!(condition(&lost, "Stalled"), "True TrustRootNotReady");
    assert_eq!(lost.digest, before);
    let words = message(&lost, "Resolved");
    assert!(
        words.contains("there is no ConfigMap default/roots")
            && words.contains("last valid form stays in force"),
        "{words}"
    );
    let status = lab.trust_root("mapped", "False NotFound").await?;
    assert_eq!(condition_of(&status.conditions, "Stalled"), "True NotFound");
    assert_eq!(status.digest, Some(digest(mapped)?));
    lab.condition("one", "Ready", "True Ready").await?;
    Ok(())
}

/// Changes what `one` trusts: it has another digest, `two` has not, and one bundle is made.
async fn a_changed_root_makes_one_bundle(lab: &Lab, bundle: &str, other: &str) -> Result<String> {
    let one = lab.condition("one", "Ready", "True Ready").await?.digest;
    let two = lab.condition("two", "Ready", "True Ready").await?.digest;
    let bundles = names(lab).await?;
    lab.apply(&inline(other)).await?;
    let status = lab.trust_root("inline", "True Resolved").await?;
    assert_eq!(status.digest, Some(digest(other)?));
    lab.status("one", "the new root to be seen", |s| s.digest != one)
        .await?;
    let next = lab.roll_out(&["a"], &["one", "two"]).await?;
    assert_ne!(next, bundle);
    lab.condition("one", "Ready", "True Ready").await?;
    let after = lab.condition("two", "Ready", "True Ready").await?;
    assert_eq!(after.digest, two);
    let new: Vec<String> = names(lab).await?;
    let new: Vec<&String> = new.iter().filter(|name| !bundles.contains(name)).collect();
    assert_eq!(new, [&next]);
    Ok(next)
}

async fn names(lab: &Lab) -> Result<Vec<String>> {
    let all = lab.bundles().list(&ListParams::default()).await;
    let all = all.context("list bundles")?;
    Ok(all.iter().map(ResourceExt::name_any).collect())
}

/// Waits for what is gathered, and then sees no write.
async fn nothing_is_written(lab: &Lab) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(12)).await;
    let (versions, writes) = (lab.versions().await?, lab.writes().await?);
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(lab.writes().await?, writes);
    assert_eq!(lab.versions().await?, versions);
    Ok(())
}
