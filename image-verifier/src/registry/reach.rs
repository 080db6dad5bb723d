//! Where a registry may send us: never from another machine to this one.
//!
//! The verifier runs as root in the node's own network. What listens on loopback or at a link-local
//! address there (a kubelet, a cloud's metadata service) believes whoever reaches it, and a registry
//! must not reach it through us: neither by the realm of a challenge nor by a redirect.

use std::net::{IpAddr, Ipv6Addr};

use reqwest::Url;

use crate::hosts::is_loopback;

/// Whether `from` may lead to `to`: to another machine always, to this one or to its link only where
/// it is itself on this machine, or is the very host.
pub(super) fn may_lead(from: &Url, to: &Url) -> bool {
    is_on_this_machine(from) || from.host_str() == to.host_str() || !names_near(to)
}

/// Whether a URL means this machine by `localhost` or a literal address.
pub(super) fn is_on_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(is_loopback)
}

/// Whether an address is this machine's own, or of its link: loopback, unspecified (which connects to
/// loopback) and link-local, also where IPv4 is written as IPv6.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_near(v4),
            None => v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(),
        },
    }
}

/// The IPv4 address in one that is mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), or goes
/// through NAT64 (RFC 6052, `64:ff9b::a.b.c.d`).
fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let mapped = address.to_ipv4().filter(|_| {
        // The two that are addresses of their own.
        !address.is_loopback() && !address.is_unspecified()
    });
    let nat64 = || match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(((u32::from(high) << 16) | u32::from(low)).into())
        }
        _ => None,
    };
    mapped.or_else(nat64).map(IpAddr::V4)
}

/// The same of a URL's host, where that says it by itself. What a name resolves to is looked at when
/// it is resolved.
fn names_near(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return true;
    };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = literal.parse() {
        return is_near(address);
    }
    // Without upper case: it is a URL's.
    let name = host.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(from: &str, to: &str) -> bool {
        may_lead(&Url::parse(from).unwrap(), &Url::parse(to).unwrap())
    }

    #[test]
    fn a_remote_registry_may_not_lead_to_this_machine_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "127.255.255.254:5000",
            "localhost",
            "LocalHost:80",
            "localhost.",
            "x.localhost",
            "0.0.0.0",
            "0",
            "0.1.2.3",
            "169.254.169.254",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::169.254.169.254]",
            "[fe80::1]",
            "[febf::1]",
        ] {
            for scheme in ["http", "https"] {
                let to = format!("{scheme}://{host}/x");
                for from in ["http://registry.example:5000/", "https://10.0.0.1/"] {
                    assert!(!may(from, &to), "{from} {to}");
                }
                for from in ["http://127.0.0.1:5000/", "https://localhost/"] {
                    assert!(may(from, &to), "{from} {to}");
                }
            }
        }
    }

    #[test]
    fn other_machines_and_the_registry_itself_are_no_such_place() {
        for host in [
            "auth.example",
            "10.0.0.1",
            "192.168.0.1:5000",
            "169.253.0.1",
            "localhost.example",
            "127.0.0.1.example",
            "[2001:db8::1]",
            "[fd00::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(
                may("https://registry.example/", &format!("https://{host}/")),
                "{host}"
            );
        }
        // A registry that is itself at such an address, at another port.
        assert!(may(
            "http://169.254.1.2:5000/",
            "http://169.254.1.2:5001/token"
        ));
        assert!(!may("http://169.254.1.2:5000/", "http://169.254.169.254/"));
    }
}
