//! Policies that passed every check.
//!
//! A [`Policy`] is made from a [`PolicyDraft`] (plain texts, references already resolved) by
//! [`Policy::new`], which reports everything that is wrong at once; afterwards an invalid policy cannot
//! be written down. Whoever reads one from a file reads the draft, and checks it again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::authority::{self, Authority, AuthorityDraft, TrustRoots, TrustedRoot};
use crate::digest::Digest;
use crate::distinct;
pub use crate::id::PolicyId;
use crate::identity::SignedIdentity;
use crate::problem::{Problems, Reason, Report};
use crate::scope::Scope;
use crate::text::{MAX_LABEL, is_label};

/// The most scopes, and the most excludes, of one policy.
pub const MAX_SCOPES: usize = 256;
/// The most authorities of one policy.
pub const MAX_AUTHORITIES: usize = 16;

/// Whether a policy denies, or only reports what it would have denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Images that fail are refused.
    Enforce,
    /// Nothing is refused.
    Audit,
}

/// What a node does about a policy that its runtime cannot express.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum OnUnsupported {
    /// It leaves the policy out, and says so.
    #[default]
    Ignore,
    /// It refuses whatever the policy covers.
    Reject,
}

/// A policy as written, with references resolved and before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyDraft {
    /// Which object it is.
    pub id: PolicyId,
    /// What it covers.
    pub scopes: Vec<String>,
    /// What it leaves out of that.
    pub exclude: Vec<String>,
    /// For nodes whose runtime cannot express it.
    pub on_unsupported: OnUnsupported,
    /// What it demands.
    pub requirement: RequirementDraft,
}

/// What a policy demands of the images that it covers, before any check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequirementDraft {
    /// Enforce or audit.
    pub mode: Mode,
    /// How many authorities must have signed.
    pub threshold: u32,
    /// Who may sign.
    pub authorities: Vec<AuthorityDraft>,
    /// Which name a signature must carry.
    pub signed_identity: SignedIdentity,
}

/// A valid policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "PolicyDraft")]
pub struct Policy {
    id: PolicyId,
    scopes: BTreeSet<Scope>,
    exclude: BTreeSet<Scope>,
    on_unsupported: OnUnsupported,
    requirement: Requirement,
}

impl Policy {
    /// Which object it is.
    #[must_use]
    pub fn id(&self) -> &PolicyId {
        &self.id
    }

    /// What it covers; 1 to 256 scopes.
    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<Scope> {
        &self.scopes
    }

    /// What it leaves out; each lies inside one of the scopes and has neither tag nor digest.
    #[must_use]
    pub fn exclude(&self) -> &BTreeSet<Scope> {
        &self.exclude
    }

    /// What a node does whose runtime cannot express it. Never `Reject` for a namespaced policy: a
    /// tenant must not close a node for others.
    #[must_use]
    pub fn on_unsupported(&self) -> OnUnsupported {
        self.on_unsupported
    }

    /// The digest of the policy's canonical JSON, which holds the digests of its trust roots: what
    /// `status.digest` shows, and what tells whether a node runs this very policy.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&crate::verifier::json(self))
    }

    /// What it demands.
    #[must_use]
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// The trust roots that its authorities need.
    pub fn trust_roots(&self) -> impl Iterator<Item = &TrustedRoot> {
        self.requirement.trust_roots()
    }
}

/// What a valid policy demands: at least `threshold` of its authorities must have signed. Where
/// the threshold is above 1 no two authorities share a key or an identity, so each counts a signer
/// of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "RequirementDraft")]
pub struct Requirement {
    mode: Mode,
    threshold: u32,
    authorities: Vec<Authority>,
    signed_identity: SignedIdentity,
}

impl Requirement {
    /// Enforce or audit.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// How many authorities must have signed: 1 to the number of authorities.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold as usize
    }

    /// Who may sign: 1 to 16, sorted by name.
    #[must_use]
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// The trust roots that its authorities need.
    pub fn trust_roots(&self) -> impl Iterator<Item = &TrustedRoot> {
        self.authorities.iter().filter_map(Authority::trust_root)
    }

    /// Which name a signature must carry.
    #[must_use]
    pub fn signed_identity(&self) -> &SignedIdentity {
        &self.signed_identity
    }
}

impl TryFrom<PolicyDraft> for Policy {
    type Error = Problems;

    /// For a draft that refers to no trust root.
    fn try_from(draft: PolicyDraft) -> Result<Self, Problems> {
        Self::new(draft, &TrustRoots::new())
    }
}

impl Policy {
    /// Checks a draft, whose references lead to some of these trust roots.
    pub fn new(draft: PolicyDraft, roots: &TrustRoots) -> Result<Self, Problems> {
        let mut report = Report::default();
        if draft.id.namespace().is_some() && draft.on_unsupported == OnUnsupported::Reject {
            let message = "only a ClusterImageSignaturePolicy may reject where it is not supported";
            report.add("onUnsupported", Reason::NotPermitted, message);
        }
        let scopes = parse_scopes(&mut report, "scopes", &draft.scopes, 1);
        let exclude = parse_scopes(&mut report, "exclude", &draft.exclude, 0);
        for (index, text) in draft.exclude.iter().enumerate() {
            let Ok(scope) = Scope::parse(text) else {
                continue;
            };
            // A scope that did not parse is reported already; what lies in it is not known.
            let known = (scopes.len() == draft.scopes.len()).then_some(&scopes);
            check_exclude(&mut report, &format!("exclude[{index}]"), &scope, known);
        }
        match Requirement::new(draft.requirement, roots) {
            Ok(requirement) => report.finish(Self {
                on_unsupported: draft.on_unsupported,
                id: draft.id,
                scopes,
                exclude,
                requirement,
            }),
            Err(Problems(problems)) => {
                report.0.extend(problems);
                Err(Problems(report.0))
            }
        }
    }
}

fn parse_scopes(
    report: &mut Report,
    field: &str,
    texts: &[String],
    least: usize,
) -> BTreeSet<Scope> {
    if !(least..=MAX_SCOPES).contains(&texts.len()) {
        let count = texts.len();
        let message = format!("{count} entries: {least} to {MAX_SCOPES} are allowed");
        report.add(field, Reason::InvalidScope, message);
        return BTreeSet::new();
    }
    let mut scopes = BTreeSet::new();
    for (index, text) in texts.iter().enumerate() {
        let field = || format!("{field}[{index}]");
        match Scope::parse(text) {
            Ok(scope) if scopes.contains(&scope) => {
                let message = format!("`{text}` stands here twice: remove one");
                report.add(field(), Reason::InvalidScope, message);
            }
            Ok(scope) => {
                scopes.insert(scope);
            }
            Err(error) => report.add(field(), Reason::InvalidScope, error),
        }
    }
    scopes
}

fn check_exclude(
    report: &mut Report,
    field: &str,
    exclude: &Scope,
    scopes: Option<&BTreeSet<Scope>>,
) {
    if exclude.version().is_some() {
        let message = format!("`{exclude}` has a tag or digest: exclude whole repositories");
        report.add(field, Reason::InvalidScope, message);
    }
    if scopes.is_some_and(|scopes| !scopes.iter().any(|scope| exclude.is_within(scope))) {
        let message = format!(
            "`{exclude}` lies in none of the policy's scopes and would do nothing: remove it, or add the scope that it is an exception to"
        );
        report.add(field, Reason::InvalidScope, message);
    }
}

impl TryFrom<RequirementDraft> for Requirement {
    type Error = Problems;

    /// For a draft that refers to no trust root.
    fn try_from(draft: RequirementDraft) -> Result<Self, Problems> {
        Self::new(draft, &TrustRoots::new())
    }
}

impl Requirement {
    /// Checks a draft, whose references lead to some of these trust roots.
    pub fn new(draft: RequirementDraft, roots: &TrustRoots) -> Result<Self, Problems> {
        let mut report = Report::default();
        let count = draft.authorities.len();
        if !(1..=MAX_AUTHORITIES).contains(&count) {
            let message = format!("{count} authorities: 1 to {MAX_AUTHORITIES} are allowed");
            report.add("authorities", Reason::Invalid, message);
        } else if !(1..=count).contains(&(draft.threshold as usize)) {
            let message = format!(
                "{} is not between 1 and the number of authorities, which is {count}",
                draft.threshold
            );
            report.add("threshold", Reason::Invalid, message);
        }
        let mut authorities = parse_authorities(&mut report, &draft.authorities, roots);
        if draft.threshold > 1 {
            distinct::check(&mut report, &authorities);
        }
        check_identity(&mut report, &draft.signed_identity);
        authorities.sort_by(|a, b| a.1.name().cmp(b.1.name()));
        report.finish(Self {
            mode: draft.mode,
            threshold: draft.threshold,
            authorities: authorities
                .into_iter()
                .map(|(_, authority)| authority)
                .collect(),
            signed_identity: draft.signed_identity,
        })
    }
}

/// The valid authorities, each with its place in the draft.
fn parse_authorities(
    report: &mut Report,
    drafts: &[AuthorityDraft],
    roots: &TrustRoots,
) -> Vec<(usize, Authority)> {
    let mut names = BTreeSet::new();
    let mut authorities = Vec::new();
    for (index, draft) in drafts.iter().enumerate() {
        let field = format!("authorities[{index}]");
        let name = &draft.name;
        if !is_label(name) {
            let message = format!(
                "an authority's name has 1 to {MAX_LABEL} lower-case letters, digits and inner dashes"
            );
            report.add(format!("{field}.name"), Reason::Invalid, message);
        } else if !names.insert(name) {
            let message = format!("`{name}` names two authorities: each needs a name of its own");
            report.add(format!("{field}.name"), Reason::Invalid, message);
        }
        let authority = authority::parse(report, &field, draft, roots);
        authorities.extend(authority.map(|authority| (index, authority)));
    }
    authorities
}

fn check_identity(report: &mut Report, identity: &SignedIdentity) {
    let mut check = |field: &str, text: &str, repository_only: bool| match Scope::parse(text) {
        Ok(scope) if scope.is_repository() => {}
        Ok(scope) if !repository_only && scope.host() == Some(text) => {}
        Ok(_) => {
            let wanted = if repository_only {
                "a repository"
            } else {
                "a host or a repository"
            };
            let message =
                format!("`{text}`: {wanted} is expected, without wildcard, tag or digest");
            report.add(field, Reason::InvalidScope, message);
        }
        Err(error) => report.add(field, Reason::InvalidScope, error),
    };
    match identity {
        SignedIdentity::MatchRepository { .. } | SignedIdentity::MatchRepoDigestOrExact => {}
        SignedIdentity::ExactRepository { repository } => {
            check(
                "signedIdentity.exactRepository.repository",
                repository,
                true,
            );
        }
        SignedIdentity::RemapIdentity {
            prefix,
            signed_prefix,
        } => {
            check("signedIdentity.remapIdentity.prefix", prefix, false);
            check(
                "signedIdentity.remapIdentity.signedPrefix",
                signed_prefix,
                false,
            );
        }
    }
}

impl From<Policy> for PolicyDraft {
    fn from(policy: Policy) -> Self {
        let texts = |scopes: BTreeSet<Scope>| scopes.iter().map(Scope::to_string).collect();
        Self {
            id: policy.id,
            on_unsupported: policy.on_unsupported,
            scopes: texts(policy.scopes),
            exclude: texts(policy.exclude),
            requirement: policy.requirement.into(),
        }
    }
}

impl From<Requirement> for RequirementDraft {
    fn from(requirement: Requirement) -> Self {
        Self {
            mode: requirement.mode,
            threshold: requirement.threshold,
            authorities: requirement
                .authorities
                .into_iter()
                .map(Into::into)
                .collect(),
            signed_identity: requirement.signed_identity,
        }
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
