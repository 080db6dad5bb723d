//! Identities in the certificates that a sigstore certificate authority gives out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern::{ISSUERS, Pattern, SUBJECTS};
use crate::problem::{Reason, Report};
use crate::text::is_plain;

/// The most identities of one authority.
pub const MAX_IDENTITIES: usize = 16;
/// The most claims of one identity.
pub const MAX_CLAIMS: usize = 32;
/// The most bytes of an issuer, or of the expression for it.
pub const MAX_ISSUER: usize = 512;
/// The most bytes of a subject, of the expression for it, or of a claim's value.
pub const MAX_TEXT: usize = 1024;

pub(crate) const NOT_PLAIN: &str =
    "it has control characters or invisible ones, which no certificate carries: type it anew";

/// The claims that a policy can compare, by the names that Fulcio's documentation gives them
/// (docs/oid-info.md there), each with the last part of its object identifier below
/// 1.3.6.1.4.1.57264.1.
pub const CLAIMS: [(&str, u32); 16] = [
    ("buildConfigDigest", 19),
    ("buildConfigURI", 18),
    ("buildSignerDigest", 10),
    ("buildSignerURI", 9),
    ("buildTrigger", 20),
    ("deploymentEnvironment", 23),
    ("runInvocationURI", 21),
    ("runnerEnvironment", 11),
    ("sourceRepositoryDigest", 13),
    ("sourceRepositoryIdentifier", 15),
    ("sourceRepositoryOwnerIdentifier", 17),
    ("sourceRepositoryOwnerURI", 16),
    ("sourceRepositoryRef", 14),
    ("sourceRepositoryURI", 12),
    ("sourceRepositoryVisibilityAtSigning", 22),
    ("tokenSubject", 24),
];

/// One identity before any check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityDraft {
    /// Who vouched for the signer: the address of the identity provider.
    pub issuer: PatternDraft,
    /// Who signed: an e-mail address or a URI.
    pub subject: PatternDraft,
    /// Values that the certificate must have exactly, by the names in [`CLAIMS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

/// A text to compare with, before any check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PatternDraft {
    /// This very text.
    Exact(String),
    /// A regular expression for the whole text.
    RegExp(String),
}

/// An identity that a certificate may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    issuer: Pattern,
    subject: Pattern,
    claims: BTreeMap<String, String>,
}

/// What a verified certificate says about its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signer {
    /// The identity provider, where the certificate names one.
    pub issuer: Option<String>,
    /// The one e-mail address or URI that the certificate is for.
    pub subject: String,
    /// Its claims, by the names in [`CLAIMS`].
    pub claims: BTreeMap<String, String>,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuer = self.issuer.as_deref().unwrap_or("no issuer");
        write!(f, "{} ({issuer})", self.subject)
    }
}

impl Identity {
    /// The identity provider.
    #[must_use]
    pub fn issuer(&self) -> &Pattern {
        &self.issuer
    }

    /// The signer.
    #[must_use]
    pub fn subject(&self) -> &Pattern {
        &self.subject
    }

    /// Further values that the certificate must have.
    #[must_use]
    pub fn claims(&self) -> &BTreeMap<String, String> {
        &self.claims
    }

    /// Whether a certificate of `signer` carries this identity. One without an issuer carries none.
    #[must_use]
    pub fn accepts(&self, signer: &Signer) -> bool {
        let issuer = signer.issuer.as_deref();
        issuer.is_some_and(|issuer| self.issuer.matches(issuer))
            && self.subject.matches(&signer.subject)
            && self
                .claims
                .iter()
                .all(|(name, value)| signer.claims.get(name) == Some(value))
    }

    /// Whether nobody is both: another subject, letter case aside, or the same URI of another
    /// provider. An e-mail address or a host name is the same signer whichever provider vouches for
    /// it. Claims say what somebody did and not who it was. Where it cannot be told, it is not so: of
    /// two regular expressions nobody knows, unless they differ and so do the providers. The verifier
    /// then counts whoever signs by both as one.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.subject.excludes(&other.subject)
            || self.has_another_issuer(other) && is_of_its_issuer(&self.subject, &other.subject)
    }

    /// Whether no provider is that of both.
    pub(crate) fn has_another_issuer(&self, other: &Self) -> bool {
        self.issuer.excludes(&other.issuer)
    }

    /// Whether nobody is both this and the owner of a company's certificate for `name`, an e-mail
    /// address or a host name.
    pub(crate) fn excludes_name(&self, name: &str) -> bool {
        self.subject.excludes(&Pattern::exact(name))
    }

    pub(crate) fn parse(report: &mut Report, field: &str, draft: &IdentityDraft) -> Option<Self> {
        let issuer = pattern(
            report,
            field,
            "issuer",
            &draft.issuer,
            (MAX_ISSUER, &ISSUERS),
        );
        let subject = pattern(
            report,
            field,
            "subject",
            &draft.subject,
            (MAX_TEXT, &SUBJECTS),
        );
        let before = report.0.len();
        if draft.claims.len() > MAX_CLAIMS {
            let message = format!(
                "{} claims: at most {MAX_CLAIMS} are allowed",
                draft.claims.len()
            );
            report.add(format!("{field}.claims"), Reason::Invalid, message);
        }
        for (name, value) in &draft.claims {
            check_claim(report, &format!("{field}.claims"), name, value);
        }
        let claims = (report.0.len() == before).then(|| draft.claims.clone());
        Some(Self {
            issuer: issuer?,
            subject: subject?,
            claims: claims?,
        })
    }
}

/// Whether what fits both subjects means something with its identity provider alone: a URI.
fn is_of_its_issuer(one: &Pattern, two: &Pattern) -> bool {
    match (one.is_exact(), two.is_exact()) {
        (true, _) => is_uri(one.text()),
        (_, true) => is_uri(two.text()),
        (false, false) => one.text() != two.text() || one.text().contains("://"),
    }
}

/// Whether a subject is a URI (RFC 3986: it begins with a scheme and a colon). Addresses have a colon
/// only in quotes, host names none.
fn is_uri(subject: &str) -> bool {
    subject.contains(':') && !subject.starts_with('"')
}

fn pattern(
    report: &mut Report,
    field: &str,
    name: &str,
    draft: &PatternDraft,
    (most, everything): (usize, &[&str]),
) -> Option<Pattern> {
    let (text, field) = match draft {
        PatternDraft::Exact(text) => (text, format!("{field}.{name}")),
        PatternDraft::RegExp(text) => (text, format!("{field}.{name}RegExp")),
    };
    if !(1..=most).contains(&text.len()) {
        let message = format!("{} bytes: 1 to {most} are allowed", text.len());
        report.add(field, Reason::Invalid, message);
        return None;
    }
    if !is_plain(text) {
        report.add(field, Reason::Invalid, NOT_PLAIN);
        return None;
    }
    let parsed = match draft {
        PatternDraft::Exact(text) => Ok(Pattern::exact(text)),
        PatternDraft::RegExp(text) => Pattern::reg_exp(text, everything),
    };
    parsed
        .map_err(|error| report.add(field, Reason::InvalidRegExp, error))
        .ok()
}

fn check_claim(report: &mut Report, field: &str, name: &str, value: &str) {
    if !CLAIMS.iter().any(|(known, _)| *known == name) {
        let known: Vec<&str> = CLAIMS.iter().map(|(known, _)| *known).collect();
        let message = format!(
            "`{}` is no claim of a certificate: it is one of {}",
            name.escape_debug(),
            known.join(", ")
        );
        report.add(field, Reason::Invalid, message);
    } else if value.is_empty() || value.len() > MAX_TEXT {
        let message = format!(
            "the value of `{name}` has {} bytes: 1 to {MAX_TEXT} are allowed",
            value.len()
        );
        report.add(format!("{field}.{name}"), Reason::Invalid, message);
    } else if !is_plain(value) {
        report.add(format!("{field}.{name}"), Reason::Invalid, NOT_PLAIN);
    }
}

impl From<Identity> for IdentityDraft {
    fn from(identity: Identity) -> Self {
        Self {
            issuer: identity.issuer.into(),
            subject: identity.subject.into(),
            claims: identity.claims,
        }
    }
}

impl From<Pattern> for PatternDraft {
    fn from(pattern: Pattern) -> Self {
        let text = pattern.text().to_owned();
        if pattern.is_exact() {
            Self::Exact(text)
        } else {
            Self::RegExp(text)
        }
    }
}

#[cfg(test)]
#[path = "keyless_tests.rs"]
mod tests;
