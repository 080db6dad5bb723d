//! Certificate chains, by rustls-webpki.
//!
//! Everything that webpki does not read of an authority's certificate is compared by [`Anchor`] and
//! [`Limits`] for each chain that webpki finds, so that it goes on to look for another.

use std::cell::Cell;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use sigstore_verify::types::DerCertificate;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, VerifiedPath};

use super::anchor::{Anchor, Limits, Validity};
use super::bundle::SigstoreBundle;
use super::{TrustMaterial, VerifyError};

/// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3, without tag and length (RFC 5280, 4.2.1.12).
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];

/// The usage that is demanded of the certificates of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Code signing has to be stated, as Fulcio does.
    CodeSigning,
    /// Where a certificate states usages, code signing has to be among them.
    CodeSigningIfStated,
}

/// Builds a chain from `leaf` to one of `anchors` that holds at `time`, and gives the end of its
/// validity, with that of the anchor. Whether the anchors are valid at that time is not asked.
pub(super) fn build(
    leaf: &DerCertificate,
    intermediates: &[&[u8]],
    anchors: &[&Anchor],
    time: Timestamp,
    usage: Usage,
) -> Result<Timestamp, ChainError> {
    let leaf = CertificateDer::from(leaf.as_bytes());
    let end_entity = EndEntityCert::try_from(&leaf)?;
    let intermediates: Vec<CertificateDer<'_>> = intermediates
        .iter()
        .map(|der| CertificateDer::from(*der))
        .collect();
    let trusted: Vec<TrustAnchor<'_>> = anchors
        .iter()
        .map(|anchor| anchor.trusted.clone())
        .collect();
    // By its place: two certificates of one authority may differ in nothing that webpki keeps.
    let anchor = |path: &VerifiedPath<'_>| {
        let place = trusted
            .iter()
            .position(|one| std::ptr::eq(one, path.anchor()));
        place.and_then(|place| anchors.get(place))
    };
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = match usage {
        Usage::CodeSigning => KeyUsage::required(CODE_SIGNING),
        Usage::CodeSigningIfStated => KeyUsage::required_if_present(CODE_SIGNING),
    };
    let forbidden = Cell::new(None);
    let check = |path: &VerifiedPath<'_>| match anchor(path).map(|anchor| forbid(path, anchor)) {
        Some(None) => Ok(()),
        why => {
            forbidden.set(why.flatten());
            Err(Error::UnknownIssuer)
        }
    };
    let path = end_entity
        .verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &trusted,
            &intermediates,
            time,
            usage,
            None,
            Some(&check),
        )
        // A chain that holds but for its limits explains more than one that was none.
        .map_err(|error| match forbidden.take() {
            Some(why) => ChainError::Forbidden(why),
            None => ChainError::Webpki(error),
        })?;
    let anchor = anchor(&path).ok_or(Error::UnknownIssuer)?;
    let mut not_after = Validity::of(&leaf)?
        .not_after
        .min(anchor.validity.not_after);
    for certificate in path.intermediate_certificates() {
        not_after = not_after.min(Validity::of(&certificate.der())?.not_after);
    }
    Ok(not_after)
}

/// Why a chain that webpki has found is none.
fn forbid(path: &VerifiedPath<'_>, anchor: &Anchor) -> Option<String> {
    for certificate in path.intermediate_certificates() {
        if !Limits::of(&certificate.der()).is_ok_and(|limits| limits.signs) {
            return Some("an authority on the way to the root may not sign certificates".into());
        }
    }
    anchor
        .limits
        .forbid(path.intermediate_certificates().count())
}

/// Why there is no chain.
#[derive(Debug)]
pub(super) enum ChainError {
    /// Says webpki.
    Webpki(Error),
    /// An authority of it may not be used so.
    Forbidden(String),
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
            ChainError::Forbidden(why) => Self::Chain(why),
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

/// Every certificate of the authorities for certificates; each is a trust anchor. One that cannot be
/// read is none.
fn authorities(trust: &TrustMaterial) -> Vec<Anchor> {
    trust
        .root
        .certificate_authorities
        .iter()
        .flat_map(|authority| &authority.cert_chain.certificates)
        .map(|certificate| CertificateDer::from(certificate.raw_bytes.as_bytes()))
        .filter_map(|certificate| Anchor::read(&certificate).ok())
        .collect()
}

/// Checks that a bundle's certificate chains to an authority of `trust` that is itself valid at
/// `time`, by its own certificate, and may be used so.
pub(super) fn check_anchors(
    bundle: &SigstoreBundle,
    trust: &TrustMaterial,
    time: Timestamp,
) -> Result<(), VerifyError> {
    let authorities = authorities(trust);
    let valid = authorities.iter().filter(|one| one.is_valid_at(time));
    let anchors: Vec<&Anchor> = valid.collect();
    let carried = bundle.intermediates();
    let intermediates: Vec<&[u8]> = carried.iter().map(|der| der.as_bytes()).collect();
    let leaf = bundle.certificate()?;
    match build(leaf, &intermediates, &anchors, time, Usage::CodeSigning) {
        Ok(_) => Ok(()),
        Err(error @ ChainError::Forbidden(_)) => Err(error.into()),
        // The library has found a chain already.
        Err(_) => {
            let message = format!("no certificate of its authority is valid at {time}");
            Err(VerifyError::CertificateTime(message))
        }
    }
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
    let anchors: Vec<&Anchor> = authorities.iter().collect();
    let carried = bundle.intermediates();
    let intermediates: Vec<&[u8]> = carried.iter().map(|der| der.as_bytes()).collect();
    [validity.not_before, validity.not_after]
        .into_iter()
        .any(|time| build(leaf, &intermediates, &anchors, time, Usage::CodeSigning).is_ok())
        .then_some(validity)
}
