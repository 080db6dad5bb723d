//! A minimal read client of the OCI distribution specification, for one repository at one host.
//!
//! Nothing that a registry says is believed: bodies are bounded whatever they announce, what is
//! fetched by digest is hashed, redirects are few, never leave TLS and carry no secrets elsewhere,
//! credentials are tried once each, and only the status 404 means that something is not there.

mod auth;
mod body;
mod client;
mod dns;
mod error;
mod login;
pub mod manifest;
mod resolve;
mod tls;
mod transport;

use std::rc::Rc;
use std::time::Duration;

use policy::digest::Digest;
use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::OnceCell;

pub use self::error::RegistryError;
pub use self::resolve::Resolved;

use self::auth::{Authorization, Challenge};
use self::body::Budget;
use self::client::Clients;
use self::login::Login;
use self::manifest::{Descriptor, INDEX_TYPE, Index, MANIFEST_TYPES, Manifest};
use self::transport::{ATTEMPTS, Transport, is_no_tls};
use crate::credentials::Target;
use crate::environment::Environment;
use crate::hosts::{self, Host};

/// The most pages of one list of referrers.
const MAX_PAGES: usize = 8;
/// How long a host on this machine may take to answer in TLS before plain HTTP is tried.
const TLS_TRIAL: Duration = Duration::from_secs(1);

/// The registries that may hold an image's signatures, in the order in which they are asked.
#[derive(Debug)]
pub struct Registries<'a> {
    registries: Vec<Registry<'a>>,
    notes: Vec<String>,
}

/// One repository of one registry.
#[derive(Debug)]
pub struct Registry<'a> {
    client: Client,
    host: Host,
    header: HeaderMap,
    /// The image's own host, where this one stands in for it.
    namespace: Option<String>,
    path: String,
    object_limit: u64,
    budget: Rc<Budget>,
    attempts: u32,
    base: OnceCell<Url>,
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

impl<'a> Registries<'a> {
    /// Clients for the repository of `image` at each host that may be asked. Reads the node's
    /// configuration of hosts; opens no connection.
    pub fn new(
        image: &Reference,
        access: &'a Access,
        environment: &'a Environment,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        Self::with_bundles(image, access, environment, limits, tls::HOST_BUNDLES)
    }

    fn with_bundles(
        image: &Reference,
        access: &'a Access,
        environment: &'a Environment,
        limits: &Limits,
        bundles: tls::Bundles,
    ) -> Result<Self, RegistryError> {
        let internal = |cause: String| RegistryError::Internal { cause };
        let root = environment.root();
        let found = hosts::of(image.host(), &access.config_paths, &root);
        let found = found.map_err(|error| internal(error.to_string()))?;
        let clients = Clients::new(environment, bundles);
        let budget = Rc::new(Budget::new(limits.max_total_bytes));
        let time = crate::limits::deadline(limits) / 2;
        let mut registries = Vec::new();
        for host in found.hosts {
            let can = host.capabilities;
            // containerd refuses a pull whose certificates cannot be read, for whichever host.
            let client = clients.get(&host)?;
            if !can.pull || !(can.resolve || can.referrers) {
                continue;
            }
            let mirror = host.is_mirror_of(image.host());
            let name = if mirror {
                &host.address.authority
            } else {
                image.host()
            };
            let target = Target::new(format!("{name}/{}", image.path()));
            registries.push(Registry {
                client,
                header: header(&host)?,
                namespace: mirror.then(|| image.host().to_owned()),
                path: image.path().to_owned(),
                object_limit: limits.max_object_bytes,
                budget: Rc::clone(&budget),
                attempts: 1,
                base: OnceCell::new(),
                login: Login::new(target, access, environment, root.clone(), time),
                host,
            });
        }
        // Where there is another host to ask, trying again is a waste of time.
        let Some(last) = registries.last_mut() else {
            let host = image.host();
            let cause = format!(
                "no host for images of {host} may be asked: hosts.toml names none with the capabilities `pull` and `resolve`"
            );
            return Err(internal(cause));
        };
        last.attempts = ATTEMPTS;
        Ok(Self {
            registries,
            notes: found.notes,
        })
    }

    /// The registries in their order, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Registry<'a>] {
        &self.registries
    }

    /// What was passed over in the configuration, in words for a message.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The headers that `hosts.toml` adds to every request.
fn header(host: &Host) -> Result<HeaderMap, RegistryError> {
    let mut map = HeaderMap::new();
    for (name, value) in &host.header {
        let bad = || RegistryError::Internal {
            // The value may be a secret.
            cause: format!("hosts.toml: {} is no header", crate::reason::quoted(name)),
        };
        let name = HeaderName::try_from(name).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

impl Registry<'_> {
    /// The host: `host[:port]`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.host.address.authority
    }

    /// The manifest under a tag; none at a host that may not be asked for tags.
    pub async fn manifest_by_tag(&self, tag: &str) -> Result<Manifest, RegistryError> {
        if !self.host.capabilities.resolve {
            return Err(RegistryError::NotFound);
        }
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

    async fn body(&self, response: Response) -> Result<Vec<u8>, RegistryError> {
        self.transport().read(response, self.object_limit).await
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

    fn transport(&self) -> Transport<'_> {
        Transport {
            client: &self.client,
            budget: &self.budget,
            attempts: self.attempts,
        }
    }

    async fn url(&self, rest: &str) -> Result<Url, RegistryError> {
        let base = self.base.get_or_try_init(|| self.find_base()).await?;
        let joined = base.join(&format!("{}/{rest}", self.path));
        let url = joined.map_err(|error| RegistryError::Internal {
            cause: format!("the URL: {error}"),
        })?;
        Ok(self.named(url))
    }

    /// With the name of the image's own host, which a mirror of many registries has to be told.
    fn named(&self, mut url: Url) -> Url {
        if let Some(namespace) = &self.namespace
            && !url.query_pairs().any(|(name, _)| name == "ns")
        {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }

    /// As configured, except that where both may be meant, plain HTTP is tried where TLS does not
    /// come about. TLS goes first, as containerd does: a plain server's answer to it is no TLS,
    /// while a TLS server answers a plain request properly, with an error that looks like the
    /// registry's own.
    async fn find_base(&self) -> Result<Url, RegistryError> {
        let address = &self.host.address;
        let base = |scheme: &str| {
            let url = format!("{scheme}://{}{}/", address.authority, address.path);
            Url::parse(&url).map_err(|error| RegistryError::Internal {
                cause: format!("the URL: {error}"),
            })
        };
        let ambiguous = self.host.is_ambiguous();
        let secure = base(if address.plain && !ambiguous {
            "http"
        } else {
            "https"
        })?;
        if !ambiguous {
            return Ok(secure);
        }
        let mut probe = self.client.head(secure.clone());
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
    async fn get(&self, url: Url, accept: &str) -> Result<Response, RegistryError> {
        let mut ticket = self.login.current().await;
        loop {
            let authorization = ticket.authorization.as_ref();
            let response = self.send(&url, accept, authorization).await?;
            let status = response.status().as_u16();
            if !matches!(status, 401 | 403) {
                return succeed(response);
            }
            // What a redirect led to has no say in who gets the credentials.
            if response.url().origin() != url.origin() {
                return Err(self.login.denied(status).await);
            }
            let challenge = Challenge::from_headers(response.headers(), &url);
            ticket = self
                .login
                .next(&self.transport(), ticket, challenge, status, &self.path)
                .await?;
        }
    }

    async fn send(
        &self,
        url: &Url,
        accept: &str,
        authorization: Option<&Authorization>,
    ) -> Result<Response, RegistryError> {
        let decorate = |request: RequestBuilder| {
            let request = request.headers(self.header.clone());
            match authorization {
                Some(authorization) => authorization.apply(request),
                None => request,
            }
        };
        let accepting = |request: RequestBuilder| decorate(request).header(ACCEPT, accept);
        self.transport().follow(url, accepting).await
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
