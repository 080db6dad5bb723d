//! When the operator asks a repository, what it keeps and what it says.

mod over_time;
mod when;

use std::collections::BTreeMap;

use crds::convert::Holder;
use crds::types::{PolicySpec, TrustRootSpec, TufSource};
use operator::index::{
    Change, Event, Fetched, Found, Index, Meta, Notice, Options, PolicyObject, Source, SpecObject,
    TrustRootObject, TufAnswer, Write,
};
use operator::tuf::Job;
use policy::model::PolicyId;

use super::*;

const NAME: &str = "own";

/// A cluster with one trust root and a policy that uses it.
struct Cluster {
    index: Index,
    now: Timestamp,
    root: TrustRootObject,
    policy: PolicyObject,
    kept: Fetched,
    told: BTreeMap<String, Notice>,
    version: u64,
}

impl Cluster {
    fn new(tuf: TufSource, now: Timestamp) -> Self {
        let meta = |uid: &str| Meta {
            uid: uid.to_owned(),
            version: 1,
            generation: 1,
            created: now,
        };
        let policy = serde_json::json!({
            "scopes": ["registry.example/team"],
            "authorities": [{ "name": "ci", "keyless": {
                "trustRoot": NAME,
                "identities": [{ "issuer": "https://i.example", "subject": "a@b.example" }],
            } }],
        });
        let mut cluster = Self {
            index: Index::default(),
            now,
            root: TrustRootObject {
                name: NAME.to_owned(),
                meta: meta("root"),
                spec: Ok(TrustRootSpec {
                    tuf: Some(tuf),
                    ..TrustRootSpec::default()
                }),
                status: crds::types::TrustRootStatus::default(),
            },
            policy: PolicyObject {
                id: PolicyId::Cluster {
                    name: "p".to_owned(),
                },
                meta: meta("policy"),
                spec: Ok(SpecObject {
                    policy: serde_json::from_value::<PolicySpec>(policy).unwrap(),
                    node_selector: None,
                    on_unsupported: crds::types::OnUnsupported::Ignore,
                }),
                status: crds::types::PolicyStatus::default(),
            },
            kept: Fetched::Missing,
            told: BTreeMap::new(),
            version: 1,
        };
        cluster.restart();
        cluster
    }

    fn source() -> Source {
        Source {
            holder: Holder::ConfigMap,
            namespace: "nodeseal-system".to_owned(),
            name: format!("nodeseal-tuf-{NAME}"),
        }
    }

    /// A new process lists everything.
    fn restart(&mut self) {
        self.index = Index::new(Options::default());
        self.list();
        self.index
            .apply(Event::Source(Self::source(), self.kept.clone()));
    }

    fn list(&mut self) {
        for event in [
            Event::ClusterPolicy(Change::Reset(vec![self.policy.clone()])),
            Event::Policy(Change::Reset(Vec::new())),
            Event::TrustRoot(Change::Reset(vec![self.root.clone()])),
            Event::Config(Change::Reset(Vec::new())),
            Event::Node(Change::Reset(Vec::new())),
            Event::NodePolicy(Change::Reset(Vec::new())),
            Event::Bundle(Change::Reset(Vec::new())),
        ] {
            self.index.apply(event);
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut TufSource)) {
        change(self.root.spec.as_mut().unwrap().tuf.as_mut().unwrap());
        self.root.meta.generation += 1;
        self.tell_root();
    }

    fn tell_root(&mut self) {
        self.version += 1;
        self.root.meta.version = self.version;
        self.index
            .apply(Event::TrustRoot(Change::Apply(self.root.clone())));
    }

    fn keep(&mut self, kept: Fetched) {
        self.kept = kept.clone();
        self.index.apply(Event::Source(Self::source(), kept));
    }

    /// Does what the index asks for, and says what that was.
    fn settle(&mut self) -> Vec<&'static str> {
        let mut all = Vec::new();
        for _ in 0..10 {
            let writes = self.index.reconcile(self.now);
            if writes.is_empty() {
                return all;
            }
            for write in writes {
                all.push(self.perform(&write));
            }
        }
        panic!("it never settles: {all:?}");
    }

    fn perform(&mut self, write: &Write) -> &'static str {
        let what = match write.clone() {
            Write::TrustRootStatus { status, .. } => {
                self.root.status = status;
                self.tell_root();
                "root"
            }
            Write::PolicyStatus { status, .. } => {
                self.policy.status = status;
                self.version += 1;
                self.policy.meta.version = self.version;
                let object = self.policy.clone();
                self.index
                    .apply(Event::ClusterPolicy(Change::Apply(object)));
                "policy"
            }
            Write::TufState {
                name,
                uid,
                namespace,
                config_map,
                state,
            } => {
                assert_eq!((name.as_str(), uid.as_str()), (NAME, "root"));
                assert_eq!(
                    (namespace, config_map),
                    (Self::source().namespace, Self::source().name)
                );
                self.keep(text(&state.to_text()));
                "keep"
            }
            Write::Notice(notice) => {
                self.told.entry(notice.name.clone()).or_insert(*notice);
                "tell"
            }
            other => panic!("{other:?}"),
        };
        self.index.done(write, None);
        what
    }

    fn jobs(&mut self) -> Vec<Job> {
        self.index.refreshes(self.now)
    }

    /// What is due is asked, and the answer taken in.
    async fn refresh(&mut self, lab: &Lab) -> bool {
        let jobs = self.jobs();
        for job in &jobs {
            self.answer(lab, job).await;
        }
        !jobs.is_empty()
    }

    async fn answer(&mut self, lab: &Lab, job: &Job) {
        assert_eq!(self.jobs(), [], "asked once");
        let authorities = certificates(lab.ca.as_bytes()).unwrap();
        let client = client(&authorities, lab.limits).unwrap();
        let http = Http::new(client, &job.origin.mirror).unwrap();
        let (state, deadline) = (job.state.as_deref(), lab.limits.refresh);
        let answer = refresh(http, &job.origin, state, self.now, deadline).await;
        let (name, origin) = (job.name.clone(), job.origin.clone());
        let answer = TufAnswer {
            name,
            origin,
            answer,
        };
        self.index.apply(Event::Tuf(Box::new(answer)));
    }

    fn condition(&self, kind: &str) -> String {
        words(&self.root.status.conditions, kind)
    }

    fn message(&self, kind: &str) -> &str {
        let mut found = self
            .root
            .status
            .conditions
            .iter()
            .filter(|c| c.type_ == kind);
        found.next().map_or("", |found| found.message.as_str())
    }

    fn resolved(&self) -> String {
        words(&self.policy.status.conditions, "Resolved")
    }
}

fn words(
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    kind: &str,
) -> String {
    let mut found = conditions.iter().filter(|c| c.type_ == kind);
    found.next().map_or_else(String::new, |found| {
        format!("{} {}", found.status, found.reason)
    })
}

fn text(state: &str) -> Fetched {
    Fetched::Found(Found {
        values: [("state".to_owned(), Some(Ok(state.to_owned())))].into(),
        known: vec!["state".to_owned()],
    })
}

fn source(lab: &Lab) -> TufSource {
    TufSource {
        mirror: Some(lab.server.url()),
        root_json: Some(lab.origin.root.clone()),
        ..TufSource::default()
    }
}

/// A lab, and a cluster that has refreshed once.
async fn running() -> Result<(Lab, Cluster)> {
    let lab = Lab::start().await?;
    let mut cluster = Cluster::new(source(&lab), lab.now);
    cluster.settle();
    assert!(cluster.refresh(&lab).await);
    cluster.settle();
    assert_eq!(cluster.condition("Refreshed"), "True Refreshed");
    assert_eq!(cluster.resolved(), "True Resolved");
    Ok((lab, cluster))
}
