//! Objects for tests, through the same reader as those of a cluster.

use kube::core::DeserializeGuard;
use policy::model::PolicyId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::objects::{self, Snapshot};

fn guarded<K: DeserializeOwned>(value: Value) -> DeserializeGuard<K>
where
    DeserializeGuard<K>: DeserializeOwned,
{
    serde_json::from_value(value).unwrap()
}

/// `Type Status Reason: message`, as conditions.
pub(super) fn conditions(texts: &[&str]) -> Value {
    let condition = |text: &&str| {
        let (head, message) = text.split_once(": ").unwrap_or((text, ""));
        let words: Vec<&str> = head.split(' ').collect();
        let [kind, status, reason] = words[..] else {
            panic!("{text}")
        };
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        })
    };
    texts.iter().map(condition).collect()
}

/// A cluster that a test puts together.
#[derive(Default)]
pub(super) struct World(pub(super) Snapshot);

impl World {
    /// A policy of either kind, whose status is about its spec.
    pub(super) fn policy(mut self, id: &str, nodes: &str, texts: &[&str], also: &Value) -> Self {
        let (namespace, name) = id.split_once('/').unzip();
        let (updated, selected) = nodes.split_once('/').unwrap_or(("0", "0"));
        let number = |text: &str| text.parse::<i32>().unwrap();
        let mut object = json!({
            "apiVersion": crds::API_VERSION,
            "kind": if namespace.is_some() { "ImageSignaturePolicy" } else { "ClusterImageSignaturePolicy" },
            "metadata": { "name": name.unwrap_or(id), "namespace": namespace, "generation": 2 },
            "spec": {
                "scopes": ["registry.example.com/team"],
                "authorities": [{ "name": "a", "key": { "data": "k" } }],
            },
            "status": {
                "observedGeneration": 2,
                "nodes": {
                    "summary": nodes, "selected": number(selected), "updated": number(updated),
                    "failed": 0, "unsupported": 0, "unreachable": 0,
                },
                "conditions": conditions(texts),
            },
        });
        merge(&mut object, also);
        let (id, object) = match namespace {
            None => objects::cluster_policy(guarded(object)),
            Some(_) => objects::namespaced_policy(guarded(object)),
        };
        self.0.policies.insert(id, object);
        self
    }

    /// A node that shall run bundle `desired` and runs `applied`, each a digit.
    pub(super) fn node(
        mut self,
        name: &str,
        desired: u8,
        applied: u8,
        texts: &[&str],
        also: &Value,
    ) -> Self {
        let bundle = |digit: u8| format!("sha256-{}", digit.to_string().repeat(64));
        let mut object = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "NodeImagePolicy",
            "metadata": { "name": name, "generation": 1 },
            "spec": { "bundle": bundle(desired) },
            "status": {
                "observedGeneration": 1,
                "appliedBundle": bundle(applied),
                "runtime": { "name": "containerd", "version": "2.2.1", "enforcement": "Full" },
                "agentVersion": "0.1.0",
                "conditions": conditions(texts),
            },
        });
        merge(&mut object, also);
        let (name, object) = objects::node(guarded(object));
        self.0.nodes.insert(name, object);
        self
    }

    /// A node that is as it should be.
    pub(super) fn good_node(self, name: &str) -> Self {
        self.node(name, 1, 1, GOOD_NODE, &json!({}))
    }

    pub(super) fn root(mut self, name: &str, texts: &[&str]) -> Self {
        let (name, object) = objects::root(guarded(json!({
            "apiVersion": crds::API_VERSION,
            "kind": "TrustRoot",
            "metadata": { "name": name, "generation": 1 },
            "spec": { "tuf": {} },
            "status": {
                "observedGeneration": 1, "earliestExpiry": "2027-05-06T00:00:00Z",
                "conditions": conditions(texts),
            },
        })));
        self.0.roots.insert(name, object);
        self
    }

    pub(super) fn config(mut self, spec: &Value) -> Self {
        let (_, object) = objects::config(guarded(json!({
            "apiVersion": crds::API_VERSION,
            "kind": "EnforcementConfig",
            "metadata": { "name": "default", "generation": 1 },
            "spec": spec,
            "status": { "observedGeneration": 1, "conditions": conditions(&["Ready True Ready"]) },
        })));
        self.0.config = Some(object);
        self
    }

    /// The policy of that id.
    pub(super) fn get(&self, id: &str) -> (PolicyId, &objects::PolicyObject) {
        let id = super::named(id).unwrap();
        let object = &self.0.policies[&id];
        (id, object)
    }
}

pub(super) const GOOD_NODE: &[&str] = &[
    "Applied True Applied",
    "Enforcing True Proven",
    "Ready True Ready",
];
pub(super) const GOOD_POLICY: &[&str] = &["Ready True Ready: the policy is in force"];

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
