//! Raw signatures by public keys.
//!
//! A simple-signing attachment and a bundle with a key say nothing trustworthy about the hash that
//! was used, so every combination that the field uses is tried:
//!
//! | key | hashes | who makes them |
//! |---|---|---|
//! | P-256 | SHA-256 | everyone |
//! | P-384 | SHA-384, SHA-256 | sigstore's algorithm registry; cosign's attachments of old |
//! | P-521 | SHA-512, SHA-256 | the same |
//! | Ed25519 | – | pure Ed25519 |
//! | RSA PKCS#1 v1.5 | SHA-256, SHA-384, SHA-512 | cosign, cloud key services |
//! | RSA-PSS | the same, salt as long as the hash or as long as possible | cloud key services; Go |
//!
//! Each combination is a secure signature scheme of its own, so trying several accepts nothing that
//! the key's owner did not sign. Ed25519ph, which cosign 3 makes of Ed25519 keys by default, is not
//! verified: the cryptographic library has no safe interface for it.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaPssSaltLength, VerificationAlgorithm,
};
use policy::key::{KeyKind, PublicKey};

/// The most bytes of a signature: RSA with 4096 bits makes 512, and nothing accepted makes more.
pub const MAX_SIGNATURE: usize = 512;

type Algorithms = &'static [&'static dyn VerificationAlgorithm];

const P256: Algorithms = &[&ECDSA_P256_SHA256_ASN1];
const P384: Algorithms = &[&ECDSA_P384_SHA384_ASN1, &ECDSA_P384_SHA256_ASN1];
const P521: Algorithms = &[&ECDSA_P521_SHA512_ASN1, &ECDSA_P521_SHA256_ASN1];
const EDDSA: Algorithms = &[&ED25519];
/// The commonest first.
const RSA: Algorithms = &[
    &RSA_PKCS1_2048_8192_SHA256,
    &RSA_PKCS1_2048_8192_SHA512,
    &RSA_PKCS1_2048_8192_SHA384,
    &RSA_PSS_2048_8192_SHA256,
    &RSA_PSS_2048_8192_SHA384,
    &RSA_PSS_2048_8192_SHA512,
    // Go's default when it signs; a check for one salt length does not accept the other.
    &RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max),
    &RSA_PSS_2048_8192_SHA384.with_pss_salt_length(RsaPssSaltLength::Max),
    &RSA_PSS_2048_8192_SHA512.with_pss_salt_length(RsaPssSaltLength::Max),
];

fn algorithms(kind: KeyKind) -> Algorithms {
    match kind {
        KeyKind::EcdsaP256 => P256,
        KeyKind::EcdsaP384 => P384,
        KeyKind::EcdsaP521 => P521,
        KeyKind::Ed25519 => EDDSA,
        KeyKind::Rsa { .. } => RSA,
    }
}

/// Whether `signature` is one over `message` by the holder of `key`.
#[must_use]
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    // A length that the key cannot make is the common case when there are several signers.
    let possible = match key.kind() {
        KeyKind::Ed25519 => signature.len() == 64,
        KeyKind::Rsa { bits } => signature.len() == bits.div_ceil(8) as usize,
        KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => {
            (8..=MAX_SIGNATURE).contains(&signature.len()) && signature.first() == Some(&0x30)
        }
    };
    possible
        && algorithms(key.kind())
            .iter()
            .any(|algorithm| algorithm.verify_sig(key.raw(), message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature as lc;
    use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    const MESSAGE: &[u8] = b"message";

    fn public(key: &impl AsDer<PublicKeyX509Der<'static>>) -> PublicKey {
        let der = key.as_der().unwrap();
        let body = BASE64.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        PublicKey::parse_pem(&pem).unwrap().remove(0)
    }

    fn accepts_only_this(key: &PublicKey, signature: &[u8], what: &str) {
        assert!(verify(key, MESSAGE, signature), "{what}");
        assert!(
            !verify(key, b"massage", signature),
            "{what}: another message"
        );
        let mut broken = signature.to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert!(!verify(key, MESSAGE, &broken), "{what}: another signature");
        assert!(
            !verify(key, MESSAGE, &signature[1..]),
            "{what}: a shorter signature"
        );
        assert!(!verify(key, MESSAGE, &[]), "{what}: no signature");
        let other = EcdsaKeyPair::generate(&lc::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        assert!(
            !verify(&public(other.public_key()), MESSAGE, signature),
            "{what}: another key"
        );
    }

    #[test]
    fn ecdsa_is_verified_with_every_hash_that_the_field_uses() {
        for (what, signing) in [
            ("P-256 SHA-256", &lc::ECDSA_P256_SHA256_ASN1_SIGNING),
            ("P-384 SHA-384", &lc::ECDSA_P384_SHA384_ASN1_SIGNING),
            ("P-521 SHA-256", &lc::ECDSA_P521_SHA256_ASN1_SIGNING),
            ("P-521 SHA-512", &lc::ECDSA_P521_SHA512_ASN1_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let signature = pair.sign(&SystemRandom::new(), MESSAGE).unwrap();
            accepts_only_this(&public(pair.public_key()), signature.as_ref(), what);
        }
    }

    #[test]
    fn ed25519_is_verified() {
        let pair = Ed25519KeyPair::generate().unwrap();
        accepts_only_this(
            &public(pair.public_key()),
            pair.sign(MESSAGE).as_ref(),
            "Ed25519",
        );
    }

    #[test]
    fn rsa_is_verified_with_both_paddings_and_every_hash() {
        static MAX: lc::RsaSignatureEncoding =
            lc::RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
        let encodings: [(&str, &'static dyn lc::RsaEncoding); 7] = [
            ("PKCS#1 SHA-256", &lc::RSA_PKCS1_SHA256),
            ("PKCS#1 SHA-384", &lc::RSA_PKCS1_SHA384),
            ("PKCS#1 SHA-512", &lc::RSA_PKCS1_SHA512),
            ("PSS SHA-256", &lc::RSA_PSS_SHA256),
            ("PSS SHA-384", &lc::RSA_PSS_SHA384),
            ("PSS SHA-512", &lc::RSA_PSS_SHA512),
            ("PSS SHA-256, longest salt", &MAX),
        ];
        for size in [KeySize::Rsa2048, KeySize::Rsa3072] {
            let pair = RsaKeyPair::generate(size).unwrap();
            for (what, encoding) in encodings {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature)
                    .unwrap();
                accepts_only_this(&public(pair.public_key()), &signature, what);
            }
        }
    }

    #[test]
    fn signatures_made_by_openssl_are_verified() {
        for (name, key, signature) in VECTORS {
            let key = PublicKey::parse_pem(key).unwrap().remove(0);
            let signature = BASE64.decode(signature.replace('\n', "")).unwrap();
            accepts_only_this(&key, &signature, name);
        }
    }

    macro_rules! vector {
        ($name:literal) => {
            (
                $name,
                include_str!(concat!("../testdata/keys/", $name, ".pem")),
                include_str!(concat!("../testdata/keys/", $name, ".sig")),
            )
        };
    }

    /// Signatures over `message`, see `testdata/keys/README.md`.
    const VECTORS: [(&str, &str, &str); 6] = [
        vector!("p256-sha256"),
        vector!("p384-sha256"),
        vector!("p384-sha384"),
        vector!("p521-sha256"),
        vector!("ed25519"),
        vector!("rsa4096-pss-sha256-max"),
    ];
}
