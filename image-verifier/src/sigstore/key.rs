//! Signatures by keys that a policy names.
//!
//! The library refuses a bundle that has neither log entry nor timestamp, which is what a signer
//! with a key and no network makes. Without a demand for a log entry nothing but the signature
//! counts, so it is verified here: over the artifact's bytes, or over the pre-authentication
//! encoding of a DSSE envelope whose statement names the artifact's digest. Evidence that came
//! along is not looked at then: there is nothing to check it with.

use policy::key::PublicKey;
use sigstore_verify::PublicKeyVerificationPolicy;
use sigstore_verify::types::DerPublicKey;

use super::evidence::{self, Maker, Proven};
use super::library::{self, Demand};
use super::{Accepted, Artifact, SigstoreBundle, TrustMaterial, VerifyError, raw};

/// Whether a signature by a key has to be in a transparency log.
#[derive(Debug, Clone, Copy)]
pub enum LogEntry<'a> {
    /// It does not matter.
    NotDemanded,
    /// There must be one, in a log of this root, and every entry and timestamp must hold.
    Demanded(&'a TrustMaterial),
}

/// Verifies a bundle that was made with one of `keys`, and tells with which.
pub fn verify_with_keys<'k>(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    keys: &'k [PublicKey],
    log: LogEntry<'_>,
) -> Result<Accepted<&'k PublicKey>, VerifyError> {
    if bundle.has_certificate() {
        return Err(VerifyError::NoKey);
    }
    match log {
        LogEntry::NotDemanded => without_log(bundle, artifact, keys),
        LogEntry::Demanded(trust) => with_log(bundle, artifact, keys, trust),
    }
}

fn without_log<'k>(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    keys: &'k [PublicKey],
) -> Result<Accepted<&'k PublicKey>, VerifyError> {
    for key in keys {
        if raw::is_signed_by(bundle, artifact, key)? {
            raw::is_about(bundle, artifact)?;
            return Ok(Accepted {
                by: key,
                content: bundle.content(),
                signed_at: Vec::new(),
                valid_until: None,
            });
        }
    }
    Err(by_nobody())
}

fn with_log<'k>(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    keys: &'k [PublicKey],
    trust: &TrustMaterial,
) -> Result<Accepted<&'k PublicKey>, VerifyError> {
    let mut failure = by_nobody();
    for key in keys {
        // Known unless all that is there of what was signed is its digest.
        let signed = raw::is_signed_by(bundle, artifact, key).ok();
        if signed == Some(false) {
            continue;
        }
        let spki = DerPublicKey::from_bytes(key.spki_der());
        let demand = Demand {
            policy: PublicKeyVerificationPolicy::new(spki.clone()),
            log: true,
        };
        let proven = match library::verify(bundle, artifact, &spki, trust, &demand, || None) {
            Ok(verified) => Ok(verified.proven()),
            Err(error) if signed == Some(true) && library::is_beyond(&error, key.kind()) => {
                by_parts(bundle, artifact, &spki, trust)
            }
            Err(error) => Err(error),
        };
        match proven {
            Ok(Proven { times, valid_until }) => {
                return Ok(Accepted {
                    by: key,
                    content: bundle.content(),
                    signed_at: times,
                    valid_until,
                });
            }
            Err(VerifyError::Signature(_)) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What the library does not verify of a signature that holds.
fn by_parts(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    key: &DerPublicKey,
    trust: &TrustMaterial,
) -> Result<Proven, VerifyError> {
    raw::is_about(bundle, artifact)?;
    evidence::verify(bundle, artifact, Maker::Key(key), trust, true)
}

fn by_nobody() -> VerifyError {
    VerifyError::Signature("it is by another key, or not over this artifact".into())
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
