//! Why a pull is refused, as one line with a stable word.

use std::fmt::{self, Write as _};

use policy::text::is_deceptive;

/// The most bytes of a whole line on stdout. containerd keeps 32 KiB; people read one line.
pub const MAX_LINE: usize = 1024;
/// The most bytes of one value that comes from a registry or a file inside a message.
const MAX_QUOTED: usize = 160;

/// The stable word for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The call is not the one that containerd makes.
    InvalidRequest,
    /// The image name does not parse.
    InvalidReference,
    /// The verifier's own policy is missing, damaged, or could be written by others.
    PolicyError,
    /// No enforcing policy covers the image, and the default action is to refuse.
    NotAllowed,
    /// There is no signature at all.
    NoSignature,
    /// There are signatures, but not by as many authorities of the policy as it wants.
    NoMatchingSignature,
    /// The certificate was not valid when it signed, or nothing proves when that was.
    CertificateExpired,
    /// A transparency log entry is demanded, and there is none.
    LogEntryMissing,
    /// A log entry, a timestamp or an SCT does not hold, or is by nobody who is trusted.
    LogEntryInvalid,
    /// The trust root of an authority has ended, or cannot be used.
    TrustRootUnusable,
    /// Signed by an authority, but for another digest.
    WrongDigest,
    /// Signed by an authority, but for another name.
    WrongIdentity,
    /// A signature that does not parse.
    MalformedSignature,
    /// The registry served content that does not have the digest it was asked for.
    DigestMismatch,
    /// Signatures of a kind that this version does not verify.
    UnsupportedFormat,
    /// More or larger objects than the limits allow to look at.
    LimitExceeded,
    /// The registry wants credentials, or denies access.
    RegistryDenied,
    /// The registry could not be reached, or failed.
    RegistryError,
    /// The time was up.
    TimedOut,
    /// A fault of the verifier or of its surroundings.
    Internal,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 20] = [
        Self::InvalidRequest,
        Self::InvalidReference,
        Self::PolicyError,
        Self::NotAllowed,
        Self::NoSignature,
        Self::NoMatchingSignature,
        Self::CertificateExpired,
        Self::LogEntryMissing,
        Self::LogEntryInvalid,
        Self::TrustRootUnusable,
        Self::WrongDigest,
        Self::WrongIdentity,
        Self::MalformedSignature,
        Self::DigestMismatch,
        Self::UnsupportedFormat,
        Self::LimitExceeded,
        Self::RegistryDenied,
        Self::RegistryError,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The word as it stands in the line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::InvalidReference => "InvalidReference",
            Self::PolicyError => "PolicyError",
            Self::NotAllowed => "NotAllowed",
            Self::NoSignature => "NoSignature",
            Self::NoMatchingSignature => "NoMatchingSignature",
            Self::CertificateExpired => "CertificateExpired",
            Self::LogEntryMissing => "LogEntryMissing",
            Self::LogEntryInvalid => "LogEntryInvalid",
            Self::TrustRootUnusable => "TrustRootUnusable",
            Self::WrongDigest => "WrongDigest",
            Self::WrongIdentity => "WrongIdentity",
            Self::MalformedSignature => "MalformedSignature",
            Self::DigestMismatch => "DigestMismatch",
            Self::UnsupportedFormat => "UnsupportedFormat",
            Self::LimitExceeded => "LimitExceeded",
            Self::RegistryDenied => "RegistryDenied",
            Self::RegistryError => "RegistryError",
            Self::TimedOut => "TimedOut",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same pull may pass later with nothing changed by hand.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::RegistryError | Self::TimedOut)
    }

    /// How much this reason explains when several candidates failed differently: the closer a
    /// candidate came to being accepted, the higher. A transient fault wins over all, because the
    /// right signature may be what could not be read.
    #[must_use]
    pub fn weight(self) -> u8 {
        match self {
            Self::Internal => 16,
            Self::TimedOut => 15,
            Self::RegistryError => 14,
            Self::WrongIdentity => 13,
            Self::WrongDigest => 12,
            Self::TrustRootUnusable => 11,
            Self::DigestMismatch => 10,
            Self::LimitExceeded => 9,
            Self::RegistryDenied => 8,
            Self::LogEntryInvalid => 7,
            Self::CertificateExpired => 6,
            Self::LogEntryMissing => 5,
            Self::NoMatchingSignature => 4,
            Self::MalformedSignature => 3,
            Self::UnsupportedFormat => 2,
            Self::NoSignature => 1,
            Self::InvalidRequest
            | Self::InvalidReference
            | Self::PolicyError
            | Self::NotAllowed => 0,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal with its explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable word.
    pub reason: Reason,
    /// Which policy and authority, what was found instead, and what to do.
    pub message: String,
    /// What a reader of the line can rely on to be there whole: the image and the bundle.
    pub context: String,
}

impl Refusal {
    /// A refusal without context.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            context: String::new(),
        }
    }

    /// The same refusal with the image and the bundle that it is about.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }

    /// The line for stdout, without line end. It starts with the word that the kubelet knows.
    #[must_use]
    pub fn line(&self) -> String {
        let class = if self.reason.is_transient() {
            "transient"
        } else {
            "fatal"
        };
        let head = format!("SignatureValidationFailed: {} ({class}): ", self.reason);
        let tail = match self.context.as_str() {
            "" => String::new(),
            context => format!(" [{}]", bounded(context, MAX_LINE / 2)),
        };
        let room = MAX_LINE.saturating_sub(head.len() + tail.len());
        format!("{head}{}{tail}", bounded(&self.message, room))
    }
}

/// `text` with everything escaped that could forge or hide output, cut to `limit` bytes.
#[must_use]
pub fn bounded(text: &str, limit: usize) -> String {
    const ELLIPSIS: &str = "...";
    let mut out = String::new();
    let mut cut = 0;
    for c in text.chars() {
        if is_deceptive(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
        if out.len() + ELLIPSIS.len() <= limit {
            cut = out.len();
        }
        if out.len() > limit {
            out.truncate(cut);
            out.push_str(ELLIPSIS);
            break;
        }
    }
    out
}

/// A value of foreign origin for use inside a message.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("`{}`", bounded(text, MAX_QUOTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_starts_with_the_word_the_kubelet_knows_and_names_code_and_class() {
        let refusal = Refusal::new(Reason::NoSignature, "nothing there").with_context("image a/b");
        assert_eq!(
            refusal.line(),
            "SignatureValidationFailed: NoSignature (fatal): nothing there [image a/b]"
        );
        let refusal = Refusal::new(Reason::TimedOut, "late");
        assert_eq!(
            refusal.line(),
            "SignatureValidationFailed: TimedOut (transient): late"
        );
    }

    #[test]
    fn only_registry_errors_and_timeouts_are_transient() {
        let transient: Vec<_> = Reason::ALL
            .iter()
            .filter(|reason| reason.is_transient())
            .collect();
        assert_eq!(transient, [&Reason::RegistryError, &Reason::TimedOut]);
    }

    #[test]
    fn control_characters_cannot_forge_a_second_line() {
        let line = Refusal::new(
            Reason::NoSignature,
            "x\nnodeseal: allowed\r\u{1b}[2K\u{202e}y",
        )
        .line();
        assert!(!line.contains(['\n', '\r', '\u{1b}', '\u{202e}']));
        assert!(line.contains("\\u{a}nodeseal"), "{line}");
    }

    #[test]
    fn a_long_message_is_cut_and_its_context_is_kept_whole() {
        for length in [900, 1000, 1024, 5000] {
            let refusal =
                Refusal::new(Reason::Internal, "é".repeat(length)).with_context("bundle z");
            let line = refusal.line();
            assert!(line.len() <= MAX_LINE);
            assert!(line.ends_with("... [bundle z]"), "{line}");
        }
        assert_eq!(bounded("abcdef", 6), "abcdef");
        assert_eq!(bounded("abcdefg", 6), "abc...");
        assert_eq!(bounded(&"\n".repeat(3), 8), "\\u{a}...");
    }

    #[test]
    fn all_leaves_none_out_before_the_last() {
        for (index, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason}");
        }
        assert_eq!(Reason::ALL.last(), Some(&Reason::Internal));
    }

    #[test]
    fn the_words_are_distinct() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }
}
