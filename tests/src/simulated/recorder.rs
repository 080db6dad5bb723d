//! What nodes went through, from the events of their `NodeImagePolicies`: how many were in change at
//! once, and which bundles each was given in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use crds::NodeImagePolicy;
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::task::JoinHandle;

/// What is known of one node.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// The bundles that it was given, in order.
    given: Vec<String>,
    /// The bundles that it said to run, in order.
    ran: Vec<String>,
    /// It has not said yet that it is ready under the last of them.
    in_change: bool,
    /// When it was seen to be ready under the last of them.
    ready: Option<Instant>,
    /// It has said that it could not apply it.
    failed: bool,
}

/// What was seen since the beginning, or since [`Recorder::begin`].
#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<String, Seen>,
    /// The most nodes that were in change at once.
    most: usize,
    /// And which.
    which: BTreeSet<String>,
}

/// Watches all nodes until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Begins to watch.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let seen = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let api = Api::<NodeImagePolicy>::all(client);
            let mut events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
            while let Some(event) = events.next().await {
                let mut state = lock(&seen);
                match event {
                    Ok(watcher::Event::Apply(own) | watcher::Event::InitApply(own)) => {
                        state.take(&own);
                    }
                    Ok(watcher::Event::Delete(own)) => {
                        let name = own.metadata.name.unwrap_or_default();
                        state.nodes.remove(&name);
                    }
                    // It begins again by itself.
                    Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
                }
            }
        });
        Self { state, task }
    }

    /// Forgets what nodes went through until now; where they stand stays known.
    pub fn begin(&self) {
        let mut state = lock(&self.state);
        for seen in state.nodes.values_mut() {
            for all in [&mut seen.given, &mut seen.ran] {
                let last = all.pop();
                *all = last.into_iter().collect();
            }
        }
        state.most = 0;
        state.which.clear();
        state.count();
    }

    /// The most nodes that were in change at once: that had been given a bundle, had not said yet that
    /// they are ready under it, and had not failed either.
    #[must_use]
    pub fn most_in_change(&self) -> usize {
        lock(&self.state).most
    }

    /// Which nodes are in change now.
    #[must_use]
    pub fn in_change(&self) -> BTreeSet<String> {
        let state = lock(&self.state);
        let nodes = state.nodes.iter().filter(|(_, seen)| seen.in_change);
        nodes.map(|(name, _)| name.clone()).collect()
    }

    /// How many nodes have been given this bundle and are ready under it.
    #[must_use]
    pub fn ready_under(&self, bundle: &str) -> usize {
        let state = lock(&self.state);
        let is_there =
            |seen: &&Seen| !seen.in_change && seen.given.last().is_some_and(|last| last == bundle);
        state.nodes.values().filter(is_there).count()
    }

    /// When each node was seen to be ready under the last bundle that it was given, where it is.
    #[must_use]
    pub fn ready_since(&self) -> BTreeMap<String, Instant> {
        let state = lock(&self.state);
        let nodes = state.nodes.iter();
        nodes
            .filter_map(|(name, seen)| Some((name.clone(), seen.ready?)))
            .collect()
    }

    /// The bundles that each node was given, in order.
    #[must_use]
    pub fn given(&self) -> BTreeMap<String, Vec<String>> {
        let state = lock(&self.state);
        let nodes = state.nodes.iter();
        nodes
            .map(|(name, seen)| (name.clone(), seen.given.clone()))
            .collect()
    }

    /// The bundles that each node said to run, in order.
    #[must_use]
    pub fn ran(&self) -> BTreeMap<String, Vec<String>> {
        let state = lock(&self.state);
        let nodes = state.nodes.iter();
        nodes
            .map(|(name, seen)| (name.clone(), seen.ran.clone()))
            .collect()
    }

    /// Fails if more nodes were ever in change at once than the limit of the rollout allows.
    pub fn check(&self, limit: usize) -> Result<()> {
        let state = lock(&self.state);
        let (most, which) = (state.most, &state.which);
        ensure!(
            most <= limit,
            "{most} nodes were in change at once, {limit} may be: {which:?}"
        );
        Ok(())
    }

    /// Fails if a node was given a bundle again after it had been given another: nothing but a
    /// rollout that halts may do that.
    pub fn check_no_way_back(&self) -> Result<()> {
        for (node, given) in self.given() {
            let mut before = BTreeSet::new();
            for bundle in &given {
                ensure!(before.insert(bundle), "{node} went back: {given:?}");
            }
        }
        Ok(())
    }
}

impl State {
    fn take(&mut self, own: &NodeImagePolicy) {
        let name = own.metadata.name.clone().unwrap_or_default();
        let status = own.status.clone().unwrap_or_default();
        let condition = |kind: &str| {
            let found = status.conditions.iter().find(|found| found.type_ == kind);
            found.map_or("", |found| found.status.as_str())
        };
        let current = status.observed_generation == own.metadata.generation;
        let applied = status.applied_bundle.as_ref() == Some(&own.spec.bundle);
        let ready = current && applied && condition("Ready") == "True";
        let seen = self.nodes.entry(name).or_default();
        if seen.given.last() != Some(&own.spec.bundle) {
            seen.given.push(own.spec.bundle.clone());
            seen.ready = None;
        }
        if let Some(ran) = status.applied_bundle
            && seen.ran.last() != Some(&ran)
        {
            seen.ran.push(ran);
        }
        seen.failed = current && condition("Applied") == "False";
        seen.in_change = !ready && !seen.failed;
        seen.ready = seen.ready.filter(|_| ready).or(ready.then(Instant::now));
        self.count();
    }

    fn count(&mut self) {
        let now = self.nodes.values().filter(|seen| seen.in_change).count();
        if now > self.most {
            self.most = now;
            let nodes = self.nodes.iter().filter(|(_, seen)| seen.in_change);
            self.which = nodes.map(|(name, _)| name.clone()).collect();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own(node: &str, given: &str, applied: Option<&str>, says: (&str, &str)) -> NodeImagePolicy {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": "X", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions = [condition("Applied", says.0), condition("Ready", says.1)];
        let object = json!({
            "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
            "metadata": { "name": node, "generation": 1 },
            "spec": { "bundle": given },
            "status": {
                "observedGeneration": 1, "appliedBundle": applied, "conditions": conditions,
            },
        });
        serde_json::from_value(object).unwrap()
    }

    #[tokio::test]
    async fn nodes_are_in_change_until_they_are_ready_or_failed() {
        let recorder = Recorder {
            state: Arc::default(),
            task: tokio::spawn(async {}),
        };
        let take = |own: NodeImagePolicy| lock(&recorder.state).take(&own);
        let ready = |node: &str, bundle: &str| own(node, bundle, Some(bundle), ("True", "True"));
        take(ready("a", "1"));
        take(ready("b", "1"));
        assert_eq!(recorder.most_in_change(), 0);
        take(own("a", "2", Some("1"), ("True", "True")));
        take(own("b", "2", Some("1"), ("True", "True")));
        take(ready("a", "2"));
        take(own("b", "2", Some("1"), ("False", "False")));
        assert!(recorder.in_change().is_empty());
        recorder.check(2).unwrap();
        let error = recorder.check(1).unwrap_err().to_string();
        assert!(
            error.contains("2 nodes were in change at once, 1 may be"),
            "{error}"
        );
        assert_eq!(recorder.ran()["a"], ["1", "2"]);
        assert_eq!(recorder.ran()["b"], ["1"], "it goes on running that");
        recorder.check_no_way_back().unwrap();
        take(ready("a", "1"));
        assert!(recorder.check_no_way_back().is_err());
        recorder.begin();
        recorder.check_no_way_back().unwrap();
        recorder.check(0).unwrap();
        assert_eq!(recorder.ready_under("1"), 1, "b has failed under another");
    }
}
