//! Names are resolved as the node's resolv.conf says, or not at all.
//!
//! A static binary has no name service of the C library. The resolver that comes with the HTTP
//! client would ask a public one where resolv.conf cannot be read, and tell it what a node pulls.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OnceCell;

/// Reads the configuration at the first name.
#[derive(Debug, Default)]
pub(super) struct NodeResolver {
    resolver: Arc<OnceCell<TokioResolver>>,
}

impl Resolve for NodeResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let cell = Arc::clone(&self.resolver);
        Box::pin(async move {
            let resolver = cell.get_or_try_init(|| async { from_system() }).await?;
            let found = resolver.lookup_ip(name.as_str()).await?;
            let addresses: Vec<SocketAddr> = found
                .iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn from_system() -> Result<TokioResolver, Box<dyn std::error::Error + Send + Sync>> {
    let unreadable = |error| format!("/etc/resolv.conf cannot be used: {error}");
    let mut builder = TokioResolver::builder_tokio().map_err(unreadable)?;
    // Both kinds of address, as happy eyeballs needs them.
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    Ok(builder.build()?)
}
