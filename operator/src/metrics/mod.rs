//! What the operator counts, in the text format of `OpenMetrics`. `docs/metrics.md` has the table; a
//! test compares it with what is registered here.
//!
//! The number of series is bounded, whatever the size of the cluster: nothing is counted by node or
//! by policy, reasons are as many as [`Figures`] lets through, and of trust roots only the first ones
//! have series.

mod labels;
mod requests;

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::index::Figures;
use crate::write_log::KINDS;

pub(crate) use self::labels::Outcome;
pub(crate) use self::requests::CountRequests;

use self::labels::{Asked, Kind, Ready, Root, State, Written};

/// Seconds. A turn takes milliseconds in a small cluster, and a second in one of 5,000 nodes.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A time in seconds since 1970.
type Time = Gauge<f64, AtomicU64>;

/// The operator's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    leader: Gauge,
    synced: Gauge,
    turns: Histogram,
    objects: Family<Kind, Gauge>,
    writes: Family<Written, Counter>,
    queue: Gauge,
    requests: Family<Asked, Counter>,
    watches: Family<Kind, Counter>,
    policies: Family<Ready, Gauge>,
    nodes: Family<State, Gauge>,
    bundles: Gauge,
    halted: Gauge,
    paused: Gauge,
    breaker: Gauge,
    refreshed_at: Family<Root, Time>,
    expires_at: Family<Root, Time>,
    refresh_ok: Family<Root, Gauge>,
    /// Held while series are replaced, and while they are written out.
    series: Mutex<()>,
}

impl Metrics {
    /// All of them at nothing. Those whose labels are known beforehand are there from the start, so
    /// that the first event is an increase.
    pub(crate) fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            leader: Gauge::default(),
            synced: Gauge::default(),
            turns: Histogram::new(BUCKETS),
            objects: Family::default(),
            writes: Family::default(),
            queue: Gauge::default(),
            requests: Family::default(),
            watches: Family::default(),
            policies: Family::default(),
            nodes: Family::default(),
            bundles: Gauge::default(),
            halted: Gauge::default(),
            paused: Gauge::default(),
            breaker: Gauge::default(),
            refreshed_at: Family::default(),
            expires_at: Family::default(),
            refresh_ok: Family::default(),
            series: Mutex::default(),
        };
        metrics.register();
        for kind in KINDS {
            for outcome in Outcome::ALL {
                let _ = metrics.writes.get_or_create(&Written::new(kind, outcome));
            }
        }
        Arc::new(metrics)
    }

    fn register(&mut self) {
        telemetry::process::register(&mut self.registry);
        let registry = self.registry.sub_registry_with_prefix("nodeseal_operator");
        registry.register(
            "leader",
            "Whether this process leads and so writes: 1 or 0",
            self.leader.clone(),
        );
        registry.register(
            "synced",
            "Whether everything was listed once: 1 or 0",
            self.synced.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Turns of the main loop, from what is known to what is to be written",
            self.turns.clone(),
        );
        registry.register(
            "index_objects",
            "Objects that this process knows, by kind",
            self.objects.clone(),
        );
        registry.register(
            "writes",
            "Writes to the API server, by the kind of object",
            self.writes.clone(),
        );
        registry.register(
            "write_queue_length",
            "Writes that wait for their turn",
            self.queue.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to the API server, of every kind",
            self.requests.clone(),
        );
        registry.register(
            "watch_restarts",
            "Watches that were interrupted and began again, by kind",
            self.watches.clone(),
        );
        registry.register(
            "policies",
            "Policies, by what their condition Ready says",
            self.policies.clone(),
        );
        registry.register("nodes", "Nodes, each in one state", self.nodes.clone());
        registry.register("bundles", "Bundles that exist", self.bundles.clone());
        registry.register(
            "rollout_halted",
            "Whether failures have stopped a rollout: 1 or 0",
            self.halted.clone(),
        );
        registry.register(
            "rollout_paused",
            "Whether rollouts are paused by the EnforcementConfig: 1 or 0",
            self.paused.clone(),
        );
        registry.register(
            "breaker_open",
            "Whether too many policies vanished at once and the last ones stay in force: 1 or 0",
            self.breaker.clone(),
        );
        registry.register(
            "trust_root_last_refresh_timestamp_seconds",
            "When a trust root was last fetched",
            self.refreshed_at.clone(),
        );
        registry.register(
            "trust_root_earliest_expiry_timestamp_seconds",
            "When the next thing in a trust root ends",
            self.expires_at.clone(),
        );
        registry.register(
            "trust_root_refresh_ok",
            "Whether the last refresh of a trust root went well: 1 or 0",
            self.refresh_ok.clone(),
        );
        telemetry::process::register_build(registry, "build", "The operator");
    }

    /// Whether this process leads.
    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.set(leads.into());
    }

    /// One turn of the main loop: whether everything was listed, and how long it took.
    pub(crate) fn turned(&self, synced: bool, took: Duration) {
        self.synced.set(synced.into());
        self.turns.observe(took.as_secs_f64());
    }

    /// One write about an object of this kind ended.
    pub(crate) fn written(&self, kind: &'static str, outcome: Outcome) {
        self.writes
            .get_or_create(&Written::new(kind, outcome))
            .inc();
    }

    /// How many writes wait.
    pub(crate) fn set_queue(&self, length: usize) {
        self.queue.set(gauge(length));
    }

    /// The watch of a kind is there, not interrupted so far.
    pub(crate) fn watches(&self, kind: &'static str) {
        let _ = self.watches.get_or_create(&Kind { kind });
    }

    /// The watch of a kind was interrupted.
    pub(crate) fn watch_restarted(&self, kind: &'static str) {
        self.watches.get_or_create(&Kind { kind }).inc();
    }

    /// A request was answered, or not.
    fn asked(&self, verb: &'static str, code: &'static str) {
        self.requests.get_or_create(&Asked { verb, code }).inc();
    }

    /// What is known of the cluster now.
    pub(crate) fn set_figures(&self, figures: &Figures) {
        let _whole = self.series();
        let objects = figures.objects.iter();
        set(
            &self.objects,
            objects.map(|(&kind, &count)| (Kind { kind }, count)),
        );
        let policies = figures.policies.iter();
        let policies = policies.map(|((ready, word), &count)| (Ready::new(*ready, word), count));
        set(&self.policies, policies);
        let state = |state| State { state };
        let nodes = figures.nodes.iter();
        set(
            &self.nodes,
            nodes.map(|(is, &count)| (state(is.as_str()), count)),
        );
        let bundles = figures.objects.get("PolicyBundle").copied();
        self.bundles.set(gauge(bundles.unwrap_or_default()));
        self.halted.set(figures.rollout_halted.into());
        self.paused.set(figures.rollout_paused.into());
        self.breaker.set(figures.breaker_open.into());
        self.refreshed_at.clear();
        self.expires_at.clear();
        self.refresh_ok.clear();
        for (name, root) in &figures.trust_roots {
            let label = || Root {
                trust_root: name.clone(),
            };
            if let Some(time) = root.last_refresh {
                self.refreshed_at.get_or_create(&label()).set(seconds(time));
            }
            if let Some(time) = root.earliest_expiry {
                self.expires_at.get_or_create(&label()).set(seconds(time));
            }
            if let Some(ok) = root.refreshed {
                self.refresh_ok.get_or_create(&label()).set(ok.into());
            }
        }
    }

    /// All of them in the text format of `OpenMetrics` 1.0.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let _whole = self.series();
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn series(&self) -> MutexGuard<'_, ()> {
        // Whoever failed while it was held left whole series behind.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces all series of a family.
fn set<L>(family: &Family<L, Gauge>, series: impl Iterator<Item = (L, usize)>)
where
    L: Clone + Hash + Eq + EncodeLabelSet,
{
    family.clear();
    for (labels, count) in series {
        family.get_or_create(&labels).set(gauge(count));
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

#[cfg(test)]
mod tests;
