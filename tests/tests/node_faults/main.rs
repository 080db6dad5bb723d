//! Faults: what can go wrong on a node, done to it, and what is then true of its pulls.
//!
//! ```text
//! Case ─▶ a node ─▶ the fault ─▶ afterwards the old policies or the new ones are in force, entirely
//!           │
//!           └─ Sight: decides by the node's files all the while, or pulls through a real containerd
//! ```
//!
//! `cargo test -p e2e --test node_faults` runs them side by side and prints a table; with
//! `NODESEAL_FULL` also those that take minutes, each point of an apply, and the soak. With
//! `NODESEAL_FAULT=<part of a name>` only those.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "it is how a test fails, and helper functions of tests"
)]

mod agents;
mod api;
mod clock;
mod cluster;
mod crio;
mod disk;
mod drift;
mod live;
mod node;
mod policies;
mod records;
mod run;
mod sight;
mod soak;

use anyhow::Result;

/// The fewest faults that there are.
const LEAST: usize = 120;

#[test]
fn every_fault_is_survived() -> Result<()> {
    let cases = [
        disk::cases(),
        agents::cases(),
        records::cases(),
        policies::cases(),
        drift::cases(),
        cluster::cases(),
        crio::cases(),
        clock::cases(),
        live::cases(),
    ];
    run::run(cases.into_iter().flatten().collect(), LEAST)
}

/// Ten thousand changes, in the long form alone.
#[tokio::test]
async fn soak() -> Result<()> {
    if !run::full() {
        return Ok(());
    }
    soak::run().await
}
