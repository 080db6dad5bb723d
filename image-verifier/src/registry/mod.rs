//! A minimal read client of the OCI distribution specification, for one repository at one host.
//!
//! Nothing that a registry says is believed: bodies are bounded whatever they announce, what is
//! fetched by digest is hashed, redirects are few, never leave TLS, never lead to this machine from
//! another one and carry no secrets elsewhere, credentials are tried once each, and only the status 404
//! means that something is not there.

#[doc(hidden)]
pub mod auth;
mod body;
mod client;
mod dns;
mod error;
pub mod image;
mod login;
pub mod manifest;
mod place;
mod reach;
mod registries;
mod resolve;
mod tls;
mod transport;

use std::time::Duration;

use policy::digest::Digest;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue, LINK,
};
use reqwest::{RequestBuilder, Response, Url};
use tokio::sync::OnceCell;

pub use self::error::RegistryError;
pub use self::registries::Registries;
pub use self::resolve::Resolved;

use self::auth::{Asked, Authorization};
use self::body::Budget;
use self::login::Login;
use self::manifest::{Descriptor, Document, INDEX_TYPE, Index, MANIFEST_TYPES, Manifest};
use self::place::Place;
use self::transport::{Transport, Ways, is_no_tls};
use crate::hosts;

/// The most pages of one list of referrers.
const MAX_PAGES: usize = 8;
/// How long a host on this machine may take to answer in TLS before plain HTTP is tried.
const TLS_TRIAL: Duration = Duration::from_secs(1);

/// One repository of one registry.
#[derive(Debug)]
pub struct Registry<'a> {
    ways: Ways<'a>,
    header: HeaderMap,
    /// The image's own host, where this one stands in for it.
    namespace: Option<String>,
    path: String,
    object_limit: u64,
    budget: Budget,
    attempts: u32,
    base: OnceCell<Place>,
    login: Login<'a>,
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

impl Registry<'_> {
    /// The host: `host[:port]`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.ways.host.address.authority
    }

    /// The manifest under a tag; none at a host that may not be asked for tags.
    pub async fn manifest_by_tag(&self, tag: &str) -> Result<Manifest, RegistryError> {
        if !self.ways.host.capabilities.resolve {
            return Err(RegistryError::NotFound);
        }
        let url = self.url(&format!("manifests/{tag}")).await?;
        let response = self.get(url, &MANIFEST_TYPES.join(", ")).await?;
        self.document(response).await
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
        self.document(response).await
    }

    /// The blob with a digest.
    pub async fn blob(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("blobs/{digest}")).await?;
        let response = self.get(url, "*/*").await?;
        self.verified(response, digest).await
    }

    /// The referrers of a digest, by the API. [`RegistryError::NoReferrersApi`] is an answer that may
    /// well mean that there is none, and may be a fault.
    ///
    /// Every host is asked that may be asked at all, with the capability `referrers` or without: most
    /// files were written before there was such a word, and what such a mirror has would be missed.
    pub async fn referrers(&self, digest: &Digest) -> Result<Referrers, RegistryError> {
        let mut url = self.url(&format!("referrers/{digest}")).await?;
        let mut manifests = Vec::new();
        for page in 0..MAX_PAGES {
            let response = match self.get(url.clone(), INDEX_TYPE).await {
                Ok(response) => response,
                // A registry without this API has no such path; some have no such method on it.
                Err(RegistryError::NotFound) if page == 0 => return Ok(Referrers::Unsupported),
                Err(RegistryError::Status {
                    status: status @ (400 | 405 | 406),
                }) if page == 0 => return Err(RegistryError::NoReferrersApi { status }),
                // A page that was there when its link was written: not the end of the list.
                Err(RegistryError::NotFound) => {
                    return Err(RegistryError::unusable("a page of the list is missing"));
                }
                Err(error) => return Err(error),
            };
            let next = next_page(&url, &response);
            let index: Index = self.document(response).await?;
            manifests.extend(index.into_manifests());
            match next? {
                Some(next) => url = self.named(next),
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

    /// What is not fetched by digest.
    async fn document<D: Document>(&self, response: Response) -> Result<D, RegistryError> {
        let media_type = content_type(&response);
        let bytes = self.body(response).await?;
        manifest::parse(media_type.as_deref(), &bytes).map_err(RegistryError::of_answer)
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

    fn transport<'b>(&'b self, base: &'b Place) -> Transport<'b> {
        Transport {
            ways: &self.ways,
            base: base.url(),
            budget: &self.budget,
            attempts: self.attempts,
        }
    }

    async fn url(&self, rest: &str) -> Result<Place, RegistryError> {
        let base = self.base.get_or_try_init(|| self.find_base()).await?;
        Ok(self.named(base.join(&format!("{}/{rest}", self.path))?))
    }

    /// With the name of the image's own host, which a mirror of many registries has to be told.
    fn named(&self, place: Place) -> Place {
        match &self.namespace {
            Some(namespace) => place.with_parameter("ns", namespace),
            None => place,
        }
    }

    /// As configured, except that where both may be meant, plain HTTP is tried where TLS does not
    /// come about. TLS goes first, as containerd does: a plain server's answer to it is no TLS,
    /// while a TLS server answers a plain request properly, with an error that looks like the
    /// registry's own.
    async fn find_base(&self) -> Result<Place, RegistryError> {
        let address = &self.ways.host.address;
        let base = |scheme: &str| {
            let url = format!("{scheme}://{}{}/", address.authority, address.path);
            let url = Url::parse(&url).map_err(|error| RegistryError::Internal {
                cause: format!("the URL: {error}"),
            });
            url.map(Place::base)
        };
        let ambiguous = self.ways.host.is_ambiguous();
        let secure = base(if address.plain && !ambiguous {
            "http"
        } else {
            "https"
        })?;
        if !ambiguous {
            return Ok(secure);
        }
        let mut probe = self.ways.own.head(secure.url().clone());
        // What is on this machine answers at once, and to whatever else listens there no secret is
        // told that its owner could not read anyway. Elsewhere slowness is no reason to give up TLS.
        let is_local = hosts::is_loopback(&address.authority);
        if is_local {
            probe = probe.timeout(TLS_TRIAL);
        }
        match probe.send().await {
            Err(error) if is_no_tls(&error) || is_local && error.is_timeout() => base("http"),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(secure),
        }
    }

    /// Sends a request, with what the registry asks for. Each credential is tried once.
    async fn get(&self, url: Place, accept: &str) -> Result<Response, RegistryError> {
        let mut ticket = self.login.current().await;
        loop {
            let authorization = ticket.authorization.as_ref();
            let response = self.send(&url, accept, authorization).await?;
            let status = response.status().as_u16();
            if !matches!(status, 401 | 403) {
                return succeed(response);
            }
            // What a redirect led to has no say in who gets the credentials.
            if url.at(response.url().clone()).is_none() {
                return Err(self.login.denied(status).await);
            }
            let asked = Asked::of(response.headers(), url.url());
            ticket = self
                .login
                .next(&self.transport(&url), ticket, asked, status, &self.path)
                .await?;
        }
    }

    /// Sends a request with the headers of `hosts.toml`, of which those that are made here take the place.
    async fn send(
        &self,
        url: &Place,
        accept: &str,
        authorization: Option<&Authorization>,
    ) -> Result<Response, RegistryError> {
        let unfit = |error: InvalidHeaderValue| RegistryError::Internal {
            cause: format!("a header of the request: {error}"),
        };
        let accept = HeaderValue::from_str(accept).map_err(unfit)?;
        let mut own = self.header.clone();
        own.insert(ACCEPT, accept);
        if let Some(authorization) = authorization {
            own.insert(AUTHORIZATION, authorization.header().map_err(unfit)?);
        }
        let decorate = |request: RequestBuilder| request.headers(own.clone());
        self.transport(url).follow(url.url(), decorate).await
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

/// The next page of a list (RFC 8288). It must be where the registry is, which is where `asked` was:
/// what a redirect led to may name a page at its own place, and would be sent the credentials. A header
/// that is not understood is an error: taken as "no more", it would hide what is on the next page.
fn next_page(asked: &Place, response: &Response) -> Result<Option<Place>, RegistryError> {
    let bad =
        || RegistryError::unusable("the list says in a way that is not understood what follows");
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
                let next = next.and_then(|next| asked.at(next));
                return next.map(Some).ok_or_else(|| {
                    RegistryError::unusable("the next page of the list is at another place")
                });
            }
            rest = next.trim();
        }
    }
    Ok(None)
}
