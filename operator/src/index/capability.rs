//! What a runtime makes of a policy, asked once for each policy and version of a runtime.

use std::collections::BTreeMap;

use policy::aggregate::{Finding, severity};
use policy::capability::{self, Limitation};
use policy::digest::Digest;
use policy::model::Policy;
use policy::problem::Reason;
use policy::version::Version;

use super::objects::Runtime;

/// The most limitations of one policy on one runtime that a message has.
const MOST: usize = 10;

/// What a runtime makes of a policy.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Why it cannot express it, if so: the reason of the worst limitation, and the words of all.
    pub(crate) prevents: Option<Finding>,
    /// What to know where it can.
    pub(crate) warnings: Vec<String>,
}

/// Answers that were given before.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    known: BTreeMap<Runtime, BTreeMap<Digest, Answer>>,
}

impl Capabilities {
    /// Sees to it that the answer for this policy and runtime is known.
    pub(crate) fn learn(&mut self, runtime: &Runtime, policy: &Policy, digest: &Digest) {
        let of_runtime = match self.known.get_mut(runtime) {
            Some(of_runtime) => of_runtime,
            None => self.known.entry(runtime.clone()).or_default(),
        };
        if !of_runtime.contains_key(digest) {
            of_runtime.insert(digest.clone(), ask(runtime, policy));
        }
    }

    /// What the runtime makes of the policy, if it was asked.
    pub(crate) fn answer(&self, runtime: &Runtime, digest: &Digest) -> Option<&Answer> {
        self.known.get(runtime)?.get(digest)
    }

    /// Forgets answers about policies and runtimes that are no more.
    pub(crate) fn retain(
        &mut self,
        runtimes: impl Fn(&Runtime) -> bool,
        digests: impl Fn(&Digest) -> bool,
    ) {
        self.known.retain(|runtime, _| runtimes(runtime));
        for of_runtime in self.known.values_mut() {
            of_runtime.retain(|digest, _| digests(digest));
        }
    }
}

/// Whether the runtime's version is known, so that an answer without a finding says that it can
/// express the policy. One that nodeseal does not know cannot, whatever its version.
pub(crate) fn is_known(runtime: &Runtime) -> bool {
    let names_a_version = runtime.version.parse::<Version>().is_ok();
    names_a_version || !matches!(runtime.name.as_str(), "containerd" | "cri-o")
}

fn ask(runtime: &Runtime, policy: &Policy) -> Answer {
    let version: Option<Version> = runtime.version.parse().ok();
    let asked = match (runtime.name.as_str(), version) {
        ("containerd", version) => capability::Runtime::Containerd(version),
        ("cri-o", Some(version)) => capability::Runtime::Crio(version),
        // What is known of no version is left to the node's own report, see `is_known`.
        ("cri-o", None) => return Answer::default(),
        (other, _) => {
            let message = format!(
                "`{other}` is no runtime that nodeseal knows: use containerd or CRI-O on such nodes"
            );
            return Answer {
                prevents: Some(Finding::from((Reason::NotEnforcing, message))),
                warnings: Vec::new(),
            };
        }
    };
    let capability = capability::of(policy, asked);
    Answer {
        prevents: finding(capability.prevents),
        warnings: capability
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

/// All limitations as one finding, the worst first.
fn finding(mut limitations: Vec<Limitation>) -> Option<Finding> {
    limitations.sort_by_key(|limitation| severity(limitation.reason.as_str()));
    let reason = limitations.first()?.reason;
    let mut words: Vec<String> = limitations
        .iter()
        .take(MOST)
        .map(ToString::to_string)
        .collect();
    if limitations.len() > MOST {
        words.push(format!("and {} more", limitations.len() - MOST));
    }
    Some(Finding::from((reason, words.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limitation(authority: Option<&str>, field: &str, reason: Reason) -> Limitation {
        Limitation {
            authority: authority.map(str::to_owned),
            field: field.to_owned(),
            reason,
            message: format!("about {reason}"),
        }
    }

    #[test]
    fn the_worst_limitation_gives_the_reason_and_all_are_named_with_authority_and_field() {
        let limitations = vec![
            limitation(None, "mode", Reason::AuditUnsupported),
            limitation(Some("ci"), "keyless.identities", Reason::NotExpressible),
        ];
        let finding = finding(limitations).unwrap();
        assert_eq!(finding.reason, "NotExpressible");
        assert_eq!(
            finding.message,
            "authority `ci`, keyless.identities: about NotExpressible; mode: about AuditUnsupported"
        );
    }

    #[test]
    fn of_very_many_limitations_the_first_are_named() {
        let one = limitation(Some("a"), "certificate", Reason::NotExpressible);
        let finding = finding(vec![one; 13]).unwrap();
        assert!(
            finding.message.ends_with("; and 3 more"),
            "{}",
            finding.message
        );
    }
}
