//! A private authority with a certificate for registries and one for nodes, and one that signs
//! tokens.

use anyhow::Result;
use e2e::oci::sha256;
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};

/// The certificates of one test.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The authority's certificate, PEM.
    pub(crate) ca: String,
    /// Certificate and key of registries, for `registry.test` and `127.0.0.1`.
    pub(crate) server: (String, String),
    /// Certificate and key of a node.
    pub(crate) client: (String, String),
}

impl Pki {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        // Authorities of one name would be taken for one another.
        let name = format!("authority {}", sha256(key.der_bytes()));
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, key)?;
        let leaf = |names: &[&str], usage| -> Result<(String, String)> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let mut params = CertificateParams::new(names)?;
            params.extended_key_usages = vec![usage];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &ca)?;
            Ok((
                pem("CERTIFICATE", certificate.der()),
                pem("PRIVATE KEY", &key.serialize_der()),
            ))
        };
        Ok(Self {
            server: leaf(
                &["registry.test", "127.0.0.1"],
                ExtendedKeyUsagePurpose::ServerAuth,
            )?,
            client: leaf(&["node.test"], ExtendedKeyUsagePurpose::ClientAuth)?,
            ca: pem("CERTIFICATE", ca.der()),
        })
    }
}

/// DER as PEM.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&Pem::new(label, der))
}
