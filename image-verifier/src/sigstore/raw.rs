//! The bare signature of a bundle, without regard to logs and timestamps.

use std::borrow::Cow;

use policy::key::PublicKey;
use sigstore_verify::types::{DerPublicKey, SignatureContent};

use super::bundle::has_subject;
use super::{Artifact, SigstoreBundle, VerifyError};
use crate::keys;
use crate::payload::IN_TOTO;
use crate::reason::quoted;

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

/// A public key in the form that the rest of the verifier uses: every kind that it accepts.
pub(super) fn public_key(spki: &DerPublicKey) -> Result<PublicKey, VerifyError> {
    let mut keys = PublicKey::parse_pem(&spki.to_pem())
        .map_err(|error| VerifyError::Unsupported(format!("the certificate's key: {error}")))?;
    keys.pop()
        .ok_or_else(|| VerifyError::Malformed("the certificate has no key".into()))
}
