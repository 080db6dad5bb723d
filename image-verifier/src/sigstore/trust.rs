//! What is trusted: a sigstore `trusted_root.json`, parsed once.

use std::fmt;

use sigstore_verify::crypto::{SigningScheme, VerificationKey};
use sigstore_verify::trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::types::DerPublicKey;
use sigstore_verify::{VerificationPolicy, Verifier};

use super::VerifyError;

/// The certificate authorities, transparency logs and timestamp authorities that are trusted.
///
/// What it holds is what it demands: a transparency log entry where it has transparency logs, a
/// signed certificate timestamp where it has CT logs. One without either suits a company's own
/// sigstore that has only a timestamp authority.
pub struct TrustMaterial {
    pub(super) root: TrustedRoot,
    pub(super) verifier: Verifier,
    has_logs: bool,
    has_ct_logs: bool,
}

impl fmt::Debug for TrustMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustMaterial")
            .field("has_logs", &self.has_logs)
            .field("has_ct_logs", &self.has_ct_logs)
            .finish_non_exhaustive()
    }
}

impl TrustMaterial {
    /// Reads a `trusted_root.json` (protobuf-specs, `TrustedRoot`). Parsing costs more than
    /// verifying: do it once.
    ///
    /// A log whose key has an algorithm that is not known is left out, so that a root which adds
    /// one does not stop every verification; what its presence demands is still demanded. Anything
    /// else that cannot be used makes the whole root unusable.
    pub fn parse(json: &str) -> Result<Self, VerifyError> {
        let unusable = |error: &dyn fmt::Display| VerifyError::TrustRoot(error.to_string());
        let mut root = TrustedRoot::from_json(json).map_err(|error| unusable(&error))?;
        let has_logs = !root.tlogs.is_empty();
        let has_ct_logs = !root.ctlogs.is_empty();
        root.tlogs.retain(|log| is_known(&log.public_key.raw_bytes));
        root.ctlogs
            .retain(|log| is_known(&log.public_key.raw_bytes) || is_rsa(&log.public_key.raw_bytes));
        let verifier = Verifier::new(&root).map_err(|error| unusable(&error))?;
        Ok(Self {
            root,
            verifier,
            has_logs,
            has_ct_logs,
        })
    }

    /// The root of sigstore's public-good instance as it was when this program was built. A node
    /// uses what its policy holds, never this.
    pub fn public_good() -> Result<Self, VerifyError> {
        Self::parse(SIGSTORE_PRODUCTION_TRUSTED_ROOT)
    }

    /// Whether a transparency log entry is demanded of certificates.
    #[must_use]
    pub fn demands_log_entry(&self) -> bool {
        self.has_logs
    }

    /// What is demanded of a bundle with a certificate. Whose certificate it is, is matched later.
    pub(super) fn policy(&self) -> VerificationPolicy {
        let mut policy = VerificationPolicy::any_identity();
        if !self.has_logs {
            policy = policy.skip_tlog_unsafe();
        }
        if !self.has_ct_logs {
            policy = policy.skip_sct();
        }
        policy
    }

    /// The same, with nothing demanded of the certificate itself: whoever asks builds its chain.
    pub(super) fn timed_policy(&self) -> VerificationPolicy {
        let policy = VerificationPolicy::any_identity().skip_certificate_chain();
        if self.has_logs {
            policy
        } else {
            policy.skip_tlog_unsafe()
        }
    }
}

fn is_known(key: &DerPublicKey) -> bool {
    VerificationKey::from_spki(key).is_ok()
}

/// The old CT logs have their RSA keys as PKCS#1, which the library reads, too.
fn is_rsa(key: &DerPublicKey) -> bool {
    VerificationKey::from_der(key, SigningScheme::RsaPkcs1Sha256).is_ok()
}
