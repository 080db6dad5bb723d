//! Client certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::{Decode as _, Encode as _};

use super::{MAX_PEM, TlsError};
use crate::node_file;

/// The certificates of a host's configuration. A server says whose it accepts; the first that
/// fits is shown.
#[derive(Debug)]
pub(super) struct Identities(Vec<Identity>);

#[derive(Debug)]
struct Identity {
    key: Arc<CertifiedKey>,
    /// The issuers of all certificates of the chain, in DER.
    issuers: Vec<Vec<u8>>,
}

impl Identities {
    /// Reads certificates and keys, which have to belong together.
    pub(super) fn load(
        pairs: &[(PathBuf, Option<PathBuf>)],
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let load = |(certificate, key): &(PathBuf, Option<PathBuf>)| {
            Identity::load(certificate, key.as_deref().unwrap_or(certificate), provider)
        };
        Ok(Self(pairs.iter().map(load).collect::<Result<_, _>>()?))
    }
}

impl Identity {
    fn load(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let bad = |path: &Path, what: &str| TlsError::Pem {
            path: path.display().to_string(),
            what: what.to_owned(),
        };
        let pem = node_file::require(certificate, MAX_PEM)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|_| bad(certificate, "is not PEM"))?;
        if chain.is_empty() {
            return Err(bad(certificate, "holds no client certificate"));
        }
        let pem = node_file::require(key, MAX_PEM)?;
        let private = PrivateKeyDer::from_pem_slice(&pem);
        let private = private.map_err(|_| bad(key, "holds no private key in PEM"))?;
        let issuers = chain.iter().filter_map(|der| issuer(der)).collect();
        let pair = CertifiedKey::from_der(chain, private, provider);
        // The library's error could show key material.
        let what = "is not the key of the client certificate, or of a kind that is not known";
        let key = Arc::new(pair.map_err(|_| bad(key, what))?);
        Ok(Self { key, issuers })
    }
}

fn issuer(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    certificate.tbs_certificate.issuer.to_der().ok()
}

impl ResolvesClientCert for Identities {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let fits = |identity: &&Identity| {
            let accepted = root_hint_subjects.is_empty()
                || identity
                    .issuers
                    .iter()
                    .any(|issuer| root_hint_subjects.contains(&issuer.as_slice()));
            accepted && identity.key.key.choose_scheme(sigschemes).is_some()
        };
        self.0
            .iter()
            .find(fits)
            .map(|identity| Arc::clone(&identity.key))
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}
