//! The few fields of OCI manifests and indexes that are looked at. Unknown ones are skipped without
//! keeping them, so that a document cannot take much more memory than its bytes.

use policy::digest::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::RegistryError;

/// Media types of image manifests: of OCI, and of Docker, which cosign can be told to write.
pub const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// The media type of an image index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// A manifest, of which only the layers count.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    media_type: Option<String>,
    /// What the artifact is, if it says so.
    pub artifact_type: Option<String>,
    /// The layers.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

/// An index.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    media_type: Option<String>,
    /// The manifests in it. `null` is what some registries write for none.
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Index {
    /// The manifests in it.
    #[must_use]
    pub fn into_manifests(self) -> Vec<Descriptor> {
        self.manifests.unwrap_or_default()
    }
}

/// A descriptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of what it describes.
    pub media_type: String,
    /// The digest, not yet parsed: another algorithm spoils only this one.
    digest: String,
    /// What the artifact is, as the registry says.
    pub artifact_type: Option<String>,
    /// The annotations that are known here.
    #[serde(default)]
    annotations: Option<Annotations>,
}

/// The annotations that are looked at.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Annotations {
    /// The signature over a simple-signing payload, base64.
    #[serde(rename = "dev.cosignproject.cosign/signature")]
    pub signature: Option<String>,
    /// The certificate of its signer, PEM.
    #[serde(rename = "dev.sigstore.cosign/certificate")]
    pub certificate: Option<String>,
    /// The certificates above that, PEM.
    #[serde(rename = "dev.sigstore.cosign/chain")]
    pub chain: Option<String>,
    /// What a transparency log answered, JSON.
    #[serde(rename = "dev.sigstore.cosign/bundle")]
    pub log_entry: Option<String>,
    /// What a timestamp authority answered, JSON.
    #[serde(rename = "dev.sigstore.cosign/rfc3161timestamp")]
    pub timestamp: Option<String>,
    /// What kind of statement a bundle holds.
    #[serde(rename = "dev.sigstore.bundle.predicateType")]
    pub predicate_type: Option<String>,
}

impl Descriptor {
    /// The digest.
    pub fn digest(&self) -> Result<Digest, RegistryError> {
        Digest::parse(&self.digest).map_err(|error| RegistryError::malformed(error.to_string()))
    }

    /// The known annotations.
    #[must_use]
    pub fn annotations(&self) -> Annotations {
        self.annotations.clone().unwrap_or_default()
    }
}

/// A document that may name its own media type.
pub(super) trait Document: DeserializeOwned {
    /// What the registry may call it.
    const TYPES: &'static [&'static str];
    /// What it calls itself.
    fn media_type(&self) -> Option<&str>;
}

impl Document for Manifest {
    const TYPES: &'static [&'static str] = &MANIFEST_TYPES;
    fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }
}

impl Document for Index {
    const TYPES: &'static [&'static str] = &[INDEX_TYPE];
    fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }
}

/// Parses a document whose registry calls it `content_type`. Header and content must agree, or the
/// same bytes could be read as two different things.
pub(super) fn parse<D: Document>(
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<D, RegistryError> {
    let wanted = D::TYPES.first().copied().unwrap_or_default();
    if let Some(found) = content_type.filter(|found| !D::TYPES.contains(found)) {
        return Err(RegistryError::media_type(found, wanted));
    }
    let document: D = serde_json::from_slice(bytes)
        .map_err(|error| RegistryError::malformed(format!("not a manifest or index: {error}")))?;
    match (content_type, document.media_type()) {
        (None, None) => Err(RegistryError::malformed("it has no media type")),
        (Some(header), Some(own)) if header != own => Err(RegistryError::media_type(own, header)),
        (None, Some(own)) if !D::TYPES.contains(&own) => {
            Err(RegistryError::media_type(own, wanted))
        }
        _ => Ok(document),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_content_must_agree_on_the_media_type() {
        let [oci, docker] = MANIFEST_TYPES;
        let parse = |header: Option<&str>, own: Option<&str>| {
            let json = own.map_or("{}".to_owned(), |own| format!(r#"{{"mediaType":"{own}"}}"#));
            parse::<Manifest>(header, json.as_bytes()).is_ok()
        };
        assert!(parse(Some(oci), Some(oci)));
        assert!(parse(Some(oci), None));
        assert!(parse(None, Some(docker)));
        assert!(!parse(Some(oci), Some(docker)));
        assert!(!parse(None, None));
        assert!(!parse(Some("text/html"), Some(oci)));
        assert!(!parse(Some(INDEX_TYPE), Some(INDEX_TYPE)));
    }

    #[test]
    fn an_index_may_say_null_for_none() {
        let json = format!(r#"{{"mediaType":"{INDEX_TYPE}","manifests":null}}"#);
        assert!(
            parse::<Index>(None, json.as_bytes())
                .unwrap()
                .into_manifests()
                .is_empty()
        );
    }
}
