//! The image verifier that containerd runs at each pull.
//!
//! ```text
//!  args, descriptor ─▶ Subject ──────────────┐
//!  policy_file ─▶ VerifierPolicy ─decide──▶ Decision ─▶ evaluate::Judge ─▶ Verdict ─▶ Answer
//!  environment ─▶ registry ─▶ discover ─▶ Candidate, Finding ──┘
//! ```
//!
//! [`evaluate`] is pure and knows no registry, [`discover`] finds and knows no policy, and [`run`]
//! puts them together. [`process`] is the process around it.
//!
//! What holds everywhere:
//! - Nothing but an explicit pass ends in exit code 0.
//! - A signature is verified before anything in what it signs is believed.
//! - An error never looks like "there is no signature", and nothing that was found is dropped
//!   without a [`candidate::Finding`].
//! - Bytes, objects, signatures and time are bounded: this runs in containerd's cgroup.
//! - Nothing of the environment but proxies is read.

pub mod args;
pub mod cache;
pub mod candidate;
pub mod credentials;
pub mod descriptor;
pub mod discover;
pub mod environment;
pub mod evaluate;
pub mod hosts;
pub mod inspect;
pub mod keys;
pub mod limits;
pub mod node_file;
pub mod payload;
pub mod policy_file;
pub mod process;
pub mod reason;
pub mod registry;
pub mod run;
pub mod search;
pub mod sigstore;
pub mod state;
pub mod verdicts;
pub mod watchdog;
