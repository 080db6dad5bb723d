//! From objects of the API server to what the index keeps of them.

use std::collections::BTreeMap;

use crds::types::{
    ClusterImageSignaturePolicy, EnforcementConfig, ImageSignaturePolicy, NodeImagePolicy,
    NodeImagePolicyStatus, OnUnsupported, PolicyBundle, RuntimeEnforcement, TrustRoot,
    UnsupportedPolicy,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::core::DeserializeGuard;
use policy::aggregate::{Finding, Report, Truth, severity};
use policy::model::PolicyId;
use policy::problem::Reason;

use crate::index::{
    BundleObject, ConfigObject, EFFECT, Meta, NOT_ENFORCING, NOT_READY, News, NodeObject,
    NodePolicyObject, PolicyObject, Runtime, SpecObject, Taints, TrustRootObject,
};
use crate::node_view::NodeView;
use crate::rollout;

fn meta(metadata: &ObjectMeta) -> Meta {
    let version = metadata.resource_version.as_deref().unwrap_or_default();
    let created = metadata.creation_timestamp.as_ref();
    Meta {
        uid: metadata.uid.clone().unwrap_or_default(),
        version: version.parse().unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        created: created.map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    }
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

/// The most characters of an annotation's value that are kept: whoever may write it may write more.
const MOST_CHARACTERS: usize = 256;

fn annotation(metadata: &ObjectMeta, name: &str) -> Option<String> {
    let value = metadata.annotations.as_ref()?.get(name)?;
    Some(value.chars().take(MOST_CHARACTERS).collect())
}

/// A `ClusterImageSignaturePolicy`.
pub(crate) fn cluster_policy(guard: DeserializeGuard<ClusterImageSignaturePolicy>) -> PolicyObject {
    let id = |metadata: &ObjectMeta| PolicyId::Cluster {
        name: name(metadata),
    };
    match guard.0 {
        Ok(object) => PolicyObject {
            id: id(&object.metadata),
            meta: meta(&object.metadata),
            spec: Ok(SpecObject {
                policy: object.spec.policy,
                node_selector: object.spec.node_selector,
                on_unsupported: object.spec.on_unsupported,
            }),
            status: object.status.unwrap_or_default(),
        },
        Err(invalid) => unreadable(id(&invalid.metadata), &invalid.metadata, invalid.error),
    }
}

/// An `ImageSignaturePolicy`.
pub(crate) fn policy(guard: DeserializeGuard<ImageSignaturePolicy>) -> PolicyObject {
    let id = |metadata: &ObjectMeta| PolicyId::Namespaced {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: name(metadata),
    };
    match guard.0 {
        Ok(object) => PolicyObject {
            id: id(&object.metadata),
            meta: meta(&object.metadata),
            spec: Ok(SpecObject {
                policy: object.spec.policy,
                node_selector: None,
                on_unsupported: OnUnsupported::Ignore,
            }),
            status: object.status.unwrap_or_default(),
        },
        Err(invalid) => unreadable(id(&invalid.metadata), &invalid.metadata, invalid.error),
    }
}

fn unreadable(id: PolicyId, metadata: &ObjectMeta, error: String) -> PolicyObject {
    PolicyObject {
        id,
        meta: meta(metadata),
        spec: Err(error),
        status: crds::types::PolicyStatus::default(),
    }
}

/// A `TrustRoot`.
pub(crate) fn trust_root(guard: DeserializeGuard<TrustRoot>) -> TrustRootObject {
    let (metadata, spec, status) = match guard.0 {
        Ok(object) => (object.metadata, Ok(object.spec), object.status),
        Err(invalid) => (invalid.metadata, Err(invalid.error), None),
    };
    TrustRootObject {
        name: name(&metadata),
        meta: meta(&metadata),
        spec,
        status: status.unwrap_or_default(),
    }
}

/// The `EnforcementConfig`.
pub(crate) fn config(guard: DeserializeGuard<EnforcementConfig>) -> ConfigObject {
    let (metadata, spec, status) = match guard.0 {
        Ok(object) => (object.metadata, Ok(object.spec), object.status),
        Err(invalid) => (invalid.metadata, Err(invalid.error), None),
    };
    ConfigObject {
        retry: annotation(&metadata, rollout::RETRY),
        confirm: annotation(&metadata, rollout::CONFIRM_REMOVAL),
        meta: meta(&metadata),
        spec,
        status: status.unwrap_or_default(),
    }
}

/// A Node: the few fields that matter.
pub(crate) fn node(object: NodeView) -> NodeObject {
    let status = object.status;
    // The cluster sets it to Unknown when the kubelet has not been heard of for a while. A node
    // that says it is not ready is reachable.
    let silent = status
        .conditions
        .iter()
        .any(|condition| condition.kind == "Ready" && condition.status == "Unknown");
    let kubelet = status.node_info.map(|info| info.container_runtime_version);
    let runtime = kubelet.and_then(|text| {
        let (name, version) = text.split_once("://")?;
        Some(runtime(name, version))
    });
    NodeObject {
        name: name(&object.metadata),
        meta: Meta {
            version: 0,
            generation: 0,
            ..meta(&object.metadata)
        },
        labels: object.metadata.labels.unwrap_or_default(),
        reachable: !silent,
        runtime,
        taints: taints(&object.spec.taints),
    }
}

fn taints(all: &[Taint]) -> Taints {
    let has = |key: &str| all.iter().any(|t| t.key == key && t.effect == EFFECT);
    Taints {
        not_ready: has(NOT_READY),
        not_enforcing: has(NOT_ENFORCING),
    }
}

fn runtime(name: &str, version: &str) -> Runtime {
    Runtime {
        name: name.to_owned(),
        version: version.to_owned(),
    }
}

/// A `NodeImagePolicy`.
pub(crate) fn node_policy(guard: DeserializeGuard<NodeImagePolicy>) -> NodePolicyObject {
    let (metadata, bundle, status) = match guard.0 {
        Ok(object) => (object.metadata, Some(object.spec.bundle), object.status),
        Err(invalid) => (invalid.metadata, None, None),
    };
    let status = status.unwrap_or_default();
    let recorded = metadata.annotations.as_ref();
    let recorded = recorded.and_then(|all| all.get(rollout::ANNOTATION));
    let recorded = recorded.zip(bundle.as_ref());
    let unready = status.conditions.iter().find(|condition| {
        condition.type_ == "Ready" && Truth::parse(&condition.status) != Truth::True
    });
    let owners = metadata.owner_references.iter().flatten();
    let mut owner = owners
        .filter(|owner| owner.kind == "Node")
        .map(|owner| &owner.uid);
    NodePolicyObject {
        name: name(&metadata),
        meta: meta(&metadata),
        owner: owner.next().cloned(),
        record: recorded
            .and_then(|(text, bundle)| rollout::Record::parse(text, bundle).map(Box::new)),
        observed: status.observed_generation,
        broke: unready.map(|condition| condition.last_transition_time.0),
        bundle,
        not_enforcing: not_enforcing(&status),
        unsupported: unsupported(&status),
        report: report(&status.conditions),
        news: News {
            drift: status.drift.clone(),
            refused: status.refused.clone(),
            refused_cut: status.refused_cut == Some(true),
            unverified: status.unverified.clone(),
            applied_since: since(&status.conditions, "Applied"),
            enforcing_since: since(&status.conditions, "Enforcing"),
        },
        runtime: status
            .runtime
            .as_ref()
            .map(|found| runtime(&found.name, found.version.as_deref().unwrap_or_default())),
        applied: status.applied_bundle,
        previous: status.previous_bundle,
    }
}

fn not_enforcing(status: &NodeImagePolicyStatus) -> Option<Finding> {
    let runtime = status.runtime.as_ref()?;
    if runtime.enforcement != Some(RuntimeEnforcement::None) {
        return None;
    }
    let detail = runtime.detail.clone();
    let message = detail.unwrap_or_else(|| "the runtime calls no verifier".to_owned());
    Some(Finding::new(Reason::NotEnforcing.as_str(), message))
}

fn unsupported(status: &NodeImagePolicyStatus) -> BTreeMap<PolicyId, Finding> {
    let first = status.unsupported.iter().flat_map(|all| &all.first);
    let finding = |entry: &UnsupportedPolicy| {
        let name = entry.policy.clone();
        let id = match &entry.namespace {
            None => PolicyId::Cluster { name },
            Some(namespace) => PolicyId::Namespaced {
                namespace: namespace.clone(),
                name,
            },
        };
        let message = "the agent cannot apply it there, see the status of the NodeImagePolicy";
        (id, Finding::new(entry.reason.clone(), message))
    };
    let mut all: BTreeMap<PolicyId, Finding> = BTreeMap::new();
    for (id, finding) in first.map(finding) {
        // A policy may stand there once for each thing that the node cannot do; the worst counts.
        match all.get(&id) {
            Some(known) if severity(&known.reason) <= severity(&finding.reason) => {}
            _ => drop(all.insert(id, finding)),
        }
    }
    all
}

fn since(conditions: &[Condition], kind: &str) -> Option<Timestamp> {
    let mut found = conditions
        .iter()
        .filter(|condition| condition.type_ == kind);
    found
        .next()
        .map(|condition| condition.last_transition_time.0)
}

fn report(conditions: &[Condition]) -> Option<Report> {
    Report::from_conditions(|kind| {
        let found = conditions
            .iter()
            .find(|condition| condition.type_ == kind)?;
        let finding = Finding::new(found.reason.clone(), found.message.clone());
        Some((Truth::parse(&found.status), finding))
    })
}

/// A `PolicyBundle`.
pub(crate) fn bundle(guard: DeserializeGuard<PolicyBundle>) -> BundleObject {
    let (metadata, spec) = match guard.0 {
        Ok(object) => (object.metadata, Ok(object.spec)),
        Err(invalid) => (invalid.metadata, Err(invalid.error)),
    };
    let name = name(&metadata);
    let content = spec.and_then(|spec| {
        let content = crds::bundle::decode(&name, &spec);
        content.map_err(|error| error.to_string())
    });
    BundleObject {
        meta: meta(&metadata),
        name,
        content,
    }
}

#[cfg(test)]
mod tests {
    use crds::types::UnsupportedPolicies;

    use super::*;

    #[test]
    fn of_what_an_agent_says_about_a_policy_the_worst_counts() {
        let entry = |policy: &str, reason: Reason| UnsupportedPolicy {
            policy: policy.to_owned(),
            namespace: None,
            reason: reason.to_string(),
        };
        let status = NodeImagePolicyStatus {
            unsupported: Some(UnsupportedPolicies {
                count: 3,
                first: vec![
                    entry("p", Reason::AuditUnsupported),
                    entry("p", Reason::NotExpressible),
                    entry("p", Reason::TooLarge),
                    entry("q", Reason::TooLarge),
                ],
            }),
            ..NodeImagePolicyStatus::default()
        };
        let found = unsupported(&status);
        let reasons: Vec<(String, &str)> = found
            .iter()
            .map(|(id, finding)| (id.to_string(), finding.reason.as_str()))
            .collect();
        let expected = [("p", "NotExpressible"), ("q", "TooLarge")];
        assert_eq!(
            reasons,
            expected.map(|(id, reason)| (id.to_owned(), reason))
        );
    }

    #[test]
    fn of_a_node_what_matters_is_read_and_the_rest_passed_over() {
        let view = serde_json::json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": "a", "uid": "u", "labels": { "pool": "b" } },
            "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] },
            "status": {
                "images": [{ "names": ["r.example/a"], "sizeBytes": 1 }],
                "conditions": [
                    { "type": "MemoryPressure", "status": "Unknown", "reason": "x" },
                    { "type": "Ready", "status": "False", "reason": "KubeletNotReady" },
                ],
                "nodeInfo": {
                    "containerRuntimeVersion": "cri-o://1.34.1", "kubeletVersion": "v1.34.4",
                },
            },
        });
        let read = |view: &serde_json::Value| node(serde_json::from_value(view.clone()).unwrap());
        let found = read(&view);
        assert_eq!((found.name.as_str(), found.meta.uid.as_str()), ("a", "u"));
        assert_eq!(found.labels["pool"], "b");
        assert!(found.reachable, "it says itself that it is not ready");
        assert_eq!(found.runtime, Some(runtime("cri-o", "1.34.1")));
        let mut silent = view;
        silent["status"]["conditions"][1]["status"] = "Unknown".into();
        assert!(!read(&silent).reachable);
        // One that has just been made has said nothing yet.
        let new = read(&serde_json::json!({ "metadata": { "name": "b" } }));
        assert_eq!((new.reachable, new.runtime), (true, None));
    }

    #[test]
    fn what_rollouts_need_is_read_and_what_somebody_else_wrote_there_is_none() {
        let read = |record: &str| {
            let object = serde_json::from_value::<NodeImagePolicy>(serde_json::json!({
                "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
                "metadata": { "name": "a", "annotations": { rollout::ANNOTATION: record } },
                "spec": { "bundle": "sha256-x" },
                "status": {
                    "observedGeneration": 3,
                    "conditions": [{
                        "type": "Ready", "status": "False", "reason": "WriteFailed",
                        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }],
                },
            }));
            node_policy(DeserializeGuard(Ok(object.unwrap())))
        };
        let weight = rollout::Weight::Full;
        let now = Timestamp::UNIX_EPOCH;
        let record = rollout::Record::new("sha256-x", Some("sha256-y"), weight, now);
        let own = read(&record.to_text());
        assert_eq!(own.record.as_deref(), Some(&record));
        assert_eq!(
            (own.observed, own.broke),
            (Some(3), "2026-01-01T00:00:00Z".parse().ok())
        );
        assert_eq!(read("mine").record, None);
        let other = rollout::Record::new("sha256-z", None, weight, now);
        assert_eq!(read(&other.to_text()).record, None, "about another bundle");

        let object = serde_json::from_value::<EnforcementConfig>(serde_json::json!({
            "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
            "metadata": { "name": "default", "annotations": {
                rollout::RETRY: "7", rollout::CONFIRM_REMOVAL: "x".repeat(1000),
            } },
            "spec": {},
        }));
        let config = config(DeserializeGuard(Ok(object.unwrap())));
        assert_eq!(config.retry.as_deref(), Some("7"));
        assert_eq!(
            config.confirm.map(|value| value.len()),
            Some(MOST_CHARACTERS)
        );
    }

    #[test]
    fn what_an_agent_tells_is_read_with_the_times_of_its_conditions() {
        let object = serde_json::from_value::<NodeImagePolicy>(serde_json::json!({
            "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
            "metadata": { "name": "a" },
            "spec": { "bundle": "sha256-x" },
            "status": {
                "drift": { "count": 2, "message": "/etc/x" },
                "refused": [{ "image": "r.example/a", "reason": "NoSignature" }],
                "refusedCut": true,
                "unverified": { "count": 3, "first": ["r.example/b"] },
                "conditions": [
                    {
                        "type": "Detected", "status": "Unknown", "reason": "NoAnswer",
                        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
                    },
                    {
                        "type": "Applied", "status": "False", "reason": "RolledBack",
                        "message": "", "lastTransitionTime": "2026-01-01T00:00:01Z",
                    },
                ],
            },
        }));
        let own = node_policy(DeserializeGuard(Ok(object.unwrap())));
        assert!(own.rolled_back() && own.has_news());
        let since = "2026-01-01T00:00:01Z".parse().ok();
        assert_eq!(
            (own.news.applied_since, own.news.enforcing_since),
            (since, None)
        );
        assert_eq!(own.news.refused[0].reason, "NoSignature");
        assert!(own.news.refused_cut && own.news.names_images());
        assert!(!own.news.names_all(true) && !own.news.names_all(false));
        assert_eq!(own.news.drift.unwrap().count, 2);
        let report = own.report.unwrap();
        assert_eq!(report.enforcing, Truth::Unknown, "it said nothing of it");
    }
}
