//! The limits that the configuration sets to namespaced policies.

use std::collections::BTreeMap;

use policy::problem::Reason;
use policy::scope::Scope;

use crate::load::{InvalidObject, Loaded, LoadedPolicy, source};
use crate::manifest::{Document, Node, Value};
use crate::problem::Layer;
use crate::validate::config::Config;
use crate::validate::report::Report;

/// Takes out every namespaced policy that the configuration does not permit, in the order of
/// their ids, and says so.
pub(crate) fn check(loaded: &mut Loaded, documents: &[Document], config: &Config) {
    let most = usize::try_from(config.spec.namespaced_policies.max_per_namespace).unwrap_or(0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    loaded
        .policies
        .sort_by(|a, b| a.policy.id().cmp(b.policy.id()));
    for policy in std::mem::take(&mut loaded.policies) {
        let Some(namespace) = policy.policy.id().namespace() else {
            loaded.policies.push(policy);
            continue;
        };
        let count = counts.entry(namespace.to_owned()).or_default();
        *count += 1;
        let too_many = (*count > most).then_some(most);
        check_one(loaded, documents, config, policy, too_many);
    }
}

fn check_one(
    loaded: &mut Loaded,
    documents: &[Document],
    config: &Config,
    policy: LoadedPolicy,
    too_many: Option<usize>,
) {
    let document = documents
        .iter()
        .find(|document| source(document) == policy.source);
    let Some(document) = document else {
        return loaded.policies.push(policy);
    };
    let object = format!("ImageSignaturePolicy/{}", policy.policy.id());
    let mut report = Report::new(document, &object);
    let mut refuse = |field: &str, message: String| {
        report.error(
            Layer::Program,
            field,
            Reason::NotPermitted.as_str(),
            message,
        );
    };
    if let Some(most) = too_many {
        refuse(
            "metadata.namespace",
            format!(
                "more policies in this namespace than the EnforcementConfig allows, which is {most}: remove one, or raise namespacedPolicies.maxPerNamespace"
            ),
        );
    }
    let written: &[Node] = match document.root.find("spec.scopes").map(|node| &node.value) {
        Some(Value::List(written)) => written,
        _ => &[],
    };
    for (index, scope) in written.iter().enumerate() {
        let scope = scope.as_str().and_then(|text| Scope::parse(text).ok());
        if let Some(scope) = scope.filter(|scope| !config.allows(scope)) {
            refuse(
                &format!("spec.scopes[{index}]"),
                format!(
                    "`{scope}` lies in none of the EnforcementConfig's namespacedPolicies.allowedScopes: remove it, or allow it there"
                ),
            );
        }
    }
    if report.has_errors() {
        let id = Some(policy.policy.id().clone());
        loaded.invalid.push(InvalidObject {
            object,
            policy: id,
            source: policy.source,
        });
    } else {
        loaded.policies.push(policy);
    }
    loaded.problems.extend(report.finish());
}
