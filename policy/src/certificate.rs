//! X.509 certificates of authorities that users trust (RFC 5280).
//!
//! Only what a policy has to know is read here; whether a signature holds is for the verifiers.

mod error;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_cert::der::{Decode, Encode, ErrorKind};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, KeyUsage, NameConstraints, SubjectKeyIdentifier,
    name::GeneralName,
};

pub use self::error::{CertificateError, CertificateKeyError};
use crate::digest::Digest;
use crate::key::{KeyError, PublicKey};
use crate::pem;
use crate::text::is_deceptive;

/// The most certificates of one text.
pub const MAX_CERTIFICATES: usize = 32;
/// The most bytes of one certificate's DER: those of real authorities have about 1,000.
pub const MAX_DER_BYTES: usize = 16 * 1024;
/// The most characters of a subject that are shown.
const MAX_SUBJECT: usize = 200;

/// Why bytes are not the DER of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DerError {
    #[error("it has {0} bytes: at most {MAX_DER_BYTES} are accepted")]
    TooLarge(usize),
    #[error("bytes follow the certificate")]
    Trailing,
    #[error("it is no valid X.509 certificate")]
    Malformed,
}

/// A certificate that was parsed. Its identity and order are those of its DER bytes.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    subject: String,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    spki: Vec<u8>,
    not_before: i64,
    not_after: i64,
    version: u8,
    ca: bool,
    constrains_emails: bool,
}

impl Certificate {
    /// Reads one or more PEM `CERTIFICATE` blocks, in their order, which matters in a chain. None
    /// may stand there twice.
    pub fn parse_pem(text: &str) -> Result<Vec<Self>, CertificateError> {
        Ok(strip(parse_lines(text)?))
    }

    /// Reads the DER of exactly one certificate.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, DerError> {
        if der.len() > MAX_DER_BYTES {
            return Err(DerError::TooLarge(der.len()));
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(|error| match error.kind() {
            ErrorKind::TrailingData { .. } => DerError::Trailing,
            _ => DerError::Malformed,
        })?;
        Self::from_parsed(der, &parsed).map_err(|_| DerError::Malformed)
    }

    fn from_parsed(der: &[u8], parsed: &x509_cert::Certificate) -> x509_cert::der::Result<Self> {
        let tbs = &parsed.tbs_certificate;
        // `get` refuses an extension that stands twice (RFC 5280, 4.2), whose two values two
        // readers could choose between.
        let constraints = tbs.get::<BasicConstraints>()?;
        let usage = tbs.get::<KeyUsage>()?;
        let seconds = |time: &x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        Ok(Self {
            der: der.to_vec(),
            subject: printable(&tbs.subject.to_string()),
            subject_der: tbs.subject.to_der()?,
            issuer_der: tbs.issuer.to_der()?,
            subject_key_id: tbs
                .get::<SubjectKeyIdentifier>()?
                .map(|(_, id)| id.0.into_bytes()),
            authority_key_id: tbs
                .get::<AuthorityKeyIdentifier>()?
                .and_then(|(_, id)| id.key_identifier)
                .map(x509_cert::der::asn1::OctetString::into_bytes),
            spki: tbs.subject_public_key_info.to_der()?,
            not_before: seconds(&tbs.validity.not_before),
            not_after: seconds(&tbs.validity.not_after),
            version: tbs.version as u8 + 1,
            ca: constraints.is_some_and(|(_, constraints)| constraints.ca)
                && usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
            constrains_emails: constrains_emails(tbs),
        })
    }

    /// The DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate as one PEM block with Unix line ends.
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the DER: the same value that `openssl x509 -outform der | sha256sum` prints.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// The subject's distinguished name (RFC 4514), for people: without control characters, and
    /// shortened after 200 characters.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// From when it is valid, in Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Up to when it is valid, in Unix seconds, inclusive.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether it may issue others: `CA:TRUE` and, where it has a key usage, `keyCertSign`.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.ca
    }

    /// Whether it says which e-mail addresses there may be below it (name constraints, RFC 5280,
    /// 4.2.1.10). The verifier's library knows no such rule, and refuses every certificate with an
    /// address below one.
    #[must_use]
    pub fn constrains_emails(&self) -> bool {
        self.constrains_emails
    }

    /// Whether its issuer has its own name. Such a certificate ends a chain.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// Whether `issuer` may have issued it by name and, where both carry one, by key identifier.
    /// No signature is checked: that is for the verifiers.
    #[must_use]
    pub fn names_issuer(&self, issuer: &Self) -> bool {
        let same_key = match (&self.authority_key_id, &issuer.subject_key_id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        self.issuer_der == issuer.subject_der && same_key
    }

    /// The subject's key.
    pub fn public_key(&self) -> Result<PublicKey, CertificateKeyError> {
        match PublicKey::parse_pem(&encode("PUBLIC KEY", &self.spki)) {
            Ok(mut keys) => keys.pop().ok_or(CertificateKeyError::Malformed),
            Err(KeyError::Algorithm { .. }) => Err(CertificateKeyError::Algorithm),
            Err(KeyError::RsaSize { bits, .. }) => Err(CertificateKeyError::RsaSize(bits)),
            Err(_) => Err(CertificateKeyError::Malformed),
        }
    }
}

/// Constraints that cannot be read are none here: whoever verifies refuses them.
fn constrains_emails(tbs: &x509_cert::TbsCertificate) -> bool {
    let found = tbs.get::<NameConstraints>().ok().flatten();
    let found = found.map(|(_, constraints)| constraints);
    let subtrees = found.into_iter().flat_map(|constraints| {
        let NameConstraints {
            permitted_subtrees,
            excluded_subtrees,
        } = constraints;
        [permitted_subtrees, excluded_subtrees]
    });
    let mut subtrees = subtrees.flatten().flatten();
    subtrees.any(|subtree| matches!(subtree.base, GeneralName::Rfc822Name(_)))
}

/// The certificates of `text` that a policy trusts as roots: in their order, each one a version 3
/// certificate authority with a key that is accepted. It need not be self-issued.
pub fn roots(text: &str) -> Result<Vec<Certificate>, CertificateError> {
    Ok(strip(authorities(text)?))
}

/// The certificates of `text` that help to build a chain to a root. The same rules as for
/// [`roots`] hold: a signer's own certificate comes with its signature.
pub fn intermediates(text: &str) -> Result<Vec<Certificate>, CertificateError> {
    Ok(strip(authorities(text)?))
}

fn strip(certificates: Vec<(usize, Certificate)>) -> Vec<Certificate> {
    certificates
        .into_iter()
        .map(|(_, certificate)| certificate)
        .collect()
}

/// The certificates with the lines that they begin on, by the rules of [`roots`].
pub(crate) fn authorities(text: &str) -> Result<Vec<(usize, Certificate)>, CertificateError> {
    let check = |(line, certificate): (usize, Certificate)| {
        let subject = || certificate.subject.clone();
        if certificate.version != 3 {
            let version = certificate.version;
            return Err(CertificateError::Version {
                line,
                subject: subject(),
                version,
            });
        }
        if !certificate.ca {
            return Err(CertificateError::NotCa {
                line,
                subject: subject(),
            });
        }
        match certificate.public_key() {
            Ok(_) => Ok((line, certificate)),
            Err(problem) => Err(CertificateError::Key {
                line,
                subject: subject(),
                problem,
            }),
        }
    };
    parse_lines(text)?.into_iter().map(check).collect()
}

/// The certificates with the lines that they begin on.
pub(crate) fn parse_lines(text: &str) -> Result<Vec<(usize, Certificate)>, CertificateError> {
    let blocks = pem::parse(text)?;
    if blocks.len() > MAX_CERTIFICATES {
        return Err(CertificateError::TooMany(blocks.len()));
    }
    let mut found: Vec<(usize, Certificate)> = Vec::with_capacity(blocks.len());
    for block in &blocks {
        let line = block.line;
        let certificate = from_block(block)?;
        if let Some((first, _)) = found.iter().find(|(_, other)| *other == certificate) {
            let subject = certificate.subject;
            return Err(CertificateError::Duplicate {
                line,
                first: *first,
                subject,
            });
        }
        found.push((line, certificate));
    }
    Ok(found)
}

fn from_block(block: &pem::Block) -> Result<Certificate, CertificateError> {
    let line = block.line;
    match block.label.as_str() {
        "CERTIFICATE" => Certificate::from_der(&block.contents).map_err(|error| match error {
            DerError::TooLarge(bytes) => CertificateError::TooLarge { line, bytes },
            DerError::Trailing => CertificateError::Trailing { line },
            DerError::Malformed => CertificateError::Malformed { line },
        }),
        label if label.contains("PRIVATE KEY") => Err(CertificateError::PrivateKey { line }),
        label if label.contains("PUBLIC KEY") => Err(CertificateError::PublicKey { line }),
        _ => Err(CertificateError::Label { line }),
    }
}

fn encode(label: &str, der: &[u8]) -> String {
    let config = ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF);
    ::pem::encode_config(&::pem::Pem::new(label, der), config)
}

/// A name comes from whoever made the certificate, and ends up in messages and logs.
fn printable(name: &str) -> String {
    if name.is_empty() {
        return "with an empty subject".to_owned();
    }
    let clean = |c: char| if is_deceptive(c) { '\u{fffd}' } else { c };
    let mut shown: String = name.chars().take(MAX_SUBJECT).map(clean).collect();
    if name.chars().nth(MAX_SUBJECT).is_some() {
        shown.push('…');
    }
    shown
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl PartialOrd for Certificate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Certificate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.der.cmp(&other.der)
    }
}

impl Hash for Certificate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.der.hash(state);
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.subject, self.fingerprint())
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_pem())
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut certificates = Self::parse_pem(&text).map_err(serde::de::Error::custom)?;
        match (certificates.pop(), certificates.is_empty()) {
            (Some(certificate), true) => Ok(certificate),
            _ => Err(serde::de::Error::custom(
                "exactly one certificate is expected",
            )),
        }
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
