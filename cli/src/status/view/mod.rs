//! From objects to what is shown: pure, so that every text and every document comes of one model.
//!
//! The worst stands first, and of what is long only that much is kept: the counts are of all.

mod detail;
mod node;

use std::collections::BTreeMap;

use jiff::Timestamp;
use policy::model::PolicyId;
use serde::Serialize;

use super::objects::{Conditions, PolicyObject, RootObject, Snapshot};

pub(super) use detail::{Detail, RuntimeRow, detail};
pub(super) use node::NodeRow;

/// How many rows of one table are shown unless all are asked for.
pub(super) const SHOWN: usize = 20;
/// How many objects that lag are told about one by one.
const TOLD: usize = 10;
/// How many nodes stand behind a reason that they share.
const NAMED: usize = 3;

/// How an object is. The worst is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// It needs a person.
    Failed,
    /// It is on its way.
    Waiting,
    /// It is as it should be.
    Ready,
}

/// Whose rows are all shown, however many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct All {
    pub(super) policies: bool,
    pub(super) nodes: bool,
}

/// How many of them all are ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Count {
    pub(super) ready: usize,
    pub(super) waiting: usize,
    pub(super) failed: usize,
    pub(super) total: usize,
}

/// The worst rows of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rows<T> {
    #[serde(flatten)]
    pub(super) count: Count,
    /// How many of them are not among `items`.
    pub(super) hidden: usize,
    pub(super) items: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PolicyRow {
    /// `name`, or `namespace/name`.
    pub(super) policy: String,
    pub(super) state: State,
    /// The status of `Ready`; `Unknown` where there is none, or it is about an older spec.
    #[serde(rename = "status")]
    pub(super) ready: String,
    /// `updated/selected`.
    pub(super) nodes: String,
    pub(super) mode: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) failed: i32,
    pub(super) unsupported: i32,
    pub(super) unreachable: i32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RootRow {
    pub(super) trust_root: String,
    pub(super) state: State,
    #[serde(rename = "status")]
    pub(super) ready: String,
    pub(super) source: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) earliest_expiry: Option<Timestamp>,
    pub(super) last_refresh: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    /// Whether there is an `EnforcementConfig`.
    pub(super) present: bool,
    pub(super) state: State,
    /// `Enabled`, or `Disabled`: the emergency stop.
    pub(super) enforcement: &'static str,
    pub(super) default_action: &'static str,
    pub(super) max_unavailable: Option<String>,
    pub(super) paused: bool,
    /// How many policies say that their rollout was halted.
    pub(super) halted: usize,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What lags, why, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lag {
    /// `policy`, `node` or `trustRoot`.
    pub(super) kind: &'static str,
    pub(super) state: State,
    pub(super) reason: String,
    /// How many share the reason.
    pub(super) count: usize,
    /// The first of them.
    pub(super) names: Vec<String>,
    /// What the first of them says.
    pub(super) message: String,
    pub(super) advice: String,
}

/// A cluster at a glance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// Whether everything is as it should be.
    pub(super) ready: bool,
    pub(super) configuration: Configuration,
    pub(super) policies: Rows<PolicyRow>,
    pub(super) nodes: Rows<NodeRow>,
    pub(super) trust_roots: Rows<RootRow>,
    pub(super) lagging: Vec<Lag>,
    pub(super) notes: Vec<String>,
}

/// Looks at everything.
pub(super) fn view(snapshot: &Snapshot, all: All) -> View {
    let policies: Vec<PolicyRow> = snapshot
        .policies
        .iter()
        .map(|(id, object)| policy(id, object))
        .collect();
    let nodes: Vec<NodeRow> = snapshot
        .nodes
        .iter()
        .map(|(name, object)| node::row(name, object))
        .collect();
    let roots: Vec<RootRow> = snapshot
        .roots
        .iter()
        .map(|(name, object)| root(name, object))
        .collect();
    let configuration = configuration(snapshot, &policies);
    let mut lagging: Vec<Lag> = policies
        .iter()
        .filter(|row| row.state != State::Ready)
        .map(lag_of_policy)
        .collect();
    lagging.sort_by(|a, b| (a.state, &a.names).cmp(&(b.state, &b.names)));
    lagging.truncate(TOLD);
    lagging.extend(node::lags(&nodes));
    let stale_roots = roots.iter().filter(|row| row.state != State::Ready);
    lagging.extend(stale_roots.take(TOLD).map(lag_of_root));
    let policies = rows(policies, |row| row.state, all.policies);
    let nodes = rows(nodes, |row| row.state, all.nodes);
    let trust_roots = rows(roots, |row| row.state, all.policies);
    let is_whole = |count: Count| count.ready == count.total;
    View {
        ready: is_whole(policies.count)
            && is_whole(nodes.count)
            && is_whole(trust_roots.count)
            && configuration.state == State::Ready,
        configuration,
        policies,
        nodes,
        trust_roots,
        lagging,
        notes: notes(snapshot),
    }
}

fn rows<T>(mut items: Vec<T>, state: impl Fn(&T) -> State, all: bool) -> Rows<T> {
    let mut count = Count {
        total: items.len(),
        ..Count::default()
    };
    for item in &items {
        match state(item) {
            State::Failed => count.failed += 1,
            State::Waiting => count.waiting += 1,
            State::Ready => count.ready += 1,
        }
    }
    // They come sorted by name, and stay so within a state.
    items.sort_by_key(|item| state(item));
    if !all {
        items.truncate(SHOWN);
    }
    Rows {
        hidden: count.total - items.len(),
        count,
        items,
    }
}

/// What `Ready` says about the spec as it is, in words where it says nothing.
fn ready(conditions: &Conditions, unreadable: Option<&String>) -> (State, String, String, String) {
    let say = |state, status: &str, reason: &str, message: String| {
        (state, status.to_owned(), reason.to_owned(), message)
    };
    if let Some(why) = unreadable {
        let message = format!(
            "this version of nodeseal cannot read the object ({why}): use the version that the cluster has"
        );
        return say(State::Failed, "Unknown", "Unreadable", message);
    }
    let Some(found) = conditions.get("Ready").filter(|_| conditions.current) else {
        let message = "the operator has not answered to it yet: see whether it runs, `kubectl -n nodeseal-system get pods`";
        return say(State::Waiting, "Unknown", "NotSeen", message.to_owned());
    };
    let stalled = conditions.get("Stalled").filter(|it| it.status == "True");
    let state = match (stalled, found.status.as_str(), found.reason.as_str()) {
        (Some(_), _, _) | (None, "False", "NodesFailed") => State::Failed,
        (None, "True", _) => State::Ready,
        _ if conditions.is_true("Reconciling") => State::Waiting,
        (None, "False", _) => State::Failed,
        _ => State::Waiting,
    };
    // A policy that is in force everywhere may still need a person.
    let why = stalled.filter(|_| found.status == "True").unwrap_or(found);
    say(state, &found.status, &why.reason, why.message.clone())
}

fn policy(id: &PolicyId, object: &PolicyObject) -> PolicyRow {
    let (state, ready, reason, message) = ready(&object.conditions, object.unreadable.as_ref());
    let counts = &object.counts;
    PolicyRow {
        policy: id.to_string(),
        state,
        ready,
        nodes: if counts.summary.is_empty() {
            "-".to_owned()
        } else {
            counts.summary.clone()
        },
        mode: object.mode,
        reason,
        message,
        failed: counts.failed,
        unsupported: counts.unsupported,
        unreachable: counts.unreachable,
    }
}

fn root(name: &str, object: &RootObject) -> RootRow {
    let (state, ready, reason, message) = ready(&object.conditions, object.unreadable.as_ref());
    RootRow {
        trust_root: name.to_owned(),
        state,
        ready,
        source: object.source,
        reason,
        message,
        earliest_expiry: object.expires,
        last_refresh: object.refreshed,
    }
}

fn configuration(snapshot: &Snapshot, policies: &[PolicyRow]) -> Configuration {
    let halted = policies.iter().filter(|row| row.reason == "RolloutHalted");
    let mut answer = Configuration {
        present: snapshot.config.is_some(),
        state: State::Ready,
        enforcement: "Enabled",
        default_action: "Allow",
        max_unavailable: None,
        paused: false,
        halted: halted.count(),
        reason: String::new(),
        message: String::new(),
    };
    let Some(config) = &snapshot.config else {
        return answer;
    };
    answer.paused = config.paused;
    answer.max_unavailable = Some(config.max_unavailable.clone());
    if config.rejects {
        answer.default_action = "Reject";
    }
    // It has no `Ready` where the operator finds nothing to say.
    let is_told = config.conditions.get("Ready").is_some() || !config.conditions.current;
    if is_told || config.unreadable.is_some() {
        let (state, _, reason, message) = ready(&config.conditions, config.unreadable.as_ref());
        (answer.state, answer.reason, answer.message) = (state, reason, message);
    }
    if config.stopped {
        answer.enforcement = "Disabled";
        answer.state = State::Failed;
        "Disabled".clone_into(&mut answer.reason);
        "the emergency stop is on and nothing is enforced: set spec.enforcement of the EnforcementConfig to Enabled".clone_into(&mut answer.message);
    }
    answer
}

fn lag_of_policy(row: &PolicyRow) -> Lag {
    let id = &row.policy;
    let advice = match row.reason.as_str() {
        "NodesFailed"
        | "RolloutHalted"
        | "RollingOut"
        | "NotExpressible"
        | "NotEnforcing"
        | "NamespacedUnsupported"
        | "AuditUnsupported"
        | "RuntimeUnknown" => {
            format!("nodeseal status {id}")
        }
        _ => String::new(),
    };
    Lag {
        kind: "policy",
        state: row.state,
        reason: row.reason.clone(),
        count: 1,
        names: vec![id.clone()],
        message: row.message.clone(),
        advice,
    }
}

fn lag_of_root(row: &RootRow) -> Lag {
    Lag {
        kind: "trustRoot",
        state: row.state,
        reason: row.reason.clone(),
        count: 1,
        names: vec![row.trust_root.clone()],
        message: row.message.clone(),
        advice: String::new(),
    }
}

fn notes(snapshot: &Snapshot) -> Vec<String> {
    let mut notes = snapshot.unseen.clone();
    let nodes_are_seen = snapshot
        .unseen
        .iter()
        .all(|what| !what.contains("nodeimage"));
    if snapshot.nodes.is_empty() && nodes_are_seen {
        notes.push("there is no NodeImagePolicy: the operator makes one for each node, see whether it runs, `kubectl -n nodeseal-system get pods`".to_owned());
    }
    let unverified = snapshot.nodes.values().filter(|node| node.unverified > 0);
    let (with, images) = unverified.fold((0, 0_i64), |(with, images), node| {
        (with + 1, images + i64::from(node.unverified))
    });
    if with > 0 {
        notes.push(format!(
            "on {with} nodes there are {images} covered images that no verdict let in; status.unverified of their NodeImagePolicy names them"
        ));
    }
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    let told = snapshot.nodes.values();
    for version in told.filter_map(|node| node.agent_version.as_deref()) {
        *versions.entry(version).or_default() += 1;
    }
    if versions.len() > 1 {
        let shown: Vec<String> = versions
            .iter()
            .take(TOLD)
            .map(|(version, count)| format!("{version} on {count}"))
            .collect();
        notes.push(format!(
            "nodes have agents of several versions: {}",
            shown.join(", ")
        ));
    }
    notes
}
