//! Signatures, and what is done to them.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::keys::Kind;
use e2e::oci::{CONFIG, Descriptor, INDEX, MANIFEST};
use e2e::sigstore::log::hashedrekord;
use e2e::sigstore::signer::{BUNDLE as ENTRY, SIGNATURE};
use e2e::sigstore::{Entry, Log, Payload, Signature, Signer, attachment};
use e2e::{Image, oci};
use image_verifier::payload::{IN_TOTO, SIGN_PREDICATE};
use serde_json::{Value, json};

use crate::tamper::Tamper;

/// The media type of a bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Who takes part in a signature.
pub(crate) struct Parts<'a> {
    /// Both signers' kind.
    pub(crate) kind: Kind,
    pub(crate) signer: &'a Signer,
    pub(crate) other: &'a Signer,
    /// The log, where an entry is wanted.
    pub(crate) log: Option<&'a Log>,
    pub(crate) other_log: &'a Log,
}

impl Parts<'_> {
    /// Takes down a signature as Rekor would: with the hash that it is over, by which Rekor and
    /// cosign verify it again.
    fn enter(&self, log: &Log, signature: &Signature) -> Result<Entry> {
        let Signature {
            payload,
            signature,
            verifier,
            ..
        } = signature;
        let (name, algorithm) = match self.kind {
            Kind::P384 => ("sha384", &SHA384),
            Kind::P521 => ("sha512", &SHA512),
            _ => ("sha256", &SHA256),
        };
        let mut body = hashedrekord(payload, signature, verifier);
        body["spec"]["data"]["hash"] = json!({"algorithm": name,
            "value": hex::encode(digest::digest(algorithm, payload))});
        log.enter_body(body.to_string().into_bytes(), SystemTime::now())
    }
}

/// Attaches a signature to an image, under the tag.
pub(crate) async fn attach(image: &Image, tamper: Tamper, parts: &Parts<'_>) -> Result<()> {
    let signature = attachment(image, tamper, parts)?;
    let repository = &image.repository;
    if tamper != Tamper::SignatureRemoved {
        return attachment::attach(image, &[signature]).await;
    }
    let mut layer = signature.layer();
    layer.annotations.remove(SIGNATURE);
    let payload = &signature.payload;
    repository.push_blob(&layer.media_type, payload).await?;
    let config = repository.push_blob(CONFIG, b"{}").await?;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
        "layers": [layer]});
    let (tag, bytes) = (image.signature_tag(), manifest.to_string());
    repository
        .push_manifest(&tag, MANIFEST, bytes.as_bytes())
        .await?;
    Ok(())
}

fn attachment(image: &Image, tamper: Tamper, parts: &Parts<'_>) -> Result<Signature> {
    let mut payload = Payload::new(&image.repository.full_name(), &image.digest);
    match tamper {
        Tamper::OtherDigest => payload.digest = oci::sha256(b"another"),
        Tamper::TypeChanged => payload.kind = "atomic container signature".into(),
        Tamper::NameChanged => payload.reference = "registry.example/another".into(),
        Tamper::NameEmpty => payload.reference.clear(),
        Tamper::Annotated => payload.optional = json!({"commit": "abc", "stage": 1}),
        Tamper::MemberAdded => payload = payload.with("/critical", "x", json!(1)),
        _ => {}
    }
    let signer = if tamper == Tamper::OtherKey {
        parts.other
    } else {
        parts.signer
    };
    let mut signature = signer.sign(&payload)?;
    let right = signature.clone();
    match tamper {
        Tamper::PayloadChanged => signature.payload.push(b'\n'),
        Tamper::SignatureChanged => flip(&mut signature.signature),
        _ => {}
    }
    let Some(log) = parts.log else {
        if tamper == Tamper::EntryUnasked {
            return parts.other.sign(&payload).and_then(|theirs| {
                let entry = parts.enter(parts.other_log, &theirs)?;
                Ok(signature.annotated(ENTRY, &entry.bundle()))
            });
        }
        return Ok(signature);
    };
    let mut entry = match tamper {
        Tamper::EntryRemoved => return Ok(signature),
        Tamper::EntryOfOtherSignature => {
            let mut theirs = right.clone();
            flip(&mut theirs.signature);
            parts.enter(log, &theirs)?
        }
        Tamper::EntryOfOtherPayload => {
            let mut theirs = right.clone();
            theirs.payload.push(b' ');
            parts.enter(log, &theirs)?
        }
        Tamper::EntryOfOtherKey => parts.enter(log, &parts.other.sign(&payload)?)?,
        Tamper::EntryOfOtherLog => parts.enter(parts.other_log, &right)?,
        // The log took down what was signed, not what was made of it.
        _ => parts.enter(log, &right)?,
    };
    match tamper {
        Tamper::EntryTime => entry.integrated_time -= 1,
        Tamper::EntryIndex => entry.index += 1,
        Tamper::EntryWithoutPromise => entry.timestamp.clear(),
        _ => {}
    }
    Ok(signature.annotated(ENTRY, &entry.bundle()))
}

/// Attaches a bundle to an image, as a referrer.
pub(crate) async fn refer(image: &Image, tamper: Tamper, parts: &Parts<'_>) -> Result<()> {
    let bundle = bundle(image, tamper, parts)?.to_string();
    let repository = &image.repository;
    let layer = repository.push_blob(BUNDLE, bundle.as_bytes()).await?;
    let empty = "application/vnd.oci.empty.v1+json";
    let config = repository.push_blob(empty, b"{}").await?;
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": config, "layers": [layer], "subject": {"mediaType": image.media_type,
            "digest": image.digest, "size": image.size},
        "annotations": {"dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": SIGN_PREDICATE}});
    let bytes = manifest.to_string().into_bytes();
    let digest = oci::sha256(&bytes);
    repository.push_manifest(&digest, MANIFEST, &bytes).await?;
    if repository.referrers(&image.digest).await?.is_some() {
        return Ok(());
    }
    let mut entry = Descriptor::of(MANIFEST, &bytes);
    entry.artifact_type = Some(BUNDLE.to_owned());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    let tag = image.referrers_tag();
    let index = index.to_string().into_bytes();
    repository.push_manifest(&tag, INDEX, &index).await?;
    Ok(())
}

fn bundle(image: &Image, tamper: Tamper, parts: &Parts<'_>) -> Result<Value> {
    let digest = match tamper {
        Tamper::OtherDigest => oci::sha256(b"another"),
        _ => image.digest.clone(),
    };
    let (_, hex) = digest.split_once(':').context("a digest")?;
    let subject = match tamper {
        Tamper::NoDigest => json!([]),
        _ => json!([{"digest": {"sha256": hex}}]),
    };
    let version = match tamper {
        Tamper::StatementType => "https://in-toto.io/Statement/v2",
        _ => "https://in-toto.io/Statement/v1",
    };
    let predicate = match tamper {
        Tamper::Attestation => "https://spdx.dev/Document",
        _ => SIGN_PREDICATE,
    };
    let kind = match tamper {
        Tamper::EnvelopeType => "application/json",
        _ => IN_TOTO,
    };
    let statement = json!({"_type": version, "predicateType": predicate, "predicate": {},
        "subject": subject});
    let mut statement = statement.to_string();
    let encoding = format!(
        "DSSEv1 {} {kind} {} {statement}",
        kind.len(),
        statement.len()
    );
    let signer = if tamper == Tamper::OtherKey {
        parts.other
    } else {
        parts.signer
    };
    let mut signature = signer.sign_bytes(encoding.into_bytes())?.signature;
    match tamper {
        Tamper::PayloadChanged => statement.push('\n'),
        Tamper::SignatureChanged => flip(&mut signature),
        Tamper::SignatureRemoved => signature.clear(),
        _ => {}
    }
    let media_type = match tamper {
        Tamper::UnknownVersion => "application/vnd.dev.sigstore.bundle.v0.9+json",
        _ => BUNDLE,
    };
    Ok(json!({
        "mediaType": media_type,
        "verificationMaterial": {"publicKey": {"hint": "x"}},
        "dsseEnvelope": {
            "payloadType": kind,
            "payload": STANDARD.encode(statement),
            "signatures": [{"sig": STANDARD.encode(signature)}],
        },
    }))
}

/// Flips a bit at the end, where it is a number in any scheme.
fn flip(signature: &mut [u8]) {
    if let Some(last) = signature.last_mut() {
        *last ^= 1;
    }
}
