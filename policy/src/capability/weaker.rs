//! Where CRI-O checks less than the policy says, although its files can say it.

use super::Limitation;
use crate::authority::{Authority, CertificateSigner, Signer};
use crate::model::Requirement;
use crate::problem::Reason;
use crate::trust::{LogKey, TrustRoot};

/// What is too little to be called the same.
///
/// One certificate with two names would count as two signers: every rule is checked by itself, and
/// the same signature may meet several.
pub(super) fn prevents(requirement: &Requirement) -> Vec<Limitation> {
    if requirement.threshold() < 2 {
        return Vec::new();
    }
    let signers: Vec<(&Authority, &CertificateSigner)> = requirement
        .authorities()
        .iter()
        .filter_map(|authority| match authority.signer() {
            Signer::Certificate(signer) => Some((authority, signer)),
            Signer::Key(_) | Signer::Keyless(_) => None,
        })
        .collect();
    let mut prevents = Vec::new();
    for (at, (authority, signer)) in signers.iter().enumerate() {
        let shares_root = |other: &&(&Authority, &CertificateSigner)| {
            signer
                .roots()
                .iter()
                .any(|root| other.1.roots().contains(root))
        };
        if let Some((other, _)) = signers[..at].iter().find(shares_root) {
            let message = format!(
                "CRI-O counts one signature for several authorities, so a single certificate with both names would do for this and `{}`: give them different roots, or demand one of them",
                other.name()
            );
            let limit = Limitation::of("certificate.roots", Reason::NotExpressible, message);
            prevents.push(limit.by(authority.name()));
        }
    }
    prevents
}

/// What to know.
pub(super) fn warnings(requirement: &Requirement) -> Vec<Limitation> {
    let mut warnings = Vec::new();
    let authorities = requirement.authorities();
    let kind = |authority: &Authority| std::mem::discriminant(authority.signer());
    let mixed = authorities.iter().any(|a| kind(a) != kind(&authorities[0]));
    if requirement.threshold() > 1 && mixed {
        let message = "CRI-O counts one signature for several authorities: whoever has a certificate for the very key of another authority signs once for both";
        warnings.push(Limitation::of("threshold", Reason::WeakerCheck, message));
    }
    for authority in authorities {
        let of_authority = |limit: Limitation| limit.by(authority.name());
        if let Signer::Certificate(signer) = authority.signer()
            && signer.subject().dns_name.is_some()
        {
            let message = "CRI-O also accepts a certificate for a wildcard that covers the host name: let this PKI give out none, or name an email";
            let limit = Limitation::of("certificate.subject.dnsName", Reason::WeakerCheck, message);
            warnings.push(of_authority(limit));
        }
        if let Some(root) = authority.trust_root() {
            let field = trust_root_field(authority);
            if ends(root.root(), authority) {
                let message = "CRI-O knows no end of a trust root's authorities and logs (validFor), so those that have ended still count there: take out of the TrustRoot what must not";
                let limit = Limitation::of(field, Reason::WeakerCheck, message);
                warnings.push(of_authority(limit));
            }
        }
    }
    warnings
}

/// The field of a policy's `spec`, below the authority, that names its trust root.
pub(super) fn trust_root_field(authority: &Authority) -> &'static str {
    match authority.signer() {
        Signer::Keyless(_) => "keyless.trustRoot",
        Signer::Key(_) | Signer::Certificate(_) => "transparencyLog.trustRoot",
    }
}

/// Whether anything of the root that the authority needs has an end.
fn ends(root: &TrustRoot, authority: &Authority) -> bool {
    let mut windows = root.rekor_keys().map(LogKey::valid_for).collect::<Vec<_>>();
    if matches!(authority.signer(), Signer::Keyless(_)) {
        windows.extend(
            root.certificate_authorities()
                .iter()
                .map(crate::trust::Authority::valid_for),
        );
    }
    windows
        .into_iter()
        .flatten()
        .any(|window| window.end.is_some())
}
