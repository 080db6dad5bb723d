//! What a runtime makes of a policy, before it matters: one pure function for all who ask.
//!
//! It feeds the condition `Compatible`, `NodeImagePolicy.status.unsupported`, the diagnostics of
//! `nodeseal render`, `nodeseal explain`, and the table in the docs.

mod containerd;
pub(crate) mod crio;
pub mod table;
mod weaker;

use std::fmt;

use serde::Serialize;

use crate::files::Diagnostic;
use crate::model::Policy;
use crate::problem::Reason;
use crate::version::Version;

pub use containerd::FIRST_ENFORCING;
pub use crio::MAX_POLICY_BYTES;

/// The runtime of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// containerd; the newest, where its version is not known.
    Containerd(Option<Version>),
    /// CRI-O.
    Crio(Version),
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Containerd(None) => f.write_str("containerd"),
            Self::Containerd(Some(version)) => write!(f, "containerd {version}"),
            Self::Crio(version) => write!(f, "CRI-O {version}"),
        }
    }
}

/// One thing that a runtime does not do as the policy says, or that a user has to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Limitation {
    /// The authority that it is about, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The field of the policy's `spec`, or below the authority if there is one; empty where the
    /// whole policy is meant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// The stable word.
    pub reason: Reason,
    /// What it means and what to do.
    pub message: String,
}

impl Limitation {
    pub(crate) fn of(field: &str, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            authority: None,
            field: field.to_owned(),
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn by(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// As a diagnostic of that policy.
    #[must_use]
    pub fn diagnostic(self, policy: &Policy) -> Diagnostic {
        Diagnostic {
            authority: self.authority,
            field: self.field,
            ..Diagnostic::of(policy.id(), self.reason, self.message)
        }
    }
}

impl fmt::Display for Limitation {
    /// `authority NAME, FIELD: MESSAGE`, without what there is none of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.authority, self.field.as_str()) {
            (Some(name), "") => write!(f, "authority `{name}`: ")?,
            (Some(name), field) => write!(f, "authority `{name}`, {field}: ")?,
            (None, "") => {}
            (None, field) => write!(f, "{field}: ")?,
        }
        f.write_str(&self.message)
    }
}

/// What a runtime makes of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// Why the runtime cannot express it; empty if it can.
    pub prevents: Vec<Limitation>,
    /// What to know where it can, or could once the mode is `Enforce`: above all how signatures
    /// have to be made to verify there.
    pub warnings: Vec<Limitation>,
}

impl Capability {
    /// Whether the runtime enforces what the policy says.
    #[must_use]
    pub fn is_expressible(&self) -> bool {
        self.prevents.is_empty()
    }
}

/// What `runtime` makes of `policy`.
#[must_use]
pub fn of(policy: &Policy, runtime: Runtime) -> Capability {
    match runtime {
        Runtime::Containerd(version) => containerd::of(policy, version),
        Runtime::Crio(version) => crio::of(policy, version),
    }
}

/// What `runtime` prevents of all these policies, as diagnostics.
#[must_use]
pub fn diagnostics<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    runtime: Runtime,
) -> Vec<Diagnostic> {
    policies
        .flat_map(|policy| {
            let prevents = of(policy, runtime).prevents;
            prevents.into_iter().map(|limit| limit.diagnostic(policy))
        })
        .collect()
}

/// What to know about those of these policies that `runtime` expresses.
#[must_use]
pub fn warnings<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    runtime: Runtime,
) -> Vec<Diagnostic> {
    policies
        .flat_map(|policy| {
            let warnings = of(policy, runtime).warnings;
            warnings.into_iter().map(|limit| limit.diagnostic(policy))
        })
        .collect()
}

#[cfg(test)]
mod tests;
