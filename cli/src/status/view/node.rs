//! One node, as its agent tells.

use std::collections::BTreeMap;

use policy::aggregate::{Finding, Report, Truth};
use serde::Serialize;

use super::super::objects::{Conditions, NodeObject};
use super::{Lag, NAMED, State, TOLD};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct NodeRow {
    pub(in super::super) node: String,
    pub(in super::super) state: State,
    #[serde(rename = "status")]
    pub(in super::super) ready: String,
    pub(in super::super) runtime: Option<String>,
    pub(in super::super) version: Option<String>,
    pub(in super::super) desired: Option<String>,
    pub(in super::super) applied: Option<String>,
    pub(in super::super) enforcing: String,
    pub(in super::super) reason: String,
    pub(in super::super) message: String,
}

pub(super) fn row(name: &str, object: &NodeObject) -> NodeRow {
    let (state, reason, message) = judge(object);
    let status = |kind: &str| {
        let found = object.conditions.get(kind);
        found.map_or_else(|| "Unknown".to_owned(), |found| found.status.clone())
    };
    let (runtime, version) = object.runtime.clone().unzip();
    NodeRow {
        node: name.to_owned(),
        state,
        ready: status("Ready"),
        runtime,
        version: version.flatten(),
        desired: object.desired.clone(),
        applied: object.applied.clone(),
        enforcing: status("Enforcing"),
        reason,
        message,
    }
}

/// The order is the operator's own ([`policy::aggregate`]): what failed, what waits, what runs something
/// else.
fn judge(object: &NodeObject) -> (State, String, String) {
    let say = |state, reason: &str, message: &str| (state, reason.to_owned(), message.to_owned());
    let of = |state, finding: &Finding| (state, finding.reason.clone(), finding.message.clone());
    if let Some(why) = &object.unreadable {
        return say(State::Failed, "Unreadable", why);
    }
    if let Some(detail) = &object.powerless {
        return say(State::Failed, "NotEnforcing", detail);
    }
    let Some(report) = report(&object.conditions) else {
        let message = "the agent of this node has not reported yet";
        return say(State::Waiting, "NotReported", message);
    };
    let waits = report.waits();
    if report.applied == Truth::False && waits.is_none() {
        return of(State::Failed, &report.applied_finding);
    }
    if let Some(finding) = report.unenforced() {
        return of(State::Failed, finding);
    }
    if report.is_disabled() {
        return of(State::Waiting, &report.enforcing_finding);
    }
    if let Some(finding) = waits {
        return of(State::Waiting, finding);
    }
    if object.applied != object.desired || !object.conditions.current {
        let message = "the agent has not applied its bundle yet";
        return say(State::Waiting, "RollingOut", message);
    }
    let Some(ready) = object.conditions.get("Ready") else {
        return say(State::Waiting, "NotReported", "the agent says nothing yet");
    };
    let state = if report.ready == Truth::True {
        State::Ready
    } else {
        State::Waiting
    };
    say(state, &ready.reason, &ready.message)
}

fn report(conditions: &Conditions) -> Option<Report> {
    Report::from_conditions(|kind| {
        let found = conditions.get(kind)?;
        let finding = Finding::new(found.reason.clone(), found.message.clone());
        Some((Truth::parse(&found.status), finding))
    })
}

/// The nodes that lag, by their reason: a fleet that fails fails for a handful of reasons.
pub(super) fn lags(nodes: &[NodeRow]) -> Vec<Lag> {
    let mut groups: BTreeMap<(State, &str), Vec<&NodeRow>> = BTreeMap::new();
    for row in nodes.iter().filter(|row| row.state != State::Ready) {
        groups
            .entry((row.state, &row.reason))
            .or_default()
            .push(row);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|((state, _), rows)| (*state, std::cmp::Reverse(rows.len())));
    groups.truncate(TOLD);
    let lag = |((state, reason), rows): ((State, &str), Vec<&NodeRow>)| {
        let names = rows.iter().take(NAMED).map(|row| row.node.clone());
        let first = rows.first();
        Lag {
            kind: "node",
            state,
            reason: reason.to_owned(),
            count: rows.len(),
            names: names.collect(),
            message: first.map(|row| row.message.clone()).unwrap_or_default(),
            advice: first
                .map(|row| advice(reason, &row.node))
                .unwrap_or_default(),
        }
    };
    groups.into_iter().map(lag).collect()
}

fn advice(reason: &str, node: &str) -> String {
    match reason {
        "NotReported" => {
            "see whether the agent runs on it: `kubectl -n nodeseal-system get pods -o wide`"
                .to_owned()
        }
        "RollingOut" => "nothing to do unless it stays so".to_owned(),
        "BundleTooNew" => {
            "upgrade the agent there; until then the node keeps what it has".to_owned()
        }
        "Disabled" => String::new(),
        _ => format!("kubectl describe nodeimagepolicy {node}"),
    }
}
