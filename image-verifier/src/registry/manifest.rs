//! The few fields of OCI manifests and indexes that are looked at. Unknown ones are skipped without
//! keeping them, so that a document cannot take much more memory than its bytes.

use std::fmt;

use policy::digest::Digest;
use serde::de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::RegistryError;

/// Media types of image manifests: of OCI, and of Docker, which cosign can be told to write.
pub const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// The media type of an image index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// The most descriptors of one document. Real ones have some hundred bytes each, so that the largest
/// document that is read by default holds fewer. The smallest that parse would take many times
/// their bytes in memory.
const MAX_DESCRIPTORS: usize = 16 * 1024;

/// A manifest, of which only the layers count.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    media_type: Option<String>,
    /// What the artifact is, if it says so.
    pub artifact_type: Option<String>,
    /// The layers.
    #[serde(default, deserialize_with = "few")]
    pub layers: Vec<Descriptor>,
}

/// An index.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    media_type: Option<String>,
    /// The manifests in it. `null` is what some registries write for none.
    #[serde(default)]
    manifests: Option<Descriptors>,
}

impl Index {
    /// The manifests in it.
    #[must_use]
    pub fn into_manifests(self) -> Vec<Descriptor> {
        self.manifests.map_or_else(Vec::new, |list| list.0)
    }
}

/// Descriptors, of which one more than [`MAX_DESCRIPTORS`] is kept at the most.
#[derive(Debug, Clone)]
struct Descriptors(Vec<Descriptor>);

impl<'de> Deserialize<'de> for Descriptors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        few(deserializer).map(Self)
    }
}

fn few<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = Vec<Descriptor>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of descriptors")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= MAX_DESCRIPTORS {
                match list.next_element()? {
                    Some(descriptor) => kept.push(descriptor),
                    None => return Ok(kept),
                }
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(Few)
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
    annotations: Option<Box<Annotations>>,
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
        self.annotations.as_deref().cloned().unwrap_or_default()
    }
}

/// A document that may name its own media type.
pub trait Document: DeserializeOwned {
    /// What the registry may call it.
    const TYPES: &'static [&'static str];
    /// What it calls itself.
    fn media_type(&self) -> Option<&str>;
    /// How many descriptors were kept of it.
    fn kept(&self) -> usize;
}

impl Document for Manifest {
    const TYPES: &'static [&'static str] = &MANIFEST_TYPES;
    fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    fn kept(&self) -> usize {
        self.layers.len()
    }
}

impl Document for Index {
    const TYPES: &'static [&'static str] = &[INDEX_TYPE];
    fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    fn kept(&self) -> usize {
        self.manifests.as_ref().map_or(0, |list| list.0.len())
    }
}

/// Parses a document whose registry calls it `content_type`. Header and content must agree, or the
/// same bytes could be read as two different things.
pub fn parse<D: Document>(content_type: Option<&str>, bytes: &[u8]) -> Result<D, RegistryError> {
    let wanted = D::TYPES.first().copied().unwrap_or_default();
    if let Some(found) = content_type.filter(|found| !D::TYPES.contains(found)) {
        return Err(RegistryError::media_type(found, wanted));
    }
    let document: D = serde_json::from_slice(bytes)
        .map_err(|error| RegistryError::malformed(format!("not a manifest or index: {error}")))?;
    if document.kept() > MAX_DESCRIPTORS {
        return Err(RegistryError::TooMany {
            limit: MAX_DESCRIPTORS,
        });
    }
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
    fn descriptors_are_read_up_to_a_limit() {
        let list = |count: usize| vec![r#"{"mediaType":"","digest":""}"#; count].join(",");
        let limit = MAX_DESCRIPTORS;
        let too_many = RegistryError::TooMany { limit };
        let layers = |count| {
            let json = format!(r#"{{"layers":[{}]}}"#, list(count));
            let parsed = parse::<Manifest>(Some(MANIFEST_TYPES[0]), json.as_bytes());
            parsed.map(|manifest| manifest.layers.len())
        };
        assert_eq!(layers(limit), Ok(limit));
        assert_eq!(layers(limit + 1), Err(too_many.clone()));
        let manifests = |count| {
            let json = format!(r#"{{"manifests":[{}]}}"#, list(count));
            let parsed = parse::<Index>(Some(INDEX_TYPE), json.as_bytes());
            parsed.map(|index| index.into_manifests().len())
        };
        assert_eq!(manifests(limit), Ok(limit));
        assert_eq!(manifests(limit + 2), Err(too_many));
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
