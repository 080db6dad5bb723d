//! Lists of referrers.

use image_verifier::reason::Refusal;
use image_verifier::registry::RegistryError;
use image_verifier::registry::manifest::{INDEX_TYPE, Index, MANIFEST_TYPES, Manifest, parse};
use policy::digest::Digest;
use serde_json::Value;

use super::{is_one_line, value_of};

pub(crate) const WORDS: &[&str] = &[
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.cncf.notary.signature",
    "mediaType",
    "manifests",
    "layers",
    "digest",
    "size",
    "artifactType",
    "annotations",
    "dev.sigstore.bundle.predicateType",
    "https://sigstore.dev/cosign/sign/v1",
    "schemaVersion",
    "errors",
    "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
    "sha512:",
    "SHA256:",
    "../",
    "null",
    "[]",
    "{}",
    "\"\"",
    "0",
    "{\"mediaType\":\"\",\"digest\":\"\"},",
    "\\u0000",
    "\u{1b}",
];

/// [`parse`] as an index, with and without a header that says so. An index that is accepted has all
/// of its entries, and is no manifest.
#[must_use]
pub fn referrers(data: &[u8]) -> bool {
    let by_header = parse::<Index>(Some(INDEX_TYPE), data);
    let by_itself = parse::<Index>(None, data);
    is_told(by_header.as_ref().err());
    is_told(by_itself.as_ref().err());
    let manifests: Vec<_> = [None, Some(MANIFEST_TYPES[0]), Some(MANIFEST_TYPES[1])]
        .into_iter()
        .map(|header| parse::<Manifest>(header, data))
        .collect();
    if by_itself.is_ok() {
        assert!(by_header.is_ok(), "the header says what it says itself");
        assert!(
            manifests.iter().all(Result::is_err),
            "it is a manifest, too"
        );
    }
    assert!(parse::<Index>(Some("text/html"), data).is_err());
    let Ok(index) = by_header else {
        return false;
    };
    let Some(value) = value_of(data) else {
        return true;
    };
    let own = value.get("mediaType").and_then(Value::as_str);
    assert!(own.is_none_or(|own| own == INDEX_TYPE), "{own:?}");
    let entries = match value.get("manifests") {
        None | Some(Value::Null) => &[][..],
        Some(list) => list.as_array().expect("a list"),
    };
    let read = index.into_manifests();
    assert_eq!(read.len(), entries.len(), "none is lost");
    for (descriptor, entry) in read.iter().zip(entries) {
        assert_eq!(entry["mediaType"], descriptor.media_type.as_str());
        let artifact = entry.get("artifactType").and_then(Value::as_str);
        assert_eq!(artifact, descriptor.artifact_type.as_deref());
        match descriptor.digest() {
            Ok(digest) => {
                // It becomes a part of a path.
                assert_eq!(entry["digest"], digest.as_str());
                assert_eq!(Digest::parse(digest.as_str()).as_ref(), Ok(&digest));
                assert_eq!(digest.hex().len(), 64);
                assert!(digest.hex().bytes().all(|byte| byte.is_ascii_hexdigit()));
            }
            Err(error) => is_told(Some(&error)),
        }
    }
    true
}

fn is_told(error: Option<&RegistryError>) {
    if let Some(error) = error {
        is_one_line(&Refusal::new(error.reason(), error.to_string()));
    }
}
