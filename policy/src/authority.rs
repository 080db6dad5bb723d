//! Who may sign: an authority of a policy.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::keyless::{Identity, IdentityDraft, MAX_IDENTITIES, NOT_PLAIN};
use crate::problem::{Reason, Report};
use crate::text::is_plain;
use crate::trust::TrustRoot;

/// The most bytes of an authority's name.
pub const MAX_NAME: usize = 63;

/// Trust roots by their digests, from which the references of drafts are resolved.
pub type TrustRoots = BTreeMap<Digest, Arc<TrustRoot>>;

/// A reference to a trust root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustRootRef {
    /// The name of the `TrustRoot` object, for messages.
    pub name: String,
    /// The digest of its content.
    pub digest: Digest,
}

/// One signer, before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityDraft {
    /// Unique within the policy.
    pub name: String,
    /// How its signatures are recognised.
    pub signer: SignerDraft,
}

impl AuthorityDraft {
    /// One that signs with one of these keys (PEM), without a log.
    #[must_use]
    pub fn key(name: impl Into<String>, keys: impl Into<String>) -> Self {
        let signer = SignerDraft::Key {
            keys: keys.into(),
            transparency_log: None,
        };
        Self {
            name: name.into(),
            signer,
        }
    }
}

/// How signatures are recognised, before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum SignerDraft {
    /// By public keys.
    Key {
        /// One or more PEM public keys, any one of which may have signed.
        keys: String,
        /// Also demand an entry in a log of this trust root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
    /// By short-lived certificates of a sigstore certificate authority, and a log entry.
    Keyless {
        /// Whose certificates and logs count.
        trust_root: TrustRootRef,
        /// Who may have asked for the certificate: any one of them.
        identities: Vec<IdentityDraft>,
    },
    /// By certificates of a PKI.
    Certificate {
        /// PEM.
        roots: String,
        /// PEM; empty for none.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        intermediates: String,
        /// Whom the certificate must name.
        subject: CertificateSubject,
        /// Also demand an entry in a log of this trust root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
}

/// Whom a certificate of a PKI must name: all that is given, exactly. One of the two is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateSubject {
    /// An e-mail address among its alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A host name among its alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_name: Option<String>,
}

/// One signer of a valid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    name: String,
    signer: Signer,
}

/// How the signatures of an authority are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// By public keys.
    Key(KeySigner),
    /// By short-lived certificates.
    Keyless(KeylessSigner),
    /// By certificates of a PKI.
    Certificate(CertificateSigner),
}

/// Public keys, any one of which may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySigner {
    keys: Vec<PublicKey>,
    log: Option<TrustedRoot>,
}

/// Identities in certificates of a trust root, any one of which may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeylessSigner {
    root: TrustedRoot,
    identities: Vec<Identity>,
}

/// A name in certificates of a PKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSigner {
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    subject: CertificateSubject,
    log: Option<TrustedRoot>,
}

/// A trust root with the name that its policy calls it by.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    reference: TrustRootRef,
    root: Arc<TrustRoot>,
}

impl PartialEq for TrustedRoot {
    fn eq(&self, other: &Self) -> bool {
        self.reference == other.reference
    }
}

impl Eq for TrustedRoot {}

impl TrustedRoot {
    /// Its name and digest.
    #[must_use]
    pub fn reference(&self) -> &TrustRootRef {
        &self.reference
    }

    /// The name of the `TrustRoot` object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// What it trusts.
    #[must_use]
    pub fn root(&self) -> &Arc<TrustRoot> {
        &self.root
    }
}

/// By digest, each once.
pub(crate) fn trust_roots<'a>(all: impl Iterator<Item = &'a TrustedRoot>) -> TrustRoots {
    all.map(|root| (root.reference.digest.clone(), Arc::clone(&root.root)))
        .collect()
}

impl Authority {
    /// The authority's name, unique within its policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its signatures are recognised.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The trust root that it needs, if any.
    #[must_use]
    pub fn trust_root(&self) -> Option<&TrustedRoot> {
        match &self.signer {
            Signer::Key(signer) => signer.log.as_ref(),
            Signer::Keyless(signer) => Some(&signer.root),
            Signer::Certificate(signer) => signer.log.as_ref(),
        }
    }

    /// The field of the policy's `spec`, below the authority, that says how signatures are
    /// recognised.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match &self.signer {
            Signer::Key(_) => "key",
            Signer::Keyless(_) => "keyless",
            Signer::Certificate(_) => "certificate",
        }
    }
}

impl KeySigner {
    /// The keys, any one of which may have signed; sorted, never empty, no duplicates.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whose log must have an entry, if one must.
    #[must_use]
    pub fn log(&self) -> Option<&TrustedRoot> {
        self.log.as_ref()
    }
}

impl KeylessSigner {
    /// Whose certificates and logs count: it has at least one of each.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Who may have signed: 1 to 16, any one of them; sorted, no duplicates.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }
}

impl CertificateSigner {
    /// The trust anchors; sorted, never empty.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Certificates that may stand between a root and a signer; sorted.
    #[must_use]
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Whom the certificate must name.
    #[must_use]
    pub fn subject(&self) -> &CertificateSubject {
        &self.subject
    }

    /// Whose log must have an entry, if one must.
    #[must_use]
    pub fn log(&self) -> Option<&TrustedRoot> {
        self.log.as_ref()
    }
}

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

impl From<Authority> for AuthorityDraft {
    fn from(authority: Authority) -> Self {
        let log = |log: Option<TrustedRoot>| log.map(|root| root.reference);
        let signer = match authority.signer {
            Signer::Key(signer) => SignerDraft::Key {
                keys: signer.keys.iter().map(PublicKey::to_pem).collect(),
                transparency_log: log(signer.log),
            },
            Signer::Keyless(signer) => SignerDraft::Keyless {
                trust_root: signer.root.reference,
                identities: signer.identities.into_iter().map(Into::into).collect(),
            },
            Signer::Certificate(signer) => SignerDraft::Certificate {
                roots: signer.roots.iter().map(Certificate::to_pem).collect(),
                intermediates: signer
                    .intermediates
                    .iter()
                    .map(Certificate::to_pem)
                    .collect(),
                subject: signer.subject,
                transparency_log: log(signer.log),
            },
        };
        Self {
            name: authority.name,
            signer,
        }
    }
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
