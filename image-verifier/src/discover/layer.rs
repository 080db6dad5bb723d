//! From the layers of a manifest to candidates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::bulk;
use crate::candidate::{Attachment, Candidate, Finding, Found, Signed};
use crate::keys::MAX_SIGNATURE;
use crate::reason::{Reason, bounded, quoted};
use crate::registry::manifest::{Annotations, Descriptor};
use crate::sigstore::{SigstoreBundle, VerifyError};

/// The media type of a simple-signing payload.
pub(super) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What the media types of all sigstore bundles begin with.
pub(super) const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
/// The bundles that are read: v0.1 to v0.3.
const BUNDLES: [&str; 4] = [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];

/// The most bytes of each annotation with evidence: a certificate, a chain, a log entry, a
/// timestamp. Real ones have a few kilobytes.
const MAX_ANNOTATION: usize = 64 * 1024;
/// The most bytes of what a parser says about foreign input.
const MAX_CAUSE: usize = 160;

/// What a layer is, by its own media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A simple-signing payload: its signature without the payload.
    SimpleSigning(Box<Attachment>),
    /// A sigstore bundle.
    Bundle,
}

/// What a layer is; nothing if it has nothing to do with signatures.
#[must_use]
pub fn kind(layer: &Descriptor, origin: &str) -> Option<Result<Kind, Finding>> {
    let media_type = layer.media_type.replace(' ', "");
    if media_type == SIMPLE_SIGNING {
        return Some(simple_signing(layer, origin));
    }
    if !media_type.starts_with(BUNDLE_PREFIX) {
        return None;
    }
    if BUNDLES.contains(&media_type.as_str()) {
        return Some(Ok(Kind::Bundle));
    }
    let media_type = quoted(&media_type);
    let message = format!("{origin} is a bundle of a version that is not known: {media_type}");
    Some(Err(Finding::new(Reason::UnsupportedFormat, message)))
}

fn simple_signing(layer: &Descriptor, origin: &str) -> Result<Kind, Finding> {
    let malformed =
        |what: &str| Finding::new(Reason::MalformedSignature, format!("{origin} has {what}"));
    let annotations = layer.annotations();
    let text = annotations
        .signature
        .ok_or_else(|| malformed("no signature annotation"))?;
    let signature = BASE64
        .decode(text)
        .map_err(|_| malformed("a signature annotation that is no base64"))?;
    if signature.is_empty() || signature.len() > MAX_SIGNATURE {
        return Err(malformed(
            "a signature of a length that no accepted key makes",
        ));
    }
    let Annotations {
        certificate,
        chain,
        log_entry,
        timestamp,
        ..
    } = annotations;
    let evidence = [&certificate, &chain, &log_entry, &timestamp];
    let longest = evidence.into_iter().flatten().map(String::len).max();
    if longest.is_some_and(|longest| longest > MAX_ANNOTATION) {
        let message = format!("{origin} has an annotation of more than {MAX_ANNOTATION} bytes");
        return Err(Finding::new(Reason::LimitExceeded, message));
    }
    Ok(Kind::SimpleSigning(Box::new(Attachment {
        payload: Vec::new(),
        signature,
        certificate,
        chain,
        log_entry,
        timestamp,
    })))
}

/// What a layer's content is. It was fetched by digest and is what the manifest names.
#[must_use]
pub fn read(kind: Kind, content: Vec<u8>, origin: String) -> Found {
    match kind {
        Kind::SimpleSigning(attachment) => Found::Candidate(Candidate {
            origin,
            signed: Signed::Attachment(Attachment {
                payload: content,
                ..*attachment
            }),
        }),
        Kind::Bundle => bundle(&content, origin),
    }
}

fn bundle(content: &[u8], origin: String) -> Found {
    let finding =
        |reason, what: &str| Found::Finding(Finding::new(reason, format!("{origin}: {what}")));
    if let Err((reason, what)) = bulk::check_bundle(content) {
        return finding(reason, &what);
    }
    let bundle = match SigstoreBundle::parse(content) {
        Ok(bundle) => bundle,
        Err(VerifyError::Unsupported(what)) => {
            let what = bounded(&what, MAX_CAUSE);
            let what = format!("{what} are not supported");
            return finding(Reason::UnsupportedFormat, &what);
        }
        Err(error) => {
            let error = bounded(&error.to_string(), MAX_CAUSE);
            let what = format!("the bundle does not parse: {error}");
            return finding(Reason::MalformedSignature, &what);
        }
    };
    let Some((payload_type, payload)) = bundle.statement() else {
        // cosign never attaches these to images: they sign files. The bytes that they are over are
        // the image's manifest, which nobody has here.
        return finding(
            Reason::UnsupportedFormat,
            "a bundle with a bare message signature",
        );
    };
    // Nothing is signed so far: this only sorts out what could never count, under its right name.
    if let Err((reason, what)) = bulk::check_payload(payload_type, payload) {
        return finding(reason, &what);
    }
    if !(1..=MAX_SIGNATURE).contains(&bundle.signature().map_or(0, <[u8]>::len)) {
        let what = "a signature of a length that no accepted key makes";
        return finding(Reason::MalformedSignature, what);
    }
    Found::Candidate(Candidate {
        origin,
        signed: Signed::Bundle(Box::new(bundle)),
    })
}
