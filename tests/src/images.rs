//! Tiny images, made without a builder.

use std::env::consts;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::oci::{self, Repository};
use crate::registry::Registry;

/// An image that has been pushed.
#[derive(Debug, Clone)]
pub struct Image {
    /// Where it lies.
    pub repository: Repository,
    /// The tag it was pushed under.
    pub tag: String,
    /// The digest of its manifest, or of its index.
    pub digest: String,
    /// The media type of that.
    pub media_type: String,
    /// The size of that, in bytes.
    pub size: u64,
}

impl Image {
    /// Pushes an image for this machine's architecture. Its content follows from its repository
    /// and tag: two names, two digests; and the same digest again in another registry.
    pub async fn push(registry: &Registry, repository: &str, tag: &str) -> Result<Self> {
        let repository_ = registry.repository(repository);
        let content = format!("{repository}:{tag}\n");
        let layer = tar("content", content.as_bytes());
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [oci::sha256(&layer)] },
        });
        let config = serde_json::to_vec(&config).context("write an image configuration")?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": oci::MANIFEST,
            "config": repository_.push_blob(oci::CONFIG, &config).await?,
            "layers": [repository_.push_blob(oci::LAYER, &layer).await?],
        });
        Self::push_json(repository_, tag, oci::MANIFEST, &manifest).await
    }

    /// Pushes an index with one image, for this machine's platform; returns the index.
    pub async fn push_index(registry: &Registry, repository: &str, tag: &str) -> Result<Self> {
        let image = Self::push(registry, repository, &format!("{tag}-{}", architecture())).await?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": oci::INDEX,
            "manifests": [{
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": image.size,
                "platform": { "architecture": architecture(), "os": "linux" },
            }],
        });
        Self::push_json(image.repository, tag, oci::INDEX, &index).await
    }

    /// `host:port/name:tag`.
    #[must_use]
    pub fn by_tag(&self) -> String {
        format!("{}:{}", self.repository.full_name(), self.tag)
    }

    /// `host:port/name@digest`.
    #[must_use]
    pub fn by_digest(&self) -> String {
        format!("{}@{}", self.repository.full_name(), self.digest)
    }

    /// The tag that cosign keeps its signatures under: `sha256-<hex>.sig`.
    #[must_use]
    pub fn signature_tag(&self) -> String {
        format!("{}.sig", self.referrers_tag())
    }

    /// The tag of the index of referrers where a registry has no API for them: `sha256-<hex>`.
    #[must_use]
    pub fn referrers_tag(&self) -> String {
        self.digest.replace(':', "-")
    }

    async fn push_json(
        repository: Repository,
        tag: &str,
        media_type: &str,
        manifest: &serde_json::Value,
    ) -> Result<Self> {
        let bytes = serde_json::to_vec(manifest).context("write a manifest")?;
        let pushed = repository.push_manifest(tag, media_type, &bytes).await?;
        Ok(Self {
            repository,
            tag: tag.to_owned(),
            digest: pushed.digest,
            media_type: pushed.media_type,
            size: pushed.size,
        })
    }
}

/// This machine's architecture, by the name that images give it.
#[must_use]
pub fn architecture() -> &'static str {
    match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar archive with one file (POSIX ustar).
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut field = |at: usize, value: &[u8]| header[at..at + value.len()].copy_from_slice(value);
    field(0, name.as_bytes());
    field(100, b"0000644\0");
    field(108, b"0000000\0");
    field(116, b"0000000\0");
    field(124, format!("{:011o}\0", content.len()).as_bytes());
    field(136, b"00000000000\0");
    field(156, b"0");
    field(257, b"ustar\x0000");
    // The checksum is taken with its own field full of spaces.
    field(148, b"        ");
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());

    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
    // Two empty blocks end an archive.
    archive.resize(archive.len() + 1024, 0);
    archive
}
