//! Which socket the runtime answers at.

use std::path::{Path, PathBuf};

use crate::layout::relative;

/// Where runtimes listen unless they are told otherwise: containerd, CRI-O, and containerd as k3s
/// and RKE2, as k0s, and as microk8s start it.
pub const WELL_KNOWN: [&str; 5] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// A socket of the CRI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its path as the node has it.
    pub on_node: PathBuf,
    /// Its path for this process, which may have the node's folders elsewhere.
    pub here: PathBuf,
}

/// Why it is not clear which socket is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not the address of a unix socket.
    #[error(
        "`{0}` is not the address of a container runtime: give it as the kubelet has it, such as \
         unix:///run/containerd/containerd.sock"
    )]
    NoSocket(String),
    /// No runtime where they usually are.
    #[error(
        "no container runtime listens in any of the usual places ({}): start it, or give its \
         socket with --runtime-endpoint, as the kubelet has it (containerRuntimeEndpoint)",
        WELL_KNOWN.join(", ")
    )]
    None,
    /// More than one.
    #[error(
        "more than one container runtime may be meant ({0}): give the one that the kubelet uses \
         (containerRuntimeEndpoint) with --runtime-endpoint"
    )]
    Many(String),
}

impl Endpoint {
    /// A socket by the address that the kubelet has for it: `unix:///run/containerd/containerd.sock`,
    /// or the path alone. `root` is where the node's files are for this process.
    pub fn parse(address: &str, root: &Path) -> Result<Self, EndpointError> {
        let path = address.strip_prefix("unix://").unwrap_or(address);
        let path = relative(path).ok_or_else(|| EndpointError::NoSocket(address.to_owned()))?;
        Ok(Self {
            here: root.join(&path),
            on_node: Path::new("/").join(path),
        })
    }

    /// The one socket that is where runtimes usually listen.
    pub fn find(root: &Path) -> Result<Self, EndpointError> {
        let there = |path: &&str| root.join(path.trim_start_matches('/')).exists();
        let found: Vec<&str> = WELL_KNOWN.into_iter().filter(there).collect();
        match found.as_slice() {
            [] => Err(EndpointError::None),
            [one] => Self::parse(one, root),
            more => Err(EndpointError::Many(more.join(", "))),
        }
    }
}
