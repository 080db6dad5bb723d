//! What follows from what was read: pure.

use std::collections::{BTreeMap, BTreeSet};

use crds::load::Loaded;
use crds::{Layer, Problem, Severity};
use policy::bundle::{Bundle, Settings};
use policy::model::{Policy, PolicyId};
use serde_json::Value;

/// An object that policies or trust roots refer to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// `ConfigMap` or `Secret`.
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The keys in it that matter.
    pub(super) keys: BTreeSet<String>,
}

impl Reference {
    /// Whether both lead to the same object.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.kind, &self.namespace, &self.name) == (other.kind, &other.namespace, &other.name)
    }
}

/// Whether this is a policy of another namespace than the one that is asked about, by what problems call
/// it: `ImageSignaturePolicy/NAMESPACE/NAME`. No such policy takes part in the answer.
pub(super) fn is_elsewhere(object: &str, namespace: Option<&str>) -> bool {
    let own = object.strip_prefix("ImageSignaturePolicy/");
    let own = own.and_then(|own| own.split_once('/'));
    own.is_some_and(|(own, _)| Some(own) != namespace)
}

/// What nodes shall run.
#[derive(Debug, Default)]
pub(super) struct Forms {
    pub(super) bundles: Vec<Bundle>,
}

/// Policies to answer by.
pub(crate) struct Given {
    /// The valid ones with their settings.
    pub(crate) bundle: Bundle,
    /// What is to be said about them.
    pub(crate) problems: Vec<Problem>,
    /// Whether some could not be read, so that nobody knows what they say.
    pub(crate) incomplete: bool,
}

impl Given {
    /// Whether a policy is left out.
    pub(crate) fn has_errors(&self) -> bool {
        let mut severities = self.problems.iter().map(|problem| problem.severity);
        severities.any(|severity| severity == Severity::Error)
    }

    /// The problems of one severity.
    pub(crate) fn problems_of(&self, severity: Severity) -> impl Iterator<Item = &Problem> {
        let of = move |problem: &&Problem| problem.severity == severity;
        self.problems.iter().filter(of)
    }
}

/// All objects that these refer to, each once.
pub(super) fn references<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<Reference> {
    let mut found: BTreeMap<(&'static str, String, String), BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let own = object["metadata"]["namespace"].as_str();
        let spec = &object["spec"];
        let authorities = spec["authorities"].as_array().into_iter().flatten();
        let keys = authorities.map(|authority| &authority["key"]);
        let maps = keys
            .clone()
            .map(|key| ("ConfigMap", &key["configMapKeyRef"]));
        let secrets = keys.map(|key| ("Secret", &key["secretKeyRef"]));
        let root = ("ConfigMap", &spec["trustedRoot"]["configMapKeyRef"]);
        for (kind, reference) in maps.chain(secrets).chain([root]) {
            let text = |field: &str| reference[field].as_str().map(str::to_owned);
            // Whatever the schema lets through otherwise is said by the check.
            let namespace = text("namespace").or_else(|| own.map(str::to_owned));
            if let (Some(namespace), Some(name), Some(key)) = (namespace, text("name"), text("key"))
            {
                found
                    .entry((kind, namespace, name))
                    .or_default()
                    .insert(key);
            }
        }
    }
    let reference = |((kind, namespace, name), keys)| Reference {
        kind,
        namespace,
        name,
        keys,
    };
    found.into_iter().map(reference).collect()
}

/// Puts what was checked together with what nodes have. `digests` is what the operator says of each
/// policy in force, `refused` what the user may not read and why. What is wrong with policies of other
/// namespaces than this one is left out: whoever may write one must not keep everybody else from an
/// answer.
pub(super) fn given(
    loaded: Loaded,
    digests: &BTreeMap<PolicyId, String>,
    refused: &[(Reference, String)],
    forms: &Forms,
    namespace: Option<&str>,
) -> Given {
    let mut problems = loaded.problems;
    problems.retain(|problem| {
        let place = problem.file.split_once(':').map(|(_, place)| place);
        let places = [Some(problem.object.as_str()), place];
        let mut places = places.into_iter().flatten();
        !places.any(|place| is_elsewhere(place, namespace))
    });
    let mut policies: Vec<Policy> = loaded.policies.into_iter().map(|it| it.policy).collect();
    let mut missing = false;
    for invalid in &loaded.invalid {
        let in_force = invalid.policy.as_ref().and_then(|id| {
            let digest = digests.get(id)?;
            let bundles = forms.bundles.iter();
            let mut held = bundles.filter_map(|bundle| bundle.policy(id));
            held.find(|policy| policy.digest().as_str() == digest)
        });
        let of_it = |problem: &&mut Problem| {
            problem.object == invalid.object && problem.severity == Severity::Error
        };
        match in_force {
            Some(policy) => {
                policies.push(policy.clone());
                for problem in problems.iter_mut().filter(of_it) {
                    problem.severity = Severity::Warning;
                    problem.message =
                        format!("{}; the form that nodes have is used", problem.message);
                }
            }
            // A trust root matters by the policies that need it, and each of those says so.
            None if invalid.policy.is_none() && invalid.object.starts_with("TrustRoot/") => {
                for problem in problems.iter_mut().filter(of_it) {
                    problem.severity = Severity::Warning;
                }
            }
            None => missing |= !is_elsewhere(&invalid.object, namespace),
        }
    }
    let incomplete = missing && !refused.is_empty();
    problems.extend(refused.iter().map(|(reference, why)| Problem {
        file: "cluster".to_owned(),
        line: 0,
        column: 0,
        object: format!(
            "{}/{}/{}",
            reference.kind, reference.namespace, reference.name
        ),
        field: String::new(),
        layer: Layer::File,
        severity: if incomplete {
            Severity::Error
        } else {
            Severity::Warning
        },
        reason: "Forbidden".to_owned(),
        message: format!(
            "you may not read it ({why}), and keys are in it: ask for `get` on this object, or give files with -f"
        ),
    }));
    let last = || {
        forms
            .bundles
            .first()
            .map(|bundle| bundle.settings().clone())
    };
    let settings: Settings = loaded.settings.or_else(last).unwrap_or_default();
    Given {
        bundle: Bundle::new(settings, policies),
        problems,
        incomplete,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
