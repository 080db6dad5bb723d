//! Why a signature is refused, sorted by what its user can do about it.

use sigstore_verify::bundle::Error as Shape;
use sigstore_verify::crypto::Error as Crypto;
use sigstore_verify::{CertificateError, Error as Library, TimestampError};

use super::anchor::Validity;

/// Why a signature does not count. The text behind each says what was found; whoever reports it
/// adds where. None carries a key, a token or the signed content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not the JSON, DER, PEM or base64 that the format demands, or inconsistent in itself.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Well-formed, of a version, kind of log entry, or key that is not verified here.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Made with a key where a certificate is wanted.
    #[error("it comes without a certificate: it was made with a key")]
    NoCertificate,
    /// Made with a certificate where a key is wanted.
    #[error("it comes with a certificate, and a key is wanted")]
    NoKey,
    /// It is about something else.
    #[error("it is not over this artifact: {0}")]
    OtherArtifact(String),
    /// The signature does not hold: by another key, or over other bytes.
    #[error("the signature is invalid: {0}")]
    Signature(String),
    /// The certificate is none of a trusted authority, or not one for signing code.
    #[error("the certificate does not chain to a trusted root: {0}")]
    Chain(String),
    /// The certificate (or its authority) was not valid when it signed.
    #[error("the certificate was not valid at the time of signing: {0}")]
    CertificateTime(String),
    /// The certificate's proof of having been logged is missing or invalid.
    #[error("the signed certificate timestamp (SCT) is missing or invalid: {0}")]
    Sct(String),
    /// A transparency log entry is demanded and there is none.
    #[error("the transparency log entry is missing: {0}")]
    LogEntryMissing(String),
    /// There is a transparency log entry, and it is not valid or about something else.
    #[error("the transparency log entry is invalid: {0}")]
    LogEntry(String),
    /// There is an RFC 3161 timestamp, and it is not valid or by an unknown authority.
    #[error("the timestamp is invalid: {0}")]
    Timestamp(String),
    /// Nothing trustworthy says when it was signed.
    #[error("nothing trusted says when it was signed: {0}")]
    NoTrustedTime(String),
    /// Everything holds, and nobody who is accepted signed it.
    #[error("it was signed by {found}, who is not accepted")]
    Identity {
        /// The signer, in words.
        found: String,
    },
    /// What is trusted cannot be used: nothing is verified with it.
    #[error("the trust root cannot be used: {0}")]
    TrustRoot(String),
}

impl VerifyError {
    /// From an error of the library while it verified a bundle.
    ///
    /// `about_artifact` is whether the bundle says that it is about the artifact: the library calls
    /// it a mismatch of the artifact, too, when only the log entry is about something else.
    /// `chain` is asked when the chain fails, and is the certificate's validity if it chains to a
    /// trusted root at some time of it: the library does not tell a foreign certificate from one
    /// that had expired.
    pub(super) fn verifying(
        error: Library,
        about_artifact: bool,
        chain: impl FnOnce() -> Option<Validity>,
    ) -> Self {
        let text = error.to_string();
        match error {
            Library::IdentityMismatch { .. } | Library::IssuerMismatch { .. } => {
                Self::Identity { found: text }
            }
            Library::SignatureInvalid(text) | Library::Crypto(Crypto::Verification(text)) => {
                Self::Signature(text)
            }
            Library::ArtifactMismatch(text) if about_artifact => Self::LogEntry(text),
            Library::ArtifactMismatch(text) => Self::OtherArtifact(text),
            Library::Certificate(error) => Self::certificate(&error, chain),
            Library::TransparencyLog(_) => Self::LogEntry(text),
            Library::Timestamp(TimestampError::NoVerifiedTimestamp(text)) => {
                Self::NoTrustedTime(text)
            }
            Library::Timestamp(_) => Self::Timestamp(text),
            Library::InvalidBundle(text) => Self::Malformed(text),
            // While verifying, only the keys of CT logs are missed: none can have made this SCT.
            Library::InvalidTrustRoot(text) => Self::Sct(text),
            Library::Crypto(Crypto::UnsupportedAlgorithm(_) | Crypto::InvalidKey(_)) => {
                Self::Unsupported(text)
            }
            Library::Types(_) | Library::Crypto(_) => Self::Malformed(text),
            Library::Bundle(error) => Self::shape(&error),
            Library::TrustRoot(_) | Library::TrustedCertificate(_) => Self::TrustRoot(text),
            // UnsupportedBundle, UnsupportedArtifact, and what a later version may add.
            _ => Self::Unsupported(text),
        }
    }

    fn certificate(error: &CertificateError, chain: impl FnOnce() -> Option<Validity>) -> Self {
        let text = error.to_string();
        match error {
            CertificateError::Malformed(_) => Self::Malformed(text),
            CertificateError::ChainInvalid(_) => match chain() {
                Some(validity) => Self::CertificateTime(validity.to_string()),
                None => Self::Chain(text),
            },
            CertificateError::NoValidAuthority { .. }
            | CertificateError::NotYetValid { .. }
            | CertificateError::Expired { .. } => Self::CertificateTime(text),
            CertificateError::Sct(text) => Self::Sct(text.clone()),
            // What a later version may add.
            _ => Self::Chain(text),
        }
    }

    fn shape(error: &Shape) -> Self {
        let text = error.to_string();
        match error {
            Shape::UnsupportedMediaType(_) | Shape::UnsupportedVerificationMaterial => {
                Self::Unsupported(text)
            }
            Shape::MissingInclusionPromise(_)
            | Shape::MissingInclusionProof(_)
            | Shape::MissingSigningTimeEvidence => Self::LogEntryMissing(text),
            Shape::MissingTimestamp => Self::NoTrustedTime(text),
            Shape::MissingCheckpoint
            | Shape::LogIndexOutOfRange { .. }
            | Shape::CheckpointRootMismatch => Self::LogEntry(text),
            // CertificateChainNotAllowed, and what a later version may add.
            _ => Self::Malformed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use sigstore_verify::TransparencyLogError;
    use sigstore_verify::types::MediaType;

    use super::*;

    type Is = fn(&VerifyError) -> bool;

    fn of(error: impl Into<Library>) -> VerifyError {
        VerifyError::verifying(error.into(), false, || None)
    }

    fn text() -> String {
        "x".into()
    }

    #[test]
    fn every_error_of_the_library_says_what_can_be_done_about_it() {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let version = MediaType::Bundle0_3;
        let malformed: Is = |error| matches!(error, VerifyError::Malformed(_));
        let unsupported: Is = |error| matches!(error, VerifyError::Unsupported(_));
        let log: Is = |error| matches!(error, VerifyError::LogEntry(_));
        let missing: Is = |error| matches!(error, VerifyError::LogEntryMissing(_));
        let late: Is = |error| matches!(error, VerifyError::CertificateTime(_));
        let signature: Is = |error| matches!(error, VerifyError::Signature(_));
        let root: Is = |error| matches!(error, VerifyError::TrustRoot(_));
        let sct: Is = |error| matches!(error, VerifyError::Sct(_));
        let timestamp: Is = |error| matches!(error, VerifyError::Timestamp(_));
        let untimed: Is = |error| matches!(error, VerifyError::NoTrustedTime(_));
        let unlogged = TransparencyLogError::UnknownLog { log_id: text() };
        let unknown = sigstore_verify::trust_root::Error::KeyNotFound(text());
        let cases: Vec<(Library, Is)> = vec![
            (Library::SignatureInvalid(text()), signature),
            (Crypto::Verification(text()).into(), signature),
            (CertificateError::Malformed(text()).into(), malformed),
            (Library::InvalidBundle(text()), malformed),
            (Crypto::Der(text()).into(), malformed),
            (Shape::CertificateChainNotAllowed(version).into(), malformed),
            (Library::UnsupportedBundle(text()), unsupported),
            (Library::UnsupportedArtifact(text()), unsupported),
            (Crypto::UnsupportedAlgorithm(text()).into(), unsupported),
            (Crypto::InvalidKey(text()).into(), unsupported),
            (Shape::UnsupportedVerificationMaterial.into(), unsupported),
            (CertificateError::NoValidAuthority { time }.into(), late),
            (CertificateError::Sct(text()).into(), sct),
            (Library::InvalidTrustRoot(text()), sct),
            (unlogged.into(), log),
            (TransparencyLogError::IntegratedTime(text()).into(), log),
            (Shape::MissingCheckpoint.into(), log),
            (Shape::CheckpointRootMismatch.into(), log),
            (Shape::MissingInclusionPromise(version).into(), missing),
            (Shape::MissingInclusionProof(version).into(), missing),
            (Shape::MissingSigningTimeEvidence.into(), missing),
            (TimestampError::Invalid(text()).into(), timestamp),
            (
                TimestampError::OutsideAuthorityValidity { time }.into(),
                timestamp,
            ),
            (TimestampError::NoVerifiedTimestamp(text()).into(), untimed),
            (Shape::MissingTimestamp.into(), untimed),
            (unknown.into(), root),
        ];
        for (error, is) in cases {
            let words = error.to_string();
            let mapped = of(error);
            assert!(is(&mapped), "{words}: {mapped:?}");
        }
    }

    #[test]
    fn a_mismatch_is_the_log_entrys_if_the_bundle_is_about_the_artifact() {
        let mismatch = || Library::ArtifactMismatch(text());
        assert_eq!(of(mismatch()), VerifyError::OtherArtifact(text()));
        let error = VerifyError::verifying(mismatch(), true, || None);
        assert_eq!(error, VerifyError::LogEntry(text()));
    }

    #[test]
    fn a_chain_that_ever_held_fails_for_its_time() {
        let failed = || Library::from(CertificateError::ChainInvalid(text()));
        assert!(matches!(of(failed()), VerifyError::Chain(_)));
        let validity = Validity {
            not_before: jiff::Timestamp::UNIX_EPOCH,
            not_after: jiff::Timestamp::UNIX_EPOCH,
        };
        let error = VerifyError::verifying(failed(), false, || Some(validity));
        assert!(matches!(error, VerifyError::CertificateTime(_)));
    }
}
