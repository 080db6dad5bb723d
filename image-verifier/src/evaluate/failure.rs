//! Why a candidate is by none of the signers that are wanted, under the code that says what can be
//! done about it.

use jiff::Timestamp;
use policy::authority::TrustedRoot;

use super::examined::{Examined, about, claim};
use super::material;
use crate::candidate::Finding;
use crate::reason::{Reason, bounded};
use crate::sigstore::VerifyError;

/// The most bytes of what a library says about foreign input.
const MAX_CAUSE: usize = 240;

/// What an error means; `root` is the trust root that it was verified by, if any.
pub(super) fn finding(
    examined: &Examined<'_, '_>,
    error: &VerifyError,
    root: Option<&TrustedRoot>,
    now: Timestamp,
) -> Finding {
    let candidate = examined.candidate;
    let origin = &candidate.origin;
    if let (true, Some(root)) = (is_of_root(error), root)
        && let Some(ended) = material::ended(root, now)
    {
        let name = root.name();
        let message = format!("{origin} cannot be verified: of the trust root `{name}`, {ended}");
        return Finding::new(Reason::TrustRootUnusable, message);
    }
    let (reason, mut cause) = match error {
        VerifyError::Malformed(_) => (Reason::MalformedSignature, error.to_string()),
        VerifyError::Unsupported(_) => (Reason::UnsupportedFormat, error.to_string()),
        VerifyError::NoCertificate => (
            Reason::NoMatchingSignature,
            "it is by a key (it has no certificate), and the policy wants a certificate".into(),
        ),
        VerifyError::NoKey => (
            Reason::NoMatchingSignature,
            "it is keyless (it has a certificate), and the policy wants a key".into(),
        ),
        VerifyError::OtherArtifact(text) => (
            Reason::WrongDigest,
            claim(&candidate.signed).map_or_else(|_| text.clone(), |claim| about(&claim)),
        ),
        VerifyError::Signature(_) => (
            Reason::NoMatchingSignature,
            "it is by another key, or not over what it carries".into(),
        ),
        VerifyError::Chain(text) => (
            Reason::NoMatchingSignature,
            format!("its certificate is by none of the policy's authorities ({text})"),
        ),
        VerifyError::CertificateTime(_) | VerifyError::NoTrustedTime(_) => {
            (Reason::CertificateExpired, error.to_string())
        }
        VerifyError::LogEntryMissing(_) => (Reason::LogEntryMissing, error.to_string()),
        VerifyError::LogEntry(_) | VerifyError::Sct(_) | VerifyError::Timestamp(_) => {
            (Reason::LogEntryInvalid, error.to_string())
        }
        VerifyError::Identity { .. } => (Reason::NoMatchingSignature, error.to_string()),
        VerifyError::TrustRoot(_) => (Reason::TrustRootUnusable, error.to_string()),
    };
    cause = bounded(&cause, MAX_CAUSE);
    // Whom it names without proof is said as that, and only where the proof was looked for.
    let unproven = !matches!(
        error,
        VerifyError::Identity { .. } | VerifyError::OtherArtifact(_) | VerifyError::TrustRoot(_)
    );
    let claimed = examined.claimed().filter(|_| unproven);
    let claimed = claimed.map_or(String::new(), |who| format!("; it claims to be by {who}"));
    Finding::new(reason, format!("{origin}: {cause}{claimed}"))
}

/// Whether another trust root could have said otherwise.
fn is_of_root(error: &VerifyError) -> bool {
    matches!(
        error,
        VerifyError::Chain(_)
            | VerifyError::CertificateTime(_)
            | VerifyError::NoTrustedTime(_)
            | VerifyError::LogEntry(_)
            | VerifyError::Sct(_)
            | VerifyError::Timestamp(_)
    )
}
