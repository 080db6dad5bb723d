//! What a runtime cannot express, asked once for each policy and version of a runtime.

use std::collections::BTreeMap;

use policy::aggregate::Finding;
use policy::bundle::{Bundle, Settings};
use policy::containerd;
use policy::crio::document::{PolicyJson, Rule, Rules, StrictMap};
use policy::crio::render::{CrioFacts, render};
use policy::digest::Digest;
use policy::files::Diagnostic;
use policy::flatten::NodeFacts;
use policy::model::Policy;
use policy::version::Version;

use super::objects::Runtime;

/// Answers that were given before.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    known: BTreeMap<Runtime, BTreeMap<Digest, Option<Finding>>>,
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

    /// Why the runtime cannot express the policy, if so.
    pub(crate) fn finding(&self, runtime: &Runtime, digest: &Digest) -> Option<&Finding> {
        self.known.get(runtime)?.get(digest)?.as_ref()
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

fn ask(runtime: &Runtime, policy: &Policy) -> Option<Finding> {
    let bundle = Bundle::new(Settings::default(), [policy.clone()]);
    let version: Option<Version> = runtime.version.parse().ok();
    let diagnostics = match (runtime.name.as_str(), version) {
        ("containerd", version) => containerd::diagnostics(&bundle, version),
        ("cri-o", Some(version)) => crio_diagnostics(&bundle, version),
        // What is known of no version is left to the node's own report.
        ("cri-o", None) => Vec::new(),
        (other, _) => {
            let message = format!(
                "`{other}` is no runtime that nodeseal knows: use containerd or CRI-O on such nodes"
            );
            return Some(Finding::new("NotEnforcing", message));
        }
    };
    let first = diagnostics.into_iter().next()?;
    Some(Finding::from((first.reason, first.message)))
}

/// What any CRI-O of that version leaves out, whatever else is on the node.
fn crio_diagnostics(bundle: &Bundle, version: Version) -> Vec<Diagnostic> {
    let facts = CrioFacts {
        version,
        policy_path: "etc/crio/policy.json".to_owned(),
        namespace_dir: "etc/crio/policies".to_owned(),
        base: PolicyJson {
            default: Rules::one(Rule::InsecureAcceptAnything {}),
            transports: StrictMap::default(),
        },
        taken_locations: std::collections::BTreeSet::new(),
    };
    render(bundle, &NodeFacts::default(), &facts).diagnostics
}
