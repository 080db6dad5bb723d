//! What is wrong with a policy, in terms that a user can act on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable word for a problem: it becomes the reason of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A rule of the API that has no word of its own.
    Invalid,
    /// A scope or exclude.
    InvalidScope,
    /// A public key.
    InvalidKey,
    /// A certificate.
    InvalidCertificate,
    /// A regular expression.
    InvalidRegExp,
    /// A referenced object is missing, or has no such key.
    NotFound,
    /// A trust root that is there and cannot be used (yet).
    TrustRootNotReady,
    /// A reference that the policy may not use.
    NotPermitted,
    /// Valid, but this runtime or this version of the product cannot enforce it.
    NotExpressible,
    /// A namespaced policy on a runtime whose verifier gets no namespace.
    NamespacedUnsupported,
    /// A runtime that calls no verifier.
    NotEnforcing,
    /// An auditing policy on a runtime that knows no audit.
    AuditUnsupported,
    /// The files of a node would be larger than its budget.
    TooLarge,
    /// Another system owns what would have to be written.
    ForeignOwner,
    /// A warning: some of the signatures that the field makes do not verify on this runtime.
    SignatureFormat,
    /// A warning: runtimes verify different manifests of a multi-arch image.
    RecursiveSigningNeeded,
    /// A warning: signatures have to carry a tag.
    TagInSignature,
    /// A warning: certificates are checked at the current time.
    CurrentTime,
    /// A warning: this runtime checks less than others.
    WeakerCheck,
    /// A warning: image volumes are not checked.
    ImageVolumes,
}

impl Reason {
    /// The word as it stands in conditions and diagnostics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::InvalidScope => "InvalidScope",
            Self::InvalidKey => "InvalidKey",
            Self::InvalidCertificate => "InvalidCertificate",
            Self::InvalidRegExp => "InvalidRegExp",
            Self::NotFound => "NotFound",
            Self::TrustRootNotReady => "TrustRootNotReady",
            Self::NotPermitted => "NotPermitted",
            Self::NotExpressible => "NotExpressible",
            Self::NamespacedUnsupported => "NamespacedUnsupported",
            Self::NotEnforcing => "NotEnforcing",
            Self::AuditUnsupported => "AuditUnsupported",
            Self::TooLarge => "TooLarge",
            Self::ForeignOwner => "ForeignOwner",
            Self::SignatureFormat => "SignatureFormat",
            Self::RecursiveSigningNeeded => "RecursiveSigningNeeded",
            Self::TagInSignature => "TagInSignature",
            Self::CurrentTime => "CurrentTime",
            Self::WeakerCheck => "WeakerCheck",
            Self::ImageVolumes => "ImageVolumes",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The field relative to the object's `spec`, such as `authorities[0].key.data`.
    pub field: String,
    /// The stable word.
    pub reason: Reason,
    /// What is wrong and how to mend it. Never any key material.
    pub message: String,
}

/// Everything that is wrong with a policy; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { field, message, .. }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {message}")?;
        }
        Ok(())
    }
}

/// Gathers problems, so that a user sees all of them at once.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<Problem>);

impl Report {
    pub(crate) fn add(
        &mut self,
        field: impl Into<String>,
        reason: Reason,
        message: impl fmt::Display,
    ) {
        self.0.push(Problem {
            field: field.into(),
            reason,
            message: message.to_string(),
        });
    }

    pub(crate) fn finish<T>(self, value: T) -> Result<T, Problems> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Problems(self.0))
        }
    }
}
