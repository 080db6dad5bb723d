//! What can be wrong with certificates.

use super::{MAX_CERTIFICATES, MAX_DER_BYTES};
use crate::pem::PemError;

/// Why a text holds no acceptable certificates. No variant carries any of the text, which may be a
/// private key put in the wrong place; a subject comes from a certificate and is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No block at all.
    #[error(
        "no PEM block: a certificate starts with `-----BEGIN CERTIFICATE-----` on a line of its own"
    )]
    Empty,
    /// The text is no list of PEM blocks.
    #[error(transparent)]
    Pem(PemError),
    /// A private key.
    #[error(
        "line {line} begins a PRIVATE key. Remove it here, treat it as leaked, and give the authority's certificate"
    )]
    PrivateKey {
        /// Counted from 1.
        line: usize,
    },
    /// A public key.
    #[error(
        "line {line} begins a public key, not a certificate: give the authority's certificate, or use a `key` authority"
    )]
    PublicKey {
        /// Counted from 1.
        line: usize,
    },
    /// Some other PEM block.
    #[error("line {line} begins a PEM block that is no `CERTIFICATE`")]
    Label {
        /// Counted from 1.
        line: usize,
    },
    /// The block's content is no certificate.
    #[error(
        "the PEM block that begins on line {line} holds no valid certificate: its markers are right, its content is not"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// Bytes after the certificate.
    #[error(
        "the PEM block that begins on line {line} holds more bytes than its certificate: paste it again, one certificate in each block"
    )]
    Trailing {
        /// Counted from 1.
        line: usize,
    },
    /// A certificate above [`MAX_DER_BYTES`].
    #[error(
        "the certificate on line {line} has {bytes} bytes: at most {MAX_DER_BYTES} are accepted"
    )]
    TooLarge {
        /// Counted from 1.
        line: usize,
        /// What it has.
        bytes: usize,
    },
    /// More certificates than the limit.
    #[error("{0} certificates: at most {MAX_CERTIFICATES} are accepted")]
    TooMany(usize),
    /// The same certificate twice.
    #[error("the certificate on line {line} ({subject}) also stands on line {first}: remove one")]
    Duplicate {
        /// Counted from 1.
        line: usize,
        /// Where it stands first.
        first: usize,
        /// Whose it is.
        subject: String,
    },
    /// A version 1 or 2 certificate, which cannot say whether it may issue others.
    #[error(
        "the certificate on line {line} ({subject}) is an X.509 version {version} certificate: issue the authority again as version 3, with `basicConstraints = critical, CA:TRUE`"
    )]
    Version {
        /// Counted from 1.
        line: usize,
        /// Whose it is.
        subject: String,
        /// 1 or 2.
        version: u8,
    },
    /// A certificate that may not issue others.
    #[error(
        "the certificate on line {line} ({subject}) is no certificate authority: give the certificate that issued it, which has `CA:TRUE` and, where it has a key usage, `keyCertSign`"
    )]
    NotCa {
        /// Counted from 1.
        line: usize,
        /// Whose it is.
        subject: String,
    },
    /// A key that cannot be used.
    #[error("the certificate on line {line} ({subject}) cannot be used: {problem}")]
    Key {
        /// Counted from 1.
        line: usize,
        /// Whose it is.
        subject: String,
        /// Why not.
        problem: CertificateKeyError,
    },
}

impl From<PemError> for CertificateError {
    fn from(error: PemError) -> Self {
        match error {
            // The original's hint is about public keys.
            PemError::Empty => Self::Empty,
            other => Self::Pem(other),
        }
    }
}

/// Why the key of a certificate cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateKeyError {
    /// An algorithm or curve that is not accepted.
    #[error(
        "its key has an algorithm that is not accepted: ECDSA P-256, P-384 or P-521, Ed25519, or RSA 2048 to 4096 are"
    )]
    Algorithm,
    /// RSA of a size that is not accepted.
    #[error("its RSA key has {0} bits: 2048 to 4096 are accepted")]
    RsaSize(usize),
    /// No valid key of its algorithm.
    #[error("its key is damaged")]
    Malformed,
}
