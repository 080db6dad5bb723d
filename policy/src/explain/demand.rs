//! What a policy demands, as data and in plain words.

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::enumerate;
use crate::authority::{
    Authority, CertificateSigner, CertificateSubject, KeySigner, KeylessSigner, Signer,
    TrustRootRef, TrustedRoot,
};
use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::key::PublicKey;
use crate::keyless::Identity;
use crate::model::{Mode, Requirement};
use crate::reference::Reference;

/// What a policy demands of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// Enforce or audit.
    pub mode: Mode,
    /// How many of the authorities must have signed.
    pub threshold: usize,
    /// The same in words.
    pub words: String,
    /// Who may sign, by name.
    pub authorities: Vec<AuthorityDemand>,
    /// Which name a signature must carry.
    pub signed_identity: SignedIdentity,
    /// The same for this image, in words.
    pub identity_words: String,
}

/// One authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityDemand {
    /// Its name.
    pub name: String,
    /// How its signatures are recognised.
    #[serde(flatten)]
    pub signer: SignerDemand,
    /// The same in words: one sentence or more, without the name.
    pub words: Vec<String>,
}

/// How the signatures of an authority are recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SignerDemand {
    /// By any one of these keys.
    Key {
        /// Sorted, never empty.
        keys: Vec<KeyDemand>,
        /// Whose log must have an entry.
        #[serde(skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
    /// By short-lived certificates and a log entry.
    Keyless {
        /// Whose certificates and logs count.
        trust_root: TrustRootRef,
        /// Who may have signed: any one of them.
        identities: Vec<IdentityDemand>,
    },
    /// By certificates of a PKI.
    Certificate {
        /// The trust anchors.
        roots: Vec<CertificateDemand>,
        /// What may stand between a root and the signer.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        intermediates: Vec<CertificateDemand>,
        /// Whom the certificate must name.
        subject: CertificateSubject,
        /// Whose log must have an entry.
        #[serde(skip_serializing_if = "Option::is_none")]
        transparency_log: Option<TrustRootRef>,
    },
}

/// A public key, by what tells it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyDemand {
    /// Such as `ECDSA P-256`.
    pub kind: String,
    /// SHA-256 of the DER `SubjectPublicKeyInfo`.
    pub fingerprint: Digest,
}

/// A certificate, by what tells it apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateDemand {
    /// Whose it is.
    pub subject: String,
    /// SHA-256 of its DER.
    pub fingerprint: Digest,
}

/// An identity, in the words of the API: exactly one of the issuers and of the subjects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityDemand {
    /// Exactly this issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// An issuer that this expression matches as a whole.
    #[serde(rename = "issuerRegExp", skip_serializing_if = "Option::is_none")]
    pub issuer_reg_exp: Option<String>,
    /// Exactly this subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A subject that this expression matches as a whole.
    #[serde(rename = "subjectRegExp", skip_serializing_if = "Option::is_none")]
    pub subject_reg_exp: Option<String>,
    /// Further values that the certificate must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

impl Demand {
    pub(super) fn of(requirement: &Requirement, image: &Reference) -> Self {
        let (k, n) = (requirement.threshold(), requirement.authorities().len());
        let words = match (k, n) {
            (_, 1) => "this authority must have signed".to_owned(),
            (1, _) => format!("one of {n} authorities must have signed"),
            _ if k == n => format!("all {n} authorities must have signed"),
            _ => format!("{k} of {n} authorities must have signed"),
        };
        let authorities = requirement.authorities().iter();
        Self {
            mode: requirement.mode(),
            threshold: k,
            words,
            authorities: authorities.map(AuthorityDemand::of).collect(),
            signed_identity: requirement.signed_identity().clone(),
            identity_words: identity_words(requirement.signed_identity(), image),
        }
    }
}

impl AuthorityDemand {
    fn of(authority: &Authority) -> Self {
        let (signer, words) = match authority.signer() {
            Signer::Key(signer) => key(signer),
            Signer::Keyless(signer) => keyless(signer),
            Signer::Certificate(signer) => certificate(signer),
        };
        let name = authority.name().to_owned();
        Self {
            name,
            signer,
            words,
        }
    }
}

fn key(signer: &KeySigner) -> (SignerDemand, Vec<String>) {
    let keys: Vec<KeyDemand> = signer.keys().iter().map(KeyDemand::of).collect();
    let called = keys
        .iter()
        .map(|key| format!("{} {}", key.kind, key.fingerprint));
    let mut words = any_one("key", "keys", &called.collect::<Vec<_>>());
    words.extend(log_words(signer.log()));
    let transparency_log = signer.log().map(root);
    let demand = SignerDemand::Key {
        keys,
        transparency_log,
    };
    (demand, words)
}

fn keyless(signer: &KeylessSigner) -> (SignerDemand, Vec<String>) {
    let identities = signer.identities();
    let called: Vec<String> = identities.iter().map(identity_sentence).collect();
    let mut words = any_one("identity", "identities", &called);
    words.push(format!(
        "certified, and logged, by the trust root `{}`",
        signer.root().name()
    ));
    let demand = SignerDemand::Keyless {
        trust_root: root(signer.root()),
        identities: identities.iter().map(IdentityDemand::of).collect(),
    };
    (demand, words)
}

fn certificate(signer: &CertificateSigner) -> (SignerDemand, Vec<String>) {
    let subject = signer.subject();
    let email = subject
        .email
        .as_ref()
        .map(|email| format!("the e-mail address {email}"));
    let host = subject
        .dns_name
        .as_ref()
        .map(|name| format!("the host name {name}"));
    let named: Vec<String> = email.into_iter().chain(host).collect();
    let all = |certificates: &[Certificate]| -> Vec<CertificateDemand> {
        certificates.iter().map(CertificateDemand::of).collect()
    };
    let roots = all(signer.roots());
    let called = roots
        .iter()
        .map(|root| format!("{} {}", root.subject, root.fingerprint));
    let mut words = vec![format!("a certificate for {}", enumerate(&named, "and"))];
    words.extend(any_one("root", "roots", &called.collect::<Vec<_>>()));
    words.extend(log_words(signer.log()));
    let demand = SignerDemand::Certificate {
        roots,
        intermediates: all(signer.intermediates()),
        subject: subject.clone(),
        transparency_log: signer.log().map(root),
    };
    (demand, words)
}

/// `key A`, or a line that says how many there are and a line for each.
fn any_one(one: &str, many: &str, called: &[String]) -> Vec<String> {
    match called {
        [single] => vec![format!("{one} {single}")],
        _ => std::iter::once(format!("any one of {} {many}:", called.len()))
            .chain(called.iter().map(|name| format!("- {name}")))
            .collect(),
    }
}

fn log_words(log: Option<&TrustedRoot>) -> Option<String> {
    log.map(|log| {
        format!(
            "with an entry in a transparency log of the trust root `{}`",
            log.name()
        )
    })
}

fn root(root: &TrustedRoot) -> TrustRootRef {
    root.reference().clone()
}

impl KeyDemand {
    fn of(key: &PublicKey) -> Self {
        Self {
            kind: key.kind().to_string(),
            fingerprint: key.fingerprint(),
        }
    }
}

impl CertificateDemand {
    fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject().to_owned(),
            fingerprint: certificate.fingerprint(),
        }
    }
}

impl IdentityDemand {
    fn of(identity: &Identity) -> Self {
        let (issuer, subject) = (identity.issuer(), identity.subject());
        let text = |pattern: &crate::pattern::Pattern, exact| {
            (pattern.is_exact() == exact).then(|| pattern.text().to_owned())
        };
        Self {
            issuer: text(issuer, true),
            issuer_reg_exp: text(issuer, false),
            subject: text(subject, true),
            subject_reg_exp: text(subject, false),
            claims: identity.claims().clone(),
        }
    }
}

fn identity_sentence(identity: &Identity) -> String {
    let text = |pattern: &crate::pattern::Pattern| {
        let like = if pattern.is_exact() { "" } else { "like " };
        format!("{like}{}", pattern.text())
    };
    let subject = text(identity.subject());
    let mut words = format!("{subject}, vouched for by {}", text(identity.issuer()));
    if !identity.claims().is_empty() {
        let claims = identity.claims().iter();
        let claims: Vec<String> = claims
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words = format!("{words}, with {}", enumerate(&claims, "and"));
    }
    words
}

/// What a signature for this image has to be called.
fn identity_words(identity: &SignedIdentity, image: &Reference) -> String {
    match identity {
        SignedIdentity::MatchRepository { unnamed } => {
            let unnamed = match unnamed {
                UnnamedSignatures::Accept => "one that names only the digest passes",
                UnnamedSignatures::Refuse => "one that names only the digest is refused",
            };
            let repository = image.repository();
            format!("the signature must name {repository}, with any tag or none; {unnamed}")
        }
        SignedIdentity::ExactRepository { repository } => {
            format!("the signature must name {repository}, with any tag or none")
        }
        SignedIdentity::MatchRepoDigestOrExact => tagged(&image.repository(), image),
        SignedIdentity::RemapIdentity {
            prefix,
            signed_prefix,
        } => {
            let repository = image.repository();
            let rest = repository.strip_prefix(prefix.as_str());
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
            match rest {
                Some(rest) => tagged(&format!("{signed_prefix}{rest}"), image),
                None => tagged(&repository, image),
            }
        }
    }
}

fn tagged(repository: &str, image: &Reference) -> String {
    match image.tag() {
        Some(tag) => format!("the signature must name {repository}:{tag}, with this tag"),
        None => format!("the signature must name {repository}, with a tag or digest"),
    }
}
