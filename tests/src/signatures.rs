//! Signatures in cosign's attachment format, made here: a test may write what no tool would.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::images::Image;
use crate::keys::Key;
use crate::oci::{CONFIG, MANIFEST};

/// The media type of a payload.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// A payload as cosign writes it: this key vouches that `repository` holds `digest`.
#[must_use]
pub fn payload(repository: &str, digest: &str) -> Vec<u8> {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": repository},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    payload.to_string().into_bytes()
}

/// Signs an image as cosign does.
pub async fn sign(image: &Image, key: &Key) -> Result<()> {
    let payload = payload(&image.repository.full_name(), &image.digest);
    let signature = key.sign(&payload)?;
    attach(image, &[(payload, signature)]).await
}

/// Attaches payloads with their signatures to an image, whatever they say, in the place of those
/// that it had.
pub async fn attach(image: &Image, signed: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
    let mut layers = Vec::new();
    for (payload, signature) in signed {
        let layer = image.repository.push_blob(PAYLOAD, payload).await?;
        layers.push(layer.annotated(SIGNATURE, STANDARD.encode(signature)));
    }
    let config = image.repository.push_blob(CONFIG, b"{}").await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": layers,
    });
    let manifest = manifest.to_string();
    image
        .repository
        .push_manifest(&image.signature_tag(), MANIFEST, manifest.as_bytes())
        .await?;
    Ok(())
}
