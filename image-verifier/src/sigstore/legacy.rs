//! Signatures as cosign attaches them: a simple-signing payload, and around it annotations of a
//! manifest's layer (cosign's `specs/SIGNATURE_SPEC.md`). They are put together to a bundle in
//! memory, so that there is one way to verify.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use policy::key::PublicKey;
use serde::Deserialize;
use serde_json::Value;
use sigstore_verify::crypto::{KeyAlgorithm, VerificationKey};
use sigstore_verify::types::bundle::{
    CertificateContent, InclusionPromise, LogId, MessageDigest, MessageSignature,
    PublicKeyIdentifier, Rfc3161Timestamp, TimestampVerificationData, VerificationMaterial,
    VerificationMaterialContent, X509Certificate,
};
use sigstore_verify::types::{
    Bundle, CanonicalizedBody, DerCertificate, DerPublicKey, DigestBytes, HashAlgorithm,
    KindVersion, LogIndex, LogKeyId, MediaType, Sha256Hash, SignatureBytes, SignatureContent,
    SignedTimestamp, TimestampToken, TransparencyLogEntry,
};

use super::pki::{certificates, spki};
use super::{
    Accepted, Artifact, Claimed, LogEntry, Pki, SigningTime, SigstoreBundle, TrustMaterial,
    Unmatched, VerifyError, verify_bundle, verify_with_keys, verify_with_pki,
};
use crate::reason::quoted;

/// A signature and its annotations, as they were found.
///
/// It is verified over the payload. Whether that is about the image, by its digest and name, is to
/// be read from the payload afterwards ([`crate::payload::simple_signing`]).
#[derive(Debug, Clone, Copy, Default)]
pub struct LegacySignature<'a> {
    /// The layer's content, which is what is signed.
    pub payload: &'a [u8],
    /// `dev.cosignproject.cosign/signature`, decoded.
    pub signature: &'a [u8],
    /// `dev.sigstore.cosign/certificate`: PEM, one certificate.
    pub certificate: Option<&'a str>,
    /// `dev.sigstore.cosign/chain`: PEM, from the certificate's issuer to the root.
    pub chain: Option<&'a str>,
    /// `dev.sigstore.cosign/bundle`: JSON, what Rekor v1 answered.
    pub log_entry: Option<&'a str>,
    /// `dev.sigstore.cosign/rfc3161timestamp`: JSON, what a timestamp authority answered.
    pub timestamp: Option<&'a str>,
}

/// By what a signature with annotations is verified: it may be by a key, whatever certificate comes
/// along.
#[derive(Debug, Clone, Copy)]
enum LegacyMaterial<'k> {
    /// By the certificate that comes along.
    Certificate,
    /// By this key.
    Key(&'k PublicKey),
}

impl LegacySignature<'_> {
    /// Verifies it by the certificate that came along, as [`verify_bundle`] does.
    pub fn verify(&self, trust: &TrustMaterial) -> Result<Unmatched, VerifyError> {
        let bundle = self.bundle(LegacyMaterial::Certificate)?;
        verify_bundle(&bundle, &Artifact::Bytes(self.payload), trust)
    }

    /// Verifies it by keys, as [`verify_with_keys`] does. Annotations with evidence are not even
    /// read where no log entry is demanded.
    pub fn verify_with_keys<'k>(
        &self,
        keys: &'k [PublicKey],
        log: LogEntry<'_>,
    ) -> Result<Accepted<&'k PublicKey>, VerifyError> {
        let signature = match log {
            LogEntry::NotDemanded => Self {
                log_entry: None,
                timestamp: None,
                ..*self
            },
            LogEntry::Demanded(_) => *self,
        };
        let mut failure = VerifyError::Signature("there is no key".into());
        for key in keys {
            let bundle = signature.bundle(LegacyMaterial::Key(key))?;
            let artifact = Artifact::Bytes(self.payload);
            match verify_with_keys(&bundle, &artifact, std::slice::from_ref(key), log) {
                Ok(accepted) => return Ok(accepted),
                // Any other failure is by the right key, and so tells more.
                Err(VerifyError::Signature(_)) if !matches!(failure, VerifyError::Signature(_)) => {
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Verifies it by the certificate that came along, as [`verify_with_pki`] does.
    pub fn verify_with_pki(
        &self,
        pki: &Pki,
        time: SigningTime<'_>,
    ) -> Result<Accepted<()>, VerifyError> {
        let signature = match time {
            SigningTime::Now(_) => Self {
                log_entry: None,
                timestamp: None,
                ..*self
            },
            SigningTime::Proven(_) => *self,
        };
        let bundle = signature.bundle(LegacyMaterial::Certificate)?;
        verify_with_pki(&bundle, &Artifact::Bytes(self.payload), pki, time)
    }

    /// Whom it says that it is by: its certificate, or the key that its log entry names.
    #[must_use]
    pub fn claimed(&self) -> Option<Claimed> {
        if let Some(certificate) = self.certificate {
            let leaf = certificates(certificate).ok()?.into_iter().next()?;
            return Some(Claimed::by(&DerCertificate::from_bytes(&leaf)));
        }
        let RekorBundle { payload, .. } = serde_json::from_str(self.log_entry?).ok()?;
        let body: Value = serde_json::from_slice(&BASE64.decode(payload.body).ok()?).ok()?;
        let key = body
            .pointer("/spec/signature/publicKey/content")?
            .as_str()?;
        let key = String::from_utf8(BASE64.decode(key).ok()?).ok()?;
        let key = PublicKey::parse_pem(&key).ok()?.pop()?;
        Some(Claimed {
            key: Some(key.fingerprint()),
            ..Claimed::default()
        })
    }

    /// The bundle that says the same: v0.1 with a log entry, because a promise is enough there;
    /// v0.2 without, because a log entry is not needed there.
    fn bundle(&self, by: LegacyMaterial<'_>) -> Result<SigstoreBundle, VerifyError> {
        let (content, key) = match by {
            LegacyMaterial::Certificate => self.certificates()?,
            LegacyMaterial::Key(key) => (
                VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new("")),
                DerPublicKey::from_bytes(key.spki_der()),
            ),
        };
        let algorithm = self.hash_algorithm(&key);
        let entries = self.log_entry.map(log_entry).transpose()?;
        let timestamps = self.timestamp.map(timestamp).transpose()?;
        let media_type = match entries {
            Some(_) => MediaType::Bundle0_1,
            None => MediaType::Bundle0_2,
        };
        let timestamps = timestamps.into_iter().collect();
        let material = VerificationMaterial::new(content)
            .with_tlog_entries(entries.into_iter().collect())
            .with_timestamp_verification_data(TimestampVerificationData::new(timestamps));
        let signature = MessageSignature::new(SignatureBytes::from_bytes(self.signature))
            .with_message_digest(self.message_digest(algorithm));
        SigstoreBundle::new(Bundle::new(
            media_type,
            material,
            SignatureContent::MessageSignature(signature),
        ))
    }

    fn certificates(&self) -> Result<(VerificationMaterialContent, DerPublicKey), VerifyError> {
        let leaf = certificates(self.certificate.ok_or(VerifyError::NoCertificate)?)?;
        let [leaf] = leaf.as_slice() else {
            let message = format!("{} certificates where one is expected", leaf.len());
            return Err(VerifyError::Malformed(message));
        };
        let leaf = DerCertificate::from_bytes(leaf);
        let key = spki(&leaf)?;
        let chain = certificates(self.chain.unwrap_or_default())?;
        let content = if chain.is_empty() {
            VerificationMaterialContent::Certificate(CertificateContent::new(leaf))
        } else {
            let chain = chain.iter().map(|der| DerCertificate::from_bytes(der));
            let certificates = std::iter::once(leaf).chain(chain);
            VerificationMaterialContent::X509CertificateChain {
                certificates: certificates.map(X509Certificate::new).collect(),
            }
        };
        Ok((content, key))
    }

    /// The annotations do not name the hash. cosign of old used SHA-256 with every key, others use
    /// the one that fits the key's size: it is the one by which the signature holds. The library
    /// verifies the signature again with what is found here.
    fn hash_algorithm(&self, key: &DerPublicKey) -> HashAlgorithm {
        let Ok(algorithm) = KeyAlgorithm::from_spki(key) else {
            return HashAlgorithm::Sha2256;
        };
        let signature = SignatureBytes::from_bytes(self.signature);
        let fits = |hash: &HashAlgorithm| {
            algorithm
                .resolve_signing_scheme(*hash)
                .and_then(|scheme| VerificationKey::from_spki_with_scheme(key, scheme))
                .is_ok_and(|key| key.verify(self.payload, &signature).is_ok())
        };
        let hashes = [
            HashAlgorithm::Sha2256,
            HashAlgorithm::Sha2384,
            HashAlgorithm::Sha2512,
        ];
        hashes
            .into_iter()
            .find(fits)
            .unwrap_or(HashAlgorithm::Sha2256)
    }

    fn message_digest(&self, algorithm: HashAlgorithm) -> MessageDigest {
        let hash = match algorithm {
            HashAlgorithm::Sha2384 => &SHA384,
            HashAlgorithm::Sha2512 => &SHA512,
            _ => &SHA256,
        };
        let digest = digest::digest(hash, self.payload);
        MessageDigest::new(algorithm, DigestBytes::new(digest.as_ref().to_vec()))
    }
}

#[derive(Deserialize)]
struct RekorBundle {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: RekorPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RekorPayload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// What every entry's body begins with.
#[derive(Deserialize)]
struct Body {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
}

fn log_entry(json: &str) -> Result<TransparencyLogEntry, VerifyError> {
    let malformed =
        |error: &dyn std::fmt::Display| VerifyError::Malformed(format!("the log entry: {error}"));
    let RekorBundle { promise, payload } =
        serde_json::from_str(json).map_err(|error| malformed(&error))?;
    let body = BASE64
        .decode(&payload.body)
        .map_err(|error| malformed(&error))?;
    let Body { kind, version } =
        serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
    let value = serde_json::json!({"kind": kind, "version": version});
    let kind: KindVersion = serde_json::from_value(value).map_err(|_| {
        let kind = quoted(&format!("{kind} {version}"));
        VerifyError::Unsupported(format!("log entries of kind {kind}"))
    })?;
    let time = Timestamp::from_second(payload.integrated_time).map_err(|e| malformed(&e))?;
    let index = LogIndex::new(payload.log_index).map_err(|error| malformed(&error))?;
    let log = Sha256Hash::from_hex(&payload.log_id).map_err(|error| malformed(&error))?;
    let log = LogId::new(LogKeyId::from_bytes(log.as_bytes()));
    let promise = SignedTimestamp::from_base64(&promise).map_err(|error| malformed(&error))?;
    Ok(
        TransparencyLogEntry::new(index, log, kind, CanonicalizedBody::new(body))
            .with_integrated_time(time)
            .with_inclusion_promise(InclusionPromise::new(promise)),
    )
}

fn timestamp(json: &str) -> Result<Rfc3161Timestamp, VerifyError> {
    #[derive(Deserialize)]
    struct Wrapper {
        #[serde(rename = "SignedRFC3161Timestamp")]
        token: String,
    }
    let malformed =
        |error: &dyn std::fmt::Display| VerifyError::Malformed(format!("the timestamp: {error}"));
    let Wrapper { token } = serde_json::from_str(json).map_err(|error| malformed(&error))?;
    let token = TimestampToken::from_base64(&token).map_err(|error| malformed(&error))?;
    Ok(Rfc3161Timestamp::new(token))
}

#[cfg(test)]
#[path = "legacy_tests.rs"]
mod tests;
