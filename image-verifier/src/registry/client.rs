//! HTTP clients: one for each way of doing TLS, which is one for almost all nodes, and one more where a
//! registry leads to another host.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy, Url};

use super::dns::NodeResolver;
use super::error::RegistryError;
use super::reach;
use super::tls::{self, HostRoots};
use crate::environment::Environment;
use crate::hosts::Host;

/// How long one connection may take to come about unless `dial_timeout` says so: two of them fit
/// into the usual deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Never through a proxy: it would reach the proxy's own machine.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// What tells clients apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    tls: tls::Settings,
    connect_timeout: Duration,
    /// The only names that may be those of this machine; nothing if any may.
    near: Option<Vec<String>>,
}

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
        self.with(Key {
            tls: tls::Settings {
                ca: host.ca.clone().unwrap_or_default(),
                client: host.client.clone(),
                skip_verify: host.is_unchecked(),
            },
            connect_timeout: host.dial_timeout.unwrap_or(CONNECT_TIMEOUT),
            near: None,
        })
    }

    /// The client for `target`, which is at another origin than the host's `base` and to which that has
    /// led: its token service, or where it keeps content.
    ///
    /// The host's authorities are believed there, too, and `skip_verify` holds where `hosts.toml` says
    /// so, as for containerd. That the certificate of a registry on this machine is not checked says
    /// nothing about another machine, and client certificates are shown to the host alone. What is
    /// elsewhere leads to no address of this machine, whatever its name resolves to.
    pub(super) fn elsewhere(
        &self,
        host: &Host,
        base: &Url,
        target: &Url,
    ) -> Result<Client, RegistryError> {
        let is_local = reach::is_on_this_machine(base);
        let stays = is_local && reach::is_on_this_machine(target);
        self.with(Key {
            tls: tls::Settings {
                ca: host.ca.clone().unwrap_or_default(),
                client: Vec::new(),
                skip_verify: host.skip_verify.unwrap_or(host.is_unchecked_here && stays),
            },
            connect_timeout: host.dial_timeout.unwrap_or(CONNECT_TIMEOUT),
            near: (!is_local).then(|| self.own_names(base)),
        })
    }

    /// The names that the node's own configuration has: of the registry, and of proxies.
    fn own_names(&self, base: &Url) -> Vec<String> {
        let Environment {
            http_proxy,
            https_proxy,
            ..
        } = self.environment;
        let proxies = [http_proxy, https_proxy].into_iter().flatten();
        let proxies = proxies.filter_map(|address| {
            let url = Url::parse(address).ok().filter(Url::has_host);
            url.or_else(|| Url::parse(&format!("http://{address}")).ok())
        });
        let urls = std::iter::once(base.clone()).chain(proxies);
        urls.filter_map(|url| url.host_str().map(str::to_owned))
            .collect()
    }

    fn with(&self, key: Key) -> Result<Client, RegistryError> {
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
    key: &Key,
) -> Result<Client, RegistryError> {
    let internal = |cause: String| RegistryError::Internal { cause };
    let tls = tls::config(roots, &key.tls).map_err(|error| internal(error.to_string()))?;
    let mut builder = Client::builder()
        .no_proxy()
        .dns_resolver(NodeResolver::new(key.near.clone()))
        .tls_backend_preconfigured(tls)
        // They are followed one by one, so that nothing secret goes along.
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(key.connect_timeout)
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

    /// The settings of the client that was made last.
    fn elsewhere(host: &Host, base: &str, target: &str) -> (tls::Settings, Option<Vec<String>>) {
        let environment = Environment {
            https_proxy: Some("proxy:3128".into()),
            http_proxy: Some("http://user:pass@localhost:3129".into()),
            ..Environment::default()
        };
        let clients = Clients::new(&environment, tls::HOST_BUNDLES);
        let parse = |url: &str| Url::parse(url).unwrap();
        clients
            .elsewhere(host, &parse(base), &parse(target))
            .unwrap();
        let key = clients.made.borrow().last().unwrap().0.clone();
        (key.tls, key.near)
    }

    #[test]
    fn another_origin_sees_no_client_certificate_and_has_to_show_one_of_its_own() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls");
        let file = |name: &str| std::path::PathBuf::from(format!("{folder}/{name}"));
        let host = Host {
            ca: Some(vec![file("ca.pem")]),
            client: vec![(file("leaf.pem"), Some(file("leaf.key")))],
            ..Host::upstream("127.0.0.1:5000")
        };
        let (local, remote) = ("https://127.0.0.1:5000/", "https://auth.example/token");
        let (tls, near) = elsewhere(&host, local, remote);
        assert_eq!(tls.ca, [file("ca.pem")]);
        assert_eq!((tls.client.len(), tls.skip_verify, near), (0, false, None));
        // On this machine it is as for the registry.
        let (tls, _) = elsewhere(&host, local, "https://127.0.0.1:5001/token");
        assert!(tls.skip_verify);
        // As containerd has it where the node's administrator says so.
        let said = Host {
            skip_verify: Some(true),
            ..Host::upstream("registry.example")
        };
        let (tls, near) = elsewhere(&said, "https://registry.example/", remote);
        assert!(tls.skip_verify);
        let own = ["registry.example", "localhost", "proxy"].map(str::to_owned);
        assert_eq!(near, Some(own.to_vec()));
        let (tls, _) = elsewhere(&Host::upstream("a.example"), "https://a.example/", remote);
        assert!(!tls.skip_verify);
    }
}
