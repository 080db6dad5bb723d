//! How the last bundles fared on this node: which one is known to work, which one is on trial, and
//! which one failed and is not tried again.
//!
//! ```text
//!             applied            worked
//!  (nothing) ─────────▶ trial ─────────────▶ good
//!                         │ failed
//!                         └──────▶ failed: what is good stands in for it, until the bundle or
//!                                  the node changes
//! ```
//!
//! Pure. The record is on disk, so that an agent that is ended between an apply and its proof goes
//! on where it was.

use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::json;

/// The version of the record's format.
const VERSION: u32 = 1;
/// The most characters of what is kept about a failure.
const MAX_MESSAGE: usize = 2_048;

/// A bundle on a node: the same bundle may fail under one configuration of the runtime and work
/// under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The bundle.
    pub bundle: Digest,
    /// Everything else that the files are made from: the runtime, its configuration, the verifier.
    pub node: Digest,
}

/// Why something failed after it was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The runtime was not restarted, or did not come back.
    Reload,
    /// The proof of enforcement failed.
    Proof,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    /// What.
    pub subject: Subject,
    /// Why.
    pub cause: Cause,
    /// What was seen.
    pub message: String,
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trials {
    version: u32,
    /// What was last seen to work. The ledger of its bundle is [`crate::layout::GOOD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    good: Option<Good>,
    /// What was put on the node and not seen to work yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Subject>,
    /// What failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Failed>,
}

/// Something that works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Good {
    subject: Subject,
    /// It was proven to enforce; otherwise it was only applied without a failure.
    proven: bool,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            version: VERSION,
            good: None,
            trial: None,
            failed: None,
        }
    }
}

/// What to put on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'a> {
    /// What is asked for.
    Wanted,
    /// It failed here: what was last seen to work, and why.
    Good(&'a Failed),
    /// The bundle worked here, and the runtime did not come back with what has changed besides: the
    /// bundle, without that.
    Reverted(&'a Failed),
    /// It failed here, and nothing was ever seen to work: what was there before nodeseal.
    Nothing(&'a Failed),
}

impl Trials {
    /// Reads a record. One that cannot be read says nothing, and costs one more trial.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Self {
        json::of_version(bytes, VERSION, |trials: &Self| trials.version).unwrap_or_default()
    }

    /// The same bytes for the same record.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::lines(self)
    }

    /// What to put on the node where `wanted` is asked for.
    #[must_use]
    pub fn choose(&self, wanted: &Subject) -> Choice<'_> {
        let Some(failed) = self.failed.as_ref().filter(|f| f.subject == *wanted) else {
            return Choice::Wanted;
        };
        match (&self.good, failed.cause) {
            (None, _) => Choice::Nothing(failed),
            (Some(good), _) if good.subject.bundle != wanted.bundle => Choice::Good(failed),
            (Some(_), Cause::Reload) => Choice::Reverted(failed),
            // Going back to the same bundle would change nothing, and nothing at all is weaker.
            (Some(_), Cause::Proof) => Choice::Wanted,
        }
    }

    /// What is asked for is about to be put on the node, or is there.
    pub fn begin(&mut self, wanted: &Subject) {
        let is_good = self
            .good
            .as_ref()
            .is_some_and(|good| good.subject == *wanted);
        self.trial = (!is_good).then(|| wanted.clone());
        // Another bundle, or another node: what failed may be tried again.
        self.failed.take_if(|failed| failed.subject != *wanted);
    }

    /// Something stands in for what is asked for: nothing is on trial.
    pub fn stand_in(&mut self) {
        self.trial = None;
    }

    /// What is on trial.
    #[must_use]
    pub fn trial(&self) -> Option<&Subject> {
        self.trial.as_ref()
    }

    /// What failed last, and was not replaced since.
    #[must_use]
    pub fn failed(&self) -> Option<&Failed> {
        self.failed.as_ref()
    }

    /// The bundle that was last seen to work.
    #[must_use]
    pub fn good(&self) -> Option<&Digest> {
        self.good.as_ref().map(|good| &good.subject.bundle)
    }

    /// Whether what was last seen to work was proven to enforce.
    #[must_use]
    pub fn was_enforcing(&self) -> bool {
        self.good.as_ref().is_some_and(|good| good.proven)
    }

    /// What is on the node works. Its ledger has to be kept before.
    pub fn worked(&mut self, subject: &Subject, proven: bool) {
        self.trial.take_if(|trial| trial == subject);
        self.failed.take_if(|failed| failed.subject == *subject);
        self.good = Some(Good {
            subject: subject.clone(),
            proven,
        });
    }

    /// This failed. False when it is not on trial: then nothing is taken back.
    pub fn fail(&mut self, subject: &Subject, cause: Cause, message: &str) -> bool {
        let Some(subject) = self.trial.take_if(|trial| trial == subject) else {
            return false;
        };
        self.failed = Some(Failed {
            subject,
            cause,
            message: message.chars().take(MAX_MESSAGE).collect(),
        });
        true
    }
}

#[cfg(test)]
mod tests;
