//! One image looked at in full, for people who want to know what a node would say and why.
//!
//! The verdict is that of [`crate::run::verify`], by the same search and the same judge. A node
//! stops when it knows enough; here the search goes on for a moment, so that every authority can be
//! told apart.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use policy::authority::{Authority, TrustRoots};
use policy::flatten::{Decision, Outcome};
use policy::model::{PolicyId, Requirement, RequirementDraft};
use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use tokio::time::{Instant, timeout_at};

use crate::candidate::{Candidate, Finding, Found};
use crate::environment::Environment;
use crate::evaluate::{Judge, ManifestVerdict, PolicyVerdict, Verdict, evaluate};
use crate::reason::{Reason, Refusal};
use crate::registry::{Registries, RegistryError, Resolved};
use crate::run::{IndexSignature, Lookup, Options, Subject};
use crate::search::Search;

/// How long the search goes on once the image is known to pass.
const GRACE: Duration = Duration::from_secs(2);

/// What was found about an image, and what follows.
#[derive(Debug)]
pub struct Inspection {
    /// What a node would decide.
    pub verdict: Verdict,
    /// Each policy with its authorities: first those that enforce, then those that only report.
    pub policies: Vec<PolicyInspection>,
    /// Candidates and findings about the digest that was asked about, as they came.
    pub found: Vec<Found>,
    /// The manifests of an index that took part in the verdict or in its explanation.
    pub manifests: Vec<ManifestVerdict>,
}

/// What one policy makes of the image.
#[derive(Debug)]
pub struct PolicyInspection {
    /// The policy as a whole.
    pub verdict: PolicyVerdict,
    /// Each of its authorities, by name.
    pub authorities: Vec<AuthorityInspection>,
}

/// What was found of one authority.
#[derive(Debug)]
pub struct AuthorityInspection {
    /// Its name.
    pub name: String,
    /// Where its signatures are that count for the policy.
    pub signatures: Vec<String>,
    /// Why none of them counts; nothing if one does.
    pub refusal: Option<Refusal>,
}

/// What the tag of `image` leads to, as containerd finds out before it asks a verifier: by the first
/// host that has it. [`RegistryError::NotFound`] means that every host says so.
pub async fn resolve(
    image: &Reference,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    deadline: Instant,
) -> Result<Resolved, RegistryError> {
    let registries = Registries::new(image, access, environment, limits)?;
    let tag = image.tag().unwrap_or_default();
    let mut failure = RegistryError::NotFound;
    for registry in registries.as_slice() {
        match timeout_at(deadline, registry.resolve(tag)).await {
            Ok(Ok(resolved)) => return Ok(resolved),
            Ok(Err(RegistryError::NotFound)) => {}
            Ok(Err(error)) => failure = error,
            Err(_) => {
                let cause = format!("{} gave no answer in time", registry.authority());
                return Err(RegistryError::Transient { cause });
            }
        }
    }
    Err(failure)
}

/// Looks at `subject` as `options` say until nothing is left or time is up, at the latest at
/// `deadline`.
pub async fn inspect(
    subject: &Subject,
    decision: &Decision<'_>,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    deadline: Instant,
    options: &Options,
) -> Inspection {
    let Subject { image, digest } = subject;
    let now = Timestamp::now();
    let mut judge = Judge::new(decision, image, digest, now);
    let (found, verdict, manifests) = match Registries::new(image, access, environment, limits) {
        Ok(registries) => {
            let found = search(subject, &mut judge, &registries, limits, deadline).await;
            let lookup = Lookup {
                registries: &registries,
                image,
                digest,
                decision,
                limits,
                now,
                deadline,
            };
            let (verdict, manifests) = Box::pin(lookup.verdict(judge, options)).await;
            (found, verdict, manifests)
        }
        Err(error) => {
            let finding = Found::Finding(Finding::new(error.reason(), error.to_string()));
            judge.add(finding.clone());
            (vec![finding], judge.verdict(), Vec::new())
        }
    };
    let enforced = match &decision.outcome {
        Outcome::Verify(policies) => policies.as_slice(),
        Outcome::Exempt | Outcome::Refused | Outcome::Default(_) => &[],
    };
    let policies = enforced.iter().chain(&decision.audit);
    let verdicts = verdict.enforced.iter().chain(&verdict.audited);
    let policies = policies.zip(verdicts).map(|(&(id, requirement), verdict)| {
        let alone = requirement.authorities().iter();
        PolicyInspection {
            verdict: verdict.clone(),
            authorities: alone
                .map(|authority| one(subject, id, requirement, authority, &found, now))
                .map(|authority| with_manifests(authority, verdict, options, &manifests))
                .collect(),
        }
    });
    Inspection {
        policies: policies.collect(),
        verdict,
        found,
        manifests,
    }
}

async fn search(
    subject: &Subject,
    judge: &mut Judge<'_>,
    registries: &Registries<'_>,
    limits: &Limits,
    mut deadline: Instant,
) -> Vec<Found> {
    let Subject { image, digest } = subject;
    let mut all = Vec::new();
    let mut search = Search::new(registries, digest, limits);
    let mut passes = false;
    loop {
        let found = match timeout_at(deadline, search.next()).await {
            Ok(Some(found)) => found,
            Ok(None) => return all,
            // Nobody waits for the rest of what passes already.
            Err(_) if passes => return all,
            Err(_) => {
                let host = image.host();
                let message = format!("time was up before the registry {host} had answered all");
                let finding = Found::Finding(Finding::new(Reason::TimedOut, message));
                judge.add(finding.clone());
                all.push(finding);
                return all;
            }
        };
        judge.add(found.clone());
        all.push(found);
        if !passes && judge.is_settled() {
            passes = true;
            deadline = deadline.min(Instant::now() + GRACE);
        }
    }
}

/// What one authority would say if it were the only one.
fn one(
    subject: &Subject,
    id: &PolicyId,
    requirement: &Requirement,
    authority: &Authority,
    found: &[Found],
    now: Timestamp,
) -> AuthorityInspection {
    let name = authority.name().to_owned();
    let requirement = match alone(requirement, authority) {
        Ok(requirement) => requirement,
        Err(refusal) => {
            return AuthorityInspection {
                name,
                signatures: Vec::new(),
                refusal: Some(refusal),
            };
        }
    };
    let decision = Decision {
        scope: None,
        outcome: Outcome::Verify(vec![(id, &requirement)]),
        audit: Vec::new(),
    };
    let Subject { image, digest } = subject;
    let refusal = |found: &[Found]| evaluate(&decision, found, image, digest, now).refusal;
    let counts = |candidate: &&Candidate| {
        let alone = Found::Candidate((*candidate).clone());
        refusal(&[alone]).is_none()
    };
    let signatures = candidates(found)
        .filter(counts)
        .map(|candidate| candidate.origin.clone())
        .collect();
    AuthorityInspection {
        name,
        signatures,
        refusal: refusal(found),
    }
}

/// What was found of an authority, where manifests counted as well or alone.
fn with_manifests(
    mut authority: AuthorityInspection,
    policy: &PolicyVerdict,
    options: &Options,
    manifests: &[ManifestVerdict],
) -> AuthorityInspection {
    if manifests.is_empty() || options.index_signature == IndexSignature::Itself {
        return authority;
    }
    let counts = policy.signed_by.contains(&authority.name);
    if counts && authority.refusal.is_some() {
        let origins = manifests.iter();
        let origins = origins.map(|manifest| format!("manifest {}", manifest.digest));
        authority.signatures = origins.collect();
        authority.refusal = None;
    } else if !counts && options.index_signature == IndexSignature::PlatformAlone {
        let message = "not all manifests of the platform are signed, and the index does not count";
        authority.signatures = Vec::new();
        authority.refusal = Some(Refusal::new(Reason::NoSignature, message));
    }
    authority
}

/// The candidates among what was found.
pub fn candidates(found: &[Found]) -> impl Iterator<Item = &Candidate> {
    found.iter().filter_map(|found| match found {
        Found::Candidate(candidate) => Some(candidate),
        Found::Finding(_) => None,
    })
}

/// What is demanded, of one authority alone.
fn alone(requirement: &Requirement, authority: &Authority) -> Result<Requirement, Refusal> {
    let mut draft = RequirementDraft::from(requirement.clone());
    draft.threshold = 1;
    draft
        .authorities
        .retain(|draft| draft.name == authority.name());
    let roots: TrustRoots = requirement
        .trust_roots()
        .map(|root| (root.reference().digest.clone(), Arc::clone(root.root())))
        .collect();
    // A part of what is valid is valid.
    Requirement::new(draft, &roots)
        .map_err(|problems| Refusal::new(Reason::Internal, problems.to_string()))
}
