//! Which socket the runtime answers at.

use std::path::{Path, PathBuf};

use super::kubelet::Kubelet;
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
    /// More than one, and the kubelet does not tell which one it uses.
    #[error(
        "more than one container runtime may be meant ({sockets}), and which one the kubelet uses \
         is not known: {why}; give its socket (containerRuntimeEndpoint) with --runtime-endpoint"
    )]
    Untold {
        /// Those that there are.
        sockets: String,
        /// Why the kubelet does not tell.
        why: String,
    },
    /// The kubelet uses a runtime that is not there.
    #[error(
        "the kubelet (process {pid}) uses the container runtime at {address}, and there is no such \
         socket: start that runtime, mount the folder of its socket into the agent's pod, or give \
         another socket with --runtime-endpoint"
    )]
    Absent {
        /// The kubelet.
        pid: u32,
        /// What it was told.
        address: String,
    },
}

/// The address of the runtime that is meant. `kubelet` is what the kubelet was told, nothing where
/// none runs, or why that is not known; `there` says whether a path of the node's exists.
pub fn choose(
    kubelet: Result<Option<&Kubelet>, String>,
    there: impl Fn(&str) -> bool,
) -> Result<String, EndpointError> {
    let why = match kubelet {
        Ok(None) => None,
        Err(why) => Some(why),
        Ok(Some(kubelet)) => match &kubelet.endpoint {
            Err(why) => Some(why.clone()),
            Ok(address) if there(path(address)) => return Ok(address.clone()),
            Ok(address) => {
                return Err(EndpointError::Absent {
                    pid: kubelet.pid,
                    address: address.clone(),
                });
            }
        },
    };
    let found: Vec<&str> = WELL_KNOWN.into_iter().filter(|path| there(path)).collect();
    match (found.as_slice(), why) {
        ([], _) => Err(EndpointError::None),
        ([one], _) => Ok((*one).to_owned()),
        (more, None) => Err(EndpointError::Many(more.join(", "))),
        (more, Some(why)) => Err(EndpointError::Untold {
            sockets: more.join(", "),
            why,
        }),
    }
}

/// The path in an address of the kubelet's.
fn path(address: &str) -> &str {
    address.strip_prefix("unix://").unwrap_or(address)
}

impl Endpoint {
    /// A socket by the address that the kubelet has for it: `unix:///run/containerd/containerd.sock`,
    /// or the path alone. `root` is where the node's files are for this process.
    pub fn parse(address: &str, root: &Path) -> Result<Self, EndpointError> {
        let path = relative(path(address));
        let path = path.ok_or_else(|| EndpointError::NoSocket(address.to_owned()))?;
        // A link on every node, but not below the folder in which an agent has some of its folders.
        let path = match path.strip_prefix("var/run/") {
            Some(rest) => format!("run/{rest}"),
            None => path,
        };
        Ok(Self {
            here: root.join(&path),
            on_node: Path::new("/").join(path),
        })
    }

    /// The one socket that is where runtimes usually listen.
    pub fn find(root: &Path) -> Result<Self, EndpointError> {
        Self::of_kubelet(root, Ok(None))
    }

    /// The socket of the runtime that the kubelet uses, or where none says so, the one that is where
    /// runtimes usually listen.
    pub fn of_kubelet(
        root: &Path,
        kubelet: Result<Option<&Kubelet>, String>,
    ) -> Result<Self, EndpointError> {
        let there = |path: &str| Self::parse(path, root).is_ok_and(|socket| socket.here.exists());
        Self::parse(&choose(kubelet, there)?, root)
    }
}
