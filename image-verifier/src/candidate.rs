//! What was found about an image: candidates for a signature, and findings that are none.

use crate::reason::Reason;

/// Something that may be a signature of the image. Nothing in it is trusted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it was found, in words for a message.
    pub origin: String,
    /// What was signed, and the signature over it.
    pub signed: Signed,
    /// How its maker says the signature is to be checked.
    pub material: Material,
}

/// The two shapes of signed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// A simple-signing payload: the signature is over its bytes.
    SimpleSigning {
        /// The payload.
        payload: Vec<u8>,
        /// The raw signature.
        signature: Vec<u8>,
    },
    /// A DSSE envelope: the signature is over the pre-authentication encoding.
    Dsse {
        /// The type of the payload.
        payload_type: String,
        /// The payload.
        payload: Vec<u8>,
        /// The raw signature.
        signature: Vec<u8>,
    },
}

impl Signed {
    /// The raw signature.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::SimpleSigning { signature, .. } | Self::Dsse { signature, .. } => signature,
        }
    }
}

/// Whether a candidate comes with a certificate of its own. It is a hint and no more: whether a
/// signature counts is decided by the policy's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    /// By a key that the verifier has to know.
    Key,
    /// By the key of a certificate that comes along (keyless, or a company's own authority).
    Certificate,
}

/// Something that was found and is no usable candidate, or that could not be looked at. None is
/// dropped silently: the verdict's message says what was there instead of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stable word.
    pub reason: Reason,
    /// Where and what, in words for a message.
    pub message: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// What a lookup yields, one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A candidate.
    Candidate(Candidate),
    /// A finding.
    Finding(Finding),
}
