//! Whether the authorities of a policy are different signers.
//!
//! A threshold counts people and systems, not entries of a list: one signer that stands in two
//! authorities must not make two signatures of one.

use std::collections::BTreeSet;

use crate::authority::{Authority, CertificateSigner, CertificateSubject, Signer};
use crate::key::PublicKey;
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
            let overlaps = |identity: &_| other.identities().iter().any(|o| !o.excludes(identity));
            let at = own.identities().iter().position(overlaps)?;
            let what = "a certificate may carry both this identity and one of".to_owned();
            Some((format!("keyless.identities[{at}]"), what))
        }
        (Signer::Certificate(own), Signer::Certificate(other)) => {
            same_names(own, other).then(|| {
                let what = "a certificate may carry both this subject and that of".to_owned();
                ("certificate.subject".to_owned(), what)
            })
        }
        _ => None,
    }
}

/// Names are compared, not roots: a company's two certificate authorities name the same people.
fn same_names(own: &CertificateSigner, other: &CertificateSigner) -> bool {
    let CertificateSubject { email, dns_name } = own.subject();
    let differ = |one: &Option<String>, two: &Option<String>| matches!((one, two), (Some(one), Some(two)) if !one.eq_ignore_ascii_case(two));
    !differ(email, &other.subject().email) && !differ(dns_name, &other.subject().dns_name)
}
