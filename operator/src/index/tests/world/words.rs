//! What the tests say in words.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::aggregate::{Finding, Report, Truth};
use policy::model::PolicyId;

use crate::index::{Change, Event, PolicyObject, Runtime, Write};

pub(crate) fn words_of(conditions: &[Condition], kind: &str) -> String {
    let found = conditions.iter().find(|condition| condition.type_ == kind);
    found.map_or_else(String::new, |found| {
        format!("{} {}", found.status, found.reason)
    })
}

pub(crate) fn policy_event(change: Change<PolicyObject>) -> Event {
    let id = match &change {
        Change::Apply(object) | Change::Delete(object) => &object.id,
        Change::Reset(_) => unreachable!(),
    };
    match id {
        PolicyId::Cluster { .. } => Event::ClusterPolicy(change),
        PolicyId::Namespaced { .. } => Event::Policy(change),
    }
}

pub(crate) fn runtime(name: &str, version: &str) -> Runtime {
    Runtime {
        name: name.to_owned(),
        version: version.to_owned(),
    }
}

pub(crate) fn report(applied: Truth, reason: &str, ready: Truth) -> Report {
    Report {
        applied,
        applied_finding: Finding::new(reason, "said the agent"),
        enforcing: Truth::Unknown,
        enforcing_finding: Finding::new("NotProbed", "not yet"),
        ready,
    }
}

/// What writes are about, in a word each.
pub(crate) fn kinds(writes: &[Write]) -> Vec<String> {
    let word = |write: &Write| match write {
        Write::CreateBundle { .. } => "create".to_owned(),
        Write::SetBundle { node, .. } => format!("set {node}"),
        Write::Taint { node, taints, .. } => {
            let one = |word, has| if has { word } else { "-" };
            let (ready, enforcing) = (taints.not_ready, taints.not_enforcing);
            format!("taint {node} {}{}", one("r", ready), one("e", enforcing))
        }
        Write::PolicyStatus {
            id, counts_only, ..
        } => format!("{} {id}", if *counts_only { "count" } else { "status" }),
        Write::TrustRootStatus { name, .. } => format!("root {name}"),
        Write::ConfigStatus { .. } => "config".to_owned(),
        Write::DeleteBundle { .. } => "delete".to_owned(),
        Write::TufState { name, .. } => format!("keep {name}"),
        Write::Notice(notice) => {
            let (kind, name) = (notice.kind.as_str(), notice.object_name());
            format!("{kind} {name}")
        }
    };
    writes.iter().map(word).collect()
}
