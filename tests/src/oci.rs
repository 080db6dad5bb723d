//! The distribution API of a registry, raw: a test may push what no tool would.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// The media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a layer that is not compressed.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The digest of some bytes: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, bytes)))
}

/// Where content is found, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What an artifact is for, in the list of referrers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Whatever else is said about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The descriptor of these bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: sha256(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// With one more annotation.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: impl Into<String>) -> Self {
        self.annotations.insert(key.to_owned(), value.into());
        self
    }
}

/// A manifest as the registry served it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Its `Content-Type`.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The bytes as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.bytes).context("a manifest is JSON")
    }
}

/// One repository of a plain-HTTP registry.
#[derive(Debug, Clone)]
pub struct Repository {
    registry: String,
    name: String,
}

impl Repository {
    /// The repository `name` of the registry at `host:port`.
    #[must_use]
    pub fn new(registry: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            registry: registry.into(),
            name: name.into(),
        }
    }

    /// `host:port/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    /// Pushes a blob; returns its descriptor, with this media type.
    pub async fn push_blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        let started = self.request(Method::POST, "blobs/uploads/")?;
        let started = expect(started, &[StatusCode::ACCEPTED]).await?;
        let location = started
            .headers()
            .get(LOCATION)
            .context("an upload has no location")?;
        let mut location = started
            .url()
            .join(location.to_str().context("a location is text")?)?;
        location
            .query_pairs_mut()
            .append_pair("digest", &descriptor.digest);
        let upload = client()?
            .put(location)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes.to_vec());
        expect(upload, &[StatusCode::CREATED]).await?;
        Ok(descriptor)
    }

    /// Pushes a manifest under a tag or its digest; returns its descriptor.
    pub async fn push_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor> {
        let request = self
            .request(Method::PUT, &format!("manifests/{reference}"))?
            .header(CONTENT_TYPE, media_type)
            .body(bytes.to_vec());
        expect(request, &[StatusCode::CREATED]).await?;
        Ok(Descriptor::of(media_type, bytes))
    }

    /// The manifest under a tag or digest, if there is one.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Manifest>> {
        let request = self
            .request(Method::GET, &format!("manifests/{reference}"))?
            .header(ACCEPT, format!("{MANIFEST}, {INDEX}, */*"));
        let response = expect(request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let media_type = response
            .headers()
            .get(CONTENT_TYPE)
            .context("a manifest has a type")?;
        let media_type = media_type
            .to_str()
            .context("a media type is text")?
            .to_owned();
        let bytes = response.bytes().await.context("read a manifest")?.to_vec();
        Ok(Some(Manifest {
            media_type,
            digest: sha256(&bytes),
            bytes,
        }))
    }

    /// The bytes of a blob.
    pub async fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        let request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        let response = expect(request, &[StatusCode::OK]).await?;
        Ok(response.bytes().await.context("read a blob")?.to_vec())
    }

    /// All tags, none when the repository is not there.
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let request = self.request(Method::GET, "tags/list")?;
        let response = expect(request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let bytes = response.bytes().await.context("read a list of tags")?;
        let tags: Tags = serde_json::from_slice(&bytes).context("parse a list of tags")?;
        Ok(tags.tags.unwrap_or_default())
    }

    /// What the referrers API says about a digest; `None` where the registry has no such API.
    pub async fn referrers(&self, digest: &str) -> Result<Option<Vec<Descriptor>>> {
        #[derive(Deserialize)]
        struct Index {
            manifests: Vec<Descriptor>,
        }
        let request = self.request(Method::GET, &format!("referrers/{digest}"))?;
        let response = expect(request, &[StatusCode::OK, StatusCode::NOT_FOUND]).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = response.bytes().await.context("read referrers")?;
        let index: Index = serde_json::from_slice(&bytes).context("parse referrers")?;
        Ok(Some(index.manifests))
    }

    /// Deletes a manifest (by digest, as the distribution registry demands) or a tag.
    pub async fn delete_manifest(&self, reference: &str) -> Result<()> {
        let request = self.request(Method::DELETE, &format!("manifests/{reference}"))?;
        expect(request, &[StatusCode::ACCEPTED]).await?;
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let url = format!("http://{}/v2/{}/{path}", self.registry, self.name);
        Ok(client()?.request(method, url))
    }
}

/// The client that the lab asks registries with. It is made once.
pub(crate) fn client() -> Result<&'static Client> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    // Another part of the program may have installed the provider already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Idle connections belong to the runtime of the test that opened them, and end with it.
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()?;
    Ok(CLIENT.get_or_init(|| client))
}

/// Sends a request; any other status is an error that shows what the registry said.
async fn expect(request: RequestBuilder, statuses: &[StatusCode]) -> Result<Response> {
    let response = request.send().await.context("ask the registry")?;
    let (status, url) = (response.status(), response.url().clone());
    if !statuses.contains(&status) {
        let body = response.text().await.unwrap_or_default();
        bail!("{url} answered {status}: {}", body.trim());
    }
    Ok(response)
}
