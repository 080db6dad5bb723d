//! What to do about a refusal.

use image_verifier::sigstore::VerifyError;

/// The stable word, and what its reader can do.
pub(super) fn of(error: &VerifyError) -> (&'static str, &'static str) {
    match error {
        VerifyError::Malformed(_) => (
            "Malformed",
            "The bundle is damaged, or was not made by a sigstore client: fetch it again, or sign again",
        ),
        VerifyError::Unsupported(_) => (
            "Unsupported",
            "Sign with a client that writes bundles of version 0.1 to 0.3, and a key of P-256, P-384, P-521, Ed25519 or RSA",
        ),
        VerifyError::NoCertificate => (
            "NoCertificate",
            "Name the public key with --key instead of an identity",
        ),
        VerifyError::NoKey => (
            "NoKey",
            "Name the signer with --certificate-identity and --certificate-oidc-issuer instead of --key",
        ),
        VerifyError::OtherArtifact(_) => (
            "OtherArtifact",
            "The bundle is about something else: check that file and bundle belong together",
        ),
        VerifyError::Signature(_) => (
            "Signature",
            "It was signed by another key, or what was signed has changed since: check the file and the key",
        ),
        VerifyError::Chain(_) => (
            "Chain",
            "Name the trust root of the instance that issued the certificate with --trusted-root, or --staging",
        ),
        VerifyError::CertificateTime(_) => (
            "CertificateTime",
            "It was signed while the certificate was not valid: sign again",
        ),
        VerifyError::Sct(_) => (
            "Sct",
            "Name the trust root with the certificate log of that authority with --trusted-root, or sign again",
        ),
        VerifyError::LogEntryMissing(_) => (
            "LogEntryMissing",
            "Sign again with a transparency log, which is what clients do unless told otherwise",
        ),
        VerifyError::LogEntry(_) => (
            "LogEntry",
            "Name the trust root with that log with --trusted-root; if it is the right one, do not trust the bundle",
        ),
        VerifyError::Timestamp(_) => (
            "Timestamp",
            "Name the trust root with that timestamp authority with --trusted-root; if it is the right one, do not trust the bundle",
        ),
        VerifyError::NoTrustedTime(_) => (
            "NoTrustedTime",
            "Sign again, with a log that attests the time or with a timestamp authority",
        ),
        VerifyError::Identity { .. } => (
            "Identity",
            "If that signer is the right one, name it with --certificate-identity and --certificate-oidc-issuer, exactly as it stands here",
        ),
        VerifyError::TrustRoot(_) => (
            "TrustRoot",
            "Check the file of --trusted-root or --key: it is damaged, or has nothing that can be used",
        ),
    }
}
