//! What can be wrong with trust material.

use crate::certificate::{CertificateError, CertificateKeyError};
use crate::digest::Digest;
use crate::key::{KeyError, KeyKind};

use super::{MAX_BYTES, MAX_CHAIN, MAX_ENTRIES, MAX_URI};

/// Why material is no usable trust root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustError {
    /// Where: a path in the JSON such as `tlogs[1].publicKey`, or a field of `keys` such as
    /// `rekor[1]`; empty where the whole is meant.
    pub path: String,
    /// What, and how to mend it.
    pub problem: TrustProblem,
}

impl TrustError {
    pub(super) fn new(path: impl Into<String>, problem: TrustProblem) -> Self {
        let path = path.into();
        Self { path, problem }
    }
}

impl std::fmt::Display for TrustError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => write!(f, "{}", self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl std::error::Error for TrustError {}

/// What is wrong. Nothing here carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustProblem {
    /// More than [`MAX_BYTES`].
    #[error(
        "{0} bytes: at most {MAX_BYTES} are read; the one of the public-good instance has about 7,000"
    )]
    TooLarge(usize),
    /// A private key in the text.
    #[error("it holds a PRIVATE key. Remove it, treat it as leaked, and give public material only")]
    PrivateKey,
    /// PEM where JSON is expected.
    #[error("this is PEM, not the JSON of a trusted_root.json: PEM belongs into `keys`")]
    Pem,
    /// Not JSON, or not of the expected shape.
    #[error("not a trusted_root.json: {0}")]
    Json(String),
    /// A media type other than those of version 0.1 and 0.2.
    #[error(
        "the media type `{0}` is not known: `application/vnd.dev.sigstore.trustedroot+json;version=0.1` and `application/vnd.dev.sigstore.trustedroot.v0.2+json` are"
    )]
    MediaType(String),
    /// More entries than [`MAX_ENTRIES`].
    #[error("{0} entries: at most {MAX_ENTRIES} are accepted")]
    TooMany(usize),
    /// An empty or an overlong chain.
    #[error("{0} certificates: a chain has 1 to {MAX_CHAIN}")]
    ChainLength(usize),
    /// A certificate that does not parse.
    #[error("{0}: copy it again, as base64 of its DER")]
    Certificate(String),
    /// A certificate that must be able to issue others.
    #[error(
        "{subject} is no certificate authority (`CA:TRUE` and, with a key usage, `keyCertSign`): a chain holds the authority's certificates, never a signer's"
    )]
    NotCa {
        /// Whose it is.
        subject: String,
    },
    /// A timestamp authority's chain that does not begin with the certificate that signs.
    #[error(
        "{subject} is a certificate authority: the chain of a timestamp authority begins with the certificate that signs timestamps"
    )]
    SignerIsCa {
        /// Whose it is.
        subject: String,
    },
    /// The next certificate of a chain did not issue this one.
    #[error(
        "{subject} was not issued by the next certificate of the chain, {next}: order them from the signer to the root"
    )]
    Order {
        /// Whose it is.
        subject: String,
        /// What follows.
        next: String,
    },
    /// A certificate that leads to no root.
    #[error(
        "the certificate on line {line} ({subject}) leads to no self-issued root here: add the certificates that issued it"
    )]
    NoRoot {
        /// Counted from 1.
        line: usize,
        /// Whose it is.
        subject: String,
    },
    /// A certificate whose key is not accepted.
    #[error("{subject} cannot be used: {problem}")]
    CertificateKey {
        /// Whose it is.
        subject: String,
        /// Why not.
        problem: CertificateKeyError,
    },
    /// A key that does not parse.
    #[error("it holds no valid public key: copy it again, as base64 of its DER")]
    Key,
    /// A log key of an algorithm that nothing here verifies.
    #[error(
        "the key {fingerprint} ({kind}) is of an algorithm that logs are not verified with: ECDSA P-256 and P-384, Ed25519, and RSA 2048 to 4096 are"
    )]
    KeyAlgorithm {
        /// Which key.
        fingerprint: Digest,
        /// What it is.
        kind: KeyKind,
    },
    /// A key that is not what its `keyDetails` say.
    #[error("`keyDetails` says {details}, and the key is {kind}: correct one of them")]
    KeyDetails {
        /// What the file says.
        details: String,
        /// What the key is.
        kind: KeyKind,
    },
    /// A log id that is not 32 bytes.
    #[error("a log's `keyId` is base64 of 32 bytes")]
    LogIdLength,
    /// A log id that is not the one of the key.
    #[error("`keyId` is not the SHA-256 of the key: `{expected}` is expected")]
    LogId {
        /// As base64.
        expected: String,
    },
    /// A log id that stands there twice.
    #[error(
        "the log id `{0}` stands here twice: remove one, or verifiers could not tell which to use"
    )]
    DuplicateLog(String),
    /// A window that ends before it begins.
    #[error("`validFor` ends before it starts")]
    Window,
    /// A URI that is too long or has control characters.
    #[error("a URI has at most {MAX_URI} bytes and no control characters")]
    Uri,
    /// PEM certificates that are not acceptable.
    #[error(transparent)]
    PemCertificate(#[from] CertificateError),
    /// PEM keys that are not acceptable.
    #[error(transparent)]
    PemKey(#[from] KeyError),
    /// Certificate logs, none of which can be verified with.
    #[error("none of its certificate logs can be verified with, so certificates would no longer be looked for in any: add one with an ECDSA, Ed25519 or RSA key and the hash SHA2_256{}", left_out(.0))]
    NoCtLog(
        /// What was left out, and why.
        Vec<String>,
    ),
    /// Neither a certificate authority nor a transparency log.
    #[error("nothing in it can be used: a certificate authority (Fulcio) or a transparency log (Rekor) is needed{}", left_out(.0))]
    Nothing(
        /// What was left out, and why.
        Vec<String>,
    ),
}

fn left_out(filtered: &[String]) -> String {
    if filtered.is_empty() {
        return String::new();
    }
    format!("; left out: {}", filtered.join("; "))
}
