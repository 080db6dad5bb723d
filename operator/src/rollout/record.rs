//! What is written down with each bundle that a node is given.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The annotation of a `NodeImagePolicy` that holds it.
pub const ANNOTATION: &str = "nodeseal.dev/rollout";
/// The version of its form.
const VERSION: u8 = 1;
/// The most bytes that are looked at: it is a few hundred.
const MOST_BYTES: usize = 8192;

/// What a failure of a node would say about what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nothing: it was not ready before, or it has just joined.
    None,
    /// It had nothing before: what it reports counts, that it is silent does not.
    Reported,
    /// It was ready before.
    Full,
}

/// That a node failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mark {
    /// What it speaks against: a core, or a bundle.
    pub target: String,
    /// The reason word.
    pub reason: String,
    /// The value of the annotation [`RETRY`](super::RETRY) then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}

/// How a node came to the bundle that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The version of this form.
    v: u8,
    /// The bundle that this is about.
    pub bundle: String,
    /// The last one that the node was ready under; this one where it was returned to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it was given this one.
    pub since: Timestamp,
    /// Since when it is in change.
    pub began: Timestamp,
    /// What its failing would say.
    pub weight: Weight,
    /// That it failed, here or under the bundle that it was returned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Mark>,
}

impl Record {
    /// A node that is given `bundle` now.
    #[must_use]
    pub fn new(bundle: &str, from: Option<&str>, weight: Weight, now: Timestamp) -> Self {
        // What is read back must be what was written.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            v: VERSION,
            bundle: bundle.to_owned(),
            from: from.map(str::to_owned),
            since: now,
            began: now,
            weight,
            failed: None,
        }
    }

    /// As it stands in the annotation.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the annotation of an object whose `spec.bundle` is `bundle`. What somebody else wrote,
    /// or what is about another bundle, is none.
    #[must_use]
    pub fn parse(text: &str, bundle: &str) -> Option<Self> {
        if text.len() > MOST_BYTES {
            return None;
        }
        let record: Self = serde_json::from_str(text).ok()?;
        (record.v == VERSION && record.bundle == bundle).then_some(record)
    }
}
