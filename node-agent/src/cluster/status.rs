//! The agent's status as it stands in the `NodeImagePolicy`.

use crds::bundle::object_name;
use crds::types::{
    Drift, NodeImagePolicyStatus, NodeRuntime, RefusedImage, RuntimeEnforcement,
    UnsupportedPolicies, UnsupportedPolicy, UnverifiedImages,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::problem::Reason;
use policy::text::is_deceptive;

use crate::status::Status;

/// The most characters of a message; the API server takes 32,768 bytes.
const MESSAGE: usize = 4_096;
/// The most characters of a detail, as in the schema.
const DETAIL: usize = 1_024;
/// The most characters of an image's name, as in the schema.
const IMAGE: usize = 512;
/// The most characters of a reason, as in the schema.
const REASON: usize = 64;
/// The most images of a list, as in the schema.
const IMAGES: usize = 10;

/// The status for the object. `generation` is the one that the look was about.
pub(super) fn of(status: &Status, generation: Option<i64>) -> NodeImagePolicyStatus {
    let unsupported = &status.unsupported;
    let none = why_none(status);
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
            detail: none.map(|message| cut(message, DETAIL)),
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
        drift: drift(status),
        refused: refused(status),
        refused_cut: is_cut(status).then_some(true),
        unverified: unverified(status),
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

/// Why the runtime enforces nothing at all: it calls no verifier, or is configured so that pulls go
/// past it. Where a restart is due that mends it, the node waits and its runtime can.
fn why_none(status: &Status) -> Option<&str> {
    let word = Reason::NotEnforcing.as_str();
    let is = |kind: &str, reason: &str| {
        let found = status.condition(kind);
        found.filter(|found| found.status == "False" && found.reason == reason)
    };
    let policies = &status.unsupported.first;
    let said = policies.iter().find(|policy| policy.reason == word);
    let waits = is("Applied", "Pending").is_some();
    let shown = is("Enforcing", word).filter(|_| !waits);
    said.map(|policy| policy.message.as_str())
        .or_else(|| shown.map(|condition| condition.message.as_str()))
}

fn drift(status: &Status) -> Option<Drift> {
    let last = status.last_drift.as_ref();
    (status.drift > 0).then(|| Drift {
        count: i64::try_from(status.drift).unwrap_or(i64::MAX),
        last_time: last.map(|last| Time(last.time)),
        message: last
            .filter(|last| !last.notes.is_empty())
            .map(|last| cut(&last.notes.join("; "), DETAIL)),
    })
}

/// What the schema has room for, each pair once.
fn refused(status: &Status) -> Vec<RefusedImage> {
    let pairs = status.refused.iter().map(|(image, reason)| RefusedImage {
        image: plain(image),
        reason: cut(reason, REASON),
    });
    let mut pairs: Vec<RefusedImage> = pairs.collect();
    pairs.sort();
    pairs.dedup();
    pairs.truncate(IMAGES);
    pairs
}

fn is_cut(status: &Status) -> bool {
    status.refused_cut || status.refused.len() > IMAGES
}

fn unverified(status: &Status) -> Option<UnverifiedImages> {
    let unverified = &status.unverified;
    let names = unverified.names.iter().take(IMAGES);
    (unverified.count > 0).then(|| UnverifiedImages {
        count: i32::try_from(unverified.count).unwrap_or(i32::MAX),
        first: names.map(|name| plain(name)).collect(),
    })
}

/// A name that whoever writes a pod may have chosen, as it may stand on a terminal.
fn plain(image: &str) -> String {
    let shown = |c: char| if is_deceptive(c) { '\u{fffd}' } else { c };
    cut(&image.chars().map(shown).collect::<String>(), IMAGE)
}

/// True when they say the same, whenever they said it first.
pub(super) fn is_same(one: &NodeImagePolicyStatus, other: &NodeImagePolicyStatus) -> bool {
    timeless(one) == timeless(other)
}

fn timeless(status: &NodeImagePolicyStatus) -> NodeImagePolicyStatus {
    let mut status = status.clone();
    status.last_applied_time = None;
    if let Some(drift) = &mut status.drift {
        drift.last_time = None;
    }
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

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
