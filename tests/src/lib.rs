//! The lab: real peers on one machine, started and stopped by a test or by the demo.
//!
//! ```text
//! Containerd ─► Cri                        pulls as a kubelet would
//!     │
//!     ▼ verifiers in its bin_dir           the product, or a stand-in
//! Registry ◄─ Repository ◄─ images, Cosign, and what a test crafts with Key
//! ```
//!
//! [`Judge`] gives CRI-O's verdict on files and images, by the library that it verifies with.
//! With images in a [`MemoryRegistry`], signed by a [`sigstore`] of our own, it gives hundreds a
//! second.
//!
//! [`sigstore_services::Services`] are sigstore's own, for signatures without keys.
//!
//! [`host::Host`] is a node with a containerd of its own that something starts again, and
//! [`host::agent::Agent`] the agent on it.
//!
//! [`ControlPlane`] is a cluster's API server, for what watches and writes objects; [`simulated`] fills
//! it with nodes.
//!
//! Everything lies in a [`folder::Folder`] below the temporary directory and on loopback ports of
//! its own, so tests run side by side; dropping a peer ends it and removes its files. With
//! `NODESEAL_KEEP=1` the files stay, to be looked at. `cargo xtask peers` builds the programs.

pub mod cleanup;
pub mod containerd;
pub mod control_plane;
pub mod cosign;
pub mod cri;
pub mod crio_socket;
pub mod folder;
pub mod front;
pub mod host;
pub mod images;
pub mod judge;
pub mod keys;
pub mod memory_registry;
pub mod node;
pub mod oci;
pub mod operator;
pub mod policies;
pub mod ports;
pub mod process;
pub mod registry;
pub mod show;
pub mod signatures;
pub mod sigstore;
pub mod sigstore_services;
pub mod simulated;
pub mod tuf_repository;

pub use containerd::Containerd;
pub use control_plane::ControlPlane;
pub use cosign::Cosign;
pub use cri::Cri;
pub use folder::Folder;
pub use images::Image;
pub use judge::Judge;
pub use keys::Key;
pub use memory_registry::MemoryRegistry;
pub use node::Node;
pub use oci::Repository;
pub use operator::Operator;
pub use process::Process;
pub use registry::Registry;
