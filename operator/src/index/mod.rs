//! The state of the cluster as far as nodeseal is concerned, and what should be written.
//!
//! A synchronous state machine: [`Index::apply`] takes in what the watches say,
//! [`Index::reconcile`] says what to write. There is no client in here and no clock, so tests need
//! no server.
//!
//! ```text
//!  objects ──▶ compile ──▶ forms ──▶ plan ──▶ bundles of nodes ─┐
//!                                     │                         ├─▶ writes
//!             capability ──▶ sums ◀───┘──▶ statuses ────────────┘
//! ```
//!
//! What nodes tell that changes no condition becomes Kubernetes events, see [`NoticeKind`].
//!
//! Trust roots are compiled before the policies that use them.
//!
//! What is written follows from what is there: an unchanged cluster, a list that is read again and
//! a new process write nothing. No write is handed out before every kind was listed whole and every
//! reference was looked at, because what is not known yet would look like what is gone.

mod advice;
mod budget;
mod capability;
mod compile;
mod config;
mod emit;
mod figures;
mod fit;
mod follow;
mod forms;
mod group;
mod limits;
mod moves;
mod notices;
mod objects;
mod plan;
mod release;
mod root_status;
mod roots;
mod select;
mod sources;
mod status;
mod sums;
mod taints;
mod tuf;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use crds::convert::RolloutSettings;
use jiff::{SignedDuration, Timestamp};
use policy::bundle::{Bundle, Settings};
use policy::digest::Digest;
use policy::model::PolicyId;
use policy::scope::Scope;

use self::advice::Advices;
use self::capability::Capabilities;
use self::config::Config;
use self::forms::Forms;
use self::limits::Limits;
use self::moves::{Core, Moves};
use self::notices::Notices;
use self::objects::Store;
use self::plan::Names;
use self::release::Release;
use self::root_status::Expiring;
use self::roots::Roots;
use self::select::Classes;
use self::sources::{Sources, of_root, of_spec};
use self::write::Outbox;

pub use self::figures::{Figures, NodeState, RootFigures};
pub use self::limits::{MAX_NAMESPACE_BYTES, MAX_NAMESPACE_SOURCES};
pub use self::notices::{Notice, NoticeKind, Subject};
pub use self::objects::{
    BundleObject, Change, ConfigObject, Meta, News, NodeObject, NodePolicyObject, Object,
    PolicyObject, Runtime, SpecObject, TrustRootObject,
};
pub use self::sources::{Fetched, Found, Source};
pub use self::taints::{EFFECT, NOT_ENFORCING, NOT_READY, Taints};
pub use self::tuf::TufAnswer;
pub(crate) use self::tuf::{STATE_KEY, STATE_PREFIX};
pub use self::write::{Write, WriteKey};

/// What does not come from the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Images that every node accepts besides those of the configuration: the product's own.
    pub exempt: BTreeSet<Scope>,
    /// For how long a node that has joined is not waited for.
    pub joining: SignedDuration,
    /// For how long changes of mere counts are gathered at least: a node that joins must not rewrite every
    /// policy at once.
    pub counts: SignedDuration,
    /// For how long changes of namespaced policies, and of what they take keys from, are gathered
    /// after one of them went out: tenants must not have all nodes written anew all the time.
    pub namespaced: SignedDuration,
    /// For how long a bundle must have been of no use before it is deleted.
    pub unused: SignedDuration,
    /// For how long what nodes tell is gathered before it is made into events.
    pub notices: SignedDuration,
    /// The operator's own namespace, where its lease is, and what is known of TUF repositories.
    pub namespace: String,
    /// How changes reach the nodes where no `EnforcementConfig` says so.
    pub rollout: RolloutSettings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exempt: BTreeSet::new(),
            joining: SignedDuration::from_mins(5),
            counts: SignedDuration::from_secs(10),
            namespaced: SignedDuration::from_secs(10),
            unused: SignedDuration::from_mins(1),
            notices: SignedDuration::from_secs(10),
            namespace: "nodeseal-system".to_owned(),
            rollout: RolloutSettings::default(),
        }
    }
}

/// One thing that a watch says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// About `ClusterImageSignaturePolicies`.
    ClusterPolicy(Change<PolicyObject>),
    /// About `ImageSignaturePolicies`.
    Policy(Change<PolicyObject>),
    /// About `TrustRoots`.
    TrustRoot(Change<TrustRootObject>),
    /// About the `EnforcementConfig`.
    Config(Change<ConfigObject>),
    /// About Nodes.
    Node(Change<NodeObject>),
    /// About `NodeImagePolicies`.
    NodePolicy(Change<NodePolicyObject>),
    /// About `PolicyBundles`.
    Bundle(Change<BundleObject>),
    /// About a `ConfigMap` or Secret.
    Source(Source, Fetched),
    /// About a TUF repository.
    Tuf(Box<TufAnswer>),
}

/// The state. See the module.
#[derive(Debug, Default)]
pub struct Index {
    options: Options,
    cluster_policies: Store<PolicyObject>,
    namespaced_policies: Store<PolicyObject>,
    trust_roots: Store<TrustRootObject>,
    configs: Store<ConfigObject>,
    nodes: Store<NodeObject>,
    node_policies: Store<NodePolicyObject>,
    bundles: Store<BundleObject>,
    sources: Sources,
    changed_sources: BTreeSet<Source>,
    /// Of each bundle the digests of its policies.
    digests: BTreeMap<String, BTreeMap<PolicyId, Digest>>,
    /// And what else rollouts go by.
    cores: BTreeMap<String, Core>,
    roots: Roots,
    forms: Forms,
    config: Config,
    capabilities: Capabilities,
    advices: Advices,
    names: Names,
    release: Release,
    moves: Moves,
    outbox: Outbox,
    notices: Notices,
    /// Whether the last valid forms were taken from the bundles.
    started: bool,
    /// What was wanted when everything was listed first and still is: what is waited for before that.
    awaited: Option<BTreeMap<Source, BTreeSet<String>>>,
    /// When the next thing ends that a trust root's status names.
    next_expiry: Option<Timestamp>,
    /// What ends soon, by the name of the trust root.
    expiring: BTreeMap<String, Vec<Expiring>>,
    /// Until when changes of mere counts are gathered.
    counts_due: Option<Timestamp>,
    /// Since when bundles are of no use.
    unused: BTreeMap<String, Timestamp>,
    /// Bundles, by name and uid, whose deletion was asked for: they are as good as gone.
    doomed: BTreeMap<String, String>,
}

impl Index {
    /// An index that knows nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut index = Self {
            options,
            ..Self::default()
        };
        index.config.in_force.rollout = index.options.rollout.clone();
        index
    }

    /// Takes in what a watch says.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::ClusterPolicy(change) => self.cluster_policies.change(change),
            Event::Policy(change) => self.namespaced_policies.change(change),
            Event::TrustRoot(change) => self.trust_roots.change(change),
            Event::Config(change) => {
                self.configs.change(change);
                self.config.update(self.configs.get(&()));
            }
            Event::Node(change) => self.nodes.change(change),
            Event::NodePolicy(change) => {
                self.notices.hear(&change);
                self.node_policies.change(change);
            }
            Event::Bundle(change) => {
                self.bundles.change(change);
                self.read_bundles();
            }
            Event::Source(source, fetched) => {
                if self.sources.apply(source.clone(), fetched) {
                    self.changed_sources.insert(source);
                }
            }
            Event::Tuf(answer) => self.roots.answered(&answer),
        }
    }

    fn read_bundles(&mut self) {
        let bundles = &self.bundles;
        self.digests.retain(|name, _| bundles.get(name).is_some());
        self.cores.retain(|name, _| bundles.get(name).is_some());
        for object in bundles.iter() {
            if let Ok(bundle) = &object.content
                && !self.digests.contains_key(&object.name)
            {
                let digests = bundle.policies().map(|p| (p.id().clone(), p.digest()));
                let digests = digests.collect();
                let core = Core::new(bundle, &digests);
                self.cores.insert(object.name.clone(), core);
                self.digests.insert(object.name.clone(), digests);
            }
        }
        let gone = |name: &String, uid: &String| {
            bundles
                .get(name)
                .is_none_or(|object| object.meta.uid != *uid)
        };
        self.doomed.retain(|name, uid| !gone(name, uid));
    }

    /// All policies.
    fn policies(&self) -> impl Iterator<Item = &PolicyObject> + Clone {
        policies(&self.cluster_policies, &self.namespaced_policies)
    }

    /// The `ConfigMaps` and Secrets that have to be looked at, each with the keys of its data.
    #[must_use]
    pub fn wanted(&self) -> BTreeMap<Source, BTreeSet<String>> {
        let mut wanted: BTreeMap<Source, BTreeSet<String>> = BTreeMap::new();
        // Nothing is read for a policy that the configuration does not permit: a tenant may write
        // very many of those.
        let mut limits = Limits::default();
        for object in self.policies() {
            let refused = limits.refuse(object, &self.config.in_force).is_some();
            let Some(spec) = object.spec.as_ref().ok().filter(|_| !refused) else {
                continue;
            };
            for (source, key) in of_spec(&object.id, &spec.policy) {
                wanted.entry(source).or_default().insert(key.to_owned());
            }
        }
        let roots = self.trust_roots.iter().flat_map(|object| &object.spec);
        for (source, key) in roots.filter_map(of_root) {
            wanted.entry(source).or_default().insert(key.to_owned());
        }
        let kept = self.trust_roots.iter();
        for source in kept.filter_map(|object| tuf::source_of(&self.options.namespace, object)) {
            wanted
                .entry(source)
                .or_default()
                .insert(tuf::STATE_KEY.to_owned());
        }
        wanted
    }

    /// Whether everything was listed whole and looked at once, so that what is missing is really
    /// not there. What is referred to since the lists were read is not waited for: a tenant who
    /// names another source all the time must not keep the operator from starting.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.listed() && (self.started || self.sources.settled(&self.awaited()))
    }

    fn listed(&self) -> bool {
        self.cluster_policies.synced()
            && self.namespaced_policies.synced()
            && self.trust_roots.synced()
            && self.configs.synced()
            && self.nodes.synced()
            && self.node_policies.synced()
            && self.bundles.synced()
    }

    /// The sources that were wanted all the time since everything was listed.
    fn awaited(&self) -> BTreeMap<Source, BTreeSet<String>> {
        let mut wanted = self.wanted();
        if let Some(first) = &self.awaited {
            wanted.retain(|source, keys| {
                let before = first.get(source);
                keys.retain(|key| before.is_some_and(|before| before.contains(key)));
                !keys.is_empty()
            });
        }
        wanted
    }

    /// What should be written now and was not handed out before, the most urgent first. Nothing
    /// before [`Index::is_synced`].
    pub fn reconcile(&mut self, now: Timestamp) -> Vec<Write> {
        if !self.observe() {
            return Vec::new();
        }
        self.advise();
        let canary = self.config.in_force.rollout.canary.as_ref();
        let classes = Classes::new(self.nodes.iter(), self.policies(), canary);
        let selections = self.selections(&classes);
        let plan = self.plan(&classes, &selections, now);
        let given = self.moves(&plan, &classes, now);
        let statuses = self.statuses(&classes, &selections, &plan, now);
        self.outbox.begin();
        let mut writes = self.bundle_writes(&plan, &given, now);
        writes.extend(self.taint_writes(now));
        writes.extend(self.status_writes(statuses, now));
        writes.extend(self.tuf_writes(now));
        writes.extend(self.notice_writes(now));
        self.outbox.end();
        writes.sort_by_key(Write::rank);
        writes
    }

    /// Finds out what there is to know about the policies in force.
    fn advise(&mut self) {
        let policies = policies(&self.cluster_policies, &self.namespaced_policies);
        let (settings, own) = (&self.config.in_force.settings, &self.options.exempt);
        if self.advices.update(policies, &self.forms, settings, own) {
            self.notices.look_again();
        }
    }

    /// Works out the forms of all policies without writing anything: what a process does that does
    /// not lead, so that it knows the last valid forms when it does. False before
    /// [`Index::is_synced`].
    pub fn observe(&mut self) -> bool {
        if !self.started && self.listed() {
            self.awaited = Some(self.awaited());
        }
        if !self.is_synced() {
            return false;
        }
        let wanted = self.wanted();
        self.sources.retain(&wanted);
        self.config.update(self.configs.get(&()));
        if !self.started {
            let own = Settings {
                exempt_images: self.options.exempt.clone(),
                ..Settings::default()
            };
            if let Some(last) = last_bundles(&self.bundles, &self.node_policies, false).first() {
                self.config.recover(last.settings(), &own);
            }
        }
        let changed = std::mem::take(&mut self.changed_sources);
        let policies = policies(&self.cluster_policies, &self.namespaced_policies);
        let roots = self.trust_roots.iter();
        let other_roots =
            self.roots
                .update(roots, &self.sources, &changed, &self.options.namespace);
        self.forms
            .forget_users(policies.clone(), &changed, &other_roots);
        let (mut given, mut every) = (Vec::new(), Vec::new());
        if !self.started {
            given = last_bundles(&self.bundles, &self.node_policies, self.config.disabled);
            // What a rollout has brought to no node yet is the last valid form all the same.
            every = last_bundles(&self.bundles, &self.node_policies, true);
        }
        let last = forms::Last {
            given: &given,
            every: &every,
            whole: self.node_policies.iter().all(|own| {
                let given = own.bundle.as_ref().map(|name| self.bundles.get(name));
                given.is_none_or(|bundle| bundle.is_some_and(|object| object.content.is_ok()))
            }),
        };
        let (configuration, last) = (&self.config.in_force, (!self.started).then_some(&last));
        self.forms
            .update(policies, &self.sources, &self.roots, configuration, last);
        self.started = true;
        true
    }

    /// A write succeeded, and this is what the API server made of the object, where it says so.
    pub fn done(&mut self, write: &Write, answer: Option<Event>) {
        let version = answer.as_ref().and_then(version_of);
        if let Some(event) = answer {
            self.apply(event);
        }
        if let Write::Notice(notice) = write {
            self.notices.done(notice);
        }
        self.moves.ended(write);
        self.outbox.done(write, version);
    }

    /// Whether a write that was handed out and not begun is still wanted. One that is not is
    /// [`Index::failed`].
    #[must_use]
    pub fn wants(&self, write: &Write) -> bool {
        self.moves.wants(write)
    }

    /// A write failed; it is handed out again after a pause.
    pub fn failed(&mut self, write: &Write, now: Timestamp) {
        if let Write::DeleteBundle { name, .. } = write {
            self.doomed.remove(name);
        }
        self.moves.ended(write);
        self.outbox.failed(write, now);
    }

    /// Somebody else leads now: what was handed out is void.
    pub fn resign(&mut self) {
        self.outbox.clear();
        self.doomed.clear();
        self.unused.clear();
        self.counts_due = None;
        self.release = Release::default();
        self.moves.resign();
        self.notices = Notices::default();
        self.roots.resign();
    }

    /// Whether policies are left to compile, which [`Index::observe`] goes on with.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.forms.behind
    }

    /// When [`Index::reconcile`] may have something to say although nothing happened.
    #[must_use]
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let joining = self.nodes.iter().map(|node| self.joined(node));
        let collect = self.unused.iter().filter_map(|(name, since)| {
            let doomed = self.doomed.contains_key(name);
            (!doomed).then(|| *since + self.options.unused)
        });
        let later = joining.filter(|time| *time > now);
        let expiry = self.next_expiry.filter(|time| *time > now);
        let times = later.chain(collect).chain(self.counts_due).chain(expiry);
        let times = times.chain(self.forms.behind.then_some(now));
        let times = times.chain(self.release.deadline());
        let times = times.chain(self.moves.deadline(now));
        let times = times.chain(self.notices.deadline());
        let times = times.chain(self.roots.deadline(now));
        times.chain(self.outbox.deadline()).min()
    }
}

fn policies<'a>(
    cluster: &'a Store<PolicyObject>,
    namespaced: &'a Store<PolicyObject>,
) -> impl Iterator<Item = &'a PolicyObject> + Clone {
    cluster.iter().chain(namespaced.iter())
}

fn version_of(event: &Event) -> Option<u64> {
    fn of<T: Object>(change: &Change<T>) -> Option<u64> {
        match change {
            Change::Apply(object) => Some(object.meta().version),
            _ => None,
        }
    }
    match event {
        Event::ClusterPolicy(change) | Event::Policy(change) => of(change),
        Event::TrustRoot(change) => of(change),
        Event::Config(change) => of(change),
        Event::NodePolicy(change) => of(change),
        Event::Bundle(change) => of(change),
        Event::Node(_) | Event::Source(..) | Event::Tuf(_) => None,
    }
}

/// The bundles that nodes were last given, newest first; all that there are where no node was
/// given any, or where `every` is asked for.
fn last_bundles<'a>(
    bundles: &'a Store<BundleObject>,
    node_policies: &Store<NodePolicyObject>,
    every: bool,
) -> Vec<&'a Bundle> {
    let given: BTreeSet<&String> = node_policies
        .iter()
        .filter_map(|own| own.bundle.as_ref())
        .collect();
    let mut last: Vec<&BundleObject> = bundles
        .iter()
        .filter(|object| every || given.is_empty() || given.contains(&object.name))
        .collect();
    last.sort_by_key(|object| std::cmp::Reverse((object.meta.created, object.meta.version)));
    last.into_iter()
        .filter_map(|object| object.content.as_ref().ok())
        .collect()
}

#[cfg(test)]
mod tests;
