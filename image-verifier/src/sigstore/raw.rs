//! The bare signature of a bundle, without regard to logs and timestamps.

use std::borrow::Cow;

use policy::key::PublicKey;
use sigstore_verify::types::{DerPublicKey, SignatureContent};
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::bundle::has_subject;
use super::{Artifact, SigstoreBundle, VerifyError};
use crate::keys;
use crate::payload::IN_TOTO;
use crate::reason::quoted;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// Whether the bundle's signature is one by the holder of `key`; that it is about the artifact is
/// another question.
pub(super) fn is_signed_by(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    key: &PublicKey,
) -> Result<bool, VerifyError> {
    let message = signed_bytes(bundle, artifact)?;
    Ok(keys::verify(key, &message, bundle.signature()?))
}

/// Checks that what is signed is about the artifact. To be believed behind the signature only.
pub(super) fn is_about(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
) -> Result<(), VerifyError> {
    match &bundle.0.content {
        SignatureContent::DsseEnvelope(envelope) => {
            if envelope.payload_type != IN_TOTO {
                let message = format!("an envelope of type {}", quoted(&envelope.payload_type));
                return Err(VerifyError::Unsupported(message));
            }
            if has_subject(envelope.payload.as_bytes(), &artifact.sha256()?) {
                return Ok(());
            }
            let message = "the signed statement does not name its digest";
            Err(VerifyError::OtherArtifact(message.into()))
        }
        _ if bundle.claims(artifact) => Ok(()),
        _ => {
            let message = "the bundle names another digest";
            Err(VerifyError::OtherArtifact(message.into()))
        }
    }
}

/// The bytes that the signature is over.
pub(super) fn signed_bytes<'a>(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'a>,
) -> Result<Cow<'a, [u8]>, VerifyError> {
    match (&bundle.0.content, artifact) {
        (SignatureContent::DsseEnvelope(envelope), _) => Ok(Cow::Owned(envelope.pae())),
        (SignatureContent::MessageSignature(_), Artifact::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
        (SignatureContent::MessageSignature(_), Artifact::Digest(_)) => {
            let message = "a signature over the artifact itself needs its bytes, not its digest";
            Err(VerifyError::Unsupported(message.into()))
        }
        _ => Err(VerifyError::Unsupported("the kind of signature".into())),
    }
}

/// A public key in the form that the rest of the verifier uses: every kind that it accepts, written in
/// one way, so that its fingerprint tells keys apart and not encodings of one. Of those that do occur,
/// an RSA key without the NULL that belongs to it (RFC 3279, 2.3.1) gets it; a compressed or hybrid
/// curve point (RFC 5480, 2.2) is refused, since nothing at hand would write it out.
pub(super) fn public_key(spki: &DerPublicKey) -> Result<PublicKey, VerifyError> {
    let canonical = canonical(spki)?;
    let mut keys = PublicKey::parse_pem(&canonical.to_pem())
        .map_err(|error| VerifyError::Unsupported(format!("the certificate's key: {error}")))?;
    keys.pop()
        .ok_or_else(|| VerifyError::Malformed("the certificate has no key".into()))
}

fn canonical(spki: &DerPublicKey) -> Result<DerPublicKey, VerifyError> {
    let malformed = |error| VerifyError::Malformed(format!("the certificate's key: {error}"));
    let mut key = SubjectPublicKeyInfoOwned::from_der(spki.as_bytes()).map_err(malformed)?;
    if key.algorithm.oid == RSA_ENCRYPTION && key.algorithm.parameters.is_none() {
        key.algorithm.parameters = Some(Any::null());
    }
    key.to_der().map(DerPublicKey::new).map_err(malformed)
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
