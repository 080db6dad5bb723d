//! A certificate authority: a Fulcio, or a company's own.

use anyhow::{Context as _, Result};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SanType,
    SignatureAlgorithm, SigningKey,
};
use spki::SubjectPublicKeyInfoRef;

use crate::keys::{Key, Kind};
use crate::sigstore::leaf::{Leaf, San, Validity};
use crate::sigstore::signer::Signer;
use crate::sigstore::{from_pem, to_pem};

/// A root or an intermediate, with its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, CertifiedKey>,
    /// Its own certificate first, its root last.
    chain: Vec<String>,
}

/// A key in the terms of rcgen.
#[derive(Debug)]
struct CertifiedKey {
    key: Key,
    /// The content of the key's bit string.
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl Authority {
    /// A root with a P-256 key that holds for long.
    pub fn root(name: &str) -> Result<Self> {
        Self::root_with(name, Kind::P256, Validity::long())
    }

    /// A root with another kind of key or another validity.
    pub fn root_with(name: &str, kind: Kind, validity: Validity) -> Result<Self> {
        let key = CertifiedKey::generate(kind)?;
        let params = ca(name, validity);
        let certificate = params.self_signed(&key).context("make a root")?;
        Ok(Self {
            chain: vec![pem(&certificate)],
            issuer: Issuer::new(params, key),
        })
    }

    /// An intermediate below this authority, with a P-256 key, that holds for long.
    pub fn intermediate(&self, name: &str) -> Result<Self> {
        self.intermediate_with(name, Kind::P256, Validity::long())
    }

    /// An intermediate with another kind of key or another validity.
    pub fn intermediate_with(&self, name: &str, kind: Kind, validity: Validity) -> Result<Self> {
        let key = CertifiedKey::generate(kind)?;
        let mut params = ca(name, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let certificate = params.signed_by(&key, &self.issuer);
        let own = pem(&certificate.context("make an intermediate")?);
        Ok(Self {
            chain: std::iter::once(own).chain(self.chain.clone()).collect(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.chain.first().cloned().unwrap_or_default()
    }

    /// The certificate of its root.
    #[must_use]
    pub fn root_pem(&self) -> String {
        self.chain.last().cloned().unwrap_or_default()
    }

    /// Its own certificate and all above it, the root last, as cosign attaches them.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.concat()
    }

    /// Issues a certificate for a new key; returns who signs with them.
    pub fn issue(&self, leaf: &Leaf) -> Result<Signer> {
        let key = CertifiedKey::generate(leaf.key)?;
        let names: Result<Vec<SanType>> = leaf.names.iter().map(san).collect();
        let mut params = params(leaf.validity);
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages.clone_from(&leaf.usages);
        params.custom_extensions = leaf.custom_extensions();
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = pem(&certificate.context("issue a certificate")?);
        Ok(Signer::certified(key.key, certificate, self.chain_pem()))
    }
}

fn params(validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = validity.from.into();
    params.not_after = validity.until.into();
    params.use_authority_key_identifier_extension = true;
    params
}

fn ca(name: &str, validity: Validity) -> CertificateParams {
    let mut params = params(validity);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "nodeseal tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn san(name: &San) -> Result<SanType> {
    let text =
        |text: &str| Ia5String::try_from(text).with_context(|| format!("{text:?} is no name"));
    Ok(match name {
        San::Email(address) => SanType::Rfc822Name(text(address)?),
        San::Uri(uri) => SanType::URI(text(uri)?),
        San::Dns(host) => SanType::DnsName(text(host)?),
    })
}

fn pem(certificate: &Certificate) -> String {
    to_pem("CERTIFICATE", certificate.der())
}

impl CertifiedKey {
    fn generate(kind: Kind) -> Result<Self> {
        let key = Key::generate(kind)?;
        let der = from_pem(&key.public_pem()?)?;
        let info =
            SubjectPublicKeyInfoRef::try_from(der.as_slice()).context("read a public key")?;
        Ok(Self {
            bits: info.subject_public_key.raw_bytes().to_vec(),
            algorithm: match kind {
                Kind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
                Kind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
                Kind::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
                Kind::Rsa2048 | Kind::Rsa3072 | Kind::Rsa4096 => &rcgen::PKCS_RSA_SHA256,
                Kind::Ed25519 => &rcgen::PKCS_ED25519,
            },
            key,
        })
    }
}

impl PublicKeyData for CertifiedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for CertifiedKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key
            .sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
