//! The hash that a `hashedrekord` log entry names, against the one that the signature is over.
//!
//! The library takes an entry's digest for one of SHA-256, whatever the entry calls it and whichever
//! hash the signature is over. Rekor itself wants a digest as long as the hash that is named, and a
//! signature that holds over it (rekor's `hashedrekord/v0.0.1/entry.go`, `validate`; rekor-tiles'
//! `hashedrekord.go`, `ToLogEntry`), and everybody who reads an entry with its code checks that again:
//! cosign takes SHA-256 alone for attachments (`VerifyBundle`), sigstore-go the hash that the bundle
//! names (`VerifyTlogEntry`). An entry that no such log would have taken is no proof of anything.
//!
//! | entry | signature | |
//! |---|---|---|
//! | SHA-256 | over SHA-256 | goes on to be compared |
//! | SHA-384, SHA-512 | over the same | unsupported: nothing here compares such digests |
//! | any | over another hash | invalid |
//! | any | Ed25519 | unsupported: Rekor takes Ed25519ph alone |
//! | v0.0.2 | by any key but P-256 | unsupported if it says so, else invalid |
//! | any, `dsse` as well | RSA-PSS | unsupported: Rekor takes PKCS#1 v1.5 alone of RSA keys |

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    VerificationAlgorithm,
};
use policy::key::{KeyKind, PublicKey};
use serde::Deserialize;
use sigstore_verify::crypto::KeyAlgorithm;
use sigstore_verify::rekor::body::{HashValue, RekorEntryBody};
use sigstore_verify::types::{
    DerPublicKey, HashAlgorithm, KindVersion, SignatureContent, TransparencyLogEntry,
};

use super::{SigstoreBundle, VerifyError};
use crate::reason::quoted;

/// What entries of Rekor v2 call the only key and hash whose digests are compared here
/// (protobuf-specs, `PublicKeyDetails`).
const P256_SHA256: &str = "PKIX_ECDSA_P256_SHA_256";

/// Checks every entry of a bundle whose signature the library has found to be by `key`.
pub(super) fn check(bundle: &SigstoreBundle, key: &DerPublicKey) -> Result<(), VerifyError> {
    let entries = &bundle.0.verification_material.tlog_entries;
    if entries.is_empty() {
        return Ok(());
    }
    let algorithm = KeyAlgorithm::from_spki(key)
        .map_err(|error| VerifyError::Unsupported(error.to_string()))?;
    let signed = signed_hash(bundle, algorithm)?;
    for entry in entries {
        match entry.kind_version {
            KindVersion::HashedRekordV001 => {
                match RekorEntryBody::parse(&entry.canonicalized_body, entry.kind_version) {
                    Ok(RekorEntryBody::HashedRekordV001(body)) => {
                        check_hash(&body.spec.data.hash, signed)?;
                    }
                    Ok(_) => return Err(VerifyError::LogEntry("it is of another kind".into())),
                    Err(error) => return Err(VerifyError::LogEntry(error.to_string())),
                }
            }
            KindVersion::HashedRekordV002 => check_second_version(entry, algorithm, signed)?,
            // What they name is a hash of the payload or the envelope, which nobody signs.
            _ => {}
        }
    }
    Ok(())
}

/// The better word for what the library has said about a log entry, where what is wrong with it is
/// its hash.
pub(super) fn told(error: VerifyError, bundle: &SigstoreBundle, key: &DerPublicKey) -> VerifyError {
    if !matches!(error, VerifyError::LogEntry(_)) {
        return error;
    }
    match check(bundle, key) {
        Err(better @ (VerifyError::Unsupported(_) | VerifyError::LogEntry(_))) => better,
        _ => error,
    }
}

/// As [`check`], for a signature that the library cannot verify: the hash is the one with which it
/// holds, and none but SHA-256 is compared.
pub(super) fn check_by(
    hash: &HashValue,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let with_sha256: &dyn VerificationAlgorithm = match key.kind() {
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA256_ASN1,
        KeyKind::EcdsaP521 => &ECDSA_P521_SHA256_ASN1,
        KeyKind::Ed25519 => return check_hash(hash, None),
        KeyKind::Rsa { .. } => &RSA_PKCS1_2048_8192_SHA256,
    };
    if with_sha256
        .verify_sig(key.raw(), message, signature)
        .is_ok()
    {
        return check_hash(hash, Some(HashAlgorithm::Sha2256));
    }
    if hash.algorithm == HashAlgorithm::Sha2256 {
        return Err(mismatch(hash.algorithm, "another hash"));
    }
    Err(unsupported(hash.algorithm))
}

/// Checks that a signature by an RSA key which holds is one that Rekor takes. Its code for keys and
/// certificates knows PKCS#1 v1.5 alone (rekor's `pkg/pki/x509/x509.go` and `dsse/v0.0.1/entry.go` by
/// sigstore's `LoadVerifier`; sigstore/rekor#2368), and so does everybody's who reads an entry with it.
pub(super) fn check_padding(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let pkcs1: [&dyn VerificationAlgorithm; 3] = [
        &RSA_PKCS1_2048_8192_SHA256,
        &RSA_PKCS1_2048_8192_SHA384,
        &RSA_PKCS1_2048_8192_SHA512,
    ];
    let holds = |algorithm: &dyn VerificationAlgorithm| {
        algorithm.verify_sig(key.raw(), message, signature).is_ok()
    };
    if !matches!(key.kind(), KeyKind::Rsa { .. }) || pkcs1.into_iter().any(holds) {
        return Ok(());
    }
    let message = "log entries of RSA-PSS signatures, for which Rekor takes PKCS#1 v1.5 alone";
    Err(VerifyError::Unsupported(message.into()))
}

/// The hash that the signature is over; none for one over the message itself.
fn signed_hash(
    bundle: &SigstoreBundle,
    algorithm: KeyAlgorithm,
) -> Result<Option<HashAlgorithm>, VerifyError> {
    // As the library chooses it.
    let declared = match &bundle.0.content {
        SignatureContent::MessageSignature(message) => message.message_digest.as_ref(),
        _ => None,
    };
    let scheme = match declared {
        Some(digest) => algorithm
            .resolve_signing_scheme(digest.algorithm)
            .map_err(|error| VerifyError::Unsupported(error.to_string()))?,
        None => algorithm.default_signing_scheme(),
    };
    Ok(scheme.hash_algorithm())
}

fn check_hash(hash: &HashValue, signed: Option<HashAlgorithm>) -> Result<(), VerifyError> {
    let named = hash.algorithm;
    if hash.value.as_str().len() != named.digest_size() * 2 {
        let name = named.as_rekor_str();
        let message = format!("it names the hash {name}, and its digest has another length");
        return Err(VerifyError::LogEntry(message));
    }
    match signed {
        None => {
            let message =
                "hashedrekord log entries of Ed25519 signatures, for which there is only Ed25519ph";
            Err(VerifyError::Unsupported(message.into()))
        }
        Some(signed) if signed != named => Err(mismatch(named, signed.as_rekor_str())),
        Some(HashAlgorithm::Sha2256) => Ok(()),
        Some(_) => Err(unsupported(named)),
    }
}

fn mismatch(named: HashAlgorithm, signed: &str) -> VerifyError {
    let named = named.as_rekor_str();
    VerifyError::LogEntry(format!(
        "it names the hash {named}, and the signature is over {signed}"
    ))
}

fn unsupported(named: HashAlgorithm) -> VerifyError {
    let named = named.as_rekor_str();
    VerifyError::Unsupported(format!("log entries with the hash {named}"))
}

/// Rekor v2 names the kind of key as well, and with it the hash.
fn check_second_version(
    entry: &TransparencyLogEntry,
    algorithm: KeyAlgorithm,
    signed: Option<HashAlgorithm>,
) -> Result<(), VerifyError> {
    #[derive(Deserialize)]
    struct Body {
        spec: Spec,
    }
    #[derive(Deserialize)]
    struct Spec {
        #[serde(rename = "hashedRekordV002")]
        record: Record,
    }
    #[derive(Deserialize)]
    struct Record {
        data: Data,
        signature: Signature,
    }
    #[derive(Deserialize)]
    struct Data {
        algorithm: HashAlgorithm,
    }
    #[derive(Deserialize)]
    struct Signature {
        verifier: Verifier,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Verifier {
        key_details: String,
    }
    let body: Body = serde_json::from_slice(entry.canonicalized_body.as_bytes())
        .map_err(|error| VerifyError::LogEntry(error.to_string()))?;
    let Record { data, signature } = body.spec.record;
    let details = signature.verifier.key_details;
    if details != P256_SHA256 {
        let details = quoted(&details);
        let message = format!("log entries of Rekor v2 by keys of kind {details}");
        return Err(VerifyError::Unsupported(message));
    }
    let own = (KeyAlgorithm::EcdsaP256, Some(HashAlgorithm::Sha2256));
    if (algorithm, signed) != own || data.algorithm != HashAlgorithm::Sha2256 {
        let message = format!("it names {P256_SHA256}, which the signature is not");
        return Err(VerifyError::LogEntry(message));
    }
    Ok(())
}

#[cfg(test)]
#[path = "logged_hash_tests.rs"]
mod tests;
