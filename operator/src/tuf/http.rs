//! A repository behind `https`.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

use super::{Failure, Why, chain};

/// The most redirects that are followed, all of them to `https`.
const REDIRECTS: usize = 3;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until there is a connection.
    pub connect: Duration,
    /// One file, from the request to its last byte.
    pub file: Duration,
    /// A whole refresh.
    pub refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            file: Duration::from_secs(30),
            refresh: Duration::from_mins(2),
        }
    }
}

/// Reads certificate authorities as PEM, at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let read = Certificate::from_pem_bundle(pem).map_err(|error| chain(&error))?;
    match read.len() {
        0 => Err("there is no certificate in it: give CA certificates as PEM".to_owned()),
        _ => Ok(read),
    }
}

/// A client that trusts these besides the authorities of the system, and speaks only `https`.
/// `HTTPS_PROXY` and `NO_PROXY` are heeded.
pub fn client(authorities: &[Certificate], limits: Limits) -> Result<Client, Failure> {
    let client = Client::builder()
        .tls_certs_merge(authorities.iter().cloned())
        .https_only(true)
        .redirect(Policy::limited(REDIRECTS))
        .referer(false)
        .connect_timeout(limits.connect)
        .timeout(limits.file)
        .user_agent(concat!("nodeseal-operator/", env!("CARGO_PKG_VERSION")))
        .build();
    client.map_err(|error| {
        let message = format!("there can be no client: {}", chain(&error.without_url()));
        Failure::new(Why::Unreachable, message)
    })
}

/// Why a file could not be fetched, as the cause of an error of the workflow.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct HttpError {
    pub(super) why: Why,
    pub(super) message: String,
}

fn failed(why: Why, message: String) -> Error {
    let source = HttpError { why, message };
    Error::transport_with_source("fetch a file", source)
}

/// A repository: metadata in a folder, targets in `targets/` below it.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    metadata: Url,
    targets: Url,
}

impl Http {
    /// The repository at this address.
    pub fn new(client: Client, mirror: &str) -> Result<Self, Failure> {
        let wrong = || Failure::new(Why::Invalid, format!("mirror {mirror}: this is no address"));
        let folder = format!("{}/", mirror.trim_end_matches('/'));
        let metadata = Url::parse(&folder).map_err(|_| wrong())?;
        let targets = metadata.join("targets/").map_err(|_| wrong())?;
        Ok(Self {
            client,
            metadata,
            targets,
        })
    }

    async fn get(&self, base: &Url, name: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        // Names come from the repository: none leads out of it.
        let url = base.join(name).ok();
        let url = url.filter(|url| url.as_str().starts_with(base.as_str()));
        let Some(url) = url else {
            let message = format!("a file of the repository has the name {name:.100}");
            return Err(failed(Why::Invalid, message));
        };
        let unreachable = |error: reqwest::Error| {
            let message = format!("{url}: {}", chain(&error.without_url()));
            failed(Why::Unreachable, message)
        };
        let mut response = self
            .client
            .get(url.clone())
            .send()
            .await
            .map_err(unreachable)?;
        match response.status() {
            // Object stores say 403 of what is not there.
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => {
                if is_next_root(name) {
                    return Ok(None);
                }
                let message = format!("{url} is answered with {}", response.status());
                return Err(failed(Why::Missing, message));
            }
            status if !status.is_success() => {
                let message = format!("{url} is answered with {status}");
                return Err(failed(Why::Unreachable, message));
            }
            _ => {}
        }
        let too_large = || failed(Why::TooLarge, format!("{url} has more than {most} bytes"));
        if response
            .content_length()
            .is_some_and(|length| length > most)
        {
            return Err(too_large());
        }
        let mut all = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if (all.len() + chunk.len()) as u64 > most {
                return Err(too_large());
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Some(all))
    }
}

/// Only of roots it is known by trying whether there is another one.
fn is_next_root(name: &str) -> bool {
    let version = name.strip_suffix(".root.json");
    version.is_some_and(|version| version.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Repository for Http {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(&self.metadata, name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(&self.targets, path, max_length))
    }
}
