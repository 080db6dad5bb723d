//! The runtime that runs: what it says of itself over its socket, and the process behind it.
//!
//! What an administrator tells on the command line is for images and for nodes on which nothing
//! runs yet; on a node that runs, what runs is asked.

mod endpoint;
mod kubelet;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use node_runtime::cri::{self, Client, Image};
use node_runtime::crio;
use node_runtime::process::{self, Process, Socket};
use policy::verifier::CredentialProvider;
use policy::version::{Version, VersionError};

pub use self::endpoint::{Endpoint, EndpointError, WELL_KNOWN, choose};
pub use self::kubelet::{Kubelet, KubeletError, find as find_kubelet};

/// Which runtime answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// containerd.
    Containerd,
    /// CRI-O.
    Crio,
}

/// What is known of the runtime that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Which one answers.
    pub kind: Kind,
    /// Its version.
    pub version: Version,
    /// Its process, or why that is not known.
    pub process: Result<Process, String>,
    /// Whether the agent could restart it, were that allowed; an error says why not.
    pub restartable: Result<(), String>,
    /// The kubelet's credential providers, where it was told of any.
    pub credential_provider: Option<CredentialProvider>,
    /// The configuration that a CRI-O has in force.
    pub crio: Option<crio::Config>,
    /// The images that it has.
    pub images: Vec<Image>,
}

/// Why nothing is known of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Which socket is meant is not clear.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It does not answer.
    #[error("the container runtime does not answer: {0}")]
    Cri(#[from] cri::Error),
    /// It is none that nodeseal knows.
    #[error(
        "the container runtime at {socket} is `{name}`, and nodeseal works with containerd and \
         cri-o: no image of this node is verified"
    )]
    Unknown {
        /// The socket.
        socket: PathBuf,
        /// What it calls itself.
        name: String,
    },
    /// Its version cannot be read.
    #[error("the container runtime says that its version is `{text}`: {source}")]
    Version {
        /// What it says.
        text: String,
        /// Why that is none.
        source: VersionError,
    },
    /// CRI-O does not tell its configuration.
    #[error(transparent)]
    Crio(#[from] crio::Error),
}

/// Asks the runtime at `endpoint`. `proc` is where procfs is mounted, with the node's processes.
pub async fn look(endpoint: &Endpoint, proc: &Path) -> Result<Live, LiveError> {
    let client = client(endpoint);
    let said = client.version().await?;
    let kind = match said.name.as_str() {
        "containerd" => Kind::Containerd,
        "cri-o" => Kind::Crio,
        _ => {
            let socket = endpoint.on_node.clone();
            let name = said.name;
            return Err(LiveError::Unknown { socket, name });
        }
    };
    let version = said.version.parse().map_err(|source| LiveError::Version {
        text: said.version.clone(),
        source,
    })?;
    let socket = Socket {
        path: &endpoint.here,
        on_node: &endpoint.on_node,
    };
    let process = process::behind(proc, socket).await;
    let images = client.images().await?;
    let crio = match kind {
        Kind::Containerd => None,
        Kind::Crio => Some(crio::config(&endpoint.here).await?),
    };
    let process = process.map_err(|error| error.to_string());
    Ok(Live {
        kind,
        version,
        restartable: process.clone().map(drop),
        credential_provider: None,
        process,
        crio,
        images,
    })
}

/// A client of the runtime at `endpoint`.
#[must_use]
pub fn client(endpoint: &Endpoint) -> Client {
    Client::new(&endpoint.here, cri::DEADLINE)
}
