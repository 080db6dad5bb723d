//! From a tag to a digest. A node is handed both; a desk has to ask.

use policy::digest::Digest;

use super::error::RegistryError;
use super::manifest::{INDEX_TYPE, MANIFEST_TYPES};
use super::{Registry, content_type};

/// Docker's own index.
const LIST_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What is behind a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of what was served, whatever the registry calls it.
    pub digest: Digest,
    /// Whether it is the index of a multi-arch image.
    pub is_index: bool,
}

impl Registry<'_> {
    /// The manifest or index under a tag; none at a host that may not be asked for tags.
    pub async fn resolve(&self, tag: &str) -> Result<Resolved, RegistryError> {
        if !self.ways.host.capabilities.resolve {
            return Err(RegistryError::NotFound);
        }
        let url = self.url(&format!("manifests/{tag}")).await?;
        let [manifest, docker] = MANIFEST_TYPES;
        let accept = [INDEX_TYPE, LIST_TYPE, manifest, docker].join(", ");
        let response = self.get(url, &accept).await?;
        let media_type = content_type(&response).unwrap_or_default();
        let is_index = [INDEX_TYPE, LIST_TYPE].contains(&media_type.as_str());
        if !is_index && !MANIFEST_TYPES.contains(&media_type.as_str()) {
            let error = RegistryError::media_type(&media_type, "that of an image");
            return Err(error.of_answer());
        }
        let bytes = self.body(response).await?;
        Ok(Resolved {
            digest: Digest::of(&bytes),
            is_index,
        })
    }
}
