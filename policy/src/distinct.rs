//! Whether the authorities of a policy are different signers.
//!
//! A threshold counts people and systems, not entries of a list: one signer that stands in two
//! authorities must not make two signatures of one.

use std::collections::BTreeSet;

use crate::authority::{Authority, CertificateSigner, CertificateSubject, KeylessSigner, Signer};
use crate::key::PublicKey;
use crate::keyless::Identity;
use crate::problem::{Reason, Report};

/// Reports every authority (with its place in the draft) that may be the same signer as one before
/// it.
pub(crate) fn check(report: &mut Report, authorities: &[(usize, Authority)]) {
    for (at, (index, authority)) in authorities.iter().enumerate() {
        for (_, other) in &authorities[..at] {
            if let Some((field, what)) = shared(authority, other) {
                let (reason, name) = (reason(authority), other.name());
                let message = format!(
                    "{what} authority `{name}`: with a threshold above 1 each authority needs signers of its own"
                );
                report.add(format!("authorities[{index}].{field}"), reason, message);
            }
        }
    }
}

fn reason(authority: &Authority) -> Reason {
    match authority.signer() {
        Signer::Key(_) => Reason::InvalidKey,
        Signer::Keyless(_) => Reason::Invalid,
        Signer::Certificate(_) => Reason::InvalidCertificate,
    }
}

/// The field that says it, and what two authorities may share.
fn shared(authority: &Authority, other: &Authority) -> Option<(String, String)> {
    match (authority.signer(), other.signer()) {
        (Signer::Key(own), Signer::Key(other)) => {
            let keys: BTreeSet<&PublicKey> = other.keys().iter().collect();
            let shared = own.keys().iter().find(|key| keys.contains(key))?;
            let what = format!("the key {} is also in", shared.fingerprint());
            Some(("key".to_owned(), what))
        }
        // The same person in two trust roots is still one person.
        (Signer::Keyless(own), Signer::Keyless(other)) => {
            let found = |identity: &Identity| overlap(identity, other.identities());
            let mut identities = own.identities().iter().enumerate();
            let (at, what) = identities.find_map(|(at, own)| Some((at, found(own)?)))?;
            Some((format!("keyless.identities[{at}]"), what))
        }
        (Signer::Certificate(own), Signer::Certificate(other)) => {
            same_names(own, other).then(|| {
                let what = "a certificate may carry both this subject and that of".to_owned();
                ("certificate.subject".to_owned(), what)
            })
        }
        (Signer::Keyless(own), Signer::Certificate(other)) => {
            let (at, what) = same_person(own, other)?;
            Some((format!("keyless.identities[{at}]"), what))
        }
        (Signer::Certificate(own), Signer::Keyless(other)) => {
            let (_, what) = same_person(other, own)?;
            Some(("certificate.subject".to_owned(), what))
        }
        // A key has no name.
        (Signer::Key(_), _) | (_, Signer::Key(_)) => None,
    }
}

/// What an identity shares with others.
fn overlap(identity: &Identity, others: &[Identity]) -> Option<String> {
    let other = others.iter().find(|other| !other.excludes(identity))?;
    Some(if other.has_another_issuer(identity) {
        let subject = identity.subject().text();
        format!(
            "`{subject}` is one signer, whichever identity provider vouches for it, and may also be in"
        )
    } else {
        "a certificate may carry both this identity and one of".to_owned()
    })
}

/// The place of a keyless identity that may be whom a company's certificate names, and that name.
fn same_person(keyless: &KeylessSigner, company: &CertificateSigner) -> Option<(usize, String)> {
    let CertificateSubject { email, dns_name } = company.subject();
    [email, dns_name].into_iter().flatten().find_map(|name| {
        let mut identities = keyless.identities().iter();
        let at = identities.position(|identity| !identity.excludes_name(name))?;
        let what = format!(
            "`{name}` is one signer, by a keyless certificate and by a company's own, and may also be in"
        );
        Some((at, what))
    })
}

/// Names are compared, not roots: a company's two certificate authorities name the same people.
fn same_names(own: &CertificateSigner, other: &CertificateSigner) -> bool {
    let CertificateSubject { email, dns_name } = own.subject();
    let differ = |one: &Option<String>, two: &Option<String>| matches!((one, two), (Some(one), Some(two)) if !one.eq_ignore_ascii_case(two));
    !differ(email, &other.subject().email) && !differ(dns_name, &other.subject().dns_name)
}
