//! The log of verdicts: one JSON object per line, from which the agent makes metrics and events.
//!
//! ```text
//! /var/lib/nodeseal/verdicts/current.jsonl    at most 1 MiB, then renamed to
//! /var/lib/nodeseal/verdicts/previous.jsonl
//! ```
//!
//! The verifier writes it, the agent reads it, and neither links the other: what a line looks like
//! stands here, and which of its bytes are new ([`Follower`]). Files are opened elsewhere.

mod follow;
mod record;

pub use self::follow::{Batch, FileId, Follower, HEAD, LogFile, Position};
pub use self::record::{Kind, REASONS, Record};

/// The folder of the log, relative to the node's root.
pub const DIR: &str = "var/lib/nodeseal/verdicts";
/// What is being written, in that folder.
pub const CURRENT: &str = "current.jsonl";
/// What was written before, in that folder.
pub const PREVIOUS: &str = "previous.jsonl";
/// The most bytes of one file of the log.
pub const MAX_FILE: u64 = 1024 * 1024;
/// The most bytes of a line, its end included.
pub const MAX_RECORD: usize = 4096;
