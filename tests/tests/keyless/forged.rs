//! Signatures put together from parts of real ones.

use anyhow::Result;
use e2e::Image;
use e2e::oci::{INDEX, MANIFEST};
use e2e::sigstore::signer::{BUNDLE as ENTRY, CERTIFICATE, SIGNATURE};
use e2e::sigstore_services::Person;
use serde_json::{Value, json};

use crate::scene::{ATTACHMENT, BUNDLE, DEV, Scene};

/// Where a bundle has its parts, as JSON pointers.
const CERTIFICATE_OF_BUNDLE: &str = "/verificationMaterial/certificate";
const ENTRIES: &str = "/verificationMaterial/tlogEntries";
const TIMESTAMPS: &str = "/verificationMaterial/timestampVerificationData";
const SIGNATURES: &str = "/dsseEnvelope/signatures";
const PAYLOAD: &str = "/dsseEnvelope/payload";

#[tokio::test]
async fn a_bundle_that_lacks_a_part_or_has_one_of_another_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let dev = Person::new(DEV).token();
    let stranger = Person::new("stranger@corp.example").token();
    // A certificate that is younger than the entry or timestamp beside it fails by that alone.
    let older = scene.signed("older", BUNDLE, &stranger).await?;
    let older = bundle(&older).await?;
    let image = scene.signed("app", BUNDLE, &dev).await?;
    let right = bundle(&image).await?;
    // The same statement, so that nothing but the signer and the evidence differ.
    let twin = Image::push(&scene.registry, "app", "v1").await?;
    forget(&image).await?;
    scene.sign(BUNDLE, &stranger, &twin).await?;
    let wrong = bundle(&image).await?;
    assert_eq!(scene.verdict(&image).await?, "NoMatchingSignature");
    assert_eq!(
        right.pointer(PAYLOAD),
        wrong.pointer(PAYLOAD),
        "the statements"
    );

    let with = |parts: &[(&str, Value)]| {
        let mut bundle = right.clone();
        for (part, value) in parts {
            *bundle.pointer_mut(part).expect("a part") = value.clone();
        }
        bundle
    };
    let of = |part: &str| wrong.pointer(part).expect("a part").clone();
    let cases = [
        ("no entry", with(&[(ENTRIES, json!([]))]), "LogEntryMissing"),
        (
            "no timestamp",
            with(&[(TIMESTAMPS, json!({}))]),
            "CertificateExpired",
        ),
        (
            "another's entry",
            with(&[(ENTRIES, of(ENTRIES))]),
            "LogEntryInvalid",
        ),
        (
            "another's timestamp",
            with(&[(TIMESTAMPS, of(TIMESTAMPS))]),
            "LogEntryInvalid",
        ),
        // The timestamp is over the signature, and looked at first.
        (
            "another's signature",
            with(&[(SIGNATURES, of(SIGNATURES))]),
            "LogEntryInvalid",
        ),
        (
            "the wanted certificate over all of another's",
            with(&[
                (SIGNATURES, of(SIGNATURES)),
                (ENTRIES, of(ENTRIES)),
                (TIMESTAMPS, of(TIMESTAMPS)),
            ]),
            "NoMatchingSignature",
        ),
        (
            "another's certificate",
            with(&[(
                CERTIFICATE_OF_BUNDLE,
                older
                    .pointer(CERTIFICATE_OF_BUNDLE)
                    .expect("a part")
                    .clone(),
            )]),
            "NoMatchingSignature",
        ),
        // Last: a node remembers what it has let in.
        ("as it was", right.clone(), "pulled"),
    ];
    let mut verdicts = Vec::new();
    for (case, forged, wanted) in cases {
        attach_bundle(&image, &forged).await?;
        verdicts.push((case, wanted, scene.verdict(&image).await?));
    }
    for (case, wanted, verdict) in &verdicts {
        assert_eq!(verdict, wanted, "{case}: {verdicts:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_attachment_that_lacks_a_part_or_has_one_of_another_is_refused() -> Result<()> {
    let scene = Scene::start().await?;
    scene.enforce(&[scene.dev()])?;
    let stranger = Person::new("stranger@corp.example").token();
    // As for bundles.
    let older = scene.signed("older", ATTACHMENT, &stranger).await?;
    let older = attachment(&older).await?;
    let image = scene
        .signed("app", ATTACHMENT, &Person::new(DEV).token())
        .await?;
    scene.sign(ATTACHMENT, &stranger, &image).await?;
    // cosign puts the second beside the first.
    let manifest = attachment(&image).await?;
    let layers = manifest["layers"].as_array().expect("layers").clone();
    let [right, wrong] = layers.as_slice() else {
        panic!("{manifest:#}");
    };
    let with = |parts: &[&str]| {
        let mut layer = right.clone();
        for part in parts {
            layer["annotations"][part] = wrong["annotations"][part].clone();
        }
        layer
    };
    let mut without_entry = right.clone();
    let mut other_certificate = right.clone();
    other_certificate["annotations"][CERTIFICATE] =
        older["layers"][0]["annotations"][CERTIFICATE].clone();
    let annotations = without_entry["annotations"].as_object_mut();
    annotations.expect("annotations").remove(ENTRY);
    let cases = [
        ("the stranger's", wrong.clone(), "NoMatchingSignature"),
        ("no entry", without_entry, "LogEntryMissing"),
        ("another's entry", with(&[ENTRY]), "LogEntryInvalid"),
        (
            "another's signature",
            with(&[SIGNATURE]),
            "NoMatchingSignature",
        ),
        (
            "the wanted certificate over all of another's",
            with(&[SIGNATURE, ENTRY]),
            "NoMatchingSignature",
        ),
        (
            "another's certificate",
            other_certificate,
            "NoMatchingSignature",
        ),
        ("as it was", right.clone(), "pulled"),
    ];
    let mut verdicts = Vec::new();
    for (case, layer, wanted) in cases {
        let mut manifest = manifest.clone();
        manifest["layers"] = json!([layer]);
        let bytes = manifest.to_string().into_bytes();
        let tag = image.signature_tag();
        image
            .repository
            .push_manifest(&tag, MANIFEST, &bytes)
            .await?;
        verdicts.push((case, wanted, scene.verdict(&image).await?));
    }
    for (case, wanted, verdict) in &verdicts {
        assert_eq!(verdict, wanted, "{case}: {verdicts:#?}");
    }
    Ok(())
}

/// The manifest of an image's signatures.
async fn attachment(image: &Image) -> Result<Value> {
    let manifest = image.repository.manifest(&image.signature_tag()).await?;
    manifest.expect("an attachment").json()
}

/// The one bundle among an image's referrers.
async fn bundle(image: &Image) -> Result<Value> {
    let referrer = referrer(image).await?;
    let digest = referrer["layers"][0]["digest"].as_str().expect("a digest");
    let bytes = image.repository.blob(digest).await?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The manifest of the one referrer of an image.
async fn referrer(image: &Image) -> Result<Value> {
    let index = image.repository.manifest(&image.referrers_tag()).await?;
    let index = index.expect("an index of referrers").json()?;
    assert_eq!(
        index["manifests"].as_array().map(Vec::len),
        Some(1),
        "{index:#}"
    );
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let referrer = image.repository.manifest(digest).await?;
    referrer.expect("a referrer").json()
}

/// Makes an image one without referrers.
async fn forget(image: &Image) -> Result<()> {
    attach(image, &[]).await
}

/// Makes this bundle the only one of an image.
async fn attach_bundle(image: &Image, bundle: &Value) -> Result<()> {
    let repository = &image.repository;
    let mut manifest = referrer(image).await?;
    let layer = &mut manifest["layers"][0];
    let media_type = layer["mediaType"].as_str().expect("a media type");
    let bytes = bundle.to_string().into_bytes();
    let blob = repository.push_blob(media_type, &bytes).await?;
    layer["digest"] = json!(blob.digest);
    layer["size"] = json!(blob.size);
    let bytes = manifest.to_string().into_bytes();
    let digest = e2e::oci::sha256(&bytes);
    repository.push_manifest(&digest, MANIFEST, &bytes).await?;
    let entry = json!({
        "mediaType": MANIFEST,
        "artifactType": manifest["artifactType"],
        "digest": digest,
        "size": bytes.len(),
    });
    attach(image, &[entry]).await
}

/// Makes these the referrers of an image.
async fn attach(image: &Image, entries: &[Value]) -> Result<()> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let index = index.to_string().into_bytes();
    let tag = image.referrers_tag();
    image.repository.push_manifest(&tag, INDEX, &index).await?;
    Ok(())
}
