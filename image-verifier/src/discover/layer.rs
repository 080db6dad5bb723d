//! From the layers of a manifest to candidates.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigstore_types::bundle::{Bundle, SignatureContent, VerificationMaterialContent};

use crate::candidate::{Candidate, Finding, Found, Material, Signed};
use crate::keys::MAX_SIGNATURE;
use crate::payload;
use crate::reason::{Reason, bounded, quoted};
use crate::registry::manifest::Descriptor;

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

/// The most bytes of what a parser says about foreign input.
const MAX_CAUSE: usize = 160;

/// What a layer is, by its own media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A simple-signing payload with its signature.
    SimpleSigning {
        /// The raw signature, from the annotation.
        signature: Vec<u8>,
        /// Whether a certificate comes along.
        material: Material,
    },
    /// A sigstore bundle.
    Bundle,
}

/// What a layer is; nothing if it has nothing to do with signatures.
pub(super) fn kind(layer: &Descriptor, origin: &str) -> Option<Result<Kind, Finding>> {
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
    let material = match annotations.certificate {
        Some(_) => Material::Certificate,
        None => Material::Key,
    };
    Ok(Kind::SimpleSigning {
        signature,
        material,
    })
}

/// What a layer's content is. It was fetched by digest and is what the manifest names.
pub(super) fn read(kind: Kind, content: Vec<u8>, origin: String) -> Found {
    match kind {
        Kind::SimpleSigning {
            signature,
            material,
        } => {
            let signed = Signed::SimpleSigning {
                payload: content,
                signature,
            };
            Found::Candidate(Candidate {
                origin,
                signed,
                material,
            })
        }
        Kind::Bundle => bundle(&content, origin),
    }
}

fn bundle(content: &[u8], origin: String) -> Found {
    let finding =
        |reason, what: &str| Found::Finding(Finding::new(reason, format!("{origin}: {what}")));
    let parsed = std::str::from_utf8(content)
        .map_err(|error| error.to_string())
        .and_then(|json| Bundle::from_json(json).map_err(|error| error.to_string()));
    let bundle = match parsed {
        Ok(bundle) => bundle,
        Err(error) => {
            let what = format!("the bundle does not parse: {}", bounded(&error, MAX_CAUSE));
            return finding(Reason::MalformedSignature, &what);
        }
    };
    let material = match bundle.verification_material.content {
        VerificationMaterialContent::PublicKey(_) => Material::Key,
        _ => Material::Certificate,
    };
    let SignatureContent::DsseEnvelope(envelope) = bundle.content else {
        // cosign never attaches these to images: they sign files.
        return finding(
            Reason::UnsupportedFormat,
            "a bundle with a bare message signature",
        );
    };
    let payload_type = envelope.payload_type;
    let payload = envelope.payload.into_bytes();
    // Nothing is signed so far: this only sorts out what could never count, under its right name.
    if let Err(error) = payload::statement(&payload_type, &payload)
        && error.reason == Reason::NoSignature
    {
        return finding(Reason::NoSignature, &error.message);
    }
    let signature = envelope.signature.sig.into_bytes();
    if signature.is_empty() || signature.len() > MAX_SIGNATURE {
        let what = "a signature of a length that no accepted key makes";
        return finding(Reason::MalformedSignature, what);
    }
    let signed = Signed::Dsse {
        payload_type,
        payload,
        signature,
    };
    Found::Candidate(Candidate {
        origin,
        signed,
        material,
    })
}
