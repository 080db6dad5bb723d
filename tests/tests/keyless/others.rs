//! What is signed, but is not the image that is asked for.

use anyhow::Result;
use e2e::Image;
use e2e::cosign::Format;
use e2e::oci::{INDEX, MANIFEST};
use e2e::sigstore_services::Person;
use e2e::sigstore_services::signing::WAYS;
use serde_json::json;

use crate::scene::{ATTACHMENT, BUNDLE, DEV, Scene};

#[tokio::test]
async fn a_signature_of_another_image_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let mut verdicts = Vec::new();
    for way in WAYS {
        let signed = scene.push(&way.name()).await?;
        let other = Image::push(&scene.registry, &way.name(), "v2").await?;
        scene.sign(way, &Person::new(DEV).token(), &signed).await?;
        match way.format {
            Format::Attachment => replay_attachment(&signed, &other).await?,
            Format::Bundle => replay_bundle(&signed, &other).await?,
        }
        let verdict = [scene.verdict(&signed).await?, scene.verdict(&other).await?];
        verdicts.push((way.name(), verdict));
    }
    for (way, verdict) in &verdicts {
        assert_eq!(verdict, &["pulled", "WrongDigest"], "{way}: {verdicts:#?}");
    }
    Ok(())
}

/// Puts the signatures of one image under the tag of another's.
async fn replay_attachment(from: &Image, to: &Image) -> Result<()> {
    let manifest = from.repository.manifest(&from.signature_tag()).await?;
    let manifest = manifest.expect("an attachment");
    let tag = to.signature_tag();
    to.repository
        .push_manifest(&tag, &manifest.media_type, &manifest.bytes)
        .await?;
    Ok(())
}

/// Makes the referrers of one image those of another.
async fn replay_bundle(from: &Image, to: &Image) -> Result<()> {
    let repository = &from.repository;
    let index = repository.manifest(&from.referrers_tag()).await?;
    let mut index = index.expect("an index of referrers").json()?;
    for entry in index["manifests"].as_array_mut().expect("referrers") {
        let digest = entry["digest"].as_str().expect("a digest");
        let referrer = repository.manifest(digest).await?;
        let mut referrer = referrer.expect("a referrer").json()?;
        referrer["subject"]["digest"] = json!(to.digest);
        referrer["subject"]["size"] = json!(to.size);
        let bytes = referrer.to_string().into_bytes();
        let digest = e2e::oci::sha256(&bytes);
        repository.push_manifest(&digest, MANIFEST, &bytes).await?;
        entry["digest"] = json!(digest);
        entry["size"] = json!(bytes.len());
    }
    let tag = to.referrers_tag();
    let index = index.to_string().into_bytes();
    repository.push_manifest(&tag, INDEX, &index).await?;
    Ok(())
}

#[tokio::test]
async fn an_attestation_is_no_signature() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let dev = Person::new(DEV).token();
    let image = scene.push("bundle").await?;
    let attested = image.by_digest();
    scene.services.attest(BUNDLE, &dev, &attested).await?;
    let refusal = scene.node.pull(&image.by_tag()).await?.unwrap_err();
    assert_eq!(refusal.code, "NoSignature");
    assert!(refusal.message.contains("attestation"), "{refusal:?}");
    // It does not stand in the way of a signature either.
    scene.sign(BUNDLE, &dev, &image).await?;
    assert_eq!(scene.verdict(&image).await?, "pulled");

    let image = scene.push("attachment").await?;
    let attested = image.by_digest();
    scene.services.attest(ATTACHMENT, &dev, &attested).await?;
    assert_eq!(scene.verdict(&image).await?, "NoSignature");
    Ok(())
}

#[tokio::test]
async fn a_signature_of_notation_is_not_supported() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let image = scene.push("app").await?;
    let repository = &image.repository;
    let config = repository
        .push_blob("application/vnd.cncf.notary.signature", b"{}")
        .await?;
    let envelope = repository
        .push_blob("application/jose+json", br#"{"payload":"","signature":""}"#)
        .await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.cncf.notary.signature",
        "config": config,
        "layers": [envelope],
        "subject": {"mediaType": image.media_type, "digest": image.digest, "size": image.size},
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = e2e::oci::sha256(&bytes);
    repository.push_manifest(&digest, MANIFEST, &bytes).await?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [{
        "mediaType": MANIFEST,
        "digest": digest,
        "size": bytes.len(),
        "artifactType": "application/vnd.cncf.notary.signature",
    }]});
    let index = index.to_string().into_bytes();
    repository
        .push_manifest(&image.referrers_tag(), INDEX, &index)
        .await?;
    assert_eq!(scene.verdict(&image).await?, "UnsupportedFormat");
    Ok(())
}

#[tokio::test]
async fn a_signature_of_an_index_is_not_one_of_its_image_nor_the_reverse() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let dev = Person::new(DEV).token();
    for way in [BUNDLE, ATTACHMENT] {
        let name = way.name();
        let index = Image::push_index(&scene.registry, &name, "v1").await?;
        let platform = format!("v1-{}", e2e::images::architecture());
        let image = Image::push(&scene.registry, &name, &platform).await?;
        scene.sign(way, &dev, &index).await?;
        assert_eq!(scene.verdict(&index).await?, "pulled", "{name}");
        assert_eq!(scene.verdict(&image).await?, "NoSignature", "{name}");

        let name = format!("{name}-reverse");
        let index = Image::push_index(&scene.registry, &name, "v1").await?;
        let image = Image::push(&scene.registry, &name, &platform).await?;
        scene.sign(way, &dev, &image).await?;
        assert_eq!(scene.verdict(&index).await?, "NoSignature", "{name}");
        assert_eq!(scene.verdict(&image).await?, "pulled", "{name}");
    }
    Ok(())
}
