//! Clusters of many nodes: a real control plane and operator, and agents that are tasks of one process.
//!
//! ```text
//!  ControlPlane ◀── operator (its own process)
//!       ▲
//!       └── follow ◀─channels─▶ files      one pair for each node
//! ```
//!
//! [`agents`] run the agent's own loop and client ([`node_agent::cluster`]); what is swapped is what
//! writes files. [`cluster`] starts and changes everything, [`requests`] says what it cost, and
//! [`recorder`] what nodes went through.

pub mod agents;
pub mod cluster;
pub mod recorder;
pub mod requests;

pub use crate::operator::Operator;
pub use agents::{Agents, Deed};
pub use cluster::Cluster;
pub use recorder::Recorder;
pub use requests::Requests;
