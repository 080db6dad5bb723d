//! When each node was ready, and what processes and the API server had to do for it.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::simulated::cluster::{Usage, usage};
use e2e::simulated::{Cluster, Operator, Recorder, Requests};

/// What it cost up to a moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cost {
    pub(crate) requests: Requests,
    pub(crate) operator: Usage,
    pub(crate) api_server: Usage,
    pub(crate) etcd: Usage,
    /// This process: all agents together.
    pub(crate) agents: Usage,
}

impl Cost {
    pub(crate) async fn read(cluster: &Cluster, operator: &Operator) -> Result<Self> {
        let (etcd, api_server) = cluster.plane.ids();
        Ok(Self {
            requests: Requests::read(&cluster.client).await?,
            operator: usage(operator.process.id())?,
            api_server: api_server.map_or(Ok(Usage::default()), usage)?,
            etcd: usage(etcd)?,
            agents: usage(std::process::id())?,
        })
    }

    /// What came since; of memory that is what there is now.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let cpu = |now: &Usage, before: &Usage| Usage {
            cpu: now.cpu.saturating_sub(before.cpu),
            ..*now
        };
        Self {
            requests: &self.requests - &before.requests,
            operator: cpu(&self.operator, &before.operator),
            api_server: cpu(&self.api_server, &before.api_server),
            etcd: cpu(&self.etcd, &before.etcd),
            agents: cpu(&self.agents, &before.agents),
        }
    }
}

/// Of many durations these.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    pub(crate) most: Duration,
}

impl Spread {
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort();
        let at = |percent: usize| {
            let index = (all.len() * percent).div_ceil(100).saturating_sub(1);
            all.get(index).copied().unwrap_or_default()
        };
        Self {
            median: at(50),
            p99: at(99),
            most: at(100),
        }
    }

    pub(crate) fn text(self) -> String {
        let Self { median, p99, most } = self;
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        format!(
            "{} / {} / {} s",
            seconds(median),
            seconds(p99),
            seconds(most)
        )
    }
}

/// For each node, how long after `began` its agent was ready under the last bundle that it was given.
pub(crate) fn nodes_ready(recorder: &Recorder, began: Instant) -> Spread {
    let times = recorder.ready_since();
    let times = times
        .into_values()
        .filter_map(|at| at.checked_duration_since(began));
    Spread::of(times.collect())
}
