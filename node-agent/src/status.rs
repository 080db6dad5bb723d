//! What the agent says about the node, in the shape of `NodeImagePolicy.status`.
//!
//! Pure: the time is an argument, and what did not change keeps the time that it had.

use jiff::Timestamp;
use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::json;

use self::conditions::Found;

mod conditions;
mod report;
mod text;
mod unsupported;

pub use self::report::{Detected, Failure, Left, Proven, Report};

/// The status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The container runtime.
    pub runtime: Runtime,
    /// Digest of the bundle in force; absent before the first apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_bundle: Option<Digest>,
    /// Digest of the bundle that was in force before that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_bundle: Option<Digest>,
    /// How many policies are in force.
    pub policies: usize,
    /// Digest over all managed files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_digest: Option<Digest>,
    /// When files were last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_time: Option<Timestamp>,
    /// What that apply met: files of others, drift, an interrupted apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_apply_notes: Vec<String>,
    /// Version of the agent.
    pub agent_version: String,
    /// `Detected`, `Applied`, `Enforcing`, `Ready`; while it is so, `Reconciling` or `Stalled`.
    pub conditions: Vec<Condition>,
    /// What this runtime cannot enforce.
    pub unsupported: Unsupported,
    /// What is wrong in the policy folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What stays as it was, because what is there now cannot be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// What the administrator should know or do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The managed files.
    pub files: Vec<FileStatus>,
    /// How often a file was put back since the agent started.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub drift: u64,
    /// When that last happened and what differed; absent before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drift: Option<LastDrift>,
    /// Image and reason of what was refused in the last hour. At most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<(String, String)>,
    /// Whether more was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused_cut: bool,
    /// Covered images on the node that no verdict let in.
    #[serde(default, skip_serializing_if = "Unverified::is_none")]
    pub unverified: Unverified,
}

/// The last time that files were put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrift {
    /// When.
    pub time: Timestamp,
    /// What was met then.
    pub notes: Vec<String>,
}

/// Covered images that no verdict let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unverified {
    /// How many.
    pub count: usize,
    /// The first of them by name, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Unverified {
    fn is_none(&self) -> bool {
        self.count == 0
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The container runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `containerd` or `cri-o`.
    pub name: String,
    /// Its version, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A condition as Kubernetes has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The stable word.
    pub reason: String,
    /// What it means and what to do.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
}

/// What this runtime cannot enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// How many policies.
    pub count: usize,
    /// The first ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<UnsupportedPolicy>,
}

/// One policy that this runtime cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsupportedPolicy {
    /// Its name.
    pub policy: String,
    /// Its namespace, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The stable word.
    pub reason: String,
    /// What it means.
    pub message: String,
}

/// One thing that is wrong in the policy folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, relative to the policy folder.
    pub file: String,
    /// The line from 1; 0 when it is about the whole file.
    pub line: u64,
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// `Kind/name`, when it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// The field, when it is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl Problem {
    /// An error about a whole file or folder.
    #[must_use]
    pub fn of_file(file: String, message: String) -> Self {
        let (object, field) = (String::new(), String::new());
        Self {
            file,
            line: 0,
            severity: "error".to_owned(),
            object,
            field,
            message,
        }
    }

    /// True when it makes something invalid.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

/// Something that stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The policy, or `EnforcementConfig`.
    pub policy: String,
    /// The file that it came from.
    pub file: String,
    /// Why.
    pub message: String,
}

/// A managed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its path, relative to the root.
    pub path: String,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Copy of what was there before nodeseal, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

impl Status {
    /// The status after a look, with the times that `previous` had for what did not change.
    #[must_use]
    pub fn new(report: Report, previous: Option<&Self>, now: Timestamp) -> Self {
        let since = |found: &Found| {
            previous
                .and_then(|previous| previous.condition(found.r#type))
                .filter(|old| old.status == found.status)
                .map_or(now, |old| old.last_transition_time)
        };
        let conditions = conditions::of(&report)
            .into_iter()
            .map(|found| Condition {
                last_transition_time: since(&found),
                r#type: found.r#type.to_owned(),
                status: found.status.to_owned(),
                reason: found.reason.to_owned(),
                message: found.message,
            })
            .collect();
        let (last_applied_time, last_apply_notes) = match report.applied {
            Some(notes) => (Some(now), notes),
            None => previous.map_or((None, Vec::new()), |previous| {
                (
                    previous.last_applied_time,
                    previous.last_apply_notes.clone(),
                )
            }),
        };
        let last_drift = last_drift(report.drift, &last_apply_notes, previous, now);
        let previous_bundle = previous.and_then(|previous| {
            let is_new = previous.applied_bundle != report.bundle;
            is_new
                .then(|| previous.applied_bundle.clone())
                .flatten()
                .or_else(|| previous.previous_bundle.clone())
        });
        let listed: Vec<String> = report
            .files
            .iter()
            .map(|file| format!("{} {}\n", file.sha256, file.path))
            .collect();
        let unsupported = unsupported::of(&report.diagnostics);
        Self {
            runtime: report.runtime,
            applied_bundle: report.bundle,
            previous_bundle,
            policies: report.policies,
            files_digest: (!listed.is_empty()).then(|| Digest::of(listed.concat().as_bytes())),
            last_applied_time,
            last_apply_notes,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            conditions,
            unsupported: Unsupported {
                count: unsupported.len(),
                first: unsupported.into_iter().take(10).collect(),
            },
            problems: report.problems,
            kept: report.kept,
            warnings: report.warnings,
            files: report.files,
            drift: report.drift,
            last_drift,
            refused: report.refused.pairs,
            refused_cut: report.refused.is_cut,
            unverified: Unverified {
                count: report.unverified.count,
                names: report.unverified.names,
            },
        }
    }

    /// One condition.
    #[must_use]
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.r#type == r#type)
    }

    /// True when the files are as the policies ask.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.condition("Applied")
            .is_some_and(|condition| condition.status == "True")
    }

    /// True when, besides, everything in the folder is valid.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_applied() && !self.problems.iter().any(Problem::is_error)
    }

    /// The JSON that is stored and printed.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::lines(self)
    }
}

/// When files were last put back: now, where the count is another than before. A count that begins
/// anew is that of another agent.
fn last_drift(
    drift: u64,
    notes: &[String],
    previous: Option<&Status>,
    now: Timestamp,
) -> Option<LastDrift> {
    let before = previous.filter(|previous| previous.drift == drift);
    let is_new = || LastDrift {
        time: now,
        notes: notes.to_vec(),
    };
    let same = before.and_then(|before| before.last_drift.clone());
    (drift > 0).then(|| same.unwrap_or_else(is_new))
}

#[cfg(test)]
mod tests;
