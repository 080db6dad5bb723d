//! Turns policies into the files of one node's container runtime.
//!
//! ```text
//!  policy folder ─reading─▶ Reading ─┐
//!  bundle (last good) ───▶ Ledger ───┴─merge─▶ Ledger ─┐
//!  containerd's config ──▶ containerd_config ─▶ facts ─┴─▶ flatten, render ─▶ check ─▶ Desired
//!  files on disk ────────▶ observe ──────────────────────────────────────▶ Current │
//!                                                                              └─plan─▶ Steps
//!  Steps ─apply─▶ copies, staged files, journal, renames        (recover: after a crash)
//! ```
//!
//! Decisions (`merge`, `facts`, `plan`, `status`) are pure; everything that touches the node goes
//! through [`root::Root`], which nothing escapes. At any instant, whatever ends the process, each
//! managed file is whole, and the folder whose entries containerd executes holds the verifier
//! alone or does not exist.

pub mod agent;
pub mod apply;
pub mod check;
pub mod containerd_config;
pub mod error;
pub mod facts;
pub mod fault;
pub mod journal;
pub mod layout;
pub mod ledger;
pub mod lock;
pub mod merge;
pub mod observe;
pub mod plan;
pub mod reading;
pub mod recover;
pub mod root;
pub mod state;
pub mod status;
#[cfg(test)]
mod testing;
pub mod transaction;
pub mod verifier;
pub mod watch;
