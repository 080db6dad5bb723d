//! What runs the containers of a node: found, asked, configured, restarted, and put to the proof.
//!
//! ```text
//!  CRI socket ──cri──▶ name, version, images, pulls
//!        └────process─▶ the process behind it: command line, start
//!  its files ─containerd─▶ merged configuration ─▶ what makes pulls go past the verifier, drop-in
//!  its socket ──crio──▶ the configuration in force
//!  restart: over systemd's D-Bus API, by a signal to a supervised process, or not at all
//!  probe: a registry on loopback, and what its requests prove
//! ```
//!
//! Nothing here writes a file of the node; what to write is returned as text, for the agent's
//! transactions.

pub mod containerd;
pub mod cri;
pub mod crio;
pub mod probe;
pub mod process;
pub mod restart;
