//! Certificate chains, by rustls-webpki.

use std::fmt;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sigstore_verify::types::DerCertificate;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::bundle::SigstoreBundle;
use super::{TrustMaterial, VerifyError};

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, without tag and length (RFC 5280, 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

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
        let malformed =
            |error: &dyn fmt::Display| VerifyError::Malformed(format!("the certificate: {error}"));
        let certificate = Certificate::from_der(certificate).map_err(|error| malformed(&error))?;
        let validity = certificate.tbs_certificate.validity;
        let time = |time: x509_cert::time::Time| {
            Timestamp::try_from(time.to_system_time()).map_err(|error| malformed(&error))
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

/// The usage that is demanded of the certificates of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Code signing has to be stated, as Fulcio does.
    CodeSigning,
    /// Where a certificate states usages, code signing has to be among them.
    CodeSigningIfStated,
}

/// Builds a chain from `leaf` to one of `anchors` that holds at `time`, and gives the end of its
/// validity without that of the anchor, and the anchor's index.
pub(super) fn build(
    leaf: &DerCertificate,
    intermediates: &[&[u8]],
    anchors: &[TrustAnchor<'_>],
    time: Timestamp,
    usage: Usage,
) -> Result<(Timestamp, usize), ChainError> {
    let leaf = CertificateDer::from(leaf.as_bytes());
    let end_entity = EndEntityCert::try_from(&leaf)?;
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|der| CertificateDer::from(*der))
        .collect();
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = match usage {
        Usage::CodeSigning => KeyUsage::required(CODE_SIGNING),
        Usage::CodeSigningIfStated => KeyUsage::required_if_present(CODE_SIGNING),
    };
    let path = end_entity.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        anchors,
        &intermediates,
        time,
        usage,
        None,
        None,
    )?;
    let mut not_after = Validity::of(&leaf)?.not_after;
    for certificate in path.intermediate_certificates() {
        not_after = not_after.min(Validity::of(&certificate.der())?.not_after);
    }
    let anchor = anchors
        .iter()
        .position(|anchor| anchor == path.anchor())
        .ok_or(Error::UnknownIssuer)?;
    Ok((not_after, anchor))
}

/// Why there is no chain.
#[derive(Debug)]
pub(super) enum ChainError {
    /// Says webpki.
    Webpki(Error),
    /// A certificate on the way cannot be read.
    Unreadable(VerifyError),
}

impl From<Error> for ChainError {
    fn from(error: Error) -> Self {
        Self::Webpki(error)
    }
}

impl From<VerifyError> for ChainError {
    fn from(error: VerifyError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<ChainError> for VerifyError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Unreadable(error) => error,
            ChainError::Webpki(Error::CertExpired { .. } | Error::CertNotValidYet { .. }) => {
                Self::CertificateTime("a certificate of its chain is not valid then".into())
            }
            ChainError::Webpki(
                error @ (Error::BadDer | Error::BadDerTime | Error::TrailingData(_)),
            ) => Self::Malformed(format!("the certificate: {error}")),
            ChainError::Webpki(error) => Self::Chain(error.to_string()),
        }
    }
}

/// Every certificate of the authorities for certificates; each is a trust anchor.
fn authorities(trust: &TrustMaterial) -> Vec<CertificateDer<'_>> {
    trust
        .root
        .certificate_authorities
        .iter()
        .flat_map(|authority| &authority.cert_chain.certificates)
        .map(|certificate| CertificateDer::from(certificate.raw_bytes.as_bytes()))
        .collect()
}

/// Checks that a bundle's certificate chains to an authority of `trust` that is itself valid at
/// `time`, by its own certificate.
pub(super) fn check_anchors(
    bundle: &SigstoreBundle,
    trust: &TrustMaterial,
    time: Timestamp,
) -> Result<(), VerifyError> {
    let authorities = authorities(trust);
    let valid =
        |der: &&CertificateDer<'_>| Validity::of(der).is_ok_and(|validity| validity.contains(time));
    let anchors: Vec<TrustAnchor<'_>> = authorities
        .iter()
        .filter(valid)
        .filter_map(|der| anchor_from_trusted_cert(der).ok())
        .collect();
    let carried = bundle.intermediates();
    let intermediates: Vec<&[u8]> = carried.iter().map(|der| der.as_bytes()).collect();
    let leaf = bundle.certificate()?;
    if build(leaf, &intermediates, &anchors, time, Usage::CodeSigning).is_err() {
        let message = format!("no certificate of its authority is valid at {time}");
        return Err(VerifyError::CertificateTime(message));
    }
    Ok(())
}

/// The validity of a bundle's certificate if that chains to an authority of `trust` at the beginning
/// or the end of it. Decides between two words for a refusal, and never about a signature.
pub(super) fn validity_if_chained(
    bundle: &SigstoreBundle,
    trust: &TrustMaterial,
) -> Option<Validity> {
    let leaf = bundle.certificate().ok()?;
    let validity = Validity::of(leaf.as_bytes()).ok()?;
    let authorities = authorities(trust);
    let anchors: Vec<TrustAnchor<'_>> = authorities
        .iter()
        .filter_map(|der| anchor_from_trusted_cert(der).ok())
        .collect();
    let carried = bundle.intermediates();
    let intermediates: Vec<&[u8]> = carried.iter().map(|der| der.as_bytes()).collect();
    [validity.not_before, validity.not_after]
        .into_iter()
        .any(|time| build(leaf, &intermediates, &anchors, time, Usage::CodeSigning).is_ok())
        .then_some(validity)
}
