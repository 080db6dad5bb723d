//! The one call of the library's verification, with what it leaves out put behind it, and the table of
//! what it cannot do.

use jiff::Timestamp;
use policy::key::KeyKind;
use sigstore_verify::types::DerPublicKey;
use sigstore_verify::{Policy, VerificationResult};

use super::anchor::Validity;
use super::evidence::Proven;
use super::{Artifact, SigstoreBundle, TrustMaterial, VerifyError, log_window, logged_hash};

/// What is demanded of a bundle.
#[derive(Debug)]
pub(super) struct Demand<P> {
    /// In the library's terms.
    pub(super) policy: P,
    /// Whether that demands a log entry.
    pub(super) log: bool,
}

/// What the library has verified.
#[derive(Debug)]
pub(super) struct Verified {
    result: VerificationResult,
    valid_until: Option<Timestamp>,
}

impl Verified {
    /// Whether the certificate and its chain were.
    pub(super) fn has_certificate(&self) -> bool {
        self.result.certificate_verified()
    }

    /// When it was signed.
    pub(super) fn proven(self) -> Proven {
        Proven {
            times: self.result.verified_timestamps().to_vec(),
            valid_until: self.valid_until,
        }
    }
}

/// Verifies a bundle that was made with the private half of `key`:
///
/// 1. as the library does it;
/// 2. that a log entry was verified where one is demanded: the library says what it did, and should it
///    ever do less than it was asked for, nothing passes;
/// 3. that the hash which an entry names is the one that was signed ([`logged_hash`]);
/// 4. that its log was trusted when the entry was made ([`log_window`]).
pub(super) fn verify(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    key: &DerPublicKey,
    trust: &TrustMaterial,
    demand: &Demand<impl Policy>,
    chain: impl FnOnce() -> Option<Validity>,
) -> Result<Verified, VerifyError> {
    let result = trust
        .verifier
        .verify(artifact.as_library()?, &bundle.0, &demand.policy)
        .map_err(|error| {
            let error = bundle.refused(error, artifact, chain);
            logged_hash::told(error, bundle, key)
        })?;
    if demand.log && !result.tlog_verified() {
        return Err(VerifyError::LogEntryMissing("it was not verified".into()));
    }
    logged_hash::check(bundle, key)?;
    let valid_until = if demand.log {
        log_window::check(bundle, trust, result.verified_timestamps())?
    } else {
        None
    };
    Ok(Verified {
        result,
        valid_until,
    })
}

/// Whether the library's refusal says no more than that it cannot verify a signature of this kind, so
/// that a signature which does hold ([`super::raw`]) may go on to [`super::evidence`]:
///
/// | it says | of keys | because |
/// |---|---|---|
/// | the signature is invalid | any | it tries one padding and one hash for a key: no RSA-PSS, no SHA-256 of a P-384 key in an envelope |
/// | the certificate is malformed | P-521 | it knows no such curve, and reads the key with the certificate |
/// | the key is unsupported | P-521 | the same, of a bare key |
///
/// Nobody gains by it: there, the signature holds by the same key, and every log entry and timestamp is
/// verified as the library does it. No other refusal may get there, or whatever else the library finds
/// wrong with a bundle would be judged a second time, by whoever has looked for less.
pub(super) fn is_beyond(error: &VerifyError, kind: KeyKind) -> bool {
    match error {
        VerifyError::Signature(_) => true,
        VerifyError::Malformed(_) | VerifyError::Unsupported(_) => kind == KeyKind::EcdsaP521,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_judgement_is_for_kinds_that_the_library_cannot_verify() {
        let text = || "x".to_owned();
        let p521 = KeyKind::EcdsaP521;
        let others = [
            KeyKind::EcdsaP256,
            KeyKind::EcdsaP384,
            KeyKind::Ed25519,
            KeyKind::Rsa { bits: 2048 },
        ];
        let all = || others.into_iter().chain([p521]);
        assert!(all().all(|kind| is_beyond(&VerifyError::Signature(text()), kind)));
        for unread in [
            VerifyError::Malformed(text()),
            VerifyError::Unsupported(text()),
        ] {
            assert!(is_beyond(&unread, p521));
            assert!(!others.iter().any(|kind| is_beyond(&unread, *kind)));
        }
        for final_word in [
            VerifyError::NoCertificate,
            VerifyError::NoKey,
            VerifyError::OtherArtifact(text()),
            VerifyError::Chain(text()),
            VerifyError::CertificateTime(text()),
            VerifyError::Sct(text()),
            VerifyError::LogEntryMissing(text()),
            VerifyError::LogEntry(text()),
            VerifyError::Timestamp(text()),
            VerifyError::NoTrustedTime(text()),
            VerifyError::TrustRoot(text()),
        ] {
            assert!(
                !all().any(|kind| is_beyond(&final_word, kind)),
                "{final_word}"
            );
        }
    }
}
