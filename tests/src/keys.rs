//! Signing keys of every kind, for signatures that a test makes by itself and for cosign to import.

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding,
};
use pem::{EncodeConfig, LineEnding, Pem};

/// What a key is, and what [`Key::sign`] does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ECDSA with SHA-256.
    P256,
    /// ECDSA with SHA-384, as cosign signs since 2.x; it still verifies with SHA-256 unless told.
    P384,
    /// ECDSA with SHA-512, as cosign signs since 2.x; it still verifies with SHA-256 unless told.
    P521,
    /// 2048 bits, PKCS #1 v1.5 with SHA-256.
    Rsa2048,
    /// 3072 bits, PKCS #1 v1.5 with SHA-256.
    Rsa3072,
    /// 4096 bits, PKCS #1 v1.5 with SHA-256.
    Rsa4096,
    /// Ed25519 over the message itself. cosign signs with Ed25519ph, which it cannot verify.
    Ed25519,
}

/// A private key.
#[derive(Debug)]
pub struct Key {
    kind: Kind,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    /// A new key.
    pub fn generate(kind: Kind) -> Result<Self> {
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::generate(algorithm).map(Pair::Ecdsa)
        };
        let rsa = |size| rsa::KeyPair::generate(size).map(Pair::Rsa);
        let pair = match kind {
            Kind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Kind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Kind::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            Kind::Rsa2048 => rsa(KeySize::Rsa2048),
            Kind::Rsa3072 => rsa(KeySize::Rsa3072),
            Kind::Rsa4096 => rsa(KeySize::Rsa4096),
            Kind::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        let pair = pair.map_err(|_| anyhow!("no {kind:?} key could be made"))?;
        Ok(Self { kind, pair })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The signature of a message, as cosign would encode it before base64: ECDSA in DER.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature
                    .map_err(|_| self.cannot("sign"))?
                    .as_ref()
                    .to_vec())
            }
            Pair::Rsa(pair) => self.sign_rsa(pair, &RSA_PKCS1_SHA256, message),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }

    /// The signature of a message by an RSA key in the PSS scheme with SHA-256.
    pub fn sign_pss(&self, message: &[u8]) -> Result<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => self.sign_rsa(pair, &RSA_PSS_SHA256, message),
            _ => Err(self.cannot("sign with RSA-PSS")),
        }
    }

    /// The public key as PEM (`SubjectPublicKeyInfo`), as it stands in a policy.
    pub fn public_pem(&self) -> Result<String> {
        let der = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
        };
        let der = der.map_err(|_| self.cannot("be exported"))?;
        Ok(to_pem("PUBLIC KEY", der.as_ref()))
    }

    /// The private key as PEM (PKCS #8), for `cosign import-key-pair`.
    pub fn private_pem(&self) -> Result<String> {
        let der = match &self.pair {
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            Pair::Rsa(pair) => pair
                .as_der()
                .map(|der: Pkcs8V1Der<'_>| der.as_ref().to_vec()),
        };
        let der = der.ok().with_context(|| self.cannot("be exported"))?;
        Ok(to_pem("PRIVATE KEY", &der))
    }

    fn sign_rsa(
        &self,
        pair: &rsa::KeyPair,
        encoding: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>> {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| self.cannot("sign"))?;
        Ok(signature)
    }

    fn cannot(&self, what: &str) -> anyhow::Error {
        anyhow!("a {:?} key cannot {what}", self.kind)
    }
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), config)
}
