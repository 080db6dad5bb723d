//! What an image's digest stands for, byte for byte, for who reads it by rules of its own.

use policy::digest::Digest;

use super::error::RegistryError;
use super::manifest::{INDEX_TYPE, MANIFEST_TYPES};
use super::{Registry, content_type};

/// Docker's own index.
pub const LIST_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the registry calls it, without parameters; empty where it says nothing.
    pub media_type: String,
    /// The bytes. They have the digest that was asked for.
    pub bytes: Vec<u8>,
}

impl Registry<'_> {
    /// The manifest or index with a digest.
    pub async fn image(&self, digest: &Digest) -> Result<Image, RegistryError> {
        let url = self.url(&format!("manifests/{digest}")).await?;
        let [manifest, docker] = MANIFEST_TYPES;
        let accept = [INDEX_TYPE, LIST_TYPE, manifest, docker].join(", ");
        let response = self.get(url, &accept).await?;
        Ok(Image {
            media_type: content_type(&response).unwrap_or_default(),
            bytes: self.verified(response, digest).await?,
        })
    }
}
