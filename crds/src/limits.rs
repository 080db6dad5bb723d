//! The limits that the configuration sets to namespaced policies.

use std::collections::BTreeMap;

use crate::convert::Configuration;
use crate::load::{InvalidObject, Loaded, LoadedPolicy, source};
use crate::manifest::{Document, Node, Value};
use crate::validate::program;
use crate::validate::report::Report;

/// Takes out every namespaced policy that the configuration does not permit, in the order of
/// their ids, and says so.
pub(crate) fn check(loaded: &mut Loaded, documents: &[Document], config: &Configuration) {
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
        let too_many = *count > config.max_per_namespace;
        check_one(loaded, documents, config, policy, too_many);
    }
}

fn check_one(
    loaded: &mut Loaded,
    documents: &[Document],
    config: &Configuration,
    policy: LoadedPolicy,
    too_many: bool,
) {
    let document = documents
        .iter()
        .find(|document| source(document) == policy.source);
    let Some(document) = document else {
        return loaded.policies.push(policy);
    };
    let object = format!("ImageSignaturePolicy/{}", policy.policy.id());
    let mut report = Report::new(document, &object);
    if too_many {
        program::add(&mut report, vec![config.too_many()]);
    }
    let written: &[Node] = match document.root.find("spec.scopes").map(|node| &node.value) {
        Some(Value::List(written)) => written,
        _ => &[],
    };
    let texts = written.iter().map(|node| node.as_str().unwrap_or_default());
    let outside = config.permits(&texts.collect::<Vec<_>>());
    program::add(&mut report, outside);
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
