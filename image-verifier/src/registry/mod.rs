//! A minimal read client of the OCI distribution specification, for one repository.
//!
//! Nothing that a registry says is believed: bodies are bounded whatever they announce, what is
//! fetched by digest is hashed, redirects are few and never leave TLS, a token is asked for once, and
//! only the status 404 means that something is not there.

mod auth;
mod body;
mod client;
mod dns;
mod endpoint;
mod error;
pub mod manifest;
mod tls;

use std::time::Duration;

use policy::digest::Digest;
use policy::reference::Reference;
use policy::verifier::Limits;
use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::{Mutex, OnceCell};

pub use self::endpoint::Endpoint;
pub use self::error::RegistryError;

use self::auth::Challenge;
use self::body::Budget;
use self::manifest::{Descriptor, INDEX_TYPE, Index, MANIFEST_TYPES, Manifest};
use crate::environment::Environment;

/// The most pages of one list of referrers.
const MAX_PAGES: usize = 8;
/// How long a loopback registry may take to answer in TLS before plain HTTP is tried.
const TLS_TRIAL: Duration = Duration::from_secs(1);

/// One repository of one registry.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    endpoint: Endpoint,
    path: String,
    object_limit: u64,
    budget: Budget,
    base: OnceCell<Url>,
    token: Mutex<Option<String>>,
}

/// A list of referrers.
#[derive(Debug)]
pub enum Referrers {
    /// The registry has the referrers API.
    Listed {
        /// What it lists.
        manifests: Vec<Descriptor>,
        /// There were more pages than are read.
        cut: bool,
    },
    /// It does not: the list, if any, is under a tag.
    Unsupported,
}

impl Registry {
    /// A client for the repository of `image`. Opens no connection.
    pub fn new(
        image: &Reference,
        environment: &Environment,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            client: client::build(environment, tls::HOST_BUNDLES)?,
            endpoint: Endpoint::of(image.host()),
            path: image.path().to_owned(),
            object_limit: limits.max_object_bytes,
            budget: Budget::new(limits.max_total_bytes),
            base: OnceCell::new(),
            token: Mutex::new(None),
        })
    }

    /// The manifest under a tag.
    pub async fn manifest_by_tag(&self, tag: &str) -> Result<Manifest, RegistryError> {
        let url = self.url(&format!("manifests/{tag}")).await?;
        let response = self.get(url, &MANIFEST_TYPES.join(", ")).await?;
        let media_type = content_type(&response);
        manifest::parse(media_type.as_deref(), &self.body(response).await?)
    }

    /// The manifest with a digest.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, RegistryError> {
        let url = self.url(&format!("manifests/{digest}")).await?;
        let response = self.get(url, &MANIFEST_TYPES.join(", ")).await?;
        let media_type = content_type(&response);
        let bytes = self.verified(response, digest).await?;
        manifest::parse(media_type.as_deref(), &bytes)
    }

    /// The index under a tag.
    pub async fn index_by_tag(&self, tag: &str) -> Result<Index, RegistryError> {
        let url = self.url(&format!("manifests/{tag}")).await?;
        let response = self.get(url, INDEX_TYPE).await?;
        let media_type = content_type(&response);
        manifest::parse(media_type.as_deref(), &self.body(response).await?)
    }

    /// The blob with a digest.
    pub async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        let response = self.get(url, "*/*").await?;
        self.verified(response, digest).await
    }

    /// The referrers of a digest, by the API.
    pub async fn referrers(&self, digest: &Digest) -> Result<Referrers, RegistryError> {
        let mut url = self.url(&format!("referrers/{digest}")).await?;
        let mut manifests = Vec::new();
        for page in 0..MAX_PAGES {
            let response = match self.get(url.clone(), INDEX_TYPE).await {
                Ok(response) => response,
                // A registry without this API has no such path; some have no such method on it.
                Err(
                    RegistryError::NotFound
                    | RegistryError::Status {
                        status: 400 | 405 | 406,
                    },
                ) if page == 0 => {
                    return Ok(Referrers::Unsupported);
                }
                // A page that was there when its link was written: not the end of the list.
                Err(RegistryError::NotFound) => {
                    return Err(RegistryError::malformed("a page of the list is missing"));
                }
                Err(error) => return Err(error),
            };
            let next = next_page(&response);
            let media_type = content_type(&response);
            let index: Index = manifest::parse(media_type.as_deref(), &self.body(response).await?)?;
            manifests.extend(index.into_manifests());
            match next? {
                Some(next) => url = next,
                None => {
                    return Ok(Referrers::Listed {
                        manifests,
                        cut: false,
                    });
                }
            }
        }
        Ok(Referrers::Listed {
            manifests,
            cut: true,
        })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, RegistryError> {
        body::read(response, self.object_limit, &self.budget).await
    }

    async fn verified(
        &self,
        response: Response,
        wanted: &Digest,
    ) -> Result<Vec<u8>, RegistryError> {
        let bytes = self.body(response).await?;
        let served = Digest::of(&bytes);
        if served == *wanted {
            return Ok(bytes);
        }
        Err(RegistryError::DigestMismatch {
            wanted: wanted.clone(),
            served,
        })
    }

    async fn url(&self, rest: &str) -> Result<Url, RegistryError> {
        let base = self.base.get_or_try_init(|| self.find_base()).await?;
        base.join(&format!("{}/{rest}", self.path))
            .map_err(|error| RegistryError::Internal {
                cause: format!("the URL: {error}"),
            })
    }

    /// `https`, except that on this machine plain HTTP is tried where TLS does not come about. TLS
    /// goes first, as containerd does: a plain server's answer to it is no TLS, while a TLS server
    /// answers a plain request properly, with an error that looks like the registry's own.
    async fn find_base(&self) -> Result<Url, RegistryError> {
        let base = |scheme: &str| {
            Url::parse(&format!("{scheme}://{}/v2/", self.endpoint.authority())).map_err(|error| {
                RegistryError::Internal {
                    cause: format!("the URL: {error}"),
                }
            })
        };
        let secure = base("https")?;
        if !self.endpoint.is_loopback() {
            return Ok(secure);
        }
        match self
            .client
            .head(secure.clone())
            .timeout(TLS_TRIAL)
            .send()
            .await
        {
            Ok(_) => Ok(secure),
            Err(error) if error.is_connect() || error.is_timeout() => base("http"),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request, with a token if the registry asks for one; at most twice.
    async fn get(&self, url: Url, accept: &str) -> Result<Response, RegistryError> {
        let used = self.token.lock().await.clone();
        let response = self.send(url.clone(), accept, used.as_deref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return succeed(response);
        }
        let denied = RegistryError::Denied { status: 401 };
        let challenge = Challenge::from_headers(response.headers(), self.endpoint.is_loopback());
        let token = {
            let mut slot = self.token.lock().await;
            // Requests run in parallel: the first that comes back asks for all.
            if *slot == used {
                let (Some(challenge), None) = (challenge, &used) else {
                    return Err(denied);
                };
                let token = auth::token(&self.client, &challenge, &self.path, &self.budget).await?;
                *slot = Some(token);
            }
            slot.clone()
        };
        succeed(self.send(url, accept, token.as_deref()).await?)
    }

    async fn send(
        &self,
        url: Url,
        accept: &str,
        token: Option<&str>,
    ) -> Result<Response, RegistryError> {
        let mut request = self.client.get(url).header(ACCEPT, accept);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Ok(request.send().await?)
    }
}

fn succeed(response: Response) -> Result<Response, RegistryError> {
    RegistryError::from_status(response.status().as_u16()).map_or(Ok(response), Err)
}

/// The media type of an answer, without parameters.
fn content_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split_once(';').map_or(value, |(essence, _)| essence);
    Some(essence.trim().to_ascii_lowercase())
}

/// The next page of a list (RFC 8288). It must be at the same place as this one. A header that is
/// not understood is an error: taken as "no more", it would hide what is on the next page.
fn next_page(response: &Response) -> Result<Option<Url>, RegistryError> {
    let bad =
        || RegistryError::malformed("the list says in a way that is not understood what follows");
    for header in response.headers().get_all(LINK) {
        let mut rest = header.to_str().map_err(|_| bad())?.trim();
        while !rest.is_empty() {
            let (target, after) = rest
                .strip_prefix('<')
                .and_then(|rest| rest.split_once('>'))
                .ok_or_else(bad)?;
            let (parameters, next) = after.split_once(',').unwrap_or((after, ""));
            if parameters.contains("rel=\"next\"") || parameters.contains("rel=next") {
                let next = response.url().join(target).ok();
                let next = next.filter(|next| next.origin() == response.url().origin());
                return next.map(Some).ok_or_else(|| {
                    RegistryError::malformed("the next page of the list is at another place")
                });
            }
            rest = next.trim();
        }
    }
    Ok(None)
}
