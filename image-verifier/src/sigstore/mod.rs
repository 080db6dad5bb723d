//! Sigstore signatures: bytes in, verdict out. Pure: no registry, no policy, no network.
//!
//! ```text
//!  bundle v0.1 … v0.3 ────────▶ SigstoreBundle ─┬─▶ verify_bundle ─▶ Unmatched ─accept─┐
//!  .sig annotations ─ legacy ─▶      │          ├─▶ verify_with_pki ───────────────────┤
//!                                    │          └─▶ verify_with_keys ──────────────────┴▶ Accepted
//!                     TrustMaterial (trusted_root.json), PublicKey, Pki ──┘
//! ```
//!
//! The work is done by `sigstore-verify`; this module is the only place that knows it, calls it in one
//! place (`library`), and adds what it lacks:
//!
//! | not in the library | here |
//! |---|---|
//! | signatures as annotations of an image manifest | [`legacy`] |
//! | keys with neither log entry nor timestamp (air-gapped) | [`key`] |
//! | who is accepted: [`Unmatched`] ends in [`Accepted`] by a match, or not at all | this file |
//! | the hash that a log entry names is the one that was signed | `logged_hash` |
//! | the log was trusted when the entry was made | `log_window` |
//! | what an authority's certificate says of itself | `anchor`, `chain` |
//! | P-521 keys and RSA-PSS signatures | [`key`] and [`pki`], by [`crate::keys`]; their timestamps, and the log entries of P-521 keys, by `evidence` (Rekor takes no RSA-PSS) |
//! | a company's own authority | [`pki`] |

mod anchor;
pub mod bundle;
mod chain;
mod error;
mod evidence;
pub mod file;
mod identity;
pub mod key;
pub mod legacy;
mod library;
mod log_window;
mod logged_hash;
pub mod pki;
mod raw;
pub(crate) mod shape;
#[cfg(test)]
pub(crate) mod testing;
mod trust;
mod version;

use std::fmt;

use jiff::Timestamp;
use policy::digest::Digest;
use sigstore_verify::types::{Artifact as LibraryArtifact, Sha256Hash};

pub use self::bundle::{SigstoreBundle, verify_bundle};
pub use self::error::VerifyError;
pub use self::identity::{Claimed, San, SignerIdentity};
pub use self::key::{LogEntry, verify_with_keys};
pub use self::legacy::LegacySignature;
pub use self::pki::{Pki, SigningTime, verify_with_pki};
pub use self::trust::TrustMaterial;

/// What a signature has to be over.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    /// The bytes themselves: a file, a simple-signing payload.
    Bytes(&'a [u8]),
    /// The digest of bytes that are elsewhere: an image.
    Digest(&'a Digest),
}

impl<'a> Artifact<'a> {
    pub(crate) fn sha256(&self) -> Result<Sha256Hash, VerifyError> {
        let of_bytes;
        let digest = match self {
            Self::Bytes(bytes) => {
                of_bytes = Digest::of(bytes);
                &of_bytes
            }
            Self::Digest(digest) => *digest,
        };
        Sha256Hash::from_hex(digest.hex())
            .map_err(|error| VerifyError::Malformed(error.to_string()))
    }

    fn as_library(&self) -> Result<LibraryArtifact<'a>, VerifyError> {
        Ok(match self {
            Self::Bytes(bytes) => LibraryArtifact::from_blob(bytes),
            Self::Digest(_) => LibraryArtifact::from_digest(self.sha256()?),
        })
    }
}

/// What the signature is over, as it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The artifact itself: a payload that says what it is about, or a file.
    Message,
    /// A DSSE envelope whose statement names the artifact's digest. Of which predicate type it is,
    /// and so whether it signs or merely attests, has to be looked at.
    Dsse {
        /// The type of the payload: in-toto's.
        payload_type: String,
        /// The statement.
        payload: Vec<u8>,
    },
}

/// A signature that holds in every respect, by a signer whom nobody has accepted yet. It says
/// nothing about itself: the only way on is [`Unmatched::accept`].
#[must_use]
pub struct Unmatched {
    signer: SignerIdentity,
    content: Content,
    signed_at: Vec<Timestamp>,
}

impl fmt::Debug for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmatched").finish_non_exhaustive()
    }
}

impl Unmatched {
    /// Accepts the signature if `matches` finds something that the signer is: an authority, an
    /// index. It may be asked again, for another policy.
    pub fn accept<M>(
        &self,
        matches: impl FnOnce(&SignerIdentity) -> Option<M>,
    ) -> Result<Accepted<M>, VerifyError> {
        let Some(by) = matches(&self.signer) else {
            return Err(VerifyError::Identity {
                found: self.signer.to_string(),
            });
        };
        Ok(Accepted {
            by,
            content: self.content.clone(),
            signed_at: self.signed_at.clone(),
            valid_until: None,
        })
    }
}

/// A signature that holds, by somebody who is accepted. Only verification makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Accepted<M> {
    by: M,
    content: Content,
    signed_at: Vec<Timestamp>,
    valid_until: Option<Timestamp>,
}

impl<M> Accepted<M> {
    /// The same, with the signer under another name.
    pub fn map<N>(self, name: impl FnOnce(M) -> N) -> Accepted<N> {
        Accepted {
            by: name(self.by),
            content: self.content,
            signed_at: self.signed_at,
            valid_until: self.valid_until,
        }
    }

    /// What the signer was accepted as.
    pub fn by(&self) -> &M {
        &self.by
    }

    /// What was signed.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// When it was signed, by each log and timestamp authority that says so. Empty where nothing
    /// was asked.
    #[must_use]
    pub fn signed_at(&self) -> &[Timestamp] {
        &self.signed_at
    }

    /// Until when this holds, where it depends on the time of verification.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }
}
