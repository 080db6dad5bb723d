//! Serves a repository over https, well or badly.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use pem::Pem;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Files, TufRepository};

/// The most bytes of a request.
const HEAD: usize = 16 * 1024;

/// What a request gets instead of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, ever.
    Stall,
    /// One byte after another, for ever.
    Drip,
    /// Bytes without an end and without a length.
    Endless,
    /// The first half of the file; the length says more.
    CutOff,
    /// This status, without a body.
    Status(u16),
    /// The same file at this address, or at this path of the same server.
    Redirect(String),
}

type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

/// A running server with a certificate authority of its own; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddrV4,
    ca: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the repository.
    pub async fn start(repository: &TufRepository) -> Result<Self> {
        let (tls, ca) = tls()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        let port = listener.local_addr().context("look at a socket")?.port();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (answers, asked) = (Answers::default(), Arc::default());
        let own = Own {
            files: repository.files(),
            answers: Arc::clone(&answers),
            asked: Arc::clone(&asked),
        };
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, own) = (acceptor.clone(), own.clone());
                // A client that goes away is no failure of the server.
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.ok()?;
                    own.serve(stream).await.ok()
                });
            }
        });
        Ok(Self {
            address: SocketAddrV4::new([127, 0, 0, 1].into(), port),
            ca,
            answers,
            asked,
            task,
        })
    }

    /// `https://127.0.0.1:port/repository`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/repository", self.address)
    }

    /// The certificate authority that clients have to trust, as PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Answers requests for this file so from now on; for every file where the name is `*`.
    pub fn answer(&self, name: &str, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(name.to_owned(), answer);
    }

    /// Answers well again.
    pub fn behave(&self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.clear();
    }

    /// The files that were asked for since this was asked last.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Own {
    files: Files,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Own {
    /// One request a connection.
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).await.context("read a request")?;
            if count == 0 || head.len() + count > HEAD {
                return Err(anyhow!("no whole request"));
            }
            head.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).context("a path")?;
        let name = path.strip_prefix("/repository/").unwrap_or(path);
        let (file, answer) = self.find(name);
        self.reply(&mut stream, file, answer).await?;
        stream.shutdown().await.context("close")
    }

    fn find(&self, name: &str) -> (Option<Vec<u8>>, Option<Answer>) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(name.to_owned());
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(name).or_else(|| answers.get("*"));
        (files.get(name).cloned(), answer.cloned())
    }

    async fn reply(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        file: Option<Vec<u8>>,
        answer: Option<Answer>,
    ) -> Result<()> {
        let head = |status: u16, more: &str| {
            format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{more}\r\n\r\n")
        };
        let endless = "Content-Type: application/json";
        match (answer, file) {
            (Some(Answer::Stall), _) => std::future::pending().await,
            (Some(Answer::Drip), _) => {
                stream.write_all(head(200, endless).as_bytes()).await?;
                loop {
                    stream.write_all(b" ").await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            (Some(Answer::Endless), _) => {
                stream.write_all(head(200, endless).as_bytes()).await?;
                loop {
                    stream.write_all(&[b' '; 4096]).await?;
                }
            }
            (Some(Answer::Status(status)), _) => {
                stream
                    .write_all(head(status, "Content-Length: 0").as_bytes())
                    .await?;
            }
            (Some(Answer::Redirect(to)), _) => {
                let more = format!("Location: {to}\r\nContent-Length: 0");
                stream.write_all(head(302, &more).as_bytes()).await?;
            }
            (cut, Some(file)) => {
                let more = format!("Content-Length: {}", file.len());
                stream.write_all(head(200, &more).as_bytes()).await?;
                let end = if cut.is_some() {
                    file.len() / 2
                } else {
                    file.len()
                };
                stream
                    .write_all(file.get(..end).unwrap_or_default())
                    .await?;
            }
            (_, None) => {
                stream
                    .write_all(head(404, "Content-Length: 0").as_bytes())
                    .await?;
            }
        }
        Ok(())
    }
}

fn tls() -> Result<(ServerConfig, String)> {
    let ca_key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::new(Vec::new()).context("name an authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&ca_key).context("make an authority")?;
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().context("make a key")?;
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).context("name a server")?;
    let certificate = params
        .signed_by(&key, &issuer)
        .context("make a certificate")?;
    let key = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|error| anyhow!("a key for TLS: {error}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose versions of TLS")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("set up TLS")?;
    let ca = pem::encode(&Pem::new("CERTIFICATE", ca.der().to_vec()));
    Ok((config, ca))
}
