//! The agent's status as it stands in the `NodeImagePolicy`.

use crds::bundle::object_name;
use crds::types::{
    NodeImagePolicyStatus, NodeRuntime, RuntimeEnforcement, UnsupportedPolicies, UnsupportedPolicy,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::problem::Reason;

use crate::status::Status;

/// The most characters of a message; the API server takes 32,768 bytes.
const MESSAGE: usize = 4_096;

/// The status for the object. `generation` is the one that the look was about.
pub(super) fn of(status: &Status, generation: Option<i64>) -> NodeImagePolicyStatus {
    let unsupported = &status.unsupported;
    let not_enforcing = Reason::NotEnforcing.as_str();
    let none = unsupported
        .first
        .iter()
        .find(|policy| policy.reason == not_enforcing);
    let enforcement = match none {
        Some(_) => RuntimeEnforcement::None,
        None if unsupported.count > 0 => RuntimeEnforcement::Partial,
        None => RuntimeEnforcement::Full,
    };
    NodeImagePolicyStatus {
        observed_generation: generation,
        applied_bundle: status.applied_bundle.as_ref().map(object_name),
        previous_bundle: status.previous_bundle.as_ref().map(object_name),
        runtime: Some(NodeRuntime {
            name: status.runtime.name.clone(),
            version: status.runtime.version.clone(),
            enforcement: Some(enforcement),
            detail: none.map(|policy| cut(&policy.message, 1_024)),
        }),
        unsupported: Some(UnsupportedPolicies {
            count: i32::try_from(unsupported.count).unwrap_or(i32::MAX),
            first: unsupported
                .first
                .iter()
                .map(|policy| UnsupportedPolicy {
                    policy: policy.policy.clone(),
                    namespace: policy.namespace.clone(),
                    reason: policy.reason.clone(),
                })
                .collect(),
        }),
        files_digest: status.files_digest.as_ref().map(ToString::to_string),
        last_applied_time: status.last_applied_time.map(Time),
        agent_version: Some(status.agent_version.clone()),
        conditions: status
            .conditions
            .iter()
            .map(|condition| Condition {
                type_: condition.r#type.clone(),
                status: condition.status.clone(),
                reason: condition.reason.clone(),
                message: cut(&condition.message, MESSAGE),
                last_transition_time: Time(condition.last_transition_time),
                observed_generation: generation,
            })
            .collect(),
    }
}

/// True when they say the same, whenever they said it first.
pub(super) fn is_same(one: &NodeImagePolicyStatus, other: &NodeImagePolicyStatus) -> bool {
    timeless(one) == timeless(other)
}

fn timeless(status: &NodeImagePolicyStatus) -> NodeImagePolicyStatus {
    let mut status = status.clone();
    status.last_applied_time = None;
    for condition in &mut status.conditions {
        condition.last_transition_time = Time(jiff::Timestamp::UNIX_EPOCH);
    }
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    status
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let start: String = text.chars().take(characters - 1).collect();
    format!("{start}…")
}
