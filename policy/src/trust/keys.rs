//! Keys and ids of logs.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spki::der::Encode;
use spki::der::asn1::{Any, BitString};
use spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};

use super::TrustProblem;
use crate::key::{KeyError, KeyKind, PublicKey};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The 32 bytes that name a log, written as base64 as in a `trusted_root.json`.
///
/// For ECDSA and RSA keys they are the SHA-256 of the DER `SubjectPublicKeyInfo` (RFC 6962, 3.2,
/// and Rekor v1). Rekor v2 logs with Ed25519 keys have the key id of their signed notes (C2SP
/// signed-note: SHA-256 of origin, newline, 0x01 and key), whose origin a trust root does not
/// state; such an id is taken as it is, and a wrong one finds no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId([u8; 32]);

impl LogId {
    /// The SHA-256 of the key's DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.spki_der());
        let mut id = [0; 32];
        id.iter_mut()
            .zip(sum.as_ref())
            .for_each(|(to, from)| *to = *from);
        Self(id)
    }

    /// The id itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn parse(base64: &str) -> Result<Self, TrustProblem> {
        let bytes = STANDARD
            .decode(base64)
            .map_err(|_| TrustProblem::LogIdLength)?;
        Self::from_slice(&bytes)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Result<Self, TrustProblem> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| TrustProblem::LogIdLength)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// That the verifier's library can verify what the log signs: it knows no P-521.
pub(super) fn check_kind(key: &PublicKey) -> Result<(), TrustProblem> {
    match key.kind() {
        kind @ KeyKind::EcdsaP521 => Err(TrustProblem::KeyAlgorithm {
            fingerprint: key.fingerprint(),
            kind,
        }),
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::Ed25519 | KeyKind::Rsa { .. } => Ok(()),
    }
}

/// That an id belongs to its key, where the key alone tells.
pub(super) fn check_id(id: LogId, key: &PublicKey) -> Result<(), TrustProblem> {
    let expected = LogId::of(key);
    if id == expected || key.kind() == KeyKind::Ed25519 {
        return Ok(());
    }
    let expected = expected.to_string();
    Err(TrustProblem::LogId { expected })
}

/// Why a key of a `trusted_root.json` is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be a good key of an algorithm that is not verified here: leave it out and say so.
    Unsupported(String),
    /// It is wrong.
    Wrong(TrustProblem),
}

/// Reads a key with its `keyDetails` (`PublicKeyDetails` of sigstore's protobuf-specs).
///
/// Some roots hold a bare PKCS#1 `RSAPublicKey`; it becomes the `SubjectPublicKeyInfo` that its
/// log id is computed over.
pub(super) fn parse(der: &[u8], details: &str) -> Result<PublicKey, Refusal> {
    let unsupported = || {
        let name: String = details
            .chars()
            .filter(char::is_ascii_graphic)
            .take(64)
            .collect();
        Refusal::Unsupported(format!(
            "`keyDetails` {name} is not verified by this version"
        ))
    };
    let key = match details {
        "PKCS1_RSA_PKCS1V5" => {
            let spki = rsa_spki(der).ok_or(Refusal::Wrong(TrustProblem::Key))?;
            from_spki(&spki)?
        }
        _ if kind_matches(details, None) => from_spki(der)?,
        _ => return Err(unsupported()),
    };
    if !kind_matches(details, Some(key.kind())) {
        let (details, kind) = (details.to_owned(), key.kind());
        return Err(Refusal::Wrong(TrustProblem::KeyDetails { details, kind }));
    }
    check_kind(&key).map_err(|problem| Refusal::Unsupported(problem.to_string()))?;
    Ok(key)
}

/// Whether `details` is a name that is verified here and, with a `kind`, whether it fits that.
fn kind_matches(details: &str, kind: Option<KeyKind>) -> bool {
    let fits = |test: fn(KeyKind) -> bool| kind.is_none_or(test);
    match details {
        "PKIX_ECDSA_P256_SHA_256" => fits(|kind| kind == KeyKind::EcdsaP256),
        "PKIX_ECDSA_P384_SHA_384" => fits(|kind| kind == KeyKind::EcdsaP384),
        "PKIX_ECDSA_P521_SHA_512" => fits(|kind| kind == KeyKind::EcdsaP521),
        "PKIX_ED25519" => fits(|kind| kind == KeyKind::Ed25519),
        "PKCS1_RSA_PKCS1V5" | "PKIX_RSA_PKCS1V5" => {
            fits(|kind| matches!(kind, KeyKind::Rsa { .. }))
        }
        "PKIX_RSA_PKCS1V15_2048_SHA256" => fits(|kind| kind == KeyKind::Rsa { bits: 2048 }),
        "PKIX_RSA_PKCS1V15_3072_SHA256" => fits(|kind| kind == KeyKind::Rsa { bits: 3072 }),
        "PKIX_RSA_PKCS1V15_4096_SHA256" => fits(|kind| kind == KeyKind::Rsa { bits: 4096 }),
        _ => false,
    }
}

/// The `keyDetails` that are written for a key.
pub(super) fn details(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        KeyKind::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
        KeyKind::EcdsaP521 => "PKIX_ECDSA_P521_SHA_512",
        KeyKind::Ed25519 => "PKIX_ED25519",
        KeyKind::Rsa { bits: 2048 } => "PKIX_RSA_PKCS1V15_2048_SHA256",
        KeyKind::Rsa { bits: 3072 } => "PKIX_RSA_PKCS1V15_3072_SHA256",
        KeyKind::Rsa { bits: 4096 } => "PKIX_RSA_PKCS1V15_4096_SHA256",
        KeyKind::Rsa { .. } => "PKIX_RSA_PKCS1V5",
    }
}

fn from_spki(der: &[u8]) -> Result<PublicKey, Refusal> {
    let pem = ::pem::encode(&::pem::Pem::new("PUBLIC KEY", der));
    match PublicKey::parse_pem(&pem) {
        Ok(mut keys) => keys.pop().ok_or(Refusal::Wrong(TrustProblem::Key)),
        Err(KeyError::Algorithm { .. }) => Err(Refusal::Unsupported(
            "its algorithm is not verified by this version".to_owned(),
        )),
        Err(KeyError::RsaSize { bits, .. }) => Err(Refusal::Unsupported(format!(
            "RSA of {bits} bits is not accepted: 2048 to 4096 are"
        ))),
        Err(_) => Err(Refusal::Wrong(TrustProblem::Key)),
    }
}

/// The `SubjectPublicKeyInfo` (RFC 3279, 2.3.1) around a PKCS#1 `RSAPublicKey`.
fn rsa_spki(pkcs1: &[u8]) -> Option<Vec<u8>> {
    let spki = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: RSA_ENCRYPTION,
            parameters: Some(Any::null()),
        },
        subject_public_key: BitString::from_bytes(pkcs1).ok()?,
    };
    spki.to_der().ok()
}
