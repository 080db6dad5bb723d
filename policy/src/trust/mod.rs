//! Trust roots: whom a keyless authority believes about identities, logs and times.
//!
//! ```text
//!  trusted_root.json ──from_trusted_root_json──▶ ┐
//!  PEM fields        ──from_pem────────────────▶ ├ TrustRoot ──to_trusted_root_json──▶ verifier
//!  a bundle          ──Deserialize─────────────▶ ┘     └─ fulcio_roots, p256_rekor_keys ─▶ CRI-O
//! ```
//!
//! Every way in ends in the same checks, so a [`TrustRoot`] is always one that the verifier takes.
//! The order of authorities and logs carries no meaning and is canonical; that inside a chain does.

mod check;
mod error;
mod export;
mod keys;
mod parse;
mod pem;

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::error::{TrustError, TrustProblem};
pub use self::keys::LogId;
pub use self::parse::Parsed;
use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::key::{KeyKind, PublicKey};

/// The `trusted_root.json` of sigstore's public-good instance, as it was when this was built.
pub const PUBLIC_GOOD: &str = sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
/// The most bytes of a `trusted_root.json`, and of each PEM field.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most entries of each kind.
pub const MAX_ENTRIES: usize = 16;
/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 8;
/// The most bytes of a URI.
pub const MAX_URI: usize = 2048;

/// When material may be used: from `start` to `end`, both inclusive; without `end` it has none
/// (`TimeRange` of sigstore's protobuf-specs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// From when.
    pub start: Timestamp,
    /// Up to when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

/// A certificate authority (Fulcio) or a timestamp authority.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    uri: String,
    chain: Vec<Certificate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_for: Option<Window>,
}

impl Authority {
    /// Where it serves; empty where that is not known. Nothing is ever fetched from it.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// 1 to 8 certificates; each was issued by the next, and the last is the trust anchor. That of
    /// a timestamp authority begins with the certificate that signs.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// When what it issues counts.
    #[must_use]
    pub fn valid_for(&self) -> Option<Window> {
        self.valid_for
    }
}

/// A transparency log (Rekor) or a certificate transparency log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogKey {
    key_id: LogId,
    base_url: String,
    key: PublicKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_for: Option<Window>,
}

impl LogKey {
    /// What names the log in entries, certificates and checkpoints.
    #[must_use]
    pub fn key_id(&self) -> LogId {
        self.key_id
    }

    /// Where it serves; empty where that is not known. Nothing is ever fetched from it.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The key that it signs with.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// When what it signs counts.
    #[must_use]
    pub fn valid_for(&self) -> Option<Window> {
        self.valid_for
    }

    /// Whether CRI-O's library can verify the log's entries. It refuses everything where one key in
    /// the list is no ECDSA key, and hashes with SHA-256 whatever the curve.
    #[must_use]
    pub fn is_p256(&self) -> bool {
        self.key.kind() == KeyKind::EcdsaP256
    }
}

/// The parts of a trust root, before any check, and its form in bundles and verifier policies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parts {
    certificate_authorities: Vec<Authority>,
    transparency_logs: Vec<LogKey>,
    ct_logs: Vec<LogKey>,
    timestamp_authorities: Vec<Authority>,
}

/// A trust root that passed every check.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct TrustRoot {
    certificate_authorities: Vec<Authority>,
    transparency_logs: Vec<LogKey>,
    ct_logs: Vec<LogKey>,
    timestamp_authorities: Vec<Authority>,
}

impl TrustRoot {
    /// The digest of the canonical JSON: what `status.digest` shows.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&crate::verifier::json(self))
    }

    /// Who certifies identities; 0 to 16.
    #[must_use]
    pub fn certificate_authorities(&self) -> &[Authority] {
        &self.certificate_authorities
    }

    /// The certificate transparency logs; 0 to 16.
    #[must_use]
    pub fn ct_logs(&self) -> &[LogKey] {
        &self.ct_logs
    }

    /// Who certifies times; 0 to 16.
    #[must_use]
    pub fn timestamp_authorities(&self) -> &[Authority] {
        &self.timestamp_authorities
    }

    /// The transparency logs; 0 to 16.
    #[must_use]
    pub fn transparency_logs(&self) -> &[LogKey] {
        &self.transparency_logs
    }

    /// The transparency logs, one by one.
    pub fn rekor_keys(&self) -> impl Iterator<Item = &LogKey> {
        self.transparency_logs.iter()
    }

    /// The trust anchors of the certificate authorities: the last certificate of each chain,
    /// sorted and each once.
    #[must_use]
    pub fn fulcio_roots(&self) -> Vec<&Certificate> {
        let last = self
            .certificate_authorities
            .iter()
            .filter_map(|ca| ca.chain.last());
        last.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Everything in the chains of the certificate authorities that is no anchor, sorted and each
    /// once.
    #[must_use]
    pub fn fulcio_intermediates(&self) -> Vec<&Certificate> {
        let roots: BTreeSet<_> = self.fulcio_roots().into_iter().collect();
        let all = self.certificate_authorities.iter().flat_map(|ca| &ca.chain);
        let others: BTreeSet<_> = all.filter(|one| !roots.contains(one)).collect();
        others.into_iter().collect()
    }

    /// The keys of the transparency logs that CRI-O's library can verify with.
    #[must_use]
    pub fn p256_rekor_keys(&self) -> Vec<&PublicKey> {
        self.rekor_keys()
            .filter(|log| log.is_p256())
            .map(LogKey::key)
            .collect()
    }

    /// The transparency logs that CRI-O's library cannot verify with, for the report.
    #[must_use]
    pub fn other_rekor_logs(&self) -> Vec<&LogKey> {
        self.rekor_keys().filter(|log| !log.is_p256()).collect()
    }

    /// Whether certificates can be checked for their transparency.
    #[must_use]
    pub fn has_ct_logs(&self) -> bool {
        !self.ct_logs.is_empty()
    }

    /// When something in it ends, in Unix seconds, each with what it is; earliest first. This
    /// crate has no clock: what lies in the past is for the caller to leave out.
    #[must_use]
    pub fn expiries(&self) -> Vec<(String, i64)> {
        let mut found = BTreeSet::new();
        let mut end = |what: String, window: Option<Window>| {
            if let Some(end) = window.and_then(|window| window.end) {
                found.insert((end.as_second(), what));
            }
        };
        let authorities = || {
            self.certificate_authorities
                .iter()
                .chain(&self.timestamp_authorities)
        };
        for authority in authorities() {
            let subject = authority.chain.first().map_or("", Certificate::subject);
            end(
                format!("use of the authority {subject}"),
                authority.valid_for,
            );
        }
        for log in self.transparency_logs.iter().chain(&self.ct_logs) {
            end(format!("use of the log {}", log.name()), log.valid_for);
        }
        for certificate in authorities().flat_map(|authority| &authority.chain) {
            let what = format!("certificate {}", certificate.subject());
            found.insert((certificate.not_after(), what));
        }
        found.into_iter().map(|(unix, what)| (what, unix)).collect()
    }

    /// The first of [`TrustRoot::expiries`], in Unix seconds, even where it lies in the past.
    #[must_use]
    pub fn earliest_expiry(&self) -> Option<i64> {
        self.expiries().first().map(|(_, unix)| *unix)
    }
}

impl LogKey {
    /// For messages: its URL, or its id where that is not known.
    #[must_use]
    pub fn name(&self) -> String {
        match self.base_url.as_str() {
            "" => self.key_id.to_string(),
            url => url.to_owned(),
        }
    }
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustRoot({})", self.digest())
    }
}

impl From<TrustRoot> for Parts {
    fn from(root: TrustRoot) -> Self {
        Self {
            certificate_authorities: root.certificate_authorities,
            transparency_logs: root.transparency_logs,
            ct_logs: root.ct_logs,
            timestamp_authorities: root.timestamp_authorities,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_mutated;
#[cfg(test)]
mod tests_pem;
