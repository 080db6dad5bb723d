//! TLS with the host's own certificate authorities, read only when a certificate has to be checked.
//!
//! Parsing the roots of a usual host costs milliseconds, and a registry on loopback or an image that
//! no policy covers needs none. The paths are fixed: the environment has no say in who is trusted.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

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

/// The configuration of the one client: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
pub(super) fn config(bundles: Bundles) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = HostRoots::new(bundles, Arc::clone(&provider));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // "Dangerous" is any verifier but the default one. This one only delays making it.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// rustls' own verifier over the host's roots, made at the first certificate.
#[derive(Debug)]
struct HostRoots {
    bundles: Bundles,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, Error>>,
}

impl HostRoots {
    fn new(bundles: Bundles, provider: Arc<CryptoProvider>) -> Self {
        Self {
            bundles,
            provider,
            verifier: OnceLock::new(),
        }
    }

    fn verifier(&self) -> Result<&WebPkiServerVerifier, Error> {
        let made = self.verifier.get_or_init(|| {
            let roots =
                Arc::new(roots(self.bundles).map_err(|error| Error::General(error.to_string()))?);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
                .build()
                .map_err(|error| Error::General(format!("the host's CA bundle: {error}")))
        });
        made.as_deref().map_err(Clone::clone)
    }
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
    let message = format!(
        "no CA bundle on this host; looked for {}",
        bundles.join(", ")
    );
    Err(io::Error::new(io::ErrorKind::NotFound, message))
}

impl ServerCertVerifier for HostRoots {
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
