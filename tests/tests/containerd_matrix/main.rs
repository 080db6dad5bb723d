//! The agent on nodes with real containerds: what it finds out about them, what it changes, and
//! whether pulls are then held to the policies.
//!
//! ```text
//! Host: a folder that is the root of a containerd, a supervisor that starts it again whenever it
//!       ends, and the agent beside it, as a pod with the node's root would run
//!   │
//!   └─ status.json, what lies below the root, and containerd's log say what came of it
//! ```
//!
//! One version of containerd is a sample; `NODESEAL_FULL` takes all of [`e2e::host::VERSIONS`].

#![allow(
    clippy::expect_used,
    reason = "it is how a test fails, and helper functions of tests"
)]

mod bypasses;
mod detection;
mod leaving;
mod restarts;
