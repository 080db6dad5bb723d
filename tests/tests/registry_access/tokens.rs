//! A token service, and a registry that only listens: what they were asked is what a test is about.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::gate::{PASSWORD, USER};
use crate::pki::pem;

/// The token that stands for a user.
pub(crate) const IDENTITY_TOKEN: &str = "an-identity-token";
/// What signs tokens, by its name.
pub(crate) const ISSUER: &str = "token service";

type Answer = dyn Fn(&str) -> String + Send + Sync;

/// A server that keeps every request.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Answers every request, head and body, by this function.
    pub(crate) async fn start(
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let address = listener.local_addr()?.to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer): (_, Arc<Answer>) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move { serve(client, &kept, &*answer).await.ok() });
            }
        });
        Ok(Self {
            address,
            requests,
            task,
        })
    }

    /// What it was asked, in plain text.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .map(|kept| kept.clone())
            .unwrap_or_default()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: TcpStream, kept: &Mutex<Vec<String>>, answer: &Answer) -> Result<()> {
    let mut request = Vec::new();
    loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if request.first() == Some(&0x16) {
            // A TLS greeting, and what Go's server says to it.
            client
                .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                .await?;
            return Ok(client.shutdown().await?);
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let line = line.to_ascii_lowercase();
            line.strip_prefix("content-length: ")?.parse::<usize>().ok()
        });
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        if let Ok(mut kept) = kept.lock() {
            kept.push(text.clone());
        }
        client.write_all(answer(&text).as_bytes()).await?;
        return Ok(client.shutdown().await?);
    }
}

/// An answer with a body.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A token service with the certificate that registries trust.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) listener: Listener,
    pub(crate) certificate: String,
}

impl Tokens {
    /// Gives tokens to those who have the user's password or identity token, and to nobody else.
    pub(crate) async fn start() -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::default().self_signed(&key)?;
        let chain = STANDARD.encode(certificate.der());
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der());
        let pair = pair.map_err(|_| anyhow::anyhow!("the key cannot sign"))?;
        let basic = format!(
            "authorization: basic {}",
            STANDARD.encode(format!("{USER}:{PASSWORD}"))
        );
        let listener = Listener::start(move |request| {
            let knows_password = request
                .to_ascii_lowercase()
                .contains(&basic.to_ascii_lowercase());
            let knows_token = request.starts_with("POST ")
                && request.contains("grant_type=refresh_token")
                && request.contains(&format!("refresh_token={IDENTITY_TOKEN}"));
            let scoped = request.contains("scope=repository%3Ateam%2Fapp%3Apull");
            if !(scoped && (knows_password || knows_token)) {
                return reply("401 Unauthorized", "", "{}");
            }
            let token = sign(&pair, &chain).unwrap_or_default();
            let body = json!({"access_token": token, "expires_in": 300}).to_string();
            reply("200 OK", "Content-Type: application/json\r\n", &body)
        })
        .await?;
        Ok(Self {
            listener,
            certificate: pem("CERTIFICATE", certificate.der()),
        })
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://{}/token", self.listener.address)
    }
}

/// A token to pull `team/app` from the registry `gate`.
fn sign(key: &EcdsaKeyPair, chain: &str) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [chain]});
    let claims = json!({
        "iss": ISSUER, "sub": USER, "aud": "gate", "jti": "1",
        "exp": now + 300, "nbf": now - 60, "iat": now - 60,
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).ok()?;
    Some(format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(signature.as_ref())
    ))
}
