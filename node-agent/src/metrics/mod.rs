//! What the agent counts, in the text format of `OpenMetrics`. `docs/metrics.md` has the table; a test
//! compares it with what is registered here.
//!
//! The number of series is bounded, whatever is pulled and whatever policies come and go: results and
//! reasons are from fixed lists, of policies at most [`MOST_POLICIES`] have series of their own, and
//! no image has any.

mod health;
mod labels;
mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use policy::digest::Digest;
use policy::verdicts::{Kind, Record};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use self::health::Health;
pub use self::labels::{Applied, Enforcing, Leg, Proved, Restarted};
pub use self::pages::Pages;

use self::labels::{Bundle, Judged, OTHER, Probe, Result};

/// How many policies have series of their own; all others share `policy="other"`.
pub const MOST_POLICIES: usize = 200;
/// The most bytes of a policy's name as a label: a namespace of 63, a slash, and a name of 253.
const MAX_POLICY: usize = 317;
/// Seconds. A kept verdict takes milliseconds; the verifier has 80 % of containerd's time-out of 10 s.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 8.0, 10.0];

/// The agent's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    verdicts: Family<Judged, Counter>,
    durations: Histogram,
    applies: Family<Result, Counter>,
    drift: Counter,
    probes: Family<Probe, Counter>,
    enforcing: Gauge,
    last_probe: Gauge<f64, AtomicU64>,
    restarts: Family<Result, Counter>,
    stale_images: Gauge,
    managed_files: Gauge,
    bundles: Family<Bundle, Gauge>,
    unverified_images: Gauge,
    /// Held while series are replaced, and while they are written out.
    series: Mutex<Series>,
}

/// The series that may go again.
#[derive(Debug, Default)]
struct Series {
    /// Of each policy that has its own.
    policies: BTreeMap<String, BTreeSet<Judged>>,
    bundle: Option<Bundle>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of them at nothing. Those whose labels are known beforehand are there from the start, so
    /// that the first event is an increase.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            verdicts: Family::default(),
            durations: Histogram::new(BUCKETS),
            applies: Family::default(),
            drift: Counter::default(),
            probes: Family::default(),
            enforcing: Gauge::default(),
            last_probe: Gauge::default(),
            restarts: Family::default(),
            stale_images: Gauge::default(),
            managed_files: Gauge::default(),
            bundles: Family::default(),
            unverified_images: Gauge::default(),
            series: Mutex::default(),
        };
        metrics.register();
        metrics.set_enforcing(Enforcing::Unknown);
        for result in Applied::ALL {
            let _ = metrics.applies.get_or_create(&result.into());
        }
        for result in Restarted::ALL {
            let _ = metrics.restarts.get_or_create(&result.into());
        }
        for (leg, result) in Leg::ALL
            .into_iter()
            .flat_map(|leg| Proved::ALL.map(|p| (leg, p)))
        {
            let _ = metrics.probes.get_or_create(&Probe::new(leg, result));
        }
        metrics
    }

    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("nodeseal");
        registry.register(
            "image_verdicts",
            "Verdicts on images, once for each policy that decided",
            self.verdicts.clone(),
        );
        registry.register(
            "image_verdict_duration_seconds",
            "From the start of the verifier to its answer, once for each pull",
            self.durations.clone(),
        );
        registry.register(
            "agent_applies",
            "Changes of the node's files",
            self.applies.clone(),
        );
        registry.register(
            "agent_drift",
            "Managed files that others changed or removed and that were put back",
            self.drift.clone(),
        );
        registry.register(
            "agent_probes",
            "Pulls that prove whether the node enforces",
            self.probes.clone(),
        );
        registry.register(
            "agent_enforcing",
            "Whether the node enforces: 1 proven, 0 disproven, -1 unknown",
            self.enforcing.clone(),
        );
        registry.register(
            "agent_last_probe_timestamp_seconds",
            "When the last proof ended, however it went; 0 before the first",
            self.last_probe.clone(),
        );
        registry.register(
            "agent_restarts",
            "Restarts of the container runtime by the agent",
            self.restarts.clone(),
        );
        registry.register(
            "agent_stale_images",
            "Covered images whose signatures are not on the node yet",
            self.stale_images.clone(),
        );
        registry.register(
            "agent_managed_files",
            "Files on the node that the agent keeps",
            self.managed_files.clone(),
        );
        registry.register(
            "agent_bundle_info",
            "The bundle in force, by its digest",
            self.bundles.clone(),
        );
        registry.register(
            "agent_unverified_images",
            "Covered images on the node that no verdict let in",
            self.unverified_images.clone(),
        );
        telemetry::process::register_build(registry, "agent_build", "The agent");
        telemetry::process::register(&mut self.registry);
    }

    /// Counts one line of the log of verdicts.
    pub fn verdict(&self, record: &Record) {
        if record.verdict != Kind::Audit {
            let millis = u32::try_from(record.duration_ms).unwrap_or(u32::MAX);
            self.durations.observe(f64::from(millis) / 1000.0);
        }
        let none = [String::new()];
        let policies = match record.policies.as_slice() {
            [] => &none,
            policies => policies,
        };
        let mut series = self.series();
        for policy in policies {
            let labels = Judged::new(record, series.label(policy));
            if let Some(known) = series.policies.get_mut(&labels.policy) {
                known.insert(labels.clone());
            }
            self.verdicts.get_or_create(&labels).inc();
        }
    }

    /// Drops the series of policies that are no longer in force, which makes room for others.
    /// `in_force` has the names as the verifier writes them: `name`, or `namespace/name`.
    pub fn keep_policies(&self, in_force: &BTreeSet<String>) {
        self.series().policies.retain(|policy, known| {
            let stays = in_force.contains(policy);
            if !stays {
                for labels in known.iter() {
                    self.verdicts.remove(labels);
                }
            }
            stays
        });
    }

    /// Counts one change of the node's files. A look that finds nothing to do is none.
    pub fn applied(&self, result: Applied) {
        self.applies.get_or_create(&result.into()).inc();
    }

    /// Counts files that were put back.
    pub fn drifted(&self, files: u64) {
        self.drift.inc_by(files);
    }

    /// Counts one leg of a proof that ended at `now`.
    pub fn probed(&self, leg: Leg, result: Proved, now: Timestamp) {
        self.probes.get_or_create(&Probe::new(leg, result)).inc();
        self.last_probe.set(now.as_duration().as_secs_f64());
    }

    /// What the last proof says.
    pub fn set_enforcing(&self, enforcing: Enforcing) {
        self.enforcing.set(enforcing.value());
    }

    /// Counts one restart of the runtime.
    pub fn restarted(&self, result: Restarted) {
        self.restarts.get_or_create(&result.into()).inc();
    }

    /// How many covered images wait for being pulled again.
    pub fn set_stale_images(&self, count: usize) {
        self.stale_images.set(gauge(count));
    }

    /// How many files the agent keeps.
    pub fn set_managed_files(&self, count: usize) {
        self.managed_files.set(gauge(count));
    }

    /// How many covered images no verdict let in.
    pub fn set_unverified_images(&self, count: usize) {
        self.unverified_images.set(gauge(count));
    }

    /// The bundle in force; nothing before the first.
    pub fn set_bundle(&self, digest: Option<&Digest>) {
        let bundle = digest.map(Bundle::new);
        let mut series = self.series();
        if series.bundle == bundle {
            return;
        }
        if let Some(before) = &series.bundle {
            self.bundles.remove(before);
        }
        if let Some(bundle) = &bundle {
            self.bundles.get_or_create(bundle).set(1);
        }
        series.bundle = bundle;
    }

    /// All of them in the text format of `OpenMetrics` 1.0.
    pub fn encode(&self) -> std::result::Result<String, fmt::Error> {
        let _whole = self.series();
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        // Whoever failed while it was held left whole series behind.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    /// The label for a policy: its name as long as there is room.
    fn label(&mut self, policy: &str) -> String {
        if policy.is_empty() || self.policies.contains_key(policy) {
            return policy.to_owned();
        }
        if self.policies.len() >= MOST_POLICIES || policy.len() > MAX_POLICY || policy == OTHER {
            return OTHER.to_owned();
        }
        self.policies.insert(policy.to_owned(), BTreeSet::new());
        policy.to_owned()
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
