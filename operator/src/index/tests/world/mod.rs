//! A cluster without a server: it does what the index asks for, as an API server would.

use std::collections::BTreeMap;

use crds::types::{
    Authority, EnforcementConfigSpec, KeyRef, KeySource, LabelValue, NodeSelector, OnUnsupported,
    PolicySpec, Rollout, Share, TrustRootSpec,
};
use jiff::{SignedDuration, Timestamp};
use policy::aggregate::{Report, Truth};
use policy::bundle::Bundle;
use policy::model::PolicyId;

use crate::index::{
    BundleObject, Change, ConfigObject, Event, Fetched, Found, Index, Meta, News, NodeObject,
    NodePolicyObject, Notice, Options, PolicyObject, STATE_KEY, Source, SpecObject, Taints,
    TrustRootObject, Write,
};
use crate::rollout::Record;

mod perform;
mod words;

pub(super) use self::words::{kinds, report, runtime};
use self::words::{policy_event, words_of};

pub(super) const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
     URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
     -----END PUBLIC KEY-----\n";
pub(super) const OTHER_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqLPdota9VZsvgcOXMVsV/shnMH/v\n\
     xX8elaSApq87V3nsCnhKxC1iWtQBDrniuHyY4RCNhvERZvkUrzZ2du3eLg==\n\
     -----END PUBLIC KEY-----\n";

pub(super) fn cluster(name: &str) -> PolicyId {
    PolicyId::Cluster {
        name: name.to_owned(),
    }
}

pub(super) fn namespaced(namespace: &str, name: &str) -> PolicyId {
    PolicyId::Namespaced {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// A spec with one authority that has a key in it.
pub(super) fn spec(scope: &str) -> SpecObject {
    let policy = serde_json::json!({
        "scopes": [scope],
        "authorities": [{ "name": "a", "key": { "data": KEY } }],
    });
    SpecObject {
        policy: serde_json::from_value::<PolicySpec>(policy).unwrap(),
        node_selector: None,
        on_unsupported: OnUnsupported::Ignore,
    }
}

pub(super) fn selecting(mut spec: SpecObject, key: &str, value: &str) -> SpecObject {
    let match_labels = BTreeMap::from([(key.to_owned(), LabelValue(value.to_owned()))]);
    spec.node_selector = Some(NodeSelector {
        match_labels,
        match_expressions: Vec::new(),
    });
    spec
}

/// The spec with its key in a `ConfigMap` or Secret.
pub(super) fn referring(mut spec: SpecObject, source: &Source) -> SpecObject {
    let key_ref = Some(KeyRef {
        name: source.name.clone(),
        key: "key.pub".to_owned(),
        namespace: Some(source.namespace.clone()),
    });
    let mut key = KeySource::default();
    match source.holder {
        crds::convert::Holder::ConfigMap => key.config_map_key_ref = key_ref,
        crds::convert::Holder::Secret => key.secret_key_ref = key_ref,
    }
    spec.policy.authorities = vec![Authority {
        name: "a".to_owned(),
        key: Some(key),
        keyless: None,
        certificate: None,
        transparency_log: None,
    }];
    spec
}

pub(super) fn found(text: &str) -> Fetched {
    let values = BTreeMap::from([("key.pub".to_owned(), Some(Ok(text.to_owned())))]);
    Fetched::Found(Found {
        values,
        known: vec!["key.pub".to_owned()],
    })
}

/// A `ConfigMap` with what is known of a TUF repository.
pub(super) fn kept(text: &str) -> Fetched {
    let key = || STATE_KEY.to_owned();
    Fetched::Found(Found {
        values: BTreeMap::from([(key(), Some(Ok(text.to_owned())))]),
        known: vec![key()],
    })
}

fn unlimited() -> Share {
    Share::Percent("100%".to_owned())
}

/// The cluster.
pub(super) struct World {
    pub(super) index: Index,
    pub(super) now: Timestamp,
    counter: u64,
    /// Whether nodes change few at a time, as they do by default. Tests of other things let them
    /// change all at once.
    limited: bool,
    pub(super) policies: BTreeMap<PolicyId, PolicyObject>,
    pub(super) trust_roots: BTreeMap<String, TrustRootObject>,
    pub(super) config: Option<ConfigObject>,
    pub(super) nodes: BTreeMap<String, NodeObject>,
    pub(super) node_policies: BTreeMap<String, NodePolicyObject>,
    pub(super) bundles: BTreeMap<String, BundleObject>,
    pub(super) sources: BTreeMap<Source, Fetched>,
    /// By namespace and name.
    pub(super) events: BTreeMap<(String, String), Notice>,
}

impl World {
    /// An empty cluster that the index has listed.
    pub(super) fn new() -> Self {
        let mut world = Self {
            index: Index::default(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            counter: 0,
            limited: false,
            policies: BTreeMap::new(),
            trust_roots: BTreeMap::new(),
            config: None,
            nodes: BTreeMap::new(),
            node_policies: BTreeMap::new(),
            bundles: BTreeMap::new(),
            sources: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        world.restart();
        world
    }

    /// The same, with nodes that change few at a time.
    pub(super) fn limited() -> Self {
        let mut world = Self::new();
        world.limited = true;
        world.restart();
        world
    }

    /// A new process lists everything.
    pub(super) fn restart(&mut self) {
        let mut options = Options::default();
        if !self.limited {
            options.rollout.max_unavailable = unlimited();
        }
        self.index = Index::new(options);
        self.resync();
    }

    /// Every list is read again.
    pub(super) fn resync(&mut self) {
        let of = |namespaced: bool| -> Vec<PolicyObject> {
            let all = self.policies.values();
            all.filter(|object| object.id.namespace().is_some() == namespaced)
                .cloned()
                .collect()
        };
        let events = [
            Event::ClusterPolicy(Change::Reset(of(false))),
            Event::Policy(Change::Reset(of(true))),
            Event::TrustRoot(Change::Reset(self.trust_roots.values().cloned().collect())),
            Event::Config(Change::Reset(self.config.iter().cloned().collect())),
            Event::Node(Change::Reset(self.nodes.values().cloned().collect())),
            Event::NodePolicy(Change::Reset(
                self.node_policies.values().cloned().collect(),
            )),
            Event::Bundle(Change::Reset(self.bundles.values().cloned().collect())),
        ];
        for event in events {
            self.index.apply(event);
        }
        for (source, fetched) in &self.sources {
            self.index
                .apply(Event::Source(source.clone(), fetched.clone()));
        }
    }

    fn meta(&mut self, before: Option<&Meta>, new_spec: bool) -> Meta {
        self.counter += 1;
        let version = self.counter;
        let uid = || format!("uid-{version}");
        Meta {
            uid: before.map_or_else(uid, |before| before.uid.clone()),
            version,
            generation: before.map_or(1, |before| before.generation + i64::from(new_spec)),
            created: before.map_or(self.now, |before| before.created),
        }
    }

    pub(super) fn apply_policy(&mut self, id: &PolicyId, spec: SpecObject) {
        let before = self.policies.get(id).cloned();
        let meta = self.meta(before.as_ref().map(|object| &object.meta), true);
        let status = before.map(|object| object.status).unwrap_or_default();
        let object = PolicyObject {
            id: id.clone(),
            meta,
            spec: Ok(spec),
            status,
        };
        self.tell_policy(object);
    }

    fn tell_policy(&mut self, object: PolicyObject) -> Event {
        self.policies.insert(object.id.clone(), object.clone());
        let event = policy_event(Change::Apply(object));
        self.index.apply(event.clone());
        event
    }

    pub(super) fn delete_policy(&mut self, id: &PolicyId) {
        let object = self.policies.remove(id).unwrap();
        self.index.apply(policy_event(Change::Delete(object)));
    }

    pub(super) fn apply_root(&mut self, name: &str, spec: TrustRootSpec) {
        self.apply_root_or(name, Ok(spec));
    }

    /// The spec, or why it cannot be read.
    pub(super) fn apply_root_or(&mut self, name: &str, spec: Result<TrustRootSpec, String>) {
        let before = self.trust_roots.get(name).cloned();
        let meta = self.meta(before.as_ref().map(|object| &object.meta), true);
        let object = TrustRootObject {
            name: name.to_owned(),
            meta,
            spec,
            status: before.map(|object| object.status).unwrap_or_default(),
        };
        self.tell_root(object);
    }

    fn tell_root(&mut self, object: TrustRootObject) -> Event {
        self.trust_roots.insert(object.name.clone(), object.clone());
        let event = Event::TrustRoot(Change::Apply(object));
        self.index.apply(event.clone());
        event
    }

    pub(super) fn delete_root(&mut self, name: &str) {
        let object = self.trust_roots.remove(name).unwrap();
        self.index.apply(Event::TrustRoot(Change::Delete(object)));
    }

    pub(super) fn configure(&mut self, mut spec: EnforcementConfigSpec) {
        if !self.limited && spec.rollout.max_unavailable == Rollout::default().max_unavailable {
            spec.rollout.max_unavailable = unlimited();
        }
        let before = self.config.clone();
        let meta = self.meta(before.as_ref().map(|object| &object.meta), true);
        let object = ConfigObject {
            meta,
            spec: Ok(spec),
            retry: before.as_ref().and_then(|object| object.retry.clone()),
            confirm: before.as_ref().and_then(|object| object.confirm.clone()),
            status: before.map(|object| object.status).unwrap_or_default(),
        };
        self.config = Some(object.clone());
        self.index.apply(Event::Config(Change::Apply(object)));
    }

    /// Somebody sets the annotations of the configuration.
    pub(super) fn annotate(&mut self, retry: Option<&str>, confirm: Option<&str>) {
        let mut object = self.config.clone().unwrap();
        object.meta = self.meta(Some(&object.meta), false);
        object.retry = retry.map(str::to_owned);
        object.confirm = confirm.map(str::to_owned);
        self.config = Some(object.clone());
        self.index.apply(Event::Config(Change::Apply(object)));
    }

    pub(super) fn delete_config(&mut self) {
        let object = self.config.take().unwrap();
        self.index.apply(Event::Config(Change::Delete(object)));
    }

    /// A node with containerd 2.2.1 that joined long ago.
    pub(super) fn join(&mut self, name: &str, labels: &[(&str, &str)]) {
        let mut meta = self.meta(None, true);
        meta.version = 0;
        meta.created = self.now - SignedDuration::from_hours(1);
        let labels = labels.iter();
        let node = NodeObject {
            name: name.to_owned(),
            meta,
            labels: labels
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            reachable: true,
            runtime: Some(runtime("containerd", "2.2.1")),
            taints: Taints::default(),
        };
        self.change_node(node);
    }

    pub(super) fn change_node(&mut self, node: NodeObject) {
        self.nodes.insert(node.name.clone(), node.clone());
        self.index.apply(Event::Node(Change::Apply(node)));
    }

    pub(super) fn source(&mut self, source: &Source, fetched: Fetched) {
        self.sources.insert(source.clone(), fetched.clone());
        self.index.apply(Event::Source(source.clone(), fetched));
    }

    /// The agents of all nodes apply what they shall run.
    pub(super) fn agents_apply(&mut self) {
        let names: Vec<String> = self.node_policies.keys().cloned().collect();
        for name in names {
            let own = &self.node_policies[&name];
            if own.applied != own.bundle {
                let report = report(Truth::True, "Applied", Truth::True);
                self.agent_reports(&name, true, report);
            }
        }
    }

    /// The agent of a node reports, and has applied what it shall run if `applied`.
    pub(super) fn agent_reports(&mut self, name: &str, applied: bool, report: Report) {
        let mut own = self.node_policies[name].clone();
        if applied {
            own.previous = own.applied.take();
            own.applied = own.bundle.clone();
        }
        let ready = report.ready == Truth::True;
        own.broke = own.broke.or(Some(self.now)).filter(|_| !ready);
        own.report = Some(report);
        own.observed = Some(own.meta.generation);
        self.change_node_policy(own);
    }

    /// Somebody writes this object.
    pub(super) fn change_node_policy(&mut self, mut own: NodePolicyObject) {
        own.meta = self.meta(Some(&own.meta), false);
        self.node_policies.insert(own.name.clone(), own.clone());
        self.index.apply(Event::NodePolicy(Change::Apply(own)));
    }

    /// What the index asks for now, undone.
    pub(super) fn ask(&mut self) -> Vec<Write> {
        // Of no TUF repository anything is kept before it is written.
        for source in self.index.wanted().into_keys() {
            if source.name.starts_with("nodeseal-tuf-") && !self.sources.contains_key(&source) {
                self.source(&source, Fetched::Missing);
            }
        }
        self.index.reconcile(self.now)
    }

    /// Does what the index asks for until it asks for nothing more.
    pub(super) fn settle(&mut self) -> Vec<Write> {
        let mut all = Vec::new();
        for _ in 0..10 {
            let writes = self.ask();
            if writes.is_empty() {
                return all;
            }
            for write in &writes {
                self.perform(write);
            }
            all.extend(writes);
        }
        panic!("it never settles: {all:#?}");
    }

    /// Lets everything happen that takes time.
    pub(super) fn later(&mut self) -> Vec<Write> {
        let mut all = self.settle();
        for _ in 0..3 {
            self.now += SignedDuration::from_secs(61);
            all.extend(self.settle());
        }
        all
    }

    /// The status and reason of a condition, `True Ready`, or nothing.
    pub(super) fn condition(&self, id: &PolicyId, kind: &str) -> String {
        words_of(&self.policies[id].status.conditions, kind)
    }

    /// The same of a trust root.
    pub(super) fn root_condition(&self, name: &str, kind: &str) -> String {
        words_of(&self.trust_roots[name].status.conditions, kind)
    }

    pub(super) fn root_message(&self, name: &str) -> &str {
        let conditions = &self.trust_roots[name].status.conditions;
        let found = conditions
            .iter()
            .find(|condition| condition.type_ == "Ready");
        found.map_or("", |found| found.message.as_str())
    }

    pub(super) fn message(&self, id: &PolicyId, kind: &str) -> &str {
        let conditions = &self.policies[id].status.conditions;
        let found = conditions.iter().find(|condition| condition.type_ == kind);
        found.map_or("", |found| found.message.as_str())
    }

    /// The ids of the policies in a node's bundle.
    pub(super) fn on(&self, node: &str) -> Vec<String> {
        let policies = self.bundle_of(node).policies();
        policies.map(|p| p.id().to_string()).collect()
    }

    pub(super) fn bundle_of(&self, node: &str) -> &Bundle {
        let bundle = self.node_policies[node].bundle.as_ref().unwrap();
        self.bundles[bundle].content.as_ref().unwrap()
    }
}
