//! What a set of files says.

use std::sync::Arc;

use policy::bundle::Settings;
use policy::digest::Digest;
use policy::model::{Policy, PolicyId};
use policy::trust::TrustRoot;

use crate::problem::{Problem, Severity};
use crate::types::EnforcementConfigSpec;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that problems carry.
    pub name: String,
    /// The content.
    pub text: String,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceRef {
    /// The file's name as it was given.
    pub file: String,
    /// The object's first line, counted from 1.
    pub line: u64,
}

/// A valid policy and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Where it stands.
    pub source: SourceRef,
}

/// A valid trust root and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTrustRoot {
    /// The object's name, by which policies refer to it.
    pub name: String,
    /// What it trusts.
    pub root: Arc<TrustRoot>,
    /// The digest of that: what `status.digest` would show.
    pub digest: Digest,
    /// What it holds and this version does not verify with; each is a warning, too.
    pub filtered: Vec<String>,
    /// Where it stands.
    pub source: SourceRef,
}

/// An object of the group that is not valid. A policy that was in force under this id should stay
/// so; a configuration likewise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvalidObject {
    /// `Kind/name` or `Kind/namespace/name`.
    pub object: String,
    /// Which policy it is; nothing for other kinds and where the object has no usable name.
    pub policy: Option<PolicyId>,
    /// Where it stands.
    pub source: SourceRef,
}

/// Everything that a set of files says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The valid policies, sorted by id.
    pub policies: Vec<LoadedPolicy>,
    /// The valid trust roots, sorted by name, whether a policy needs them or not.
    pub trust_roots: Vec<LoadedTrustRoot>,
    /// What nodes need of the `EnforcementConfig`. Nothing where there is none, or none that is
    /// valid: then `invalid` has it.
    pub settings: Option<Settings>,
    /// The whole `EnforcementConfig` that `settings` comes from.
    pub config: Option<EnforcementConfigSpec>,
    /// Where that stands.
    pub config_source: Option<SourceRef>,
    /// All problems, sorted by file, line and column.
    pub problems: Vec<Problem>,
    /// The objects that are not valid, sorted.
    pub invalid: Vec<InvalidObject>,
    /// The files that could not be read whole, or hold something that cannot be recognised, sorted:
    /// which policies they were meant to hold is not known.
    pub broken_files: Vec<String>,
}

impl Loaded {
    /// Whether anything is not accepted.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Whether anything may not do what its author expects.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Warning)
    }

    /// The problems of one severity.
    pub fn problems_of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        self.problems
            .iter()
            .filter(move |problem| problem.severity == severity)
    }
}
