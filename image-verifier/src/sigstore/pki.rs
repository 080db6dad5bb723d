//! Signatures by certificates of a company's own authority.
//!
//! The rules are those of containers/image (`signature/pki_cert.go`), which are Go's for chains, so that
//! what this verifier accepts CRI-O accepts as well. What the root says of itself counts, too: its
//! validity, how many authorities may stand below it, and what they may be for (`anchor`). Some
//! things are stricter here: a name with a wildcard is compared as it stands, a certificate for any
//! usage (anyExtendedKeyUsage), be it the root's, is none for code signing, an authority's own
//! certificate signs nothing, and one of an authority must say that it is one.

use jiff::Timestamp;
use policy::authority::CertificateSigner;
use rustls::pki_types::CertificateDer;
use sigstore_verify::types::{DerCertificate, DerPublicKey};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::anchor::Anchor;
use super::bundle::MAX_CHAIN;
use super::chain::{self, Usage};
use super::evidence::{self, Maker, Proven};
use super::identity::{San, names};
use super::library::{self, Demand};
use super::{Accepted, Artifact, Content, SigstoreBundle, TrustMaterial, VerifyError, raw};
use crate::reason::quoted;

/// An authority, and whom it has to have given a certificate to. Parsed once.
#[derive(Debug, Clone)]
pub struct Pki {
    roots: Vec<Anchor>,
    intermediates: Vec<CertificateDer<'static>>,
    email: Option<String>,
    dns_name: Option<String>,
}

/// When a certificate has to be valid.
#[derive(Debug, Clone, Copy)]
pub enum SigningTime<'a> {
    /// Now, which is given. Nothing says when it was signed, so an expired certificate ends what it
    /// signed; evidence that came along is not looked at.
    Now(Timestamp),
    /// At every time that its log entries and timestamps prove, by this root. A log entry is
    /// demanded where the root has logs; its authorities for certificates play no part.
    Proven(&'a TrustMaterial),
}

impl Pki {
    /// Reads an authority: PEM certificates of roots and, where the signatures do not bring them
    /// along, of intermediates. At least one name must be given, and every one that is must be
    /// among the certificate's subject alternative names: an e-mail address exactly, a DNS name
    /// without regard to case.
    pub fn new(
        roots: &str,
        intermediates: &str,
        email: Option<String>,
        dns_name: Option<String>,
    ) -> Result<Self, VerifyError> {
        let read = |pem| {
            certificates(pem)
                .map_err(|error: VerifyError| VerifyError::TrustRoot(error.to_string()))
        };
        Self::from_der(&read(roots)?, read(intermediates)?, email, dns_name)
    }

    /// The authority of a policy. It may have more certificates than a signature may bring along.
    pub fn of(signer: &CertificateSigner) -> Result<Self, VerifyError> {
        let der = |certificates: &[policy::certificate::Certificate]| {
            let der = |one: &policy::certificate::Certificate| one.der().to_vec().into();
            certificates.iter().map(der).collect::<Vec<_>>()
        };
        let subject = signer.subject();
        Self::from_der(
            &der(signer.roots()),
            der(signer.intermediates()),
            subject.email.clone(),
            subject.dns_name.clone(),
        )
    }

    fn from_der(
        roots: &[CertificateDer<'static>],
        intermediates: Vec<CertificateDer<'static>>,
        email: Option<String>,
        dns_name: Option<String>,
    ) -> Result<Self, VerifyError> {
        if email.is_none() && dns_name.is_none() {
            let message = "neither an e-mail address nor a DNS name is demanded";
            return Err(VerifyError::TrustRoot(message.into()));
        }
        let unusable = |error: VerifyError| VerifyError::TrustRoot(error.to_string());
        let roots = roots
            .iter()
            .map(|der| Anchor::read(der).map_err(unusable))
            .collect::<Result<Vec<_>, VerifyError>>()?;
        if roots.is_empty() {
            return Err(VerifyError::TrustRoot(
                "there is no root certificate".into(),
            ));
        }
        Ok(Self {
            roots,
            intermediates,
            email,
            dns_name,
        })
    }

    /// Checks the chain at one time, and gives until when it holds.
    fn check_chain(
        &self,
        bundle: &SigstoreBundle,
        leaf: &DerCertificate,
        time: Timestamp,
    ) -> Result<Timestamp, VerifyError> {
        // A root is trusted for as long as it says.
        let valid = self.roots.iter().filter(|root| root.is_valid_at(time));
        let anchors: Vec<&Anchor> = valid.collect();
        if anchors.is_empty() {
            let message = format!("no root certificate is valid at {time}");
            return Err(VerifyError::CertificateTime(message));
        }
        let carried = bundle.intermediates();
        let intermediates: Vec<&[u8]> = self
            .intermediates
            .iter()
            .map(AsRef::as_ref)
            .chain(carried.iter().map(|der| der.as_bytes()))
            .collect();
        let usage = Usage::CodeSigningIfStated;
        Ok(chain::build(leaf, &intermediates, &anchors, time, usage)?)
    }

    fn check_names(&self, leaf: &DerCertificate) -> Result<(), VerifyError> {
        let names = names(leaf)?;
        let has = |wanted: &str, name: &San| match name {
            San::Email(email) => self.email.as_deref() == Some(wanted) && email == wanted,
            San::Dns(dns) => {
                self.dns_name.as_deref() == Some(wanted) && dns.eq_ignore_ascii_case(wanted)
            }
            _ => false,
        };
        let wanted = [&self.email, &self.dns_name];
        let holds = wanted
            .into_iter()
            .flatten()
            .all(|wanted| names.iter().any(|name| has(wanted, name)));
        if holds {
            return Ok(());
        }
        let found: Vec<String> = names.iter().take(4).map(ToString::to_string).collect();
        let found = match found.as_slice() {
            [] => "a certificate without a name".to_owned(),
            names => names.join(", "),
        };
        Err(VerifyError::Identity { found })
    }
}

/// Verifies a bundle that comes with a certificate of a company's own authority: the signature, the
/// chain at the time of signing, code signing among the usages where any are stated, and the names.
pub fn verify_with_pki(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    pki: &Pki,
    time: SigningTime<'_>,
) -> Result<Accepted<()>, VerifyError> {
    let leaf = bundle.certificate()?;
    let (content, signed_at, valid_until) = match time {
        SigningTime::Now(now) => {
            let content = verify_signature(bundle, artifact, leaf)?;
            (
                content,
                Vec::new(),
                Some(pki.check_chain(bundle, leaf, now)?),
            )
        }
        SigningTime::Proven(trust) => {
            let times = proven_times(bundle, artifact, leaf, trust)?;
            for time in &times {
                pki.check_chain(bundle, leaf, *time)?;
            }
            (bundle.content(), times, None)
        }
    };
    pki.check_names(leaf)?;
    Ok(Accepted {
        by: (),
        content,
        signed_at,
        valid_until,
    })
}

fn verify_signature(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    leaf: &DerCertificate,
) -> Result<Content, VerifyError> {
    let key = raw::public_key(&spki(leaf)?)?;
    if !raw::is_signed_by(bundle, artifact, &key)? {
        let message = "it is not by the certificate's key, or not over this artifact";
        return Err(VerifyError::Signature(message.into()));
    }
    raw::is_about(bundle, artifact)?;
    Ok(bundle.content())
}

/// Verifies all but the chain, and gives the times that are proven: at least one.
fn proven_times(
    bundle: &SigstoreBundle,
    artifact: &Artifact<'_>,
    leaf: &DerCertificate,
    trust: &TrustMaterial,
) -> Result<Vec<Timestamp>, VerifyError> {
    let key = spki(leaf)?;
    let kind = raw::public_key(&key)?.kind();
    let demand = Demand {
        policy: trust.timed_policy(),
        log: trust.demands_log_entry(),
    };
    let proven = match library::verify(bundle, artifact, &key, trust, &demand, || None) {
        Ok(verified) => Ok(verified.proven()),
        Err(error) if library::is_beyond(&error, kind) => {
            // Or what it says it is.
            if verify_signature(bundle, artifact, leaf).is_err() {
                return Err(error);
            }
            evidence::verify(
                bundle,
                artifact,
                Maker::Certificate(leaf),
                trust,
                demand.log,
            )
        }
        Err(error) => Err(error),
    };
    let Proven { times, .. } = proven?;
    if times.is_empty() {
        return Err(VerifyError::NoTrustedTime("no time was verified".into()));
    }
    Ok(times)
}

pub(super) fn spki(certificate: &DerCertificate) -> Result<DerPublicKey, VerifyError> {
    let malformed = |error| VerifyError::Malformed(format!("the certificate: {error}"));
    let certificate = Certificate::from_der(certificate.as_bytes()).map_err(malformed)?;
    let spki = certificate.tbs_certificate.subject_public_key_info;
    spki.to_der().map(DerPublicKey::new).map_err(malformed)
}

/// The certificates of a PEM text, without regard to what stands around them.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, VerifyError> {
    if pem.trim().is_empty() {
        return Ok(Vec::new());
    }
    let malformed = |message: String| VerifyError::Malformed(message);
    let blocks = policy::pem::parse(pem).map_err(|error| malformed(error.to_string()))?;
    if blocks.len() > MAX_CHAIN {
        let count = blocks.len();
        return Err(malformed(format!(
            "{count} certificates: at most {MAX_CHAIN} are allowed"
        )));
    }
    let certificate = |block: policy::pem::Block| {
        if block.label != "CERTIFICATE" {
            let label = quoted(&block.label);
            return Err(malformed(format!("a PEM block {label} is no certificate")));
        }
        Ok(CertificateDer::from(block.contents))
    };
    blocks.into_iter().map(certificate).collect()
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
