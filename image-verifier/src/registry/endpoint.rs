//! Where the registry of an image host is.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A registry's address, without scheme: that is found out for loopback hosts, and `https` for all
/// others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
}

impl Endpoint {
    /// The registry of an image host: itself, but for `docker.io`, whose registry has another name.
    #[must_use]
    pub fn of(host: &str) -> Self {
        let authority = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        Self {
            authority: authority.to_owned(),
        }
    }

    /// `host[:port]`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether it is on this very machine, where plain HTTP is tolerated, as containerd does
    /// without a `hosts.toml`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(host_of(&self.authority))
    }
}

fn host_of(authority: &str) -> &str {
    if authority.starts_with('[') {
        return authority
            .split_once(']')
            .map_or(authority, |(host, _)| host);
    }
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
}

/// Whether a host name, as it stands in a URL, means this machine. Only `localhost` and literal
/// addresses do: what a name resolves to is not asked.
#[must_use]
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse().is_ok_and(|v4: Ipv4Addr| v4.is_loopback())
        || address.parse().is_ok_and(|v6: Ipv6Addr| v6.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_io_is_served_under_another_name() {
        assert_eq!(
            Endpoint::of("docker.io").authority(),
            "registry-1.docker.io"
        );
        assert_eq!(
            Endpoint::of("example.com:5000").authority(),
            "example.com:5000"
        );
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(Endpoint::of(host).is_loopback(), "{host}");
        }
        for host in [
            "localhost.example.com:5000",
            "127.0.0.1.example.com",
            "example.com",
            "10.0.0.1:5000",
            "[::2]:5000",
            "docker.io",
        ] {
            assert!(!Endpoint::of(host).is_loopback(), "{host}");
        }
    }
}
