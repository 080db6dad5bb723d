//! Every kind in every stage of its life, as the library reads it that Helm 4 and Flux wait with.
//!
//! The objects are those of a real API server, their status is that of the real operator, and what a
//! node says is worked out by the agent's own code.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::panic, reason = "a test may stop at the first surprise")]

mod configuration;
#[allow(dead_code, reason = "the operator's tests have more to ask")]
#[path = "../operator/lab.rs"]
mod lab;
mod nodes;
mod policies;
mod reader;
mod roots;
mod scene;
