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
    /// The bundle that was last seen to work. Its ledger is [`crate::layout::GOOD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    good: Option<Digest>,
    /// What was applied and not seen to work yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trial: Option<Subject>,
    /// What failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Failed>,
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
    /// It failed here, and nothing was ever seen to work: what was there before nodeseal.
    Nothing(&'a Failed),
}

impl Trials {
    /// Reads a record. One that cannot be read says nothing, and costs one more trial.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Self {
        serde_json::from_slice::<Self>(bytes)
            .ok()
            .filter(|trials| trials.version == VERSION)
            .unwrap_or_default()
    }

    /// The same bytes for the same record.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// What to put on the node where `wanted` is asked for.
    #[must_use]
    pub fn choose(&self, wanted: &Subject) -> Choice<'_> {
        match &self.failed {
            Some(failed) if failed.subject == *wanted => match &self.good {
                // Going back to the same bundle would change nothing.
                Some(good) if *good == wanted.bundle => Choice::Wanted,
                Some(_) => Choice::Good(failed),
                None => Choice::Nothing(failed),
            },
            _ => Choice::Wanted,
        }
    }

    /// Takes in that `subject` is on the node; `changed` says that it was put there just now.
    pub fn applied(&mut self, subject: &Subject, changed: bool) {
        let is_good = self.good.as_ref() == Some(&subject.bundle);
        let is_tried = self.trial.as_ref() == Some(subject);
        if changed && !is_good || is_tried {
            self.trial = Some(subject.clone());
        } else {
            self.trial = None;
        }
        // Another bundle, or another node: what failed may be tried again.
        self.failed.take_if(|failed| {
            failed.subject != *subject && self.good.as_ref() != Some(&subject.bundle)
        });
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
        self.good.as_ref()
    }

    /// What is on the node works. True when that is news, so that its ledger has to be kept.
    pub fn worked(&mut self, bundle: &Digest) -> bool {
        self.trial = None;
        let news = self.good.as_ref() != Some(bundle);
        self.good = Some(bundle.clone());
        self.failed
            .take_if(|failed| failed.subject.bundle == *bundle);
        news
    }

    /// What is on trial failed. False when there is no trial: then nothing is taken back.
    pub fn fail(&mut self, cause: Cause, message: &str) -> bool {
        let Some(subject) = self.trial.take() else {
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
