//! TLS with the host's own certificate authorities, read only when a certificate has to be checked,
//! and with what `hosts.toml` adds to them.
//!
//! Parsing the roots of a usual host costs milliseconds, and a registry on loopback or an image that
//! no policy covers needs none. The paths are fixed: the environment has no say in who is trusted.

mod identity;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
};

use crate::node_file::{self, NodeFileError};

/// Where CA bundles are looked for; the first that is there counts.
pub(super) type Bundles = &'static [&'static str];

/// Where distributions keep their bundle of roots.
pub(super) const HOST_BUNDLES: Bundles = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
];

/// The most bytes of a file with certificates or a key.
const MAX_PEM: u64 = 4 * 1024 * 1024;

/// What a host's configuration says about TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Authorities beside those of the node.
    pub(super) ca: Vec<PathBuf>,
    /// Client certificates, with their keys where these have files of their own.
    pub(super) client: Vec<(PathBuf, Option<PathBuf>)>,
    /// The server's certificate is not checked.
    pub(super) skip_verify: bool,
}

/// Why there is no TLS with a host. containerd refuses such a pull as well.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file of `hosts.toml` cannot be read.
    #[error(transparent)]
    File(#[from] NodeFileError),
    /// It is not what it should be.
    #[error("{path} {what}")]
    Pem {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
    /// The TLS library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] Error),
}

/// The configuration of a client: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
pub(super) fn config(
    roots: &Arc<HostRoots>,
    settings: &Settings,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(provider());
    let verifier: Arc<dyn ServerCertVerifier> = if settings.skip_verify {
        Arc::new(Unchecked(Arc::clone(&provider)))
    } else {
        Arc::new(Authorities {
            roots: Arc::clone(roots),
            more: authorities(&settings.ca)?,
            provider: Arc::clone(&provider),
            verifier: OnceLock::new(),
        })
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        // "Dangerous" is any verifier but the default one.
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = if settings.client.is_empty() {
        builder.with_no_client_auth()
    } else {
        let identities = identity::Identities::load(&settings.client, &provider)?;
        builder.with_client_cert_resolver(Arc::new(identities))
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The library's provider, with the post-quantum key exchange first. Servers that know it (Go's since
/// 1.24) insist on it, and one that gets no share for it at once asks for another greeting: a whole
/// round trip. A share for X25519 goes along, so that the others lose nothing.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_first =
        |group: &&'static dyn SupportedKxGroup| group.name() != NamedGroup::X25519MLKEM768;
    provider.kx_groups.sort_by_key(is_first);
    provider
}

/// The certificates in these files, each of which has to hold one.
fn authorities(paths: &[PathBuf]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut all = Vec::new();
    for path in paths {
        let pem = node_file::require(path, MAX_PEM)?;
        let before = all.len();
        all.extend(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        if all.len() == before {
            return Err(TlsError::Pem {
                path: path.display().to_string(),
                what: "holds no CA certificate".to_owned(),
            });
        }
    }
    Ok(all)
}

/// The roots of the node, read at the first certificate of any client.
#[derive(Debug)]
pub(super) struct HostRoots {
    bundles: Bundles,
    store: OnceLock<Result<Option<RootCertStore>, Error>>,
}

impl HostRoots {
    pub(super) fn new(bundles: Bundles) -> Self {
        Self {
            bundles,
            store: OnceLock::new(),
        }
    }

    /// The roots; nothing if the node has no bundle.
    fn store(&self) -> Result<Option<&RootCertStore>, Error> {
        let read = || match roots(self.bundles) {
            Ok(store) => Ok(Some(store)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::General(error.to_string())),
        };
        let made = self.store.get_or_init(read);
        made.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

/// rustls' own verifier over the node's roots and those of a host, made at the first certificate.
#[derive(Debug)]
struct Authorities {
    roots: Arc<HostRoots>,
    more: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, Error>>,
}

impl Authorities {
    fn verifier(&self) -> Result<&WebPkiServerVerifier, Error> {
        let made = self.verifier.get_or_init(|| {
            let mut store = match self.roots.store()? {
                Some(store) => store.clone(),
                None if self.more.is_empty() => {
                    return Err(Error::General(missing(self.roots.bundles)));
                }
                None => RootCertStore::empty(),
            };
            store.add_parsable_certificates(self.more.iter().cloned());
            let provider = Arc::clone(&self.provider);
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                .build()
                .map_err(|error| Error::General(format!("the host's CA bundle: {error}")))
        });
        made.as_deref().map_err(Clone::clone)
    }
}

fn missing(bundles: &[&str]) -> String {
    let places = bundles.join(", ");
    format!("no CA bundle on this host; looked for {places}")
}

/// Reads the first bundle that exists. Single certificates that do not parse are left out, as
/// every TLS library does: a host's bundle may hold some of historic shape.
fn roots(bundles: &[&str]) -> io::Result<RootCertStore> {
    for path in bundles {
        let pem = match std::fs::read(path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io::Error::other(format!("{path}: {error}"))),
        };
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        let (added, _) = store.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(io::Error::other(format!("{path}: holds no CA certificate")));
        }
        return Ok(store);
    }
    Err(io::Error::new(io::ErrorKind::NotFound, missing(bundles)))
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Believes any certificate, as `skip_verify` demands; that the server has its key is still checked.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
