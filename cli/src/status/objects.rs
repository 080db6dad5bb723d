//! What is kept of the objects of a cluster.

use std::collections::BTreeMap;

use crds::types::{
    ClusterImageSignaturePolicy, DefaultAction, Enforcement, EnforcementConfig, FailingNode,
    ImageSignaturePolicy, Mode, NodeCounts, NodeImagePolicy, RuntimeEnforcement, Share, TrustRoot,
    UnsupportedPolicy,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, ObjectMeta};
use kube::core::DeserializeGuard;
use policy::model::PolicyId;
use serde::Serialize;

/// All that the view is made of, as of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) policies: BTreeMap<PolicyId, PolicyObject>,
    pub(super) nodes: BTreeMap<String, NodeObject>,
    pub(super) roots: BTreeMap<String, RootObject>,
    pub(super) config: Option<ConfigObject>,
    /// The kinds that could not be read, and why: only ever where a namespace was asked for.
    pub(super) unseen: Vec<String>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) since: Timestamp,
}

/// The conditions of an object, and whether they are about its spec as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions {
    pub(super) all: Vec<Condition>,
    pub(super) current: bool,
}

impl Conditions {
    fn new(metadata: &ObjectMeta, observed: Option<i64>, all: Vec<meta::Condition>) -> Self {
        let all = all.into_iter().map(|condition| Condition {
            kind: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            since: condition.last_transition_time.0,
        });
        Self {
            all: all.collect(),
            current: observed.is_some() && observed == metadata.generation,
        }
    }

    pub(super) fn get(&self, kind: &str) -> Option<&Condition> {
        self.all.iter().find(|condition| condition.kind == kind)
    }

    pub(super) fn is_true(&self, kind: &str) -> bool {
        self.get(kind).is_some_and(|found| found.status == "True")
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PolicyObject {
    /// Why it cannot be read by this version, if so.
    pub(super) unreadable: Option<String>,
    pub(super) mode: &'static str,
    pub(super) scopes: Vec<String>,
    pub(super) conditions: Conditions,
    pub(super) counts: NodeCounts,
    pub(super) failing: Vec<FailingNode>,
    pub(super) digest: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct NodeObject {
    pub(super) unreadable: Option<String>,
    pub(super) desired: Option<String>,
    pub(super) applied: Option<String>,
    pub(super) runtime: Option<(String, Option<String>)>,
    /// Why the runtime enforces nothing, if so.
    pub(super) powerless: Option<String>,
    pub(super) agent_version: Option<String>,
    pub(super) unsupported: Vec<UnsupportedPolicy>,
    pub(super) unverified: i32,
    pub(super) conditions: Conditions,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RootObject {
    pub(super) unreadable: Option<String>,
    pub(super) source: &'static str,
    pub(super) expires: Option<Timestamp>,
    pub(super) refreshed: Option<Timestamp>,
    pub(super) conditions: Conditions,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConfigObject {
    pub(super) unreadable: Option<String>,
    pub(super) stopped: bool,
    pub(super) rejects: bool,
    pub(super) paused: bool,
    pub(super) max_unavailable: String,
    pub(super) conditions: Conditions,
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

/// A `ClusterImageSignaturePolicy`.
pub(super) fn cluster_policy(
    guard: DeserializeGuard<ClusterImageSignaturePolicy>,
) -> (PolicyId, PolicyObject) {
    match guard.0 {
        Ok(object) => {
            let name = name(&object.metadata);
            let policy = policy(&object.metadata, object.spec.policy, object.status);
            (PolicyId::Cluster { name }, policy)
        }
        Err(invalid) => {
            let name = name(&invalid.metadata);
            (PolicyId::Cluster { name }, unreadable(invalid.error))
        }
    }
}

/// An `ImageSignaturePolicy`.
pub(super) fn namespaced_policy(
    guard: DeserializeGuard<ImageSignaturePolicy>,
) -> (PolicyId, PolicyObject) {
    let id = |metadata: &ObjectMeta| PolicyId::Namespaced {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: name(metadata),
    };
    match guard.0 {
        Ok(object) => {
            let policy = policy(&object.metadata, object.spec.policy, object.status);
            (id(&object.metadata), policy)
        }
        Err(invalid) => (id(&invalid.metadata), unreadable(invalid.error)),
    }
}

fn unreadable(error: String) -> PolicyObject {
    PolicyObject {
        unreadable: Some(error),
        mode: "?",
        ..PolicyObject::default()
    }
}

fn policy(
    metadata: &ObjectMeta,
    spec: crds::types::PolicySpec,
    status: Option<crds::types::PolicyStatus>,
) -> PolicyObject {
    let status = status.unwrap_or_default();
    PolicyObject {
        unreadable: None,
        mode: match spec.mode {
            Mode::Enforce => "Enforce",
            Mode::Audit => "Audit",
        },
        scopes: spec.scopes,
        conditions: Conditions::new(metadata, status.observed_generation, status.conditions),
        counts: status.nodes.unwrap_or_default(),
        failing: status.failing,
        digest: status.digest,
    }
}

/// A `NodeImagePolicy`.
pub(super) fn node(guard: DeserializeGuard<NodeImagePolicy>) -> (String, NodeObject) {
    let object = match guard.0 {
        Ok(object) => object,
        Err(invalid) => {
            let node = NodeObject {
                unreadable: Some(invalid.error),
                ..NodeObject::default()
            };
            return (name(&invalid.metadata), node);
        }
    };
    let status = object.status.unwrap_or_default();
    let runtime = status.runtime.as_ref();
    let powerless = runtime
        .filter(|runtime| runtime.enforcement == Some(RuntimeEnforcement::None))
        .map(|runtime| runtime.detail.clone().unwrap_or_default());
    let node = NodeObject {
        unreadable: None,
        desired: Some(object.spec.bundle),
        applied: status.applied_bundle,
        runtime: status
            .runtime
            .map(|runtime| (runtime.name, runtime.version)),
        powerless,
        agent_version: status.agent_version,
        unsupported: status
            .unsupported
            .map(|unsupported| unsupported.first)
            .unwrap_or_default(),
        unverified: status.unverified.map_or(0, |unverified| unverified.count),
        conditions: Conditions::new(
            &object.metadata,
            status.observed_generation,
            status.conditions,
        ),
    };
    (name(&object.metadata), node)
}

/// A `TrustRoot`.
pub(super) fn root(guard: DeserializeGuard<TrustRoot>) -> (String, RootObject) {
    let object = match guard.0 {
        Ok(object) => object,
        Err(invalid) => {
            let root = RootObject {
                unreadable: Some(invalid.error),
                source: "?",
                ..RootObject::default()
            };
            return (name(&invalid.metadata), root);
        }
    };
    let status = object.status.unwrap_or_default();
    let root = RootObject {
        unreadable: None,
        source: match (&object.spec.tuf, &object.spec.trusted_root) {
            (Some(_), _) => "tuf",
            (None, Some(_)) => "trustedRoot",
            (None, None) => "keys",
        },
        expires: status.earliest_expiry.map(|time| time.0),
        refreshed: status.last_refresh.map(|time| time.0),
        conditions: Conditions::new(
            &object.metadata,
            status.observed_generation,
            status.conditions,
        ),
    };
    (name(&object.metadata), root)
}

/// The `EnforcementConfig`, whose name is the key.
pub(super) fn config(guard: DeserializeGuard<EnforcementConfig>) -> (String, ConfigObject) {
    let object = match guard.0 {
        Ok(object) => object,
        Err(invalid) => {
            let config = ConfigObject {
                unreadable: Some(invalid.error),
                ..ConfigObject::default()
            };
            return (name(&invalid.metadata), config);
        }
    };
    let status = object.status.unwrap_or_default();
    let spec = object.spec;
    let config = ConfigObject {
        unreadable: None,
        stopped: spec.enforcement == Enforcement::Disabled,
        rejects: spec.default_action == DefaultAction::Reject,
        paused: spec.rollout.paused,
        max_unavailable: match spec.rollout.max_unavailable {
            Share::Count(count) => count.to_string(),
            Share::Percent(percent) => percent,
        },
        conditions: Conditions::new(
            &object.metadata,
            status.observed_generation,
            status.conditions,
        ),
    };
    (name(&object.metadata), config)
}
