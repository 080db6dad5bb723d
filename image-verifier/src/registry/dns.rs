//! Names are resolved as the node's resolv.conf and hosts file say, or not at all.
//!
//! A static binary has no name service of the C library. The resolver that comes with the HTTP
//! client would ask a public one where resolv.conf cannot be read, and tell it what a node pulls.
//!
//! Both kinds of address are asked for at once, and one that does not come is not waited for long
//! (RFC 8305, section 3): some name servers never answer about IPv6. The library waits for both, so
//! it is asked about each on its own, and about each name of the search list in turn: else a name
//! without IPv6 addresses would be looked up below the search list's domains, too, and what is found
//! there be taken for the same host's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;
use reqwest::dns::{Addrs, Name as Host, Resolve, Resolving};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::reach;

/// How long addresses of the other kind are waited for once there are some. RFC 8305 has 50 ms, and
/// takes what comes later as well, which cannot be done here.
const RESOLUTION_DELAY: Duration = Duration::from_millis(300);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Reads the configuration at the first name.
#[derive(Debug)]
pub(super) struct NodeResolver {
    names: Arc<OnceCell<Names>>,
    near: Option<Arc<[String]>>,
}

impl NodeResolver {
    /// With `near`, only these names may be those of this machine or its link: addresses of these
    /// that others have do not count.
    pub(super) fn new(near: Option<Vec<String>>) -> Self {
        Self {
            names: Arc::default(),
            near: near.map(Into::into),
        }
    }
}

impl Resolve for NodeResolver {
    fn resolve(&self, host: Host) -> Resolving {
        let cell = Arc::clone(&self.names);
        let near = self.near.clone();
        Box::pin(async move {
            let names = cell.get_or_try_init(|| async { from_system() }).await?;
            let mut found = names.addresses(host.as_str()).await?;
            if near.is_some_and(|near| !near.iter().any(|name| name == host.as_str())) {
                found.retain(|&address| !reach::is_near(address));
                if found.is_empty() {
                    return Err(format!(
                        "{} is this machine, to which a registry elsewhere may not lead",
                        host.as_str()
                    )
                    .into());
                }
            }
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

fn from_system() -> Result<Names, Failure> {
    let unreadable = |error| format!("/etc/resolv.conf cannot be used: {error}");
    let (config, options) = read_system_conf().map_err(unreadable)?;
    Names::new(config, &options)
}

/// A kind of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    V4,
    V6,
}

/// Two resolvers with one configuration.
#[derive(Debug)]
struct Names {
    v4: TokioResolver,
    v6: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

impl Names {
    fn new(config: ResolverConfig, options: &ResolverOpts) -> Result<Self, Failure> {
        let resolver = |strategy| {
            let provider = TokioRuntimeProvider::default();
            let mut options = options.clone();
            options.ip_strategy = strategy;
            TokioResolver::builder_with_config(config.clone(), provider)
                .with_options(options)
                .build()
        };
        let (v4, v6) = (
            resolver(LookupIpStrategy::Ipv4Only)?,
            resolver(LookupIpStrategy::Ipv6Only)?,
        );
        let (domain, search, _) = config.into_parts();
        Ok(Self {
            v4,
            v6,
            search: domain.into_iter().chain(search).collect(),
            ndots: options.ndots,
        })
    }

    /// The addresses of a host: of the first name of [`Names::candidates`] that has any, IPv6 before
    /// IPv4.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let mut failure = None;
        for name in self.candidates(Name::from_utf8(host)?) {
            match self.of(&name).await {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                // What is told is what is wrong with the name as it was written, or nearest to it.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let none = || format!("no address was found for {host}").into();
        Err(failure.map_or_else(none, Into::into))
    }

    /// The names that may be meant, in their order, as resolv.conf(5) has it: a name with as many dots as
    /// `ndots` says stands for itself first, any other one last.
    fn candidates(&self, name: Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name];
        }
        let itself_first = usize::from(name.num_labels()) > self.ndots;
        let below = self.search.iter();
        let mut names: Vec<Name> = below
            .filter_map(|domain| name.clone().append_domain(domain).ok())
            .collect();
        let mut itself = name;
        itself.set_fqdn(true);
        names.insert(if itself_first { 0 } else { names.len() }, itself);
        names
    }

    /// The addresses of exactly this name.
    async fn of(&self, name: &Name) -> Result<Vec<IpAddr>, NetError> {
        let one = async |kind, resolver: &TokioResolver| {
            let found = resolver.lookup_ip(name.clone()).await;
            (kind, found.map(|found| found.iter().collect()))
        };
        let mut lookups: FuturesUnordered<_> = [one(Kind::V6, &self.v6), one(Kind::V4, &self.v4)]
            .into_iter()
            .collect();
        let (mut found, mut failure) = (Vec::new(), None);
        loop {
            let next = if found.is_empty() {
                lookups.next().await
            } else {
                timeout(RESOLUTION_DELAY, lookups.next())
                    .await
                    .ok()
                    .flatten()
            };
            match next {
                None => break,
                Some((_, Ok(more))) => found.extend::<Vec<IpAddr>>(more),
                Some((kind, Err(error))) => {
                    // There is no such name, of whatever kind. Of IPv6, servers are known to say so
                    // of names that exist (RFC 4074, section 4.2).
                    let ends = kind == Kind::V4 && error.is_nx_domain();
                    failure = failure.or(Some(error));
                    if ends {
                        break;
                    }
                }
            }
        }
        found.sort_by_key(IpAddr::is_ipv4);
        match failure {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests;
