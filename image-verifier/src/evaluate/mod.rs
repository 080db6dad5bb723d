//! The decision: candidates and findings against the policies that cover an image. Pure.
//!
//! ```text
//! for each candidate, in this order, so that nothing unauthenticated is trusted:
//!   1. is its signature by a key of an authority, over the signed bytes?
//!   2. is what was signed an image signature?                       (payload)
//!   3. is it about this digest?
//!   4. does it carry the name that the policy demands?              (signedIdentity)
//! ```
//!
//! A policy passes when at least `threshold` authorities have a candidate that passes all four; an
//! image passes when every enforcing policy does. Candidates may be given one at a time, so that a
//! lookup can stop as soon as everything is settled.

mod examined;
mod explain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::key::PublicKey;
use policy::model::{PolicyId, Requirement};
use policy::reference::Reference;

use self::examined::Examined;
use crate::candidate::{Candidate, Finding, Found};
use crate::reason::{Refusal, bounded};

/// The most bytes of a list of authorities in a message.
const MAX_LIST: usize = 200;

/// Weighs candidates and findings for one image.
#[derive(Debug)]
pub struct Judge<'a> {
    image: &'a Reference,
    digest: &'a Digest,
    enforced: Vec<PolicyState<'a>>,
    audited: Vec<PolicyState<'a>>,
    findings: Vec<Finding>,
    candidates: usize,
}

/// What is decided, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why the image is refused; nothing if it passes.
    pub refusal: Option<Refusal>,
    /// Each policy that enforces.
    pub enforced: Vec<PolicyVerdict>,
    /// Each policy that only reports.
    pub audited: Vec<PolicyVerdict>,
}

/// What one policy makes of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVerdict {
    /// Which policy.
    pub policy: PolicyId,
    /// The authorities that have signed, by name.
    pub signed_by: Vec<String>,
    /// Why it fails; nothing if it passes.
    pub refusal: Option<Refusal>,
}

#[derive(Debug)]
struct PolicyState<'a> {
    id: &'a PolicyId,
    requirement: &'a Requirement,
    /// The key by which each authority has signed, by the authority's index.
    signed: BTreeMap<usize, &'a PublicKey>,
    /// The failure that explains the most so far.
    failure: Option<Finding>,
}

/// Decides about an image from everything that was found.
#[must_use]
pub fn evaluate(
    decision: &Decision<'_>,
    found: &[Found],
    image: &Reference,
    digest: &Digest,
) -> Verdict {
    let mut judge = Judge::new(decision, image, digest);
    for item in found {
        judge.add(item.clone());
    }
    judge.verdict()
}

impl<'a> Judge<'a> {
    /// Begins with nothing found.
    #[must_use]
    pub fn new(decision: &Decision<'a>, image: &'a Reference, digest: &'a Digest) -> Self {
        let states = |policies: &[(&'a PolicyId, &'a Requirement)]| {
            policies
                .iter()
                .map(|&(id, requirement)| PolicyState::new(id, requirement))
                .collect()
        };
        let enforced = match &decision.outcome {
            Outcome::Verify(policies) => states(policies),
            Outcome::Exempt | Outcome::Default(_) => Vec::new(),
        };
        let audited = states(&decision.audit);
        Self {
            image,
            digest,
            enforced,
            audited,
            findings: Vec::new(),
            candidates: 0,
        }
    }

    /// Takes in what was found.
    pub fn add(&mut self, found: Found) {
        match found {
            Found::Candidate(candidate) => self.consider(&candidate),
            Found::Finding(finding) => self.findings.push(finding),
        }
    }

    /// Whether nothing that may still be found can change the verdict.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.enforced
            .iter()
            .chain(&self.audited)
            .all(PolicyState::passes)
    }

    /// Whether every enforcing policy passes already.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.enforced.iter().all(PolicyState::passes)
    }

    fn consider(&mut self, candidate: &Candidate) {
        self.candidates += 1;
        let mut examined = Examined::new(candidate);
        for state in self.enforced.iter_mut().chain(&mut self.audited) {
            state.consider(&mut examined, self.image, self.digest);
        }
    }

    /// The verdict on what was found so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let all = |states: &[PolicyState<'_>]| -> Vec<PolicyVerdict> {
            states
                .iter()
                .map(|state| state.verdict(self.candidates, &self.findings))
                .collect()
        };
        let enforced = all(&self.enforced);
        let failures: Vec<&Refusal> = enforced
            .iter()
            .filter_map(|verdict| verdict.refusal.as_ref())
            .collect();
        // The first of those that explain the most.
        let worst = failures
            .iter()
            .copied()
            .rev()
            .max_by_key(|refusal| refusal.reason.weight());
        let refusal = worst.map(|refusal| {
            let mut refusal = refusal.clone();
            if failures.len() > 1 {
                refusal.message = format!(
                    "{} (and {} more policies fail)",
                    refusal.message,
                    failures.len() - 1
                );
            }
            refusal
        });
        Verdict {
            refusal,
            enforced,
            audited: all(&self.audited),
        }
    }
}

impl<'a> PolicyState<'a> {
    fn new(id: &'a PolicyId, requirement: &'a Requirement) -> Self {
        Self {
            id,
            requirement,
            signed: BTreeMap::new(),
            failure: None,
        }
    }

    fn passes(&self) -> bool {
        // A threshold of zero cannot be written down, and would still not pass everything.
        self.signed.len() >= self.requirement.threshold().max(1)
    }

    fn consider(&mut self, examined: &mut Examined<'_>, image: &Reference, digest: &Digest) {
        if self.passes() {
            return;
        }
        let mut by_any = false;
        let requirement = self.requirement;
        for (index, authority) in requirement.authorities().iter().enumerate() {
            for key in authority.keys() {
                if !examined.is_signed_by(key) {
                    continue;
                }
                by_any = true;
                match examined.check(requirement, image, digest) {
                    // A key counts for one authority only: one signer is one signer.
                    Ok(()) if self.signed.values().any(|&used| used == key) => {}
                    Ok(()) => {
                        self.signed.entry(index).or_insert(key);
                    }
                    Err(Finding { reason, message }) => {
                        let origin = &examined.candidate.origin;
                        let name = authority.name();
                        let message = format!("{origin}, by authority `{name}`: {message}");
                        self.note(Finding { reason, message });
                    }
                }
            }
        }
        if !by_any {
            self.note(examined.by_nobody());
        }
    }

    fn note(&mut self, finding: Finding) {
        let known = self
            .failure
            .as_ref()
            .map_or(0, |failure| failure.reason.weight());
        if finding.reason.weight() > known {
            self.failure = Some(finding);
        }
    }

    fn verdict(&self, candidates: usize, findings: &[Finding]) -> PolicyVerdict {
        let authorities = self.requirement.authorities();
        let signed = |&index: &usize| authorities.get(index).map(|a| a.name().to_owned());
        let refusal = (!self.passes()).then(|| explain::refusal(self, candidates, findings));
        PolicyVerdict {
            policy: self.id.clone(),
            signed_by: self.signed.keys().filter_map(signed).collect(),
            refusal,
        }
    }
}

/// The names of those who signed, for the line of an image that passes.
#[must_use]
pub fn signers(verdict: &Verdict) -> String {
    let names: BTreeSet<&str> = verdict
        .enforced
        .iter()
        .flat_map(|policy| policy.signed_by.iter().map(String::as_str))
        .collect();
    bounded(&names.into_iter().collect::<Vec<_>>().join(", "), MAX_LIST)
}
