//! What can go wrong at a registry, by what it means for a verdict.

use std::error::Error as _;
use std::fmt::Write as _;

use policy::digest::Digest;

use crate::reason::{Reason, bounded, quoted};

/// The most bytes that a cause takes in a message.
const MAX_CAUSE: usize = 240;

/// Why something could not be read from a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It is not there: the only answer that means "none".
    #[error("not found")]
    NotFound,
    /// The registry wants credentials, or denies access.
    #[error("the registry denies access (HTTP status {status}){hint}")]
    Denied {
        /// 401 or 403.
        status: u16,
        /// What was tried, as it follows in a message.
        hint: String,
    },
    /// The registry could not be reached, or failed.
    #[error("{cause}")]
    Transient {
        /// What happened.
        cause: String,
    },
    /// The bytes are not what was asked for.
    #[error("asked for {wanted}, the registry served content with the digest {served}")]
    DigestMismatch {
        /// What was asked for.
        wanted: Digest,
        /// What came.
        served: Digest,
    },
    /// More bytes than the limit.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The limit that was reached.
        limit: u64,
    },
    /// The process may not take as much memory as this would need.
    #[error("no memory is left to read it: {bytes} bytes are too many beside what was read before")]
    NoMemory {
        /// As many as were read, or were to be.
        bytes: usize,
    },
    /// More layers, or more manifests in an index, than are read.
    #[error("more than {limit} descriptors")]
    TooMany {
        /// The limit that was reached.
        limit: usize,
    },
    /// An answer that breaks the protocol or does not parse.
    #[error("{what}")]
    Malformed {
        /// What is wrong with it.
        what: String,
    },
    /// What answers is no registry that can be understood, or something stands before it. Nothing is
    /// known then of what is there.
    #[error("the registry's answer cannot be used: {what}")]
    Unusable {
        /// What is wrong with it.
        what: String,
    },
    /// It has no list of referrers, and says so in another way than by 404.
    #[error("the referrers API answers HTTP status {status}, so that only tags were looked at")]
    NoReferrersApi {
        /// 400, 405 or 406.
        status: u16,
    },
    /// A status that the protocol does not have here.
    #[error("unexpected HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The client could not be made.
    #[error("{cause}")]
    Internal {
        /// What happened.
        cause: String,
    },
}

impl RegistryError {
    /// The stable word for a refusal that this error leads to.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound => Reason::NoSignature,
            Self::Denied { .. } => Reason::RegistryDenied,
            Self::Transient { .. } | Self::Unusable { .. } | Self::Status { .. } => {
                Reason::RegistryError
            }
            // More than "there is no signature", and less than whatever was found under a tag: there
            // are registries without the API that always answer so.
            Self::NoReferrersApi { .. } => Reason::UnsupportedFormat,
            Self::DigestMismatch { .. } => Reason::DigestMismatch,
            Self::TooLarge { .. } | Self::NoMemory { .. } | Self::TooMany { .. } => {
                Reason::LimitExceeded
            }
            Self::Malformed { .. } => Reason::MalformedSignature,
            Self::Internal { .. } => Reason::Internal,
        }
    }

    /// The error that an HTTP status stands for; nothing for success.
    #[must_use]
    pub fn from_status(status: u16) -> Option<Self> {
        match status {
            200..=299 => None,
            404 => Some(Self::NotFound),
            401 | 403 => Some(Self::Denied {
                status,
                hint: String::new(),
            }),
            408 | 425 | 429 | 500..=599 => Some(Self::Transient {
                cause: format!("the registry answers HTTP status {status}"),
            }),
            _ => Some(Self::Status { status }),
        }
    }

    /// As it is of what was not fetched by digest: a list, or what is under a tag. What does not parse
    /// there is a proxy's page of errors rather than a signature.
    pub(super) fn of_answer(self) -> Self {
        match self {
            Self::Malformed { what } => Self::Unusable { what },
            other => other,
        }
    }

    pub(super) fn unusable(what: impl Into<String>) -> Self {
        Self::Unusable { what: what.into() }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }

    pub(crate) fn media_type(found: &str, wanted: &str) -> Self {
        Self::malformed(format!("its media type is {}, not {wanted}", quoted(found)))
    }
}

impl From<reqwest::Error> for RegistryError {
    fn from(error: reqwest::Error) -> Self {
        // URLs may carry tokens, and the message names what was asked for anyway.
        let error = error.without_url();
        let cause = bounded(&chain(&error), MAX_CAUSE);
        if error.is_builder() {
            return Self::Internal { cause };
        }
        // A redirect that was not followed may be mended at the registry, with the signature there.
        Self::Transient { cause }
    }
}

/// An error with its sources: the first alone says little ("error sending request").
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_404_means_that_there_is_nothing() {
        for status in 100..=599_u16 {
            let error = RegistryError::from_status(status);
            assert_eq!(
                error == Some(RegistryError::NotFound),
                status == 404,
                "{status}"
            );
            assert_eq!(error.is_none(), (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn statuses_are_sorted_by_what_can_be_done_about_them() {
        let reason = |status| RegistryError::from_status(status).map(|error| error.reason());
        for status in [401, 403] {
            assert_eq!(reason(status), Some(Reason::RegistryDenied));
        }
        for status in [408, 418, 429, 500, 502, 503, 504] {
            assert_eq!(reason(status), Some(Reason::RegistryError));
        }
    }
}
