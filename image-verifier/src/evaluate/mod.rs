//! The decision: candidates and findings against the policies that cover an image. Pure.
//!
//! ```text
//! for each candidate, in this order, so that nothing unauthenticated is trusted:
//!   1. is it by an authority, with all that is demanded of one?     (sigstore)
//!   2. is what was signed an image signature?                       (payload)
//!   3. is it about this digest?
//!   4. does it carry the name that the policy demands?              (signedIdentity)
//! ```
//!
//! A policy passes when at least `threshold` authorities have a signer of their own whose candidate
//! passes all four; an image passes when every enforcing policy does. Candidates may be given one at
//! a time, so that a lookup can stop as soon as everything is settled.
//!
//! What is demanded of an authority:
//!
//! | authority | signature by | log entry | time |
//! |---|---|---|---|
//! | key | one of the keys | not looked at | – |
//! | key with `transparencyLog` | one of the keys | in a log of the trust root; all must hold | – |
//! | keyless | a certificate of the trust root, with SCT where that has CT logs | as above | the certificate was valid at every proven time |
//! | certificate | a certificate of the roots | not looked at | valid now |
//! | certificate with `transparencyLog` | a certificate of the roots | as above | valid at every proven time |
//!
//! Where no log entry is demanded, one that came along is not looked at, valid or not, as neither
//! cosign (`--insecure-ignore-tlog`) nor CRI-O's library does: there is nothing to check it with.

mod examined;
mod explain;
mod failure;
pub(crate) mod manifests;
mod material;
mod signatures;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_authorities;
#[cfg(test)]
mod tests_signers;

use std::collections::BTreeSet;

use jiff::Timestamp;
use policy::authority::{Authority, TrustedRoot};
use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::model::{PolicyId, Requirement};
use policy::reference::Reference;

use self::examined::Examined;
pub use self::manifests::ManifestVerdict;
use self::material::Material;
use self::signatures::{Ends, Signatures};
use crate::candidate::{Candidate, Finding, Found};
use crate::reason::{Refusal, bounded};

/// The most bytes of a list of authorities in a message.
const MAX_LIST: usize = 200;

/// Weighs candidates and findings for one image.
#[derive(Debug)]
pub struct Judge<'a> {
    image: &'a Reference,
    digest: &'a Digest,
    now: Timestamp,
    material: Material<'a>,
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
    /// Until when a verdict that lets the image pass holds, in Unix seconds: the earliest end of
    /// anything that it rests on. None where it rests on nothing that ends.
    pub valid_until: Option<i64>,
    /// The trust roots that the enforcing policies name. A verdict holds no longer than they stay
    /// as they are.
    pub trust_roots: BTreeSet<Digest>,
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
    /// As [`Verdict::valid_until`], of those who signed.
    pub valid_until: Option<i64>,
}

#[derive(Debug)]
struct PolicyState<'a> {
    id: &'a PolicyId,
    requirement: &'a Requirement,
    signatures: Signatures,
    /// The authorities that count as signers, by index, and until when.
    signed: Ends,
    /// The failure that explains the most so far.
    failure: Option<Finding>,
}

/// Decides about an image from everything that was found, at the time `now`.
#[must_use]
pub fn evaluate(
    decision: &Decision<'_>,
    found: &[Found],
    image: &Reference,
    digest: &Digest,
    now: Timestamp,
) -> Verdict {
    let mut judge = Judge::new(decision, image, digest, now);
    for item in found {
        judge.add(item.clone());
    }
    judge.verdict()
}

impl<'a> Judge<'a> {
    /// Begins with nothing found. `now` is when certificates without proof of time must be valid.
    #[must_use]
    pub fn new(
        decision: &Decision<'a>,
        image: &'a Reference,
        digest: &'a Digest,
        now: Timestamp,
    ) -> Self {
        let states = |policies: &[(&'a PolicyId, &'a Requirement)]| -> Vec<PolicyState<'a>> {
            policies
                .iter()
                .map(|&(id, requirement)| PolicyState::new(id, requirement))
                .collect()
        };
        let enforced = match &decision.outcome {
            Outcome::Verify(policies) => states(policies),
            Outcome::Exempt | Outcome::Refused | Outcome::Default(_) => Vec::new(),
        };
        let audited = states(&decision.audit);
        let all = enforced.iter().chain(&audited);
        Self {
            image,
            digest,
            now,
            material: Material::of(all.map(|state| state.requirement)),
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
        let mut examined = Examined::new(candidate, self.digest, self.now, &self.material);
        for state in self.enforced.iter_mut().chain(&mut self.audited) {
            state.consider(&mut examined, self.image);
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
        let refusal = overall(&enforced);
        let valid_until = enforced.iter().filter_map(|policy| policy.valid_until);
        let valid_until = valid_until.min();
        let states = self.enforced.iter();
        let roots = states.flat_map(|state| state.requirement.trust_roots());
        Verdict {
            valid_until: valid_until.filter(|_| refusal.is_none()),
            refusal,
            trust_roots: roots.map(digest).collect(),
            enforced,
            audited: all(&self.audited),
        }
    }
}

/// The first of the refusals that explain the most, with how many more there are.
fn overall(enforced: &[PolicyVerdict]) -> Option<Refusal> {
    let failures = enforced.iter().filter_map(|policy| policy.refusal.as_ref());
    let failures: Vec<&Refusal> = failures.collect();
    let worst = failures.iter().rev();
    let mut refusal = (*worst.max_by_key(|refusal| refusal.reason.weight())?).clone();
    if let more @ 1.. = failures.len() - 1 {
        refusal.message = format!("{} (and {more} more policies fail)", refusal.message);
    }
    Some(refusal)
}

impl<'a> PolicyState<'a> {
    fn new(id: &'a PolicyId, requirement: &'a Requirement) -> Self {
        Self {
            id,
            requirement,
            signatures: Signatures::default(),
            signed: Ends::new(),
            failure: None,
        }
    }

    fn passes(&self) -> bool {
        // A threshold of zero cannot be written down, and would still not pass everything.
        self.signed.len() >= self.requirement.threshold().max(1)
    }

    fn consider(&mut self, examined: &mut Examined<'a, '_>, image: &Reference) {
        if self.passes() {
            return;
        }
        let requirement = self.requirement;
        let mut failures = Vec::new();
        let mut by_any = false;
        for (index, authority) in requirement.authorities().iter().enumerate() {
            let proof = match examined.is_by(authority) {
                Ok(proof) => proof,
                Err(finding) => {
                    failures.push(finding);
                    continue;
                }
            };
            by_any = true;
            match examined.check(requirement, image) {
                Ok(()) => self.signatures.add(index, proof),
                Err(Finding { reason, message }) => {
                    let origin = &examined.candidate.origin;
                    let name = authority.name();
                    let message = format!("{origin}, by authority `{name}`: {message}");
                    self.note(Finding { reason, message });
                }
            }
        }
        if by_any {
            self.signed = self.signatures.counted();
        } else {
            // That it is by another authority explains why it is by none of the rest.
            for finding in failures {
                self.note(finding);
            }
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
        let name = |authority: &Authority| authority.name().to_owned();
        let signed = |&index: &usize| authorities.get(index).map(name);
        let passes = self.passes();
        let valid_until = self.signed.values().copied().flatten().min();
        let refusal = (!passes).then(|| explain::refusal(self, candidates, findings));
        PolicyVerdict {
            policy: self.id.clone(),
            valid_until: passes.then_some(valid_until).flatten(),
            signed_by: self.signed.keys().filter_map(signed).collect(),
            refusal,
        }
    }
}

fn digest(root: &TrustedRoot) -> Digest {
    root.reference().digest.clone()
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
