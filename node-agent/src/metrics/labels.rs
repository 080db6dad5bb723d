//! The labels, and their values from fixed lists.

use policy::digest::Digest;
use policy::verdicts::{Kind, REASONS, Record};
use prometheus_client::encoding::EncodeLabelSet;

/// The value for all that have no series of their own.
pub(super) const OTHER: &str = "other";

/// How a change of the node's files went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// They are as the policies ask.
    Done,
    /// Something failed, and they are as before.
    Failed,
    /// They were changed, did not pass, and the last good ones were put back.
    RolledBack,
}

impl Applied {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::RolledBack];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// How a restart of the runtime went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarted {
    /// It came back.
    Done,
    /// It did not start, did not come back in time, or could not be asked to.
    Failed,
}

impl Restarted {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Done, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One of the two pulls of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leg {
    /// The one that has to be refused.
    Deny,
    /// The one that has to pass.
    Allow,
}

impl Leg {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Deny, Self::Allow];

    fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// What a leg showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proved {
    /// The right answer was given.
    Passed,
    /// The wrong one was.
    Failed,
    /// Nothing: no request came, or the runtime did not answer.
    Unknown,
}

impl Proved {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether the node enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcing {
    /// Proven.
    Yes,
    /// Disproven.
    No,
    /// Neither.
    Unknown,
}

impl Enforcing {
    pub(super) fn value(self) -> i64 {
        match self {
            Self::Yes => 1,
            Self::No => 0,
            Self::Unknown => -1,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct Judged {
    verdict: &'static str,
    /// Empty where nothing speaks against the image.
    reason: &'static str,
    /// Empty where no policy decided.
    pub(super) policy: String,
}

impl Judged {
    pub(super) fn new(record: &Record, policy: String) -> Self {
        let verdict = match record.verdict {
            Kind::Allowed => "allowed",
            Kind::Refused => "refused",
            Kind::Audit => "audit",
        };
        let reason = record.reason.as_deref().map_or("", |reason| {
            let known = REASONS.iter().find(|&&known| known == reason);
            known.copied().unwrap_or(OTHER)
        });
        Self {
            verdict,
            reason,
            policy,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Result {
    result: &'static str,
}

impl From<Applied> for Result {
    fn from(result: Applied) -> Self {
        let result = result.as_str();
        Self { result }
    }
}

impl From<Restarted> for Result {
    fn from(result: Restarted) -> Self {
        let result = result.as_str();
        Self { result }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Probe {
    leg: &'static str,
    result: &'static str,
}

impl Probe {
    pub(super) fn new(leg: Leg, result: Proved) -> Self {
        Self {
            leg: leg.as_str(),
            result: result.as_str(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Bundle {
    bundle: String,
}

impl Bundle {
    pub(super) fn new(digest: &Digest) -> Self {
        let bundle = digest.to_string();
        Self { bundle }
    }
}
