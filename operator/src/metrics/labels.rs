//! The labels, and their values from fixed lists.

use policy::aggregate::Truth;
use prometheus_client::encoding::EncodeLabelSet;

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The API server took it.
    Done,
    /// It did not, or was not reached; the write is tried again.
    Failed,
}

impl Outcome {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Done, Self::Failed];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Written {
    kind: &'static str,
    outcome: &'static str,
}

impl Written {
    pub(super) fn new(kind: &'static str, outcome: Outcome) -> Self {
        let outcome = outcome.as_str();
        Self { kind, outcome }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Asked {
    pub(super) verb: &'static str,
    pub(super) code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ready {
    ready: &'static str,
    reason: String,
}

impl Ready {
    pub(super) fn new(ready: Truth, reason: &str) -> Self {
        let ready = match ready {
            Truth::True => "true",
            Truth::False => "false",
            Truth::Unknown => "unknown",
        };
        let reason = reason.to_owned();
        Self { ready, reason }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct State {
    pub(super) state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Root {
    pub(super) trust_root: String,
}
