//! Between a [`Bundle`] and the object that carries it.
//!
//! `data` is base64 of gzip of the bundle's canonical JSON; the object's name is the digest of
//! that JSON, so compressing it otherwise changes nothing. An object whose name exists already
//! holds the same bundle and is left as it is.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use policy::bundle::{self, Bundle};
use policy::digest::Digest;

use crate::types::PolicyBundleSpec;

/// The most characters of `data`: 900 KiB, which leaves room below the 1.5 MiB that etcd takes.
pub const MAX_DATA: usize = 900 * 1024;
/// The most bytes of JSON behind it, 16 MiB: a node must be able to hold it.
pub const MAX_JSON: usize = 16 * 1024 * 1024;
/// The format that [`encode`] writes, and the only one that [`decode`] reads.
pub const FORMAT: i32 = 1;

const PREFIX: &str = "sha256-";

/// The policies together are more than one bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Before compression.
    #[error("the policies have {0} bytes, at most {MAX_JSON} fit: remove policies or keys")]
    Json(usize),
    /// After compression.
    #[error(
        "the policies have {0} characters when compressed, at most {MAX_DATA} fit: remove policies or keys"
    )]
    Data(usize),
}

/// Why an object is not the bundle that its name promises.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The name is no digest.
    #[error("`{0}` is no name of a bundle, which is sha256-<64 hex>")]
    Name(String),
    /// A format of another version.
    #[error("the bundle has format {0}, and this version reads format {FORMAT}: upgrade first")]
    Format(i32),
    /// Larger than anything that [`encode`] writes.
    #[error("the bundle is larger than the limits, {MAX_DATA} characters and {MAX_JSON} bytes")]
    TooLarge,
    /// `data` is no base64.
    #[error("the bundle is damaged: {0}")]
    Base64(#[from] base64::DecodeError),
    /// What it holds is no gzip.
    #[error("the bundle is damaged: {0}")]
    Gzip(#[source] std::io::Error),
    /// The content has another digest than the name says.
    #[error("the bundle named {name} has the digest {found}: it was tampered with, or damaged")]
    Digest {
        /// The object's name.
        name: String,
        /// The digest of its content.
        found: Digest,
    },
    /// The content is no bundle that this version may use.
    #[error(transparent)]
    Content(#[from] bundle::BundleError),
}

impl BundleError {
    /// Whether a newer version may be able to read the bundle: it is whole, and it has a format or
    /// fields that this version does not know.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        matches!(
            self,
            Self::Format(_)
                | Self::Content(bundle::BundleError::Format(_) | bundle::BundleError::Shape(_))
        )
    }
}

/// The name of the object that holds the bundle with this digest: `sha256-<64 hex>`.
#[must_use]
pub fn object_name(digest: &Digest) -> String {
    format!("{PREFIX}{}", digest.hex())
}

/// The digest that an object's name promises; nothing where it is no name of a bundle.
#[must_use]
pub fn digest_of(name: &str) -> Option<Digest> {
    Digest::parse(&format!("sha256:{}", name.strip_prefix(PREFIX)?)).ok()
}

/// The object's spec for this bundle. The same bytes at every call of one version.
pub fn encode(bundle: &Bundle) -> Result<PolicyBundleSpec, TooLarge> {
    let json = bundle.to_json();
    if json.len() > MAX_JSON {
        return Err(TooLarge::Json(json.len()));
    }
    let data = STANDARD.encode(compress(&json));
    if data.len() > MAX_DATA {
        return Err(TooLarge::Data(data.len()));
    }
    let format = FORMAT;
    Ok(PolicyBundleSpec { format, data })
}

/// The bundle of the object with this name: the limits first, then the digest, then the content.
pub fn decode(name: &str, spec: &PolicyBundleSpec) -> Result<Bundle, BundleError> {
    let promised = digest_of(name).ok_or_else(|| BundleError::Name(name.to_owned()))?;
    if spec.format != FORMAT {
        return Err(BundleError::Format(spec.format));
    }
    if spec.data.len() > MAX_DATA {
        return Err(BundleError::TooLarge);
    }
    let json = decompress(&STANDARD.decode(&spec.data)?)?;
    let found = Digest::of(&json);
    if found != promised {
        let name = name.to_owned();
        return Err(BundleError::Digest { name, found });
    }
    Ok(Bundle::from_json(&json)?)
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Memory takes everything: neither call can fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// At most [`MAX_JSON`] bytes: a small object may be made to unfold without end.
fn decompress(bytes: &[u8]) -> Result<Vec<u8>, BundleError> {
    let mut json = Vec::new();
    let limit = MAX_JSON as u64 + 1;
    let mut decoder = GzDecoder::new(bytes).take(limit);
    decoder.read_to_end(&mut json).map_err(BundleError::Gzip)?;
    if json.len() > MAX_JSON {
        return Err(BundleError::TooLarge);
    }
    Ok(json)
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
