//! Turns policies into the files of one node's container runtime.
//!
//! ```text
//!  policy folder ─reading─▶ Reading ─┐          (or cluster ─▶ Order: the bundle as a whole)
//!  bundle (last good) ───▶ Ledger ───┴─merge─▶ Ledger ─┐
//!  the node's own files ─▶ runtime::{containerd, crio} ┴─▶ facts, render, check ─▶ Desired
//!  files on disk ────────▶ observe ──────────────────────────────────────▶ Current ┤
//!                                                                              └─plan─▶ Steps
//!  Steps ─apply─▶ copies, staged files, journal, renames        (recover: after a crash)
//! ```
//!
//! Decisions (`merge`, `facts`, `plan`, `status`) are pure; everything that touches the node goes
//! through [`root::Root`], which nothing escapes. At any instant, whatever ends the process, each
//! managed file is whole, and the folder whose entries containerd executes holds the verifier
//! alone or does not exist. What stood on the node before is kept and, where it is no longer
//! stood in for, given back byte for byte.

pub mod agent;
pub mod apply;
pub mod backup;
pub mod books;
pub mod check;
pub mod cluster;
pub mod error;
pub mod fault;
pub mod hands;
pub mod journal;
mod json;
pub mod layout;
pub mod leave;
pub mod ledger;
pub mod live;
pub mod lock;
pub mod merge;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod reading;
pub mod recover;
pub mod refresh;
pub mod root;
pub mod runtime;
pub mod sandbox;
pub mod started;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod transaction;
pub mod trial;
pub mod turn;
pub mod verdicts;
pub mod verifier;
pub mod watch;
