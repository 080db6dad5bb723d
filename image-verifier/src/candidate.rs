//! What was found about an image: candidates for a signature, and findings that are none.

use crate::reason::Reason;
use crate::sigstore::{Claimed, LegacySignature, SigstoreBundle};

/// Something that may be a signature of the image. Nothing in it is trusted yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Where it was found, in words for a message.
    pub origin: String,
    /// What was signed, and the signature over it.
    pub signed: Signed,
}

/// The two shapes of signed content.
#[derive(Debug, Clone, PartialEq)]
pub enum Signed {
    /// A simple-signing payload with annotations: the signature is over its bytes.
    Attachment(Attachment),
    /// A bundle with a DSSE envelope: the signature is over the pre-authentication encoding.
    Bundle(Box<SigstoreBundle>),
}

/// A signature as cosign attaches it; the fields are those of [`LegacySignature`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The layer's content, which is what is signed.
    pub payload: Vec<u8>,
    /// The raw signature.
    pub signature: Vec<u8>,
    /// The signer's certificate, PEM.
    pub certificate: Option<String>,
    /// The certificates above it, PEM.
    pub chain: Option<String>,
    /// What Rekor v1 answered, JSON.
    pub log_entry: Option<String>,
    /// What a timestamp authority answered, JSON.
    pub timestamp: Option<String>,
}

impl Attachment {
    /// As it is verified.
    #[must_use]
    pub fn as_legacy(&self) -> LegacySignature<'_> {
        LegacySignature {
            payload: &self.payload,
            signature: &self.signature,
            certificate: self.certificate.as_deref(),
            chain: self.chain.as_deref(),
            log_entry: self.log_entry.as_deref(),
            timestamp: self.timestamp.as_deref(),
        }
    }
}

impl Signed {
    /// The raw signature; empty where there is none.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        match self {
            Self::Attachment(attachment) => &attachment.signature,
            Self::Bundle(bundle) => bundle.signature().unwrap_or_default(),
        }
    }

    /// Whom it says that it is by, if it says so. Only verification can tell whether that is true.
    #[must_use]
    pub fn claimed(&self) -> Option<Claimed> {
        match self {
            Self::Attachment(attachment) => attachment.as_legacy().claimed(),
            Self::Bundle(bundle) => bundle.claimed(),
        }
    }
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
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A candidate.
    Candidate(Candidate),
    /// A finding.
    Finding(Finding),
}
