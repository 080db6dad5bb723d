//! What `verify` found out, for scripts; people get the same in words.

use crds::Problem;
use image_verifier::candidate::Found;
use image_verifier::evaluate::{ManifestVerdict, signers};
use image_verifier::inspect::{AuthorityInspection, Inspection, PolicyInspection, candidates};
use image_verifier::reason::{Reason, Refusal};
use image_verifier::run::Subject;
use jiff::Timestamp;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::explain::{Coverage, Explanation, Outcome};
use policy::model::PolicyId;
use serde::Serialize;

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Word {
    /// A node would pull it.
    Allowed,
    /// A node would refuse it.
    Denied,
    /// The registry did not say enough.
    Unknown,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report<'a> {
    pub(super) image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<&'a str>,
    pub(super) verdict: Word,
    /// The code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    pub(super) message: String,
    /// Until when the verdict holds if nothing changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) valid_until: Option<Timestamp>,
    pub(super) policies: Vec<PolicyReport>,
    /// The manifests of an index that took part in the verdict, or in its explanation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) manifests: Vec<ManifestReport>,
    pub(super) signatures: Vec<SignatureReport>,
    pub(super) findings: Vec<ReasonReport>,
    pub(super) notes: Vec<String>,
    problems: &'a [Problem],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyReport {
    pub(super) policy: PolicyId,
    /// Whether it only reports.
    pub(super) audit: bool,
    pub(super) passes: bool,
    pub(super) signed_by: Vec<String>,
    #[serde(flatten)]
    pub(super) refusal: Option<ReasonReport>,
    pub(super) authorities: Vec<AuthorityReport>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthorityReport {
    pub(super) authority: String,
    pub(super) signed: bool,
    /// Where the signatures are that count.
    pub(super) signatures: Vec<String>,
    #[serde(flatten)]
    pub(super) refusal: Option<ReasonReport>,
}

/// One manifest of an index.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ManifestReport {
    pub(super) digest: Digest,
    /// What the index says that it is for.
    pub(super) platform: String,
    /// Whether it would pass by itself.
    pub(super) passes: bool,
    #[serde(flatten)]
    pub(super) refusal: Option<ReasonReport>,
}

/// A candidate, with what it says of itself: nothing of that is proven.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignatureReport {
    pub(super) origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claims_to_be_by: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReasonReport {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What the engine says to whoever waits for a pull.
const ON_A_NODE: &str = "The pull will be tried again";
/// The same to who asks by hand: nobody tries again here.
const ON_A_DESK: &str = "Ask again: a node would try the pull again, too";

fn on_a_desk(message: &str) -> String {
    message.replace(ON_A_NODE, ON_A_DESK)
}

impl<'a> Report<'a> {
    /// Of an image that needs no signature, or that none would help.
    pub(super) fn of_policies(explanation: &'a Explanation) -> Self {
        let (verdict, reason) = without_signatures(explanation);
        Self {
            image: &explanation.image,
            digest: None,
            namespace: explanation.namespace.as_deref(),
            verdict,
            reason,
            message: explanation.verdict.summary.clone(),
            valid_until: None,
            policies: Vec::new(),
            manifests: Vec::new(),
            signatures: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            problems: &[],
        }
    }

    /// Of an image whose signatures were looked at.
    pub(super) fn of_signatures(
        explanation: &'a Explanation,
        subject: &Subject,
        inspection: &Inspection,
    ) -> Self {
        let verdict = &inspection.verdict;
        let enforced = verdict.enforced.len();
        let policies = inspection.policies.iter().enumerate();
        let findings = inspection.found.iter().filter_map(|found| match found {
            Found::Candidate(_) => None,
            Found::Finding(finding) => Some(ReasonReport {
                reason: finding.reason.as_str(),
                message: finding.message.clone(),
            }),
        });
        let mut report = Self {
            digest: Some(subject.digest.clone()),
            policies: policies
                .map(|(index, policy)| PolicyReport::of(policy, index >= enforced))
                .collect(),
            manifests: inspection
                .manifests
                .iter()
                .map(ManifestReport::of)
                .collect(),
            signatures: candidates(&inspection.found)
                .map(|candidate| SignatureReport {
                    origin: candidate.origin.clone(),
                    claims_to_be_by: candidate.signed.claimed().map(|who| who.to_string()),
                })
                .collect(),
            findings: findings.collect(),
            notes: notes(explanation),
            ..Self::of_policies(explanation)
        };
        if enforced == 0 {
            return report;
        }
        report.reason = None;
        report.valid_until = verdict
            .valid_until
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        (report.verdict, report.message) = match &verdict.refusal {
            None => (Word::Allowed, format!("signed by {}", signers(verdict))),
            Some(Refusal {
                reason, message, ..
            }) => {
                report.reason = Some(reason.as_str());
                let word = if is_verdict(*reason) {
                    Word::Denied
                } else {
                    Word::Unknown
                };
                (word, on_a_desk(message))
            }
        };
        report
    }

    /// With what is to be said about the policies.
    pub(super) fn with_problems(mut self, problems: &'a [Problem]) -> Self {
        self.problems = problems;
        self
    }
}

/// A registry that cannot be reached from here says nothing about what a node would find there.
fn is_verdict(reason: Reason) -> bool {
    !(reason.is_transient() || matches!(reason, Reason::RegistryDenied | Reason::Internal))
}

fn without_signatures(explanation: &Explanation) -> (Word, Option<&'static str>) {
    match &explanation.verdict.outcome {
        Outcome::Exempt { .. }
        | Outcome::Default {
            action: DefaultAction::Allow,
        } => (Word::Allowed, None),
        _ => (Word::Denied, Some(Reason::NotAllowed.as_str())),
    }
}

/// Where a node's answer may be another one.
fn notes(explanation: &Explanation) -> Vec<String> {
    let takes_part = |coverage| matches!(coverage, Coverage::Covers | Coverage::Audit);
    let own: Vec<String> = explanation
        .policies
        .iter()
        .filter(|relevant| takes_part(relevant.coverage) && relevant.id.namespace().is_some())
        .map(|relevant| format!("`{}`", relevant.id))
        .collect();
    if own.is_empty() {
        return Vec::new();
    }
    let own = own.join(", ");
    vec![format!(
        "containerd tells no verifier the namespace, so its nodes leave out {own}; CRI-O's look at it"
    )]
}

impl PolicyReport {
    fn of(inspected: &PolicyInspection, audit: bool) -> Self {
        let verdict = &inspected.verdict;
        Self {
            policy: verdict.policy.clone(),
            audit,
            passes: verdict.refusal.is_none(),
            signed_by: verdict.signed_by.clone(),
            refusal: verdict.refusal.as_ref().map(ReasonReport::of),
            authorities: inspected
                .authorities
                .iter()
                .map(AuthorityReport::of)
                .collect(),
        }
    }
}

impl ManifestReport {
    fn of(manifest: &ManifestVerdict) -> Self {
        let refusal = manifest.verdict.refusal.as_ref();
        Self {
            digest: manifest.digest.clone(),
            platform: manifest.platform.clone(),
            passes: refusal.is_none(),
            refusal: refusal.map(ReasonReport::of),
        }
    }
}

impl AuthorityReport {
    fn of(inspected: &AuthorityInspection) -> Self {
        Self {
            authority: inspected.name.clone(),
            signed: inspected.refusal.is_none(),
            signatures: inspected.signatures.clone(),
            refusal: inspected.refusal.as_ref().map(ReasonReport::of),
        }
    }
}

impl ReasonReport {
    fn of(refusal: &Refusal) -> Self {
        Self {
            reason: refusal.reason.as_str(),
            message: on_a_desk(&refusal.message),
        }
    }
}
