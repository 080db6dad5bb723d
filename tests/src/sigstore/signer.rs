//! Who signs payloads, and what comes of it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keys::{Key, Kind};
use crate::oci::Descriptor;
use crate::sigstore::from_pem;
use crate::sigstore::log::Log;
use crate::sigstore::payload::Payload;

/// The media type of a payload.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that holds the signature.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The annotation that holds the signer's certificate.
pub const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The annotation that holds the certificates above it, the root last.
pub const CHAIN: &str = "dev.sigstore.cosign/chain";
/// The annotation that holds the log's word.
pub const BUNDLE: &str = "dev.sigstore.cosign/bundle";

/// A key, perhaps with a certificate.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    /// Instead of the key's own hash.
    sha256: Option<EcdsaKeyPair>,
    certificate: Option<Certified>,
}

/// A certificate as it is attached.
#[derive(Debug)]
struct Certified {
    certificate: String,
    chain: String,
}

/// One signature, with all that is attached beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// The signer's public key, or certificate: what the log takes down, PEM.
    pub verifier: String,
    /// The annotations besides that of the signature.
    pub annotations: BTreeMap<String, String>,
}

impl Signer {
    /// Who signs with a new P-256 key.
    pub fn generate() -> Result<Self> {
        Self::generate_kind(Kind::P256)
    }

    /// Who signs with a new key, in its own hash.
    pub fn generate_kind(kind: Kind) -> Result<Self> {
        Key::generate(kind).map(Self::new)
    }

    /// Who signs with this key, in its own hash.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self {
            key,
            sha256: None,
            certificate: None,
        }
    }

    pub(super) fn certified(key: Key, certificate: String, chain: String) -> Self {
        Self {
            certificate: Some(Certified { certificate, chain }),
            ..Self::new(key)
        }
    }

    /// Signs in SHA-256 whatever the key is, as cosign 1 did. Of P-384 keys aws-lc-rs cannot.
    pub fn with_sha256(mut self) -> Result<Self> {
        match self.key.kind() {
            Kind::P384 => bail!("a P-384 key cannot sign in SHA-256 here"),
            Kind::P521 => {
                let der = from_pem(&self.key.private_pem()?)?;
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA256_ASN1_SIGNING, &der);
                self.sha256 = Some(pair.map_err(|_| anyhow!("a P-521 key cannot be read back"))?);
            }
            // They do by themselves; Ed25519 has no choice.
            Kind::P256 | Kind::Rsa2048 | Kind::Rsa3072 | Kind::Rsa4096 | Kind::Ed25519 => {}
        }
        Ok(self)
    }

    /// The public key, PEM.
    pub fn public_pem(&self) -> Result<String> {
        self.key.public_pem()
    }

    /// The certificate, if there is one, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        let certified = self.certificate.as_ref()?;
        Some(&certified.certificate)
    }

    /// Signs a payload, with certificate and chain beside it if there are any.
    pub fn sign(&self, payload: &Payload) -> Result<Signature> {
        self.sign_bytes(payload.bytes())
    }

    /// Signs anything in the place of a payload.
    pub fn sign_bytes(&self, payload: Vec<u8>) -> Result<Signature> {
        let signature = match &self.sha256 {
            None => self.key.sign(&payload)?,
            Some(pair) => {
                let signature = pair.sign(&SystemRandom::new(), &payload);
                let signature = signature.map_err(|_| anyhow!("a P-521 key cannot sign"))?;
                signature.as_ref().to_vec()
            }
        };
        let mut annotations = BTreeMap::new();
        let verifier = if let Some(certified) = &self.certificate {
            annotations.insert(CERTIFICATE.to_owned(), certified.certificate.clone());
            annotations.insert(CHAIN.to_owned(), certified.chain.clone());
            certified.certificate.clone()
        } else {
            self.public_pem()?
        };
        Ok(Signature {
            payload,
            signature,
            verifier,
            annotations,
        })
    }
}

impl Signature {
    /// With the word of a log that it was there at this time.
    pub fn logged(self, log: &Log, at: SystemTime) -> Result<Self> {
        let entry = log.enter(&self, at).context("enter a signature")?;
        Ok(self.annotated(BUNDLE, &entry.bundle()))
    }

    /// With one more annotation, or another in its place.
    #[must_use]
    pub fn annotated(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without this annotation.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.annotations.remove(name);
        self
    }

    /// The layer that it becomes in the manifest of an image's signatures.
    #[must_use]
    pub fn layer(&self) -> Descriptor {
        let mut layer = Descriptor::of(PAYLOAD, &self.payload);
        layer.annotations.clone_from(&self.annotations);
        layer.annotated(SIGNATURE, STANDARD.encode(&self.signature))
    }
}
