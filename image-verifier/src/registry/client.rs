//! HTTP clients: one for each way of doing TLS, which is one for almost all nodes.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy};

use super::dns::NodeResolver;
use super::error::RegistryError;
use super::tls::{self, HostRoots};
use crate::environment::Environment;
use crate::hosts::Host;

/// How long one connection may take to come about unless `dial_timeout` says so: two of them fit
/// into the usual deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Never through a proxy: it would reach the proxy's own machine.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// What tells clients apart.
type Key = (tls::Settings, Duration);

/// The clients of a run. They share the roots of the node, which are read once at the most.
#[derive(Debug)]
pub(super) struct Clients<'a> {
    environment: &'a Environment,
    roots: Arc<HostRoots>,
    made: RefCell<Vec<(Key, Client)>>,
}

impl<'a> Clients<'a> {
    /// Makes none yet. Proxies come from `environment` alone, authorities from `bundles` and from
    /// the hosts' own files.
    pub(super) fn new(environment: &'a Environment, bundles: tls::Bundles) -> Self {
        Self {
            environment,
            roots: Arc::new(HostRoots::new(bundles)),
            made: RefCell::default(),
        }
    }

    /// The client for a host.
    pub(super) fn get(&self, host: &Host) -> Result<Client, RegistryError> {
        let settings = tls::Settings {
            ca: host.ca.clone().unwrap_or_default(),
            client: host.client.clone(),
            skip_verify: host.skip_verify == Some(true),
        };
        let key = (settings, host.dial_timeout.unwrap_or(CONNECT_TIMEOUT));
        let mut made = self.made.borrow_mut();
        if let Some((_, client)) = made.iter().find(|(other, _)| *other == key) {
            return Ok(client.clone());
        }
        let client = build(self.environment, &self.roots, &key)?;
        made.push((key, client.clone()));
        Ok(client)
    }
}

fn build(
    environment: &Environment,
    roots: &Arc<HostRoots>,
    (settings, connect_timeout): &Key,
) -> Result<Client, RegistryError> {
    let internal = |cause: String| RegistryError::Internal { cause };
    let tls = tls::config(roots, settings).map_err(|error| internal(error.to_string()))?;
    let mut builder = Client::builder()
        .no_proxy()
        .dns_resolver(NodeResolver::default())
        .tls_backend_preconfigured(tls)
        // They are followed one by one, so that nothing secret goes along.
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(*connect_timeout)
        .user_agent(concat!("nodeseal-verifier/", env!("CARGO_PKG_VERSION")));
    let direct = match &environment.no_proxy {
        Some(list) => format!("{},{NEVER_PROXIED}", as_go_reads(list)),
        None => NEVER_PROXIED.to_owned(),
    };
    let proxy = |made: reqwest::Result<Proxy>| {
        let made = made.map_err(|error| {
            // The address may hold a password.
            internal(format!("the proxy's address: {}", error.without_url()))
        });
        made.map(|proxy| proxy.no_proxy(NoProxy::from_string(&direct)))
    };
    if let Some(address) = &environment.https_proxy {
        builder = builder.proxy(proxy(Proxy::https(address))?);
    }
    if let Some(address) = &environment.http_proxy {
        builder = builder.proxy(proxy(Proxy::http(address))?);
    }
    Ok(builder.build()?)
}

/// A `NO_PROXY` list in the words that the client's matcher knows, so that the verifier goes the way
/// containerd goes: Go also reads `*.domain`, and `host:port`, which becomes the host as a whole.
fn as_go_reads(list: &str) -> String {
    let entry = |entry: &str| {
        let entry = entry.trim();
        let entry = entry
            .strip_prefix("*.")
            .map_or(entry.to_owned(), |domain| format!(".{domain}"));
        match entry.rsplit_once(':') {
            // One colon alone: an IPv6 address has several.
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => {
                host.to_owned()
            }
            _ => entry,
        }
    };
    list.split(',').map(entry).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(environment: &Environment) -> Result<Client, RegistryError> {
        Clients::new(environment, tls::HOST_BUNDLES).get(&Host::default())
    }

    #[test]
    fn proxies_may_have_any_of_the_usual_shapes() {
        for address in [
            "http://proxy:3128",
            "proxy:3128",
            "http://user:pass@proxy",
            "https://proxy",
        ] {
            let environment = [
                ("HTTPS_PROXY", address),
                ("HTTP_PROXY", address),
                ("NO_PROXY", ".corp.example,10.0.0.0/8"),
            ];
            let own = |(name, value): (&str, &str)| (name.into(), value.into());
            let environment = Environment::from_variables(environment.map(own));
            assert!(client(&environment).is_ok(), "{address}");
        }
    }

    #[test]
    fn exceptions_are_read_as_containerd_reads_them() {
        for (written, read) in [
            ("registry.corp:5000", "registry.corp"),
            ("*.corp.example, b", ".corp.example,b"),
            (
                "10.0.0.0/8,.corp,::1,fd00::/8",
                "10.0.0.0/8,.corp,::1,fd00::/8",
            ),
            ("*", "*"),
        ] {
            assert_eq!(as_go_reads(written), read);
        }
    }

    #[test]
    fn a_bad_proxy_is_an_error_that_keeps_its_password() {
        let environment = Environment {
            https_proxy: Some("http://user:hunter2@[".into()),
            ..Environment::default()
        };
        let error = client(&environment).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn hosts_with_the_same_tls_share_a_client() {
        let environment = Environment::default();
        let clients = Clients::new(&environment, tls::HOST_BUNDLES);
        let unchecked = Host {
            skip_verify: Some(true),
            ..Host::default()
        };
        for host in [
            Host::default(),
            Host::upstream("a"),
            Host::upstream("b"),
            unchecked,
        ] {
            clients.get(&host).unwrap();
        }
        assert_eq!(clients.made.borrow().len(), 2);
    }
}
