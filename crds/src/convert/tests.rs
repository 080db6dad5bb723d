use std::collections::BTreeMap;
use std::sync::Arc;

use policy::bundle;
use policy::problem::Reason;
use policy::trust::TrustRoot;
use serde_json::{Value, json};

use super::*;
use crate::types::EnforcementConfigSpec;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\nURdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n-----END PUBLIC KEY-----\n";

const OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+iWg2m+pKusluSNc0kfS4So9d+v7\nq82Eg0DWK6H2127WH4e8It7QuHwAeN41uHmqItdoBweugIFIyWwB0Wqu0Q==\n-----END PUBLIC KEY-----\n";
const ROOT: &str = include_str!("../../../policy/testdata/certificates/root-a.pem");
const LEAF: &str = include_str!("../../../policy/testdata/certificates/leaf.pem");

mod authorities;
mod identities;
mod trust_roots;

/// A root with all that a keyless authority needs.
fn trusted() -> TrustRoot {
    TrustRoot::from_pem(Some(ROOT), &[OTHER_KEY.to_owned()], &[], None).unwrap()
}

/// Texts by `Holder namespace/name key`, and trust roots by name.
#[derive(Default)]
struct Cluster(
    BTreeMap<&'static str, Result<String, Unavailable>>,
    BTreeMap<&'static str, Result<TrustRoot, RootUnavailable>>,
);

impl Keys for Cluster {
    fn get(&self, reference: &KeyReference) -> Result<String, Unavailable> {
        let KeyReference {
            holder,
            namespace,
            name,
            key,
        } = reference;
        let id = format!("{holder} {namespace}/{name} {key}");
        let found = self.0.get(id.as_str()).cloned();
        found.unwrap_or(Err(Unavailable::NoObject))
    }

    fn trust_root(&self, name: &str) -> Result<Arc<TrustRoot>, RootUnavailable> {
        let found = self.1.get(name).cloned();
        found
            .unwrap_or(Err(RootUnavailable::NoObject))
            .map(Arc::new)
    }
}

fn keys<const N: usize>(texts: [(&'static str, Result<String, Unavailable>); N]) -> Cluster {
    Cluster(texts.into(), BTreeMap::new())
}

fn roots<const N: usize>(
    roots: [(&'static str, Result<TrustRoot, RootUnavailable>); N],
) -> Cluster {
    Cluster(BTreeMap::new(), roots.into())
}

fn spec(authority: &Value) -> Value {
    json!({ "scopes": ["registry.example.com"], "authorities": [authority] })
}

fn cluster_policy(spec: Value) -> ClusterImageSignaturePolicy {
    ClusterImageSignaturePolicy::new("p", serde_json::from_value(spec).unwrap())
}

fn namespaced_policy(spec: Value) -> ImageSignaturePolicy {
    let mut policy = ImageSignaturePolicy::new("p", serde_json::from_value(spec).unwrap());
    policy.metadata.namespace = Some("team".into());
    policy
}

fn described(result: Result<Policy, Vec<FieldProblem>>) -> Vec<String> {
    let problems = result.map_or_else(|problems| problems, |policy| panic!("{policy:?}"));
    let line = |problem: &FieldProblem| format!("{} {problem}", problem.reason);
    problems.iter().map(line).collect()
}

fn by_secret(namespace: Option<&str>) -> Value {
    let mut reference = json!({ "name": "keys", "key": "k" });
    if let Some(namespace) = namespace {
        reference["namespace"] = namespace.into();
    }
    json!({ "name": "a", "key": { "secretKeyRef": reference } })
}

#[test]
fn an_object_of_the_api_server_becomes_the_policy_that_it_is_in_a_file() {
    let object = cluster_policy(spec(&json!({ "name": "a", "key": { "data": KEY } })));
    let policy = cluster(&object, &Cluster::default()).unwrap();
    let text = serde_json::to_string(&object).unwrap();
    let name = "object.json".to_owned();
    let loaded = crate::load::load(&[crate::load::Source { name, text }]);
    assert_eq!(loaded.policies[0].policy, policy);
}

#[test]
fn keys_come_from_the_policys_own_namespace_or_the_one_it_names() {
    let store = keys([("Secret team/keys k", Ok(KEY.to_owned()))]);
    let own = namespaced(&namespaced_policy(spec(&by_secret(None))), &store).unwrap();
    assert_eq!(own.id().to_string(), "team/p");
    assert!(cluster(&cluster_policy(spec(&by_secret(Some("team")))), &store).is_ok());

    let other = namespaced_policy(spec(&by_secret(Some("team"))));
    assert_eq!(
        described(namespaced(&other, &store)),
        [
            "NotPermitted spec.authorities[0].key.secretKeyRef: an ImageSignaturePolicy reads keys of its own namespace only: remove namespace"
        ]
    );
    let none = cluster_policy(spec(&by_secret(None)));
    assert_eq!(
        described(cluster(&none, &store)),
        [
            "Invalid spec.authorities[0].key.secretKeyRef: a ClusterImageSignaturePolicy has no namespace to look in: add namespace"
        ]
    );
}

#[test]
fn what_cannot_be_read_says_why_and_what_to_do() {
    let object = namespaced_policy(spec(&by_secret(None)));
    let said = |found: Result<String, Unavailable>| {
        let store = keys([("Secret team/keys k", found)]);
        described(namespaced(&object, &store)).remove(0)
    };
    let field = "spec.authorities[0].key.secretKeyRef";
    for (found, expected) in [
        (
            Unavailable::NoObject,
            format!(
                "NotFound {field}: there is no Secret team/keys: add it, or correct the reference"
            ),
        ),
        (
            Unavailable::NoKey {
                known: vec!["a".into(), "b".into()],
            },
            format!(
                "NotFound {field}.key: Secret team/keys has no key `k`, it has `a` and `b`: add it, or correct the reference"
            ),
        ),
        (
            Unavailable::NoKey { known: Vec::new() },
            format!(
                "NotFound {field}.key: Secret team/keys has no key `k`: add it, or correct the reference"
            ),
        ),
        (
            Unavailable::NoKey {
                known: std::iter::once("never-TO_be-seen".repeat(3))
                    .chain((0..11).map(|number| format!("k{number}")))
                    .collect(),
            },
            format!(
                "NotFound {field}.key: Secret team/keys has no key `k`, it has a text of 48 characters, `k0`, `k1`, `k2`, `k3`, `k4`, `k5`, `k6`, `k7`, `k8` and 2 more: add it, or correct the reference"
            ),
        ),
        (
            Unavailable::NotPermitted,
            format!(
                "NotPermitted {field}: Secret team/keys may not be read: allow it with a RoleBinding to the ClusterRole nodeseal-key-reader in namespace team, or put the public key into a ConfigMap"
            ),
        ),
        (
            Unavailable::NotText("its value is no UTF-8 text, and keys are PEM".into()),
            format!(
                "InvalidKey {field}: Secret team/keys, key `k`: its value is no UTF-8 text, and keys are PEM"
            ),
        ),
    ] {
        assert_eq!(said(Err(found)), expected);
    }
    let garbage = said(Ok("-----BEGIN PRIVATE KEY-----\nnever".into()));
    assert!(
        garbage.starts_with(&format!("InvalidKey {field}: ")),
        "{garbage}"
    );
    assert!(!garbage.contains("never"), "{garbage}");
}

#[test]
fn what_the_rules_of_the_schema_refuse_never_becomes_a_looser_policy() {
    let key = json!({ "data": KEY });
    let reference = json!({ "name": "keys", "key": "k", "namespace": "team" });
    for (authority, field) in [
        (json!({ "name": "a" }), "spec.authorities[0]"),
        (json!({ "name": "a", "key": {} }), "spec.authorities[0].key"),
        (
            json!({ "name": "a", "key": { "data": KEY, "configMapKeyRef": reference } }),
            "spec.authorities[0].key",
        ),
        (
            json!({ "name": "a", "key": key, "keyless": { "identities": [] } }),
            "spec.authorities[0]",
        ),
    ] {
        let problems = cluster(&cluster_policy(spec(&authority)), &Cluster::default());
        assert_eq!(problems.unwrap_err()[0].field, field, "{authority}");
    }
    for (identity, field) in [
        (json!({ "type": "ExactRepository" }), "exactRepository"),
        (json!({ "type": "RemapIdentity" }), "remapIdentity"),
        (
            json!({ "exactRepository": { "repository": "a.example/b" } }),
            "exactRepository",
        ),
    ] {
        let mut spec = spec(&json!({ "name": "a", "key": key }));
        spec["signedIdentity"] = identity;
        let problems = cluster(&cluster_policy(spec), &Cluster::default()).unwrap_err();
        assert_eq!(problems[0].field, format!("spec.signedIdentity.{field}"));
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut spec = spec(&by_secret(Some("team")));
    spec["scopes"] = json!(["busybox"]);
    spec["threshold"] = json!(2);
    let said = described(cluster(&cluster_policy(spec), &Cluster::default()));
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn the_configuration_says_what_nodes_need_and_what_namespaces_may() {
    let spec = |value| serde_json::from_value::<EnforcementConfigSpec>(value).unwrap();
    let valid = spec(json!({
        "defaultAction": "Reject",
        "exemptImages": ["registry.k8s.io/pause"],
        "namespacedPolicies": { "allowedScopes": ["a.example"], "maxPerNamespace": 2 },
    }));
    let valid = configuration(&valid).unwrap();
    assert_eq!(valid.settings.default_action, bundle::DefaultAction::Reject);
    assert_eq!(valid.settings.exempt_images.len(), 1);
    assert_eq!(valid.max_per_namespace, 2);
    let problems = valid.permits(&["a.example/team", "b.example"]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].field, "spec.scopes[1]");
    assert!(Configuration::default().permits(&["b.example"]).is_empty());

    let bad = spec(json!({ "exemptImages": ["busybox", "a.example/b:v1"] }));
    let problems = configuration(&bad).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["spec.exemptImages[0]", "spec.exemptImages[1]"]);
}

#[test]
fn the_rollout_has_the_limits_of_the_schema_and_says_what_is_wrong() {
    let spec = |rollout| {
        let spec = json!({ "rollout": rollout });
        serde_json::from_value::<EnforcementConfigSpec>(spec).unwrap()
    };
    let none = configuration(&spec(json!({}))).unwrap().rollout;
    assert_eq!(none, RolloutSettings::default());
    let default = (none.max_unavailable.of(100), none.max_failures.of(100));
    assert_eq!(default, (Some(10), Some(1)));
    assert_eq!((none.progress_deadline_seconds, none.paused), (600, false));
    let all = spec(json!({
        "maxUnavailable": 3, "maxFailures": "5%", "progressDeadlineSeconds": 30, "paused": true,
        "canary": { "nodeSelector": { "matchLabels": { "canary": "true" } } },
    }));
    let all = configuration(&all).unwrap();
    assert_eq!(
        all.settings,
        configuration(&spec(json!({}))).unwrap().settings
    );
    assert_eq!(all.rollout.max_unavailable.of(100), Some(3));
    assert_eq!(all.rollout.max_failures.of(100), Some(5));
    assert!(all.rollout.paused && all.rollout.canary.unwrap().match_labels.len() == 1);
    let selector =
        json!({ "nodeSelector": { "matchExpressions": [{ "key": "a", "operator": "In" }] } });
    let wrong = [
        (
            json!({ "maxUnavailable": -1 }),
            "maxUnavailable",
            "neither a number of nodes",
        ),
        (
            json!({ "maxUnavailable": 100_001 }),
            "maxUnavailable",
            "from 0 to 100000",
        ),
        (
            json!({ "maxFailures": "101%" }),
            "maxFailures",
            "nor a percentage",
        ),
        (
            json!({ "progressDeadlineSeconds": 29 }),
            "progressDeadlineSeconds",
            "from 30 to 86400",
        ),
        (
            json!({ "progressDeadlineSeconds": 86_401 }),
            "progressDeadlineSeconds",
            "86401",
        ),
        (
            json!({ "canary": selector }),
            "canary.nodeSelector.matchExpressions[0]",
            "In and NotIn need values",
        ),
    ];
    for (rollout, field, words) in wrong {
        let problems = configuration(&spec(rollout)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, format!("spec.rollout.{field}"));
        assert_eq!(problems[0].reason, Reason::Invalid);
        assert!(problems[0].message.contains(words), "{problems:?}");
    }
}
