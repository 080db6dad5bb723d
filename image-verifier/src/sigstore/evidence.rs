//! The evidence around a signature that the library does not verify itself ([`super::library`] says
//! which that is): log entries of Rekor v1, and timestamps. The parts are the library's own (Merkle
//! proofs, checkpoints, keyrings, timestamp tokens); what is put together here is what its own
//! verification does for other keys, and for one format of entry per kind of signature.

use jiff::Timestamp;
use serde::Serialize;
use sigstore_merkle::{hash_leaf, verify_inclusion_proof};
use sigstore_verify::crypto::{Checkpoint, Keyring};
use sigstore_verify::rekor::body::{DsseV001Body, HashedRekordV001Body, RekorEntryBody};
use sigstore_verify::tsa::{self, verify_timestamp_for_authority};
use sigstore_verify::types::{
    DerCertificate, DerPublicKey, HashAlgorithm, KindVersion, MediaType, Sha256Hash,
    SignatureBytes, SignatureContent, TransparencyLogEntry,
};

use super::pki::spki;
use super::{Artifact, SigstoreBundle, TrustMaterial, VerifyError, log_window, logged_hash, raw};
use policy::digest::Digest;
use policy::key::PublicKey;

/// What a log entry has to name as the maker of the signature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Maker<'a> {
    /// A key.
    Key(&'a DerPublicKey),
    /// A certificate.
    Certificate(&'a DerCertificate),
}

impl Maker<'_> {
    fn key(self) -> Result<PublicKey, VerifyError> {
        match self {
            Self::Key(key) => raw::public_key(key),
            Self::Certificate(certificate) => raw::public_key(&spki(certificate)?),
        }
    }

    fn is(self, pem: &[u8]) -> bool {
        let Ok(pem) = std::str::from_utf8(pem) else {
            return false;
        };
        match self {
            Self::Key(key) => DerPublicKey::from_pem(pem).is_ok_and(|named| named == *key),
            Self::Certificate(certificate) => {
                DerCertificate::from_pem(pem).is_ok_and(|named| named == *certificate)
            }
        }
    }
}

/// When a bundle was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proven {
    /// By each log and timestamp authority that says so; none is possible.
    pub(super) times: Vec<Timestamp>,
    /// Until when its log entries count, where the present decides about that.
    pub(super) valid_until: Option<Timestamp>,
}

/// Verifies every log entry and every timestamp of a bundle whose signature holds, and gives the
/// times that they prove. A log entry must be there if it is `demanded`.
pub(super) fn verify(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    maker: Maker<'_>,
    trust: &TrustMaterial,
    demanded: bool,
) -> Result<Proven, VerifyError> {
    let material = &bundle.0.verification_material;
    if demanded && material.tlog_entries.is_empty() {
        return Err(VerifyError::LogEntryMissing("there is none".into()));
    }
    let keys = trust
        .root
        .rekor_keys()
        .map_err(|error| VerifyError::TrustRoot(error.to_string()))?;
    let mut times = timestamps(bundle, trust)?;
    for entry in &material.tlog_entries {
        times.extend(is_included(entry, bundle.0.media_type, &keys)?);
        describes(entry, bundle, artifact, maker)?;
    }
    let valid_until = log_window::check(bundle, trust, &times)?;
    Ok(Proven { times, valid_until })
}

/// Whether the entry is in a trusted log; its time, where the log vouches for it.
fn is_included(
    entry: &TransparencyLogEntry,
    media_type: MediaType,
    keys: &Keyring,
) -> Result<Option<Timestamp>, VerifyError> {
    match &entry.inclusion_proof {
        Some(proof) => {
            let invalid = |error: &dyn std::fmt::Display| {
                VerifyError::LogEntry(format!("the proof: {error}"))
            };
            verify_inclusion_proof(
                &hash_leaf(entry.canonicalized_body.as_bytes()),
                proof.log_index.get(),
                proof.tree_size,
                &proof.hashes,
                &proof.root_hash,
            )
            .map_err(|error| invalid(&error))?;
            let checkpoint = Checkpoint::from_text(proof.checkpoint.envelope())
                .map_err(|error| invalid(&error))?;
            if *checkpoint.root_hash() != proof.root_hash
                || checkpoint.tree_size() != proof.tree_size
            {
                return Err(invalid(&"it is about another state than the checkpoint"));
            }
            let message = checkpoint.signed_data();
            let signed = checkpoint.signatures().iter().any(|signature| {
                keys.keys_by_hint(&signature.key_id, Timestamp::now())
                    .any(|key| key.verify(message, &signature.signature).is_ok())
            });
            if !signed {
                return Err(invalid(&"no trusted log has signed the checkpoint"));
            }
        }
        // The first version of bundles has promises alone.
        None if media_type == MediaType::Bundle0_1 && entry.inclusion_promise.is_some() => {}
        None => {
            let message = "it has no proof of being in the log";
            return Err(VerifyError::LogEntryMissing(message.into()));
        }
    }
    promised_time(entry, keys)
}

/// What a log signs with a promise, as canonical JSON (RFC 8785): sorted, and nothing to escape.
#[derive(Serialize)]
struct Promise {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    #[serde(rename = "logIndex")]
    log_index: u64,
}

fn promised_time(
    entry: &TransparencyLogEntry,
    keys: &Keyring,
) -> Result<Option<Timestamp>, VerifyError> {
    let Some(promise) = &entry.inclusion_promise else {
        return Ok(None);
    };
    let invalid =
        |error: &dyn std::fmt::Display| VerifyError::LogEntry(format!("the promise: {error}"));
    let time = entry
        .integrated_time
        .ok_or_else(|| invalid(&"it has no time"))?;
    if time > Timestamp::now() {
        return Err(invalid(&"its time is in the future"));
    }
    let id = Sha256Hash::try_from(entry.log_id.key_id.as_bytes()).map_err(|e| invalid(&e))?;
    let key = keys
        .key_at(&id, time)
        .ok_or_else(|| invalid(&"it is by no log that was trusted at its time"))?;
    let signed = serde_json::to_vec(&Promise {
        body: entry.canonicalized_body.to_base64(),
        integrated_time: time.as_second(),
        log_id: id.to_hex(),
        log_index: entry.log_index.get(),
    })
    .map_err(|error| invalid(&error))?;
    let signature = SignatureBytes::from_bytes(promise.signed_entry_timestamp.as_bytes());
    key.verify(&signed, &signature)
        .map_err(|error| invalid(&error))?;
    Ok(Some(time))
}

/// Checks that the entry is about this signature, by this maker, over this content: an entry of
/// something else proves nothing (CVE-2022-36056).
fn describes(
    entry: &TransparencyLogEntry,
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    maker: Maker<'_>,
) -> Result<(), VerifyError> {
    let message = raw::signed_bytes(bundle, artifact)?;
    logged_hash::check_padding(&maker.key()?, &message, bundle.signature()?)?;
    let kind = entry.kind_version;
    if !matches!(kind, KindVersion::HashedRekordV001 | KindVersion::DsseV001) {
        return Err(unsupported(kind));
    }
    let body = RekorEntryBody::parse(&entry.canonicalized_body, kind)
        .map_err(|error| VerifyError::LogEntry(error.to_string()))?;
    let same = match (&bundle.0.content, &body) {
        (SignatureContent::MessageSignature(_), RekorEntryBody::HashedRekordV001(body)) => {
            is_message(body, bundle, &message, maker)?
        }
        (SignatureContent::DsseEnvelope(envelope), RekorEntryBody::DsseV001(body)) => {
            is_envelope(body, envelope.payload.as_bytes(), bundle, maker)?
        }
        _ => return Err(unsupported(kind)),
    };
    if same {
        return Ok(());
    }
    let message = "it is about another signature, signer or content";
    Err(VerifyError::LogEntry(message.into()))
}

fn unsupported(kind: KindVersion) -> VerifyError {
    let (kind, version) = (kind.kind(), kind.version());
    VerifyError::Unsupported(format!(
        "log entries of kind {kind} {version} with this key"
    ))
}

fn is_message(
    body: &HashedRekordV001Body,
    bundle: &SigstoreBundle,
    message: &[u8],
    maker: Maker<'_>,
) -> Result<bool, VerifyError> {
    let hash = &body.spec.data.hash;
    logged_hash::check_by(hash, &maker.key()?, message, bundle.signature()?)?;
    Ok(hash.value.as_str() == hex(hash.algorithm, message)?
        && body.spec.signature.content.as_bytes() == bundle.signature()?
        && maker.is(body.spec.signature.public_key.content.as_bytes()))
}

fn is_envelope(
    body: &DsseV001Body,
    payload: &[u8],
    bundle: &SigstoreBundle,
    maker: Maker<'_>,
) -> Result<bool, VerifyError> {
    let hash = &body.spec.payload_hash;
    let [signature] = body.spec.signatures.as_slice() else {
        return Ok(false);
    };
    Ok(hash.value == hex(hash.algorithm, payload)?
        && signature.signature.as_bytes() == bundle.signature()?
        && maker.is(signature.verifier.as_bytes()))
}

fn hex(algorithm: HashAlgorithm, bytes: &[u8]) -> Result<String, VerifyError> {
    match algorithm {
        HashAlgorithm::Sha2256 => Ok(Digest::of(bytes).hex().to_owned()),
        other => Err(VerifyError::Unsupported(format!(
            "log entries with the hash {other}"
        ))),
    }
}

/// Every timestamp must be by a trusted authority, within its window. One that goes on with the same
/// certificate stands in a root once for each of its windows.
fn timestamps(
    bundle: &SigstoreBundle,
    trust: &TrustMaterial,
) -> Result<Vec<Timestamp>, VerifyError> {
    let signature = SignatureBytes::from_bytes(bundle.signature()?);
    let authorities = trust.root.tsa_authorities();
    let material = &bundle.0.verification_material.timestamp_verification_data;
    let verify = |token| {
        let mut failure = "no timestamp authority is trusted".to_owned();
        let mut late = None;
        for authority in &authorities {
            match verify_timestamp_for_authority(token, &signature, authority) {
                Ok(time) => return Ok(time),
                // It is by this one, and so tells more than that it is not by another.
                Err(error @ tsa::Error::TimestampOutsideValidity { .. }) => {
                    late = Some(error.to_string());
                }
                Err(error) => failure = error.to_string(),
            }
        }
        Err(VerifyError::Timestamp(late.unwrap_or(failure)))
    };
    let tokens = material.rfc3161_timestamps.iter();
    tokens
        .map(|token| verify(&token.signed_timestamp))
        .collect()
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
