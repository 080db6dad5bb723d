//! Which hosts serve an image, as containerd finds them: `certs.d/<host>/hosts.toml`.
//!
//! The rules are those of containerd 2.2 (`core/remotes/docker/config/hosts.go`), so that the
//! verifier asks the hosts that the pull itself asks, in the same order and with the same TLS.
//! containerd's transfer service takes `config_path` as one folder; its own pulls, which come
//! before 2.1, take a list. Here it is a list, and one folder is the list of one.

mod duration;
mod folder;
mod toml;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::node_file::NodeFileError;

/// Where a registry is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// Plain HTTP. With settings for TLS, or on this machine, TLS is tried first nevertheless.
    pub plain: bool,
    /// `host[:port]`.
    pub authority: String,
    /// What comes before the repository's name: `/v2`, or nothing.
    pub path: String,
}

/// What a host may be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Content by digest.
    pub pull: bool,
    /// Content by tag.
    pub resolve: bool,
    /// The list of referrers.
    pub referrers: bool,
}

impl Capabilities {
    /// All of them.
    pub const ALL: Self = Self {
        pull: true,
        resolve: true,
        referrers: true,
    };
}

/// A host with all that is set for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Where it is.
    pub address: Address,
    /// What it may be asked for.
    pub capabilities: Capabilities,
    /// Files with certificate authorities, beside the node's own.
    pub ca: Option<Vec<PathBuf>>,
    /// Client certificates with their keys; without a file of its own, the key is in that of the
    /// certificate.
    pub client: Vec<(PathBuf, Option<PathBuf>)>,
    /// Whether its certificate is not checked, as `hosts.toml` says.
    pub skip_verify: Option<bool>,
    /// Whether its certificate is not checked where `hosts.toml` does not say: it is on this machine.
    pub is_unchecked_here: bool,
    /// Headers for every request, as often as they stand here.
    pub header: Vec<(String, String)>,
    /// How long a connection may take to come about.
    pub dial_timeout: Option<Duration>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            address: Address::default(),
            capabilities: Capabilities::ALL,
            ca: None,
            client: Vec::new(),
            skip_verify: None,
            is_unchecked_here: false,
            header: Vec::new(),
            dial_timeout: None,
        }
    }
}

impl Host {
    /// The host of an image of `name`, where nothing is configured.
    ///
    /// On this machine the protocol is ambiguous, unless the port says it: TLS goes first, without
    /// a check of the certificate, then plain HTTP.
    #[must_use]
    pub fn upstream(name: &str) -> Self {
        let mut host = Self::default();
        "/v2".clone_into(&mut host.address.path);
        if name == "docker.io" {
            "registry-1.docker.io".clone_into(&mut host.address.authority);
            return host;
        }
        name.clone_into(&mut host.address.authority);
        if is_loopback(name) {
            let port = port(name);
            host.address.plain = !matches!(port, None | Some("443"));
            host.is_unchecked_here = port != Some("80");
        }
        host
    }

    /// Whether TLS is tried before plain HTTP.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let tls = self.ca.is_some()
            || !self.client.is_empty()
            || self.skip_verify.is_some()
            || self.is_unchecked_here;
        self.address.plain && tls && port(&self.address.authority) != Some("80")
    }

    /// Whether its certificate is not checked.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        self.skip_verify.unwrap_or(self.is_unchecked_here)
    }

    /// Whether it stands in for the image's own host, which has to be named in every request then.
    #[must_use]
    pub fn is_mirror_of(&self, name: &str) -> bool {
        let own = &self.address.authority;
        own != name && !(name == "docker.io" && own == "registry-1.docker.io")
    }
}

/// The hosts of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// In the order in which they are asked; may be none.
    pub hosts: Vec<Host>,
    /// What was found wrong in the configuration and passed over, as containerd does.
    pub notes: Vec<String>,
}

/// Why there are no hosts. containerd refuses such a pull as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] NodeFileError),
    /// A folder cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Folder {
        /// The folder.
        path: String,
        /// Why not.
        cause: String,
    },
}

/// The hosts for images of `name`, by the first of `config_paths` that has a folder for it.
pub fn of(name: &str, config_paths: &[String], root: &Path) -> Result<Hosts, HostsError> {
    let upstream = Host::upstream(name);
    match folder::find(name, config_paths, root)? {
        Some(folder) => folder::load(&folder, &upstream),
        None => Ok(Hosts {
            hosts: vec![upstream],
            notes: Vec::new(),
        }),
    }
}

/// The port of `host[:port]`.
fn port(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    let is_port = !host.contains(':') || host.ends_with(']');
    (is_port && !port.is_empty()).then_some(port)
}

/// Whether `host[:port]` means this machine. Only `localhost` and literal addresses do: what a name
/// resolves to is not asked.
#[must_use]
pub fn is_loopback(authority: &str) -> bool {
    let host = port(authority).map_or(authority, |port| {
        &authority[..authority.len() - port.len() - 1]
    });
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests;
