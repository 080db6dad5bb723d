//! One policy by itself: what its spec comes to, before any node is looked at.

use std::fmt::Write as _;
use std::sync::Arc;

use crds::convert::{self, FieldProblem};
use policy::aggregate::{Finding, Resolution, reason};
use policy::model::Policy;
use policy::problem::Reason;

use super::objects::PolicyObject;
use super::roots::Roots;
use super::sources::{Lookup, Sources};

/// What a spec comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compiled {
    /// What is wrong with it on its own.
    pub(crate) invalid: Option<Finding>,
    /// Whether what it refers to is there.
    pub(crate) resolution: Resolution,
    /// Why no node of this version can express it.
    pub(crate) inexpressible: Option<Finding>,
    /// The policy, where nothing is wrong.
    pub(crate) policy: Option<Arc<Policy>>,
}

/// Compiles; nothing while something that the policy refers to was not looked at yet.
pub(crate) fn compile(object: &PolicyObject, sources: &Sources, roots: &Roots) -> Option<Compiled> {
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(why) => {
            return Some(Compiled {
                invalid: Some(unreadable(why)),
                resolution: Resolution::Resolved,
                inexpressible: None,
                policy: None,
            });
        }
    };
    let lookup = Lookup::new(sources, roots);
    let id = object.id.clone();
    let made = convert::policy(id, &spec.policy, spec.on_unsupported, &lookup);
    if lookup.unsettled.get() {
        return None;
    }
    let unreadable = lookup.unreadable.take();
    let problems = match made {
        Ok(policy) => {
            return Some(Compiled {
                invalid: None,
                resolution: Resolution::Resolved,
                inexpressible: None,
                policy: Some(Arc::new(policy)),
            });
        }
        Err(problems) => problems,
    };
    let mut parts = Parts::default();
    for problem in problems {
        parts.sort_in(object, problem);
    }
    let resolution = match (unreadable, parts.unresolved.finding()) {
        (Some(why), _) => Resolution::Unknown(Finding::new(reason::NOT_READ, why)),
        (None, Some(finding)) => Resolution::Failed(finding),
        (None, None) => Resolution::Resolved,
    };
    Some(Compiled {
        invalid: parts.invalid.finding(),
        resolution,
        inexpressible: parts.inexpressible.finding(),
        policy: None,
    })
}

/// Problems by the condition that they belong to.
#[derive(Default)]
struct Parts {
    invalid: Problems,
    unresolved: Problems,
    inexpressible: Problems,
}

impl Parts {
    fn sort_in(&mut self, object: &PolicyObject, problem: FieldProblem) {
        let reference = ["configMapKeyRef", "secretKeyRef"]
            .iter()
            .any(|name| problem.field.contains(name));
        let part = match problem.reason {
            Reason::NotExpressible => &mut self.inexpressible,
            // Of trust roots, and of what keys refer to.
            Reason::NotFound | Reason::TrustRootNotReady => &mut self.unresolved,
            // A namespace where none may stand is wrong on its own, whatever is there.
            _ if reference && !names_wrong_namespace(object, &problem.field) => {
                &mut self.unresolved
            }
            _ => &mut self.invalid,
        };
        part.0.push(problem);
    }
}

/// Whether the reference that `field` is about has a namespace where none may stand, or none where
/// one has to.
fn names_wrong_namespace(object: &PolicyObject, field: &str) -> bool {
    let index = field
        .strip_prefix("spec.authorities[")
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(index, _)| index.parse::<usize>().ok());
    let authority = index.and_then(|index| {
        let spec = object.spec.as_ref().ok()?;
        spec.policy.authorities.get(index)
    });
    let key = authority.and_then(|authority| authority.key.as_ref());
    let key_ref = key.and_then(|key| {
        let map = key.config_map_key_ref.as_ref();
        map.or(key.secret_key_ref.as_ref())
    });
    let namespaced = object.id.namespace().is_some();
    key_ref.is_some_and(|key_ref| key_ref.namespace.is_some() == namespaced)
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    /// The reason of the first, and the words of all.
    fn finding(&self) -> Option<Finding> {
        let first = self.0.first()?;
        Some(Finding::new(first.reason.as_str(), words(&self.0)))
    }
}

/// What is said about an object whose spec is not as this version knows it.
pub(crate) fn unreadable(why: &str) -> Finding {
    let message = format!("the operator cannot read it, is it older than the API? {why}");
    Finding::new(Reason::Invalid.as_str(), message)
}

/// The words of problems, one after the other; of many only the first ten.
pub(crate) fn words(problems: &[FieldProblem]) -> String {
    const MOST: usize = 10;
    let first = problems.iter().take(MOST).map(ToString::to_string);
    let mut text = first.collect::<Vec<_>>().join("; ");
    if problems.len() > MOST {
        // Writing to a String cannot fail.
        let _ = write!(text, "; and {} more", problems.len() - MOST);
    }
    text
}
