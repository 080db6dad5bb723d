//! From drafts to authorities: everything that is wrong is reported, each thing at its field.

use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Authority, AuthorityDraft, CertificateSigner, CertificateSubject, KeySigner, KeylessSigner,
    Signer, SignerDraft, TrustRootRef, TrustRoots, TrustedRoot,
};
use crate::certificate::Certificate;
use crate::key::PublicKey;
use crate::keyless::{Identity, IdentityDraft, MAX_IDENTITIES, NOT_PLAIN};
use crate::problem::{Reason, Report};
use crate::text::is_plain;

impl Signer {
    /// `field` is that of the authority.
    pub(crate) fn parse(
        report: &mut Report,
        field: &str,
        draft: &SignerDraft,
        roots: &TrustRoots,
    ) -> Option<Self> {
        match draft {
            SignerDraft::Key {
                keys,
                transparency_log,
            } => {
                let log = log(report, field, transparency_log.as_ref(), roots);
                let keys = PublicKey::parse_pem(keys)
                    .map_err(|error| report.add(format!("{field}.key"), Reason::InvalidKey, error))
                    .ok()?;
                let log = log.ok()?;
                Some(Self::Key(KeySigner { keys, log }))
            }
            SignerDraft::Keyless {
                trust_root,
                identities,
            } => keyless(
                report,
                &format!("{field}.keyless"),
                trust_root,
                identities,
                roots,
            ),
            SignerDraft::Certificate {
                roots: anchors,
                intermediates,
                subject,
                transparency_log,
            } => {
                let log = log(report, field, transparency_log.as_ref(), roots);
                let field = format!("{field}.certificate");
                let texts = (anchors.as_str(), intermediates.as_str());
                certificate(report, &field, texts, subject, log)
            }
        }
    }
}

fn keyless(
    report: &mut Report,
    field: &str,
    trust_root: &TrustRootRef,
    drafts: &[IdentityDraft],
    roots: &TrustRoots,
) -> Option<Signer> {
    let root = resolve(report, &format!("{field}.trustRoot"), trust_root, roots);
    let root = root.filter(|root| {
        let cas = root.root.certificate_authorities().len();
        if cas == 0 {
            let what = "certificate authority, so no certificate could be verified";
            report.add(
                format!("{field}.trustRoot"),
                Reason::TrustRootNotReady,
                lacks(root, what),
            );
        }
        cas > 0 && has_log(report, &format!("{field}.trustRoot"), root)
    });
    let count = drafts.len();
    if !(1..=MAX_IDENTITIES).contains(&count) {
        let message = format!("{count} identities: 1 to {MAX_IDENTITIES} are allowed");
        report.add(format!("{field}.identities"), Reason::Invalid, message);
        return None;
    }
    let parsed: Vec<Option<Identity>> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| {
            Identity::parse(report, &format!("{field}.identities[{index}]"), draft)
        })
        .collect();
    let identities: Option<Vec<Identity>> = parsed.into_iter().collect();
    // Any one of them: the order says nothing, so it must not change a byte.
    let mut identities = identities?;
    identities.sort_by_cached_key(|identity| IdentityDraft::from(identity.clone()));
    identities.dedup();
    Some(Signer::Keyless(KeylessSigner {
        root: root?,
        identities,
    }))
}

fn certificate(
    report: &mut Report,
    field: &str,
    (roots, intermediates): (&str, &str),
    subject: &CertificateSubject,
    log: Result<Option<TrustedRoot>, Reported>,
) -> Option<Signer> {
    let mut parse = |name: &str, parsed: Result<Vec<Certificate>, _>| {
        let report = &mut *report;
        parsed
            .map_err(|error: crate::certificate::CertificateError| {
                report.add(format!("{field}.{name}"), Reason::InvalidCertificate, error);
            })
            .ok()
    };
    let sorted = |mut certificates: Vec<Certificate>| {
        certificates.sort();
        certificates
    };
    let roots = parse("roots", crate::certificate::roots(roots)).map(sorted);
    let intermediates = if intermediates.is_empty() {
        Some(Vec::new())
    } else {
        parse(
            "intermediates",
            crate::certificate::intermediates(intermediates),
        )
        .map(sorted)
    };
    let subject = check_subject(report, &format!("{field}.subject"), subject);
    Some(Signer::Certificate(CertificateSigner {
        roots: roots?,
        intermediates: intermediates?,
        subject: subject?,
        log: log.ok()?,
    }))
}

fn check_subject(
    report: &mut Report,
    field: &str,
    subject: &CertificateSubject,
) -> Option<CertificateSubject> {
    let before = report.0.len();
    let CertificateSubject { email, dns_name } = subject;
    let given: Vec<&String> = [email, dns_name].into_iter().flatten().collect();
    if given.is_empty() || given.iter().any(|text| text.is_empty()) {
        let message = "at least one of email and dnsName is expected, and neither may be empty: any certificate of the roots could sign otherwise";
        report.add(field, Reason::Invalid, message);
    }
    if given.iter().any(|text| !is_plain(text)) {
        report.add(field, Reason::Invalid, NOT_PLAIN);
    }
    if let Some(name) = dns_name
        && (name.contains('*') || name.parse::<IpAddr>().is_ok())
    {
        let message = "it is a wildcard or an IP address: write the one host name that certificates must have";
        report.add(format!("{field}.dnsName"), Reason::Invalid, message);
    }
    (report.0.len() == before).then(|| subject.clone())
}

/// What is wrong stands in the report.
struct Reported;

fn log(
    report: &mut Report,
    field: &str,
    draft: Option<&TrustRootRef>,
    roots: &TrustRoots,
) -> Result<Option<TrustedRoot>, Reported> {
    let Some(draft) = draft else {
        return Ok(None);
    };
    let field = format!("{field}.transparencyLog.trustRoot");
    let root = resolve(report, &field, draft, roots).ok_or(Reported)?;
    if has_log(report, &field, &root) {
        Ok(Some(root))
    } else {
        Err(Reported)
    }
}

fn has_log(report: &mut Report, field: &str, root: &TrustedRoot) -> bool {
    let some = root.root.rekor_keys().next().is_some();
    if !some {
        let what = "transparency log, so no log entry could be verified";
        report.add(field, Reason::TrustRootNotReady, lacks(root, what));
    }
    some
}

fn lacks(root: &TrustedRoot, what: &str) -> String {
    format!(
        "the TrustRoot `{}` has no {what}: add one to it, or name another",
        root.name()
    )
}

fn resolve(
    report: &mut Report,
    field: &str,
    reference: &TrustRootRef,
    roots: &TrustRoots,
) -> Option<TrustedRoot> {
    let Some(root) = roots.get(&reference.digest) else {
        let message = format!(
            "the content {} of the TrustRoot `{}` did not come with the policy",
            reference.digest, reference.name
        );
        report.add(field, Reason::NotFound, message);
        return None;
    };
    Some(TrustedRoot {
        reference: reference.clone(),
        root: Arc::clone(root),
    })
}

pub(crate) fn parse(
    report: &mut Report,
    field: &str,
    draft: &AuthorityDraft,
    roots: &TrustRoots,
) -> Option<Authority> {
    let signer = Signer::parse(report, field, &draft.signer, roots)?;
    Some(Authority {
        name: draft.name.clone(),
        signer,
    })
}
