//! What an authority's certificate says of itself.
//!
//! webpki keeps three things of a trusted certificate: its name, its key and the names that it may give
//! out; and it reads the key usage of none. Everything else that such a certificate says of itself is
//! held here, to be compared with each chain ([`super::chain`]):
//!
//! | what it says | rule |
//! |---|---|
//! | validity | RFC 5280, 6.1.1 (d) leaves it open; Go compares it, and so does this |
//! | `pathLenConstraint` | no more authorities below it (RFC 5280, 4.2.1.9) |
//! | extended key usage | code signing among those that it states, if it states any (as Go nests them) |
//! | CA, `keyCertSign` | of every authority of the chain (RFC 5280, 6.1.4 (k) and (n)) |

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

use super::VerifyError;

/// id-kp-codeSigning (RFC 5280, 4.2.1.12).
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

fn malformed(error: impl fmt::Display) -> VerifyError {
    VerifyError::Malformed(format!("the certificate: {error}"))
}

/// From when to when a certificate is valid, both inclusive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            not_before,
            not_after,
        } = self;
        write!(f, "it is valid from {not_before} to {not_after}")
    }
}

impl Validity {
    pub(super) fn of(certificate: &[u8]) -> Result<Self, VerifyError> {
        let certificate = Certificate::from_der(certificate).map_err(malformed)?;
        let validity = certificate.tbs_certificate.validity;
        let time = |time: x509_cert::time::Time| {
            Timestamp::try_from(time.to_system_time()).map_err(malformed)
        };
        Ok(Self {
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        })
    }

    pub(super) fn contains(self, time: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&time)
    }
}

/// What an authority's certificate says of what it may be used for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Whether it may sign certificates.
    pub(super) signs: bool,
    /// How many authorities may stand below it.
    below: Option<u8>,
    /// Whether they may be for code signing.
    code: bool,
}

impl Limits {
    pub(super) fn of(certificate: &[u8]) -> Result<Self, VerifyError> {
        let certificate = Certificate::from_der(certificate).map_err(malformed)?;
        let certificate = certificate.tbs_certificate;
        let basic = certificate.get::<BasicConstraints>().map_err(malformed)?;
        let usage = certificate.get::<KeyUsage>().map_err(malformed)?;
        let extended = certificate.get::<ExtendedKeyUsage>().map_err(malformed)?;
        // Before version 3 nothing could say that it is one.
        let old = certificate.extensions.is_none();
        let authority = old || basic.as_ref().is_some_and(|(_, basic)| basic.ca);
        Ok(Self {
            signs: authority && usage.is_none_or(|(_, usage)| usage.key_cert_sign()),
            below: basic.and_then(|(_, basic)| basic.path_len_constraint),
            code: extended.is_none_or(|(_, stated)| stated.0.contains(&CODE_SIGNING)),
        })
    }

    /// Why it cannot be the root of a chain with so many authorities below it.
    pub(super) fn forbid(self, below: usize) -> Option<String> {
        if !self.signs {
            return Some("the root may not sign certificates".into());
        }
        if !self.code {
            return Some("the root is not for code signing".into());
        }
        let most = self.below.filter(|most| below > usize::from(*most))?;
        Some(format!(
            "the root allows {most} authorities below it, and there are {below}"
        ))
    }
}

/// A certificate that is trusted, and what it says of itself.
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) trusted: TrustAnchor<'static>,
    pub(super) validity: Validity,
    pub(super) limits: Limits,
}

impl Anchor {
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, VerifyError> {
        let trusted = anchor_from_trusted_cert(der).map_err(malformed)?;
        Ok(Self {
            trusted: trusted.to_owned(),
            validity: Validity::of(der)?,
            limits: Limits::of(der)?,
        })
    }

    pub(super) fn is_valid_at(&self, time: Timestamp) -> bool {
        self.validity.contains(time)
    }
}
