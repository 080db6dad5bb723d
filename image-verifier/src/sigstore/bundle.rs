//! Bundles: v0.1 to v0.3, read within limits, and verified when they come with a certificate.

use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore_verify::Error as Library;
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{Bundle, DerCertificate, KindVersion, Sha256Hash, SignatureContent};

use super::anchor::Validity;
use super::chain;
use super::evidence::Proven;
use super::library::{self, Demand};
use super::pki::spki;
use super::{
    Artifact, Claimed, Content, SignerIdentity, TrustMaterial, Unmatched, VerifyError, raw, shape,
    version,
};

/// The most transparency log entries, and the most timestamps, of one bundle. sigstore-go has the
/// same limit: each costs a signature check, and one is enough.
pub const MAX_EVIDENCE: usize = 32;
/// The most certificates of one bundle.
pub const MAX_CHAIN: usize = 10;

/// A bundle that was parsed. Nothing in it is trusted yet.
#[derive(Debug, Clone, PartialEq)]
pub struct SigstoreBundle(pub(super) Bundle);

impl SigstoreBundle {
    /// Reads a bundle's JSON. Its size is bounded by whoever fetched it, how much it takes in memory is
    /// here.
    pub fn parse(json: &[u8]) -> Result<Self, VerifyError> {
        if let Some(excess) = shape::excess(json) {
            let message = format!("a bundle with {excess}");
            return Err(VerifyError::Malformed(message));
        }
        let text = std::str::from_utf8(json)
            .map_err(|error| VerifyError::Malformed(format!("the bundle: {error}")))?;
        let bundle = Bundle::from_json(text).map_err(|error| {
            version::unsupported(text)
                .unwrap_or_else(|| VerifyError::Malformed(format!("the bundle: {error}")))
        })?;
        Self::new(bundle)
    }

    pub(super) fn new(bundle: Bundle) -> Result<Self, VerifyError> {
        let material = &bundle.verification_material;
        let entries = material.tlog_entries.len();
        let timestamps = material
            .timestamp_verification_data
            .rfc3161_timestamps
            .len();
        if entries.max(timestamps) > MAX_EVIDENCE {
            let message = format!(
                "{entries} log entries and {timestamps} timestamps: at most {MAX_EVIDENCE} each"
            );
            return Err(VerifyError::Malformed(message));
        }
        if let VerificationMaterialContent::X509CertificateChain { certificates } =
            &material.content
            && !(1..=MAX_CHAIN).contains(&certificates.len())
        {
            let count = certificates.len();
            let message = format!("{count} certificates: 1 to {MAX_CHAIN} are allowed");
            return Err(VerifyError::Malformed(message));
        }
        Ok(Self(bundle))
    }

    /// Whether it comes with a certificate, so that no key decides about it.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.0.signing_certificate().is_some()
    }

    pub(super) fn certificate(&self) -> Result<&DerCertificate, VerifyError> {
        self.0
            .signing_certificate()
            .ok_or(VerifyError::NoCertificate)
    }

    /// The certificates that came along behind the first.
    pub(super) fn intermediates(&self) -> Vec<&DerCertificate> {
        match &self.0.verification_material.content {
            VerificationMaterialContent::X509CertificateChain { certificates } => {
                certificates.iter().skip(1).map(|c| &c.raw_bytes).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The type and the bytes of the payload in its envelope; nothing for a bare message signature.
    /// To be believed behind the signature only.
    #[must_use]
    pub fn statement(&self) -> Option<(&str, &[u8])> {
        match &self.0.content {
            SignatureContent::DsseEnvelope(envelope) => {
                Some((&envelope.payload_type, envelope.payload.as_bytes()))
            }
            _ => None,
        }
    }

    /// Whom it says that it is by.
    #[must_use]
    pub fn claimed(&self) -> Option<Claimed> {
        if let Some(certificate) = self.0.signing_certificate() {
            return Some(Claimed::by(certificate));
        }
        match &self.0.verification_material.content {
            VerificationMaterialContent::PublicKey(key) if !key.hint.is_empty() => Some(Claimed {
                hint: Some(key.hint.clone()),
                ..Claimed::default()
            }),
            _ => None,
        }
    }

    /// The raw signature.
    pub fn signature(&self) -> Result<&[u8], VerifyError> {
        match &self.0.content {
            SignatureContent::MessageSignature(message) => Ok(message.signature.as_bytes()),
            SignatureContent::DsseEnvelope(envelope) => Ok(envelope.signature.sig.as_bytes()),
            _ => Err(VerifyError::Unsupported("the kind of signature".into())),
        }
    }

    /// What the library's refusal means here. Where something is missing it speaks of versions of
    /// bundles, which a signature of another shape was put together to.
    pub(super) fn refused(
        &self,
        error: Library,
        artifact: &Artifact<'_>,
        chain: impl FnOnce() -> Option<Validity>,
    ) -> VerifyError {
        match VerifyError::verifying(error, self.claims(artifact), chain) {
            VerifyError::LogEntryMissing(_) => {
                let entries = &self.0.verification_material.tlog_entries;
                let missing = if entries.is_empty() {
                    "there is none"
                } else if entries.iter().any(|entry| entry.inclusion_proof.is_none()) {
                    "it has no proof of being in the log"
                } else {
                    "it has no promise of the log"
                };
                VerifyError::LogEntryMissing(missing.into())
            }
            VerifyError::NoTrustedTime(_) if self.has_no_time() => {
                let message = "a log entry of Rekor v2 proves no time, and there is no timestamp beside it: add one";
                VerifyError::NoTrustedTime(message.into())
            }
            VerifyError::NoTrustedTime(_) => {
                let message =
                    "there is neither a timestamp nor a log entry whose time the log has signed";
                VerifyError::NoTrustedTime(message.into())
            }
            other => other,
        }
    }

    /// Whether it has no timestamp, and log entries of Rekor v2, which know no time.
    fn has_no_time(&self) -> bool {
        let material = &self.0.verification_material;
        let second = |kind| kind == KindVersion::HashedRekordV002;
        let mut entries = material.tlog_entries.iter();
        let timestamps = &material.timestamp_verification_data.rfc3161_timestamps;
        timestamps.is_empty() && entries.any(|entry| second(entry.kind_version))
    }

    /// What was signed, for who verified it.
    pub(super) fn content(&self) -> Content {
        match &self.0.content {
            SignatureContent::DsseEnvelope(envelope) => Content::Dsse {
                payload_type: envelope.payload_type.clone(),
                payload: envelope.payload.as_bytes().to_vec(),
            },
            _ => Content::Message,
        }
    }

    /// Whether it says that it is about `artifact`. A bare signature says nothing of the kind.
    pub(super) fn claims(&self, artifact: &Artifact<'_>) -> bool {
        let Ok(digest) = artifact.sha256() else {
            return false;
        };
        match &self.0.content {
            SignatureContent::MessageSignature(message) => {
                message.message_digest.as_ref().is_none_or(|declared| {
                    declared.digest.as_bytes().len() != digest.as_bytes().len()
                        || declared.digest.as_bytes() == digest.as_bytes()
                })
            }
            SignatureContent::DsseEnvelope(envelope) => {
                has_subject(envelope.payload.as_bytes(), &digest)
            }
            _ => false,
        }
    }
}

/// Whether an in-toto statement has a subject with this digest. The library's own statement would keep
/// the predicate, which anybody may have made large.
pub(super) fn has_subject(payload: &[u8], digest: &Sha256Hash) -> bool {
    #[derive(Deserialize)]
    struct Statement {
        #[serde(rename = "_type")]
        _kind: IgnoredAny,
        #[serde(rename = "predicateType")]
        _predicate_type: IgnoredAny,
        subject: Vec<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: SubjectDigest,
    }
    #[derive(Deserialize)]
    struct SubjectDigest {
        sha256: Option<String>,
    }
    let named = |subject: Subject| {
        let hex = subject.digest.sha256?;
        Sha256Hash::from_hex(&hex).ok()
    };
    serde_json::from_slice::<Statement>(payload).is_ok_and(|statement| {
        let mut digests = statement.subject.into_iter().filter_map(named);
        digests.any(|one| one == *digest)
    })
}

/// Verifies a bundle that comes with a certificate of a sigstore authority: the signature over the
/// artifact (or over a statement that names it), the certificate's chain and its SCT where `trust`
/// has CT logs, the log entry (inclusion proof, checkpoint, promise) where it has logs, every
/// timestamp, and that the certificate was valid at each of the times that these prove.
///
/// Evidence that is there and does not hold is an error even where other evidence would do. The
/// library looks at the clock for one thing: a log's time or key from the future is refused.
pub fn verify_bundle(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    trust: &TrustMaterial,
) -> Result<Unmatched, VerifyError> {
    let certificate = bundle.certificate()?;
    let key = spki(certificate)?;
    // By which the signer is told from others.
    raw::public_key(&key)?;
    let demand = Demand {
        policy: trust.policy(),
        log: trust.demands_log_entry(),
    };
    let validity = || chain::validity_if_chained(bundle, trust);
    let verified =
        library::verify(bundle, artifact, &key, trust, &demand, validity).map_err(|error| {
            match error {
                // No root would prove a time: that has to be mended first, whoever signed.
                VerifyError::NoTrustedTime(text) if bundle.has_no_time() => {
                    let chained = validity().is_some();
                    let more = if chained {
                        ""
                    } else {
                        ". Nor does its certificate chain to a trusted root"
                    };
                    VerifyError::NoTrustedTime(format!("{text}{more}"))
                }
                // Times come first in the library, and say little about a foreign certificate.
                VerifyError::LogEntry(text)
                | VerifyError::LogEntryMissing(text)
                | VerifyError::Timestamp(text)
                | VerifyError::NoTrustedTime(text)
                    if validity().is_none() =>
                {
                    VerifyError::Chain(format!("at no time of its validity; also, {text}"))
                }
                error => error,
            }
        })?;
    // The library says what it did; should it ever do less than asked, nothing passes.
    if !verified.has_certificate() {
        return Err(VerifyError::Chain("it was not verified".into()));
    }
    let Proven { times, .. } = verified.proven();
    // The library takes an authority's certificate for the bare key in it, however old it is.
    for time in &times {
        chain::check_anchors(bundle, trust, *time)?;
    }
    Ok(Unmatched {
        signer: SignerIdentity::read(certificate)?,
        content: bundle.content(),
        signed_at: times,
    })
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
