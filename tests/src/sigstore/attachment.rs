//! The manifest of an image's signatures, under the tag `sha256-<hex>.sig` beside it.

use anyhow::Result;
use serde_json::json;

use crate::images::Image;
use crate::memory_registry::MemoryRegistry;
use crate::oci::{CONFIG, Descriptor, MANIFEST};
use crate::sigstore::signer::{PAYLOAD, Signature};

/// Its configuration, which says nothing.
const EMPTY: &[u8] = b"{}";

/// The manifest of these signatures.
#[must_use]
pub fn manifest(signatures: &[Signature]) -> Vec<u8> {
    let layers: Vec<Descriptor> = signatures.iter().map(Signature::layer).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor::of(CONFIG, EMPTY),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

/// Attaches signatures to an image in a registry, in the place of those that it had.
pub async fn attach(image: &Image, signatures: &[Signature]) -> Result<()> {
    for signature in signatures {
        let repository = &image.repository;
        repository.push_blob(PAYLOAD, &signature.payload).await?;
    }
    image.repository.push_blob(CONFIG, EMPTY).await?;
    let manifest = manifest(signatures);
    image
        .repository
        .push_manifest(&image.signature_tag(), MANIFEST, &manifest)
        .await?;
    Ok(())
}

/// Attaches signatures to an image in memory, in the place of those that it had.
pub fn attach_memory(registry: &MemoryRegistry, image: &Image, signatures: &[Signature]) {
    let repository = image.repository.full_name();
    for signature in signatures {
        registry.push_blob(&repository, PAYLOAD, &signature.payload);
    }
    registry.push_blob(&repository, CONFIG, EMPTY);
    let manifest = manifest(signatures);
    registry.push_manifest(&repository, &image.signature_tag(), MANIFEST, &manifest);
}
