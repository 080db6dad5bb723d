//! One policy.

use std::collections::BTreeMap;

use crds::types::FailingNode;
use policy::model::PolicyId;
use serde::Serialize;

use super::super::objects::{Condition, PolicyObject, Snapshot};
use super::node::{self, NodeRow};
use super::{PolicyRow, State};

/// What the nodes of one runtime make of a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct RuntimeRow {
    /// Empty where no agent has told.
    pub(in super::super) runtime: String,
    pub(in super::super) version: String,
    /// All nodes that have it, selected by the policy or not.
    pub(in super::super) nodes: usize,
    /// How many of them are ready, with whatever they shall run.
    pub(in super::super) ready: usize,
    /// How many say that they cannot enforce this policy, by reason.
    pub(in super::super) cannot: BTreeMap<String, usize>,
}

/// A policy with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Detail {
    pub(in super::super) ready: bool,
    #[serde(flatten)]
    pub(in super::super) row: PolicyRow,
    pub(in super::super) scopes: Vec<String>,
    pub(in super::super) digest: Option<String>,
    /// Whether the operator has seen the spec as it is.
    pub(in super::super) observed: bool,
    pub(in super::super) conditions: Vec<Condition>,
    pub(in super::super) failing: Vec<FailingNode>,
    pub(in super::super) runtimes: Vec<RuntimeRow>,
    pub(in super::super) notes: Vec<String>,
}

/// One policy of the snapshot.
pub(in super::super) fn detail(
    snapshot: &Snapshot,
    id: &PolicyId,
    object: &PolicyObject,
) -> Detail {
    let row = super::policy(id, object);
    Detail {
        ready: row.state == State::Ready,
        row,
        scopes: object.scopes.clone(),
        digest: object.digest.clone(),
        observed: object.conditions.current,
        conditions: object.conditions.all.clone(),
        failing: object.failing.clone(),
        runtimes: runtimes(snapshot, id),
        notes: snapshot.unseen.clone(),
    }
}

fn runtimes(snapshot: &Snapshot, id: &PolicyId) -> Vec<RuntimeRow> {
    let mut rows: BTreeMap<(String, String), RuntimeRow> = BTreeMap::new();
    for (name, object) in &snapshot.nodes {
        let (runtime, version) = object.runtime.clone().unwrap_or_default();
        let version = version.unwrap_or_default();
        let key = (runtime.clone(), version.clone());
        let row = rows.entry(key).or_insert_with(|| RuntimeRow {
            runtime,
            version,
            nodes: 0,
            ready: 0,
            cannot: BTreeMap::new(),
        });
        let NodeRow { state, .. } = node::row(name, object);
        row.nodes += 1;
        row.ready += usize::from(state == State::Ready);
        // It may stand there once for each thing that the runtime cannot do; the node counts once.
        let about = object
            .unsupported
            .iter()
            .find(|it| it.policy == id.name() && it.namespace.as_deref() == id.namespace());
        if let Some(about) = about {
            *row.cannot.entry(about.reason.clone()).or_default() += 1;
        }
    }
    rows.into_values().collect()
}
