//! The registry's port and its certificate, made once for a node.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use pem::Pem;
use policy::digest::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// Where ports are chosen from: below the range that Linux takes the ports of outgoing connections
/// from (32768, ip(7)) and below that of Kubernetes' node ports (30000), so that nobody gets one of
/// these by chance.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// How many ports are tried.
const TRIES: usize = 32;

/// The port and the keys of a node's registry.
///
/// They are made once and kept, in a file of mode 0600, because the port stands in the node's table
/// and CRI-O trusts the certificate by a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// The keys.
    tls: Tls,
}

/// All in PEM. The key of the authority is thrown away when it has signed the one certificate, so
/// that nobody can make another one that CRI-O would trust.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    ca: String,
    certificate: String,
    key: String,
}

/// Why there is no identity, or why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No port.
    #[error("none of {TRIES} ports on 127.0.0.1 between 20000 and 30000 could be bound: {0}")]
    NoPort(std::io::Error),
    /// No certificate could be made.
    #[error("cannot make the certificate of the probe's registry: {0}")]
    Make(#[from] rcgen::Error),
    /// What was kept is no certificate and key that belong together.
    #[error(
        "the kept certificate of the probe's registry cannot be used: {0}; remove the file, a new one is made"
    )]
    Kept(String),
}

impl Identity {
    /// A new one, with a port that nobody listens on right now.
    pub fn generate() -> Result<Self, IdentityError> {
        let (tls, random) = Tls::generate()?;
        let span = usize::from(PORTS.end - PORTS.start);
        let ports = random
            .as_str()
            .bytes()
            .skip("sha256:".len())
            .scan(0_usize, |sum, byte| {
                *sum = (*sum * 31 + usize::from(byte)) % span;
                Some(*sum)
            })
            // The first few depend on few digits only.
            .skip(8)
            .take(TRIES);
        let mut failed = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        for port in ports.filter_map(|offset| u16::try_from(offset).ok()) {
            let port = PORTS.start + port;
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => return Ok(Self { port, tls }),
                Err(error) => failed = error,
            }
        }
        Err(IdentityError::NoPort(failed))
    }

    /// The registry as it stands in an image's name, and the folder of `certs.d`: `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// What CRI-O has to find in `certs.d/127.0.0.1:PORT/ca.crt`, in PEM. It is good for nothing but
    /// 127.0.0.1.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.tls.ca
    }

    /// The settings of the TLS server.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, IdentityError> {
        let kept = |error: &dyn fmt::Display| IdentityError::Kept(error.to_string());
        let certificate = CertificateDer::from_pem_slice(self.tls.certificate.as_bytes())
            .map_err(|error| kept(&error))?;
        let key =
            PrivateKeyDer::from_pem_slice(self.tls.key.as_bytes()).map_err(|error| kept(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], key)
            })
            .map_err(|error| kept(&error))?;
        Ok(Arc::new(config))
    }
}

impl Tls {
    /// A new certificate, and something random.
    fn generate() -> Result<(Self, Digest), rcgen::Error> {
        let named = |params: &mut CertificateParams, name: &str| {
            params.distinguished_name.push(DnType::CommonName, name);
        };
        let mut ca = CertificateParams::default();
        named(&mut ca, "nodeseal probe on this node");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        ca.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::IpAddress(CidrSubnet::V4(
                Ipv4Addr::LOCALHOST.octets(),
                [255; 4],
            ))],
            excluded_subtrees: Vec::new(),
        });
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new([Ipv4Addr::LOCALHOST.to_string()])?;
        named(&mut server, "nodeseal probe");
        server.is_ca = IsCa::ExplicitNoCa;
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = server.signed_by(&key, &ca)?;

        let der = key.serialize_der();
        let random = Digest::of(&der);
        let pem = |tag: &str, der: &[u8]| pem::encode(&Pem::new(tag, der));
        let tls = Self {
            ca: pem("CERTIFICATE", ca.der()),
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &der),
        };
        Ok((tls, random))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No key in a log.
        f.debug_struct("Identity")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_as_json_and_works_afterwards() {
        let made = Identity::generate().unwrap();
        assert!(PORTS.contains(&made.port));
        assert_eq!(made.host(), format!("127.0.0.1:{}", made.port));
        assert!(made.ca().starts_with("-----BEGIN CERTIFICATE-----"));
        let json = serde_json::to_string(&made).unwrap();
        let kept: Identity = serde_json::from_str(&json).unwrap();
        assert_eq!(kept, made);
        kept.server().unwrap();
    }

    #[test]
    fn two_have_neither_port_nor_key_in_common() {
        let made: Vec<_> = (0..4).map(|_| Identity::generate().unwrap()).collect();
        assert!(made.iter().any(|other| other.port != made[0].port));
        assert!(made[1..].iter().all(|other| other.tls != made[0].tls));
    }

    #[test]
    fn a_kept_certificate_that_is_none_or_anothers_is_refused() {
        let mut damaged = Identity::generate().unwrap();
        damaged.tls.key = Identity::generate().unwrap().tls.key;
        assert!(matches!(damaged.server(), Err(IdentityError::Kept(_))));
        damaged.tls.certificate = String::new();
        let error = damaged.server().unwrap_err();
        assert!(error.to_string().contains("remove the file"), "{error}");
    }

    #[test]
    fn debug_output_has_no_key() {
        let made = Identity::generate().unwrap();
        assert!(!format!("{made:?}").contains("BEGIN"));
    }
}
