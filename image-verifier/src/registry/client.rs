//! The one HTTP client.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, NoProxy, Proxy};

use super::dns::NodeResolver;
use super::endpoint::is_loopback;
use super::error::RegistryError;
use super::tls;
use crate::environment::Environment;

/// The most redirects of one request.
const MAX_REDIRECTS: usize = 5;
/// How long one connection may take to come about: two of them fit into the usual deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Never through a proxy: it would reach the proxy's own machine.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// Makes the client. Proxies come from `environment` alone, authorities from `bundles` alone.
pub(super) fn build(
    environment: &Environment,
    bundles: tls::Bundles,
) -> Result<Client, RegistryError> {
    let internal = |cause: String| RegistryError::Internal { cause };
    let tls = tls::config(bundles).map_err(|error| internal(format!("TLS: {error}")))?;
    let mut builder = Client::builder()
        .no_proxy()
        .dns_resolver(NodeResolver::default())
        .tls_backend_preconfigured(tls)
        .redirect(Policy::custom(redirect))
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
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

/// Follows a few redirects, to `https` or from plain HTTP on this machine to the same.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error(format!("more than {MAX_REDIRECTS} redirects"));
    }
    let from_plain = attempt
        .previous()
        .last()
        .is_some_and(|url| url.scheme() == "http");
    match (attempt.url().scheme(), attempt.url().host_str()) {
        ("https", _) => attempt.follow(),
        ("http", Some(host)) if from_plain && is_loopback(host) => attempt.follow(),
        _ => attempt.error("a redirect from https to plain http is not followed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(build(&environment, tls::HOST_BUNDLES).is_ok(), "{address}");
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
        let error = build(&environment, tls::HOST_BUNDLES)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
