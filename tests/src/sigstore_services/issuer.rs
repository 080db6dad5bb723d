//! An OIDC provider over TLS: discovery, its key, and tokens for whoever asks here.

use std::convert::Infallible;
use std::net::SocketAddrV4;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pem::Pem;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use spki::SubjectPublicKeyInfoRef;
use spki::der::asn1::UintRef;
use spki::der::{Decode as _, Reader as _, SliceReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::identity::Token;
use crate::keys::{Key, Kind};

/// The name of its one key.
const KEY_ID: &str = "lab";

/// A running provider with several realms, each an issuer of its own; it ends when it is dropped.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddrV4,
    ca: String,
    key: Key,
    task: JoinHandle<()>,
}

impl Issuer {
    /// The realm that vouches for people.
    pub const PEOPLE: &'static str = "people";
    /// The realm of another provider that also vouches for people.
    pub const PARTNERS: &'static str = "partners";
    /// The realm that vouches for workflows.
    pub const WORKFLOWS: &'static str = "workflows";

    /// Starts it.
    pub async fn start() -> Result<Self> {
        let key = Key::generate(Kind::Rsa2048)?;
        let jwks = jwks(&key)?;
        let (tls, ca) = tls()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let port = listener.local_addr().context("look at a socket")?.port();
        let address = SocketAddrV4::new([127, 0, 0, 1].into(), port);
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, jwks) = (acceptor.clone(), jwks.clone());
                // A client that goes away is no failure of the provider.
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    let service = service_fn(|request| {
                        let response = answer(address, &jwks, &request);
                        async { Ok::<_, Infallible>(response) }
                    });
                    let builder = http1::Builder::new();
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    connection.await.ok()
                });
            }
        });
        Ok(Self {
            address,
            ca,
            key,
            task,
        })
    }

    /// The issuer that a token of this realm names, and a certificate after it.
    #[must_use]
    pub fn url(&self, realm: &str) -> String {
        url(self.address, realm)
    }

    /// The certificate that its clients have to trust, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// A token, signed.
    pub fn issue(&self, token: &Token) -> Result<String> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let claims = token.complete(&self.url(token.realm))?;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn url(address: SocketAddrV4, realm: &str) -> String {
    format!("https://{address}/{realm}")
}

/// `/<realm>/.well-known/openid-configuration` and `/<realm>/keys`.
fn answer(
    address: SocketAddrV4,
    jwks: &Value,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_start_matches('/');
    let document = match path.split_once('/') {
        Some((realm, ".well-known/openid-configuration")) => json!({
            "issuer": url(address, realm),
            "jwks_uri": format!("{}/keys", url(address, realm)),
            "authorization_endpoint": format!("{}/authorize", url(address, realm)),
            "token_endpoint": format!("{}/token", url(address, realm)),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }),
        Some((_, "keys")) => jwks.clone(),
        _ => Value::Null,
    };
    let mut response = Response::new(Full::from(document.to_string()));
    if document.is_null() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The public half of an RSA key as a set of JSON web keys (RFC 7517).
fn jwks(key: &Key) -> Result<Value> {
    let block = pem::parse(key.public_pem()?).context("read a public key")?;
    let info = SubjectPublicKeyInfoRef::from_der(block.contents()).context("read a public key")?;
    // RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017).
    let mut reader = SliceReader::new(info.subject_public_key.raw_bytes())?;
    let (modulus, exponent) = reader
        .sequence(|reader| {
            Ok::<_, spki::der::Error>((UintRef::decode(reader)?, UintRef::decode(reader)?))
        })
        .context("read an RSA key")?;
    let number = |value: UintRef<'_>| URL_SAFE_NO_PAD.encode(value.as_bytes());
    Ok(json!({"keys": [{
        "kty": "RSA",
        "use": "sig",
        "alg": "RS256",
        "kid": KEY_ID,
        "n": number(modulus),
        "e": number(exponent),
    }]}))
}

/// A certificate of its own, which clients trust as it is.
fn tls() -> Result<(ServerConfig, String)> {
    let key = KeyPair::generate().context("make a key")?;
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).context("name a server")?;
    let certificate = params.self_signed(&key).context("make a certificate")?;
    let ca = pem::encode(&Pem::new("CERTIFICATE", certificate.der().to_vec()));
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| anyhow::anyhow!("a key for TLS: {error}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose versions of TLS")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("set up TLS")?;
    Ok((config, ca))
}
