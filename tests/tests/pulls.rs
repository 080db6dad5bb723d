//! The main job: a real containerd pulls what is signed as the policies say and refuses the rest,
//! each with its own code.

#![allow(clippy::expect_used, reason = "it is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use e2e::cosign::{self, Cosign, Format, WAYS};
use e2e::front::{Failure, Front};
use e2e::keys::Kind;
use e2e::node::Refusal;
use e2e::oci::{INDEX, MANIFEST};
use e2e::policies::{PolicyText, config};
use e2e::{Image, Key, Node, Registry, signatures};
use serde_json::json;

/// A policy over a whole registry that wants this key.
fn signed_by(registry: &Registry, key: &Key) -> Result<PolicyText> {
    let policy = PolicyText::new("release-images", &[&registry.host()]);
    Ok(policy.authority("release-key", &key.public_pem()?))
}

/// A node, a registry without referrers API, and the key that the node's policy wants.
async fn scene() -> Result<(Node, Registry, Key)> {
    let (node, registry) = tokio::try_join!(Node::start(None), Registry::distribution())?;
    let key = Key::generate(Kind::P256)?;
    node.enforce(&signed_by(&registry, &key)?.yaml())?;
    Ok((node, registry, key))
}

#[tokio::test]
async fn an_image_signed_by_the_policys_key_is_pulled_by_tag_and_by_digest() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &key).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    node.cri().await?.remove(&image.by_tag()).await?;
    assert_eq!(node.verdict(&image.by_digest()).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn an_image_without_signature_is_refused() -> Result<()> {
    let (node, registry, _) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let refusal = node.pull(&image.by_tag()).await?.unwrap_err();
    assert_eq!(
        (refusal.code.as_str(), refusal.transient),
        ("NoSignature", false)
    );
    assert!(refusal.message.contains("release-images"), "{refusal:?}");
    Ok(())
}

#[tokio::test]
async fn an_image_signed_by_a_stranger_is_refused() -> Result<()> {
    let (node, registry, _) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &Key::generate(Kind::P256)?).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "NoMatchingSignature");
    Ok(())
}

#[tokio::test]
async fn a_signature_for_another_digest_is_refused() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let other = Image::push(&registry, "team/app", "v2").await?;
    let payload = signatures::payload(&image.repository.full_name(), &other.digest);
    let signature = key.sign(&payload)?;
    signatures::attach(&image, &[(payload, signature)]).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "WrongDigest");
    Ok(())
}

#[tokio::test]
async fn a_payload_that_was_changed_after_signing_is_refused() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let other = Image::push(&registry, "team/app", "v2").await?;
    let signed = signatures::payload(&image.repository.full_name(), &other.digest);
    let changed = signatures::payload(&image.repository.full_name(), &image.digest);
    signatures::attach(&image, &[(changed, key.sign(&signed)?)]).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "NoMatchingSignature");
    Ok(())
}

#[tokio::test]
async fn a_payload_that_was_changed_in_the_registrys_storage_is_refused() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &key).await?;
    let payload = signatures::payload(&image.repository.full_name(), &image.digest);
    let stored = registry.blob_file(&e2e::oci::sha256(&payload));
    let changed = String::from_utf8(payload)?.replace("null", "{}  ");
    fs::write(stored, changed)?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "DigestMismatch");
    Ok(())
}

#[tokio::test]
async fn a_signature_for_another_repository_is_refused() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let payload = signatures::payload(&format!("{}/team/other", registry.host()), &image.digest);
    let signature = key.sign(&payload)?;
    signatures::attach(&image, &[(payload, signature)]).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "WrongIdentity");
    Ok(())
}

#[tokio::test]
async fn a_corrupt_bundle_is_refused() -> Result<()> {
    let (node, registry, _) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let cosign = Cosign::new(cosign::Version::V3)?;
    let key = cosign.generate_key("key").await?;
    cosign
        .sign(&key, Format::Bundle, &image.by_digest())
        .await?;
    node.enforce(
        &PolicyText::new("p", &[&registry.host()])
            .authority("a", &key.pem)
            .yaml(),
    )?;

    // The same referrer with the second half of its bundle cut off.
    let repository = &image.repository;
    let index = repository
        .manifest(&image.referrers_tag())
        .await?
        .expect("an index")
        .json()?;
    let referrer = index["manifests"][0].clone();
    let digest = referrer["digest"].as_str().expect("a digest");
    let mut manifest = repository
        .manifest(digest)
        .await?
        .expect("a referrer")
        .json()?;
    let layer = manifest["layers"][0].clone();
    let bundle = repository
        .blob(layer["digest"].as_str().expect("a digest"))
        .await?;
    let media_type = layer["mediaType"].as_str().expect("a media type");
    let half = repository
        .push_blob(media_type, &bundle[..bundle.len() / 2])
        .await?;
    manifest["layers"][0]["digest"] = json!(half.digest);
    manifest["layers"][0]["size"] = json!(half.size);
    let bytes = manifest.to_string().into_bytes();
    let changed = e2e::oci::sha256(&bytes);
    repository.push_manifest(&changed, MANIFEST, &bytes).await?;
    let mut referrer = referrer;
    referrer["digest"] = json!(changed);
    referrer["size"] = json!(bytes.len());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [referrer]});
    repository
        .push_manifest(&image.referrers_tag(), INDEX, index.to_string().as_bytes())
        .await?;

    assert_eq!(node.verdict(&image.by_tag()).await?, "MalformedSignature");
    Ok(())
}

#[tokio::test]
async fn two_of_two_authorities_must_both_have_signed() -> Result<()> {
    let (node, registry, first) = scene().await?;
    let second = Key::generate(Kind::Ed25519)?;
    let policy = signed_by(&registry, &first)?
        .authority("second", &second.public_pem()?)
        .field("threshold: 2");
    node.enforce(&policy.yaml())?;

    let image = Image::push(&registry, "team/app", "v1").await?;
    let payload = signatures::payload(&image.repository.full_name(), &image.digest);
    let by = |key: &Key| -> Result<_> { Ok((payload.clone(), key.sign(&payload)?)) };
    // One signer twice is still one signer.
    signatures::attach(&image, &[by(&first)?, by(&first)?]).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "NoMatchingSignature");
    signatures::attach(&image, &[by(&first)?, by(&second)?]).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn both_keys_of_a_rotation_are_accepted() -> Result<()> {
    let (node, registry, old) = scene().await?;
    let new = Key::generate(Kind::P384)?;
    let both = format!("# old\n{}# new\n{}", old.public_pem()?, new.public_pem()?);
    let policy = PolicyText::new("p", &[&registry.host()]).authority("release-key", &both);
    node.enforce(&policy.yaml())?;
    for (tag, key) in [("v1", &old), ("v2", &new)] {
        let image = Image::push(&registry, "team/app", tag).await?;
        signatures::sign(&image, key).await?;
        assert_eq!(node.verdict(&image.by_tag()).await?, "pulled", "{tag}");
    }
    Ok(())
}

#[tokio::test]
async fn every_kind_of_key_is_accepted() -> Result<()> {
    let (node, registry, _) = scene().await?;
    for kind in [
        Kind::P256,
        Kind::P384,
        Kind::P521,
        Kind::Ed25519,
        Kind::Rsa2048,
        Kind::Rsa3072,
        Kind::Rsa4096,
    ] {
        let key = Key::generate(kind)?;
        node.enforce(&signed_by(&registry, &key)?.yaml())?;
        let image = Image::push(&registry, "kinds", &format!("{kind:?}").to_lowercase()).await?;
        assert_eq!(
            node.verdict(&image.by_tag()).await?,
            "NoSignature",
            "{kind:?}"
        );
        signatures::sign(&image, &key).await?;
        assert_eq!(node.verdict(&image.by_tag()).await?, "pulled", "{kind:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_excluded_repository_needs_no_signature() -> Result<()> {
    let (node, registry, key) = scene().await?;
    let exclude = format!("exclude: [\"{}/team/sandbox\"]", registry.host());
    node.enforce(&signed_by(&registry, &key)?.field(&exclude).yaml())?;
    let inside = Image::push(&registry, "team/sandbox/toy", "v1").await?;
    let outside = Image::push(&registry, "team/sandboxes", "v1").await?;
    assert_eq!(node.verdict(&inside.by_tag()).await?, "pulled");
    assert_eq!(node.verdict(&outside.by_tag()).await?, "NoSignature");
    Ok(())
}

#[tokio::test]
async fn a_rejecting_default_refuses_what_no_policy_covers_and_nothing_that_is_exempt() -> Result<()>
{
    let (node, registry, key) = scene().await?;
    let other = Registry::distribution().await?;
    let exempt = format!("exemptImages: [\"{}/tools\"]", other.host());
    node.enforce(&format!(
        "{}---\n{}",
        signed_by(&registry, &key)?.yaml(),
        config(&["defaultAction: Reject", &exempt])
    ))?;
    let uncovered = Image::push(&other, "team/app", "v1").await?;
    let tool = Image::push(&other, "tools/shell", "v1").await?;
    assert_eq!(node.verdict(&uncovered.by_tag()).await?, "NotAllowed");
    assert_eq!(node.verdict(&tool.by_tag()).await?, "pulled");
    let unsigned = Image::push(&registry, "team/app", "v1").await?;
    assert_eq!(node.verdict(&unsigned.by_tag()).await?, "NoSignature");
    Ok(())
}

#[tokio::test]
async fn an_auditing_policy_lets_everything_in_and_says_what_it_would_have_done() -> Result<()> {
    let (node, registry, key) = scene().await?;
    node.enforce(&signed_by(&registry, &key)?.field("mode: Audit").yaml())?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    let log = node.log();
    assert!(
        log.contains("NoSignature") && log.contains("release-images"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_removed_policy_no_longer_refuses_anything() -> Result<()> {
    let (node, registry, _) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "NoSignature");
    node.write_policies(&BTreeMap::from([("policy.yaml", String::new())]))?;
    assert!(node.apply()?.ok);
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn an_invalid_update_leaves_the_last_good_policy_in_force_and_says_where_it_is() -> Result<()>
{
    let (node, registry, key) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let broken = signed_by(&registry, &key)?
        .yaml()
        .replace(&registry.host(), "busybox");
    let unparsable = "spec: [".to_owned();
    node.write_policies(&BTreeMap::from([
        ("policy.yaml", broken),
        ("junk.yaml", unparsable),
    ]))?;

    let applied = node.apply()?;
    assert!(!applied.ok);
    let problems = applied.status["problems"].as_array().expect("problems");
    let scope = problems
        .iter()
        .find(|problem| problem["file"] == "policy.yaml")
        .expect("a problem of that file");
    assert_eq!(scope["line"], 5, "{scope}");
    assert_eq!(scope["field"], "spec.scopes[0]", "{scope}");
    assert!(
        scope["message"]
            .as_str()
            .is_some_and(|m| m.contains("docker.io/library/busybox"))
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem["file"] == "junk.yaml"),
        "{problems:?}"
    );
    assert_eq!(
        applied.status["kept"].as_array().map(Vec::len),
        Some(1),
        "{}",
        applied.status
    );

    assert_eq!(node.verdict(&image.by_tag()).await?, "NoSignature");
    signatures::sign(&image, &key).await?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    Ok(())
}

#[tokio::test]
async fn what_each_cosign_signs_in_each_format_is_pulled_without_referrers_api() -> Result<()> {
    pulls_what_cosign_signs(Registry::distribution().await?).await
}

#[tokio::test]
async fn what_each_cosign_signs_in_each_format_is_pulled_with_referrers_api() -> Result<()> {
    pulls_what_cosign_signs(Registry::with_referrers().await?).await
}

async fn pulls_what_cosign_signs(registry: Registry) -> Result<()> {
    let node = Node::start(None).await?;
    for (version, format) in WAYS {
        let cosign = Cosign::new(version)?;
        let (key, stranger) = (
            cosign.generate_key("a").await?,
            cosign.generate_key("b").await?,
        );
        let policy = PolicyText::new("p", &[&registry.host()]).authority("a", &key.pem);
        node.enforce(&policy.yaml())?;
        let name = format!("{version:?}-{format:?}").to_lowercase();
        let image = Image::push_index(&registry, &name, "v1").await?;
        assert_eq!(
            node.verdict(&image.by_tag()).await?,
            "NoSignature",
            "{name}"
        );
        cosign.sign(&stranger, format, &image.by_digest()).await?;
        assert_eq!(
            node.verdict(&image.by_tag()).await?,
            "NoMatchingSignature",
            "{name}"
        );
        cosign.sign(&key, format, &image.by_digest()).await?;
        assert_eq!(node.verdict(&image.by_tag()).await?, "pulled", "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn bundles_that_name_no_repository_are_refused_where_the_policy_wants_a_name() -> Result<()> {
    let (node, registry, _) = scene().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let cosign = Cosign::new(cosign::Version::V3)?;
    let key = cosign.generate_key("key").await?;
    cosign
        .sign(&key, Format::Bundle, &image.by_digest())
        .await?;
    let policy = PolicyText::new("p", &[&registry.host()]).authority("a", &key.pem);
    let named = "signedIdentity: {type: MatchRepository, unnamedSignatures: Refuse}";
    node.enforce(&policy.clone().field(named).yaml())?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "WrongIdentity");
    node.enforce(&policy.yaml())?;
    assert_eq!(node.verdict(&image.by_tag()).await?, "pulled");
    Ok(())
}

/// What a node says about a signed image whose registry fails for everything about signatures.
async fn refusal_behind(failure: Failure, limit: Option<Duration>) -> Result<Refusal> {
    let (node, registry) = tokio::try_join!(Node::start(limit), Registry::distribution())?;
    let front = Front::start(&registry.host(), "/sha256-", failure).await?;
    let key = Key::generate(Kind::P256)?;
    let policy =
        PolicyText::new("p", &[&front.host()]).authority("release-key", &key.public_pem()?);
    node.enforce(&policy.yaml())?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    signatures::sign(&image, &key).await?;
    let name = image.by_tag().replace(&registry.host(), &front.host());
    Ok(node
        .pull(&name)
        .await?
        .expect_err("nothing may be pulled unseen"))
}

#[tokio::test]
async fn a_registry_that_hangs_up_or_fails_refuses_as_transient() -> Result<()> {
    for failure in [Failure::HangUp, Failure::Unavailable] {
        let refusal = refusal_behind(failure, None).await?;
        assert_eq!(
            (refusal.code.as_str(), refusal.transient),
            ("RegistryError", true)
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_registry_that_wants_credentials_for_signatures_refuses() -> Result<()> {
    let refusal = refusal_behind(Failure::Forbidden, None).await?;
    assert_eq!(
        (refusal.code.as_str(), refusal.transient),
        ("RegistryDenied", false)
    );
    Ok(())
}

#[tokio::test]
async fn a_registry_that_stalls_refuses_as_transient_inside_containerds_time() -> Result<()> {
    // containerd would drop the reason of a verifier that it has to kill, so that there is one
    // shows that the verifier kept inside containerd's time.
    let refusal = refusal_behind(Failure::Stall, Some(Duration::from_secs(3))).await?;
    assert_eq!(
        (refusal.code.as_str(), refusal.transient),
        ("TimedOut", true)
    );
    Ok(())
}
