//! One size.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::simulated::{Agents, Cluster, Deed, Operator, Recorder, Requests};
use serde_json::json;
use xtask::product::Product;

use crate::measure::{Cost, Spread, nodes_ready};

/// How long a node takes to apply a bundle: files and a proof.
const APPLY: Duration = Duration::from_millis(100);
/// How long anything may take.
const LIMIT: Duration = Duration::from_mins(20);
/// Longer than counts are gathered.
const QUIET: Duration = Duration::from_secs(12);
/// How many changes are timed.
const CHANGES: usize = 3;
/// How many nodes join at once, where there are as many.
const JOIN: usize = 500;

/// How large the cluster is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) policies: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    nodes: usize,
    /// All nodes at once: per node until its agent is ready, and per change until `Programmed`.
    at_once: (Spread, Spread),
    /// What one of those changes cost.
    change: Cost,
    /// The same, a tenth of the nodes at a time.
    tenths: (Spread, Duration),
    most_in_change: usize,
    /// From the first node on until everything was said about all policies.
    first: Duration,
    rest: Cost,
    rested: Duration,
    restart: Cost,
    restarted: Duration,
    joined: (usize, Duration, Cost),
    load: String,
}

pub(crate) async fn run(size: Size) -> Result<Measured> {
    let Size { nodes, policies } = size;
    let mut cluster = Cluster::start().await?;
    rollout(&cluster, "100%").await?;
    cluster.apply_all(policies).await?;
    cluster.join(0..nodes).await?;
    let recorder = Recorder::start(cluster.client.clone());
    let mut agents = Agents::new(|_, _| Deed::Applies(APPLY));
    let mut result = Measured {
        nodes,
        ..Measured::default()
    };

    step("the operator and all agents start");
    let began = Instant::now();
    let mut operator = start(&mut cluster).await?;
    for number in 0..nodes {
        let name = Cluster::node(number);
        agents.start(cluster.client.clone(), &name);
    }
    cluster.all_programmed(nodes, LIMIT).await?;
    result.first = began.elapsed();
    told(&format!(
        "all policies are programmed after {:.1?}",
        result.first
    ));
    cluster.quiet(QUIET, LIMIT).await?;

    step("changes, all nodes at once");
    let (mut by_node, mut by_change) = (Vec::new(), Vec::new());
    for revision in 1..=CHANGES {
        let before = Cost::read(&cluster, &operator).await?;
        let (ready, programmed) = change(&cluster, &recorder, revision, nodes).await?;
        told(&format!(
            "by node {}; programmed after {programmed:.1?}",
            ready.text()
        ));
        by_node.push(ready);
        by_change.push(programmed);
        cluster.quiet(QUIET, LIMIT).await?;
        result.change = Cost::read(&cluster, &operator).await?.since(&before);
        told(&listed(&result.change.requests));
    }
    // Of the nodes the slowest change counts.
    let slowest = by_node.into_iter().max_by_key(|spread| spread.p99);
    result.at_once = (slowest.unwrap_or_default(), Spread::of(by_change));

    step("a change, a tenth of the nodes at a time");
    rollout(&cluster, "10%").await?;
    cluster.quiet(QUIET, LIMIT).await?;
    recorder.begin();
    result.tenths = change(&cluster, &recorder, CHANGES + 1, nodes).await?;
    result.most_in_change = recorder.most_in_change();
    told(&format!(
        "by node {}; programmed after {:.1?}",
        result.tenths.0.text(),
        result.tenths.1
    ));
    rollout(&cluster, "100%").await?;
    cluster.quiet(QUIET, LIMIT).await?;

    step("rest");
    let before = Cost::read(&cluster, &operator).await?;
    result.rested = Duration::from_mins(1);
    tokio::time::sleep(result.rested).await;
    result.rest = Cost::read(&cluster, &operator).await?.since(&before);
    told(&format!(
        "operator {}; {}",
        megabytes(result.rest.operator.peak),
        listed(&result.rest.requests)
    ));

    step("the operator starts anew");
    let before = Cost::read(&cluster, &operator).await?;
    operator.terminate().await?;
    let began = Instant::now();
    operator = start(&mut cluster).await?;
    cluster.leads(&operator).await?;
    result.restarted = began.elapsed();
    tokio::time::sleep(QUIET).await;
    result.restart = Cost::read(&cluster, &operator).await?;
    result.restart.requests = &result.restart.requests - &before.requests;

    step("many join at once");
    let many = JOIN.min(nodes);
    let before = Cost::read(&cluster, &operator).await?;
    let began = Instant::now();
    cluster.join(nodes..nodes + many).await?;
    for number in nodes..nodes + many {
        agents.start(cluster.client.clone(), &Cluster::node(number));
    }
    cluster.all_programmed(nodes + many, LIMIT).await?;
    let took = began.elapsed();
    cluster.quiet(QUIET, LIMIT).await?;
    let cost = Cost::read(&cluster, &operator).await?.since(&before);
    result.joined = (many, took, cost);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.trim().clone_into(&mut result.load);
    Ok(result)
}

fn step(what: &str) {
    eprintln!("   {what}");
}

/// What came of a step, at once: what comes after it may take long.
fn told(what: &str) {
    eprintln!("      {what}");
}

/// Nodes that were made a moment ago count as joining, which no rollout waits for: an operator whose
/// clock is an hour ahead sees them as old ones.
async fn start(cluster: &mut Cluster) -> Result<Operator> {
    let program = Product::OperatorFault.locate()?;
    let operator = cluster
        .operator_by(program, &[], &[("NODESEAL_CLOCK_OFFSET", "3600")])
        .await?;
    operator.ready().await?;
    Ok(operator)
}

async fn rollout(cluster: &Cluster, at_once: &str) -> Result<()> {
    cluster
        .configure(&json!({ "maxUnavailable": at_once }))
        .await
}

/// One policy changes: when the nodes were ready, and when the policy said `Programmed`.
async fn change(
    cluster: &Cluster,
    recorder: &Recorder,
    revision: usize,
    nodes: usize,
) -> Result<(Spread, Duration)> {
    let began = Instant::now();
    cluster.apply(0, revision, None).await?;
    cluster.programmed(0, nodes, LIMIT).await?;
    let programmed = began.elapsed();
    Ok((nodes_ready(recorder, began), programmed))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Measured {
    pub(crate) fn table(&self) -> String {
        let nodes = self.nodes as f64;
        let mut text = String::from("| | |\n|---|---|\n");
        let mut row = |what: &str, is: String| {
            // A String takes everything.
            let _ = writeln!(text, "| {what} | {is} |");
        };
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let (by_node, by_change) = self.at_once;
        row(
            "from the first start until all policies are programmed",
            seconds(self.first),
        );
        row(
            "apply to ready, by node, all at once: median / p99 / most",
            by_node.text(),
        );
        row(
            "apply to `Programmed`, 3 changes: median / p99 / most",
            by_change.text(),
        );
        let (by_node, programmed) = self.tenths;
        row(
            "`maxUnavailable: 10%`, by node: median / p99 / most",
            by_node.text(),
        );
        row(
            "the same, apply to `Programmed`",
            format!(
                "{}, at most {} nodes in change",
                seconds(programmed),
                self.most_in_change
            ),
        );
        let change = &self.change.requests;
        let written = change.of("APPLY", "nodeimagepolicies", "")
            + change.of("APPLY", "nodeimagepolicies", "status");
        row(
            "writes per node and change",
            format!("{:.2}", written as f64 / nodes),
        );
        row("requests of one change", listed(change));
        let bytes = format!(
            "{:.1} kB answered, {:.1} kB in watches",
            change.answered as f64 / nodes / 1e3,
            change.watched as f64 / nodes / 1e3
        );
        row("bytes per node and change", bytes);
        let cpu = |cost: &Cost| {
            format!(
                "operator {:.1} s, API server {:.1} s, etcd {:.1} s, all agents {:.1} s",
                cost.operator.cpu.as_secs_f64(),
                cost.api_server.cpu.as_secs_f64(),
                cost.etcd.cpu.as_secs_f64(),
                cost.agents.cpu.as_secs_f64()
            )
        };
        row("processor time of one change", cpu(&self.change));
        let memory = format!(
            "operator {} (peak {}), API server {}, etcd {}",
            megabytes(self.rest.operator.resident),
            megabytes(self.rest.operator.peak),
            megabytes(self.rest.api_server.resident),
            megabytes(self.rest.etcd.resident)
        );
        row("memory at rest", memory);
        let restarted = format!(
            "{} (peak {})",
            megabytes(self.restart.operator.resident),
            megabytes(self.restart.operator.peak)
        );
        row("memory of the operator after a restart", restarted);
        row(
            "requests of one minute at rest",
            listed(&self.rest.requests),
        );
        row("processor time of one minute at rest", cpu(&self.rest));
        row("restart until it leads", seconds(self.restarted));
        row(
            "writes after a restart",
            self.restart.requests.writes_but_tidying().to_string(),
        );
        let (many, took, cost) = &self.joined;
        let joined = format!("{}; {}", seconds(*took), listed(&cost.requests));
        row(
            &format!("{many} join at once, until all policies say so"),
            joined,
        );
        row("load of the machine at the end", self.load.clone());
        text
    }

    /// What grows.
    fn figures(&self) -> [(&'static str, f64); 6] {
        let change = &self.change.requests;
        [
            (
                "p99 by node, all at once, s",
                self.at_once.0.p99.as_secs_f64(),
            ),
            ("requests of one change", change.total() as f64),
            ("writes of one change", change.writes_but_tidying() as f64),
            (
                "requests of a minute at rest",
                self.rest.requests.total() as f64,
            ),
            (
                "operator, processor time of one change, s",
                self.change.operator.cpu.as_secs_f64(),
            ),
            (
                "operator, memory, MiB",
                self.rest.operator.resident as f64 / f64::from(1 << 20),
            ),
        ]
    }
}

fn listed(requests: &Requests) -> String {
    let named = requests
        .counts
        .iter()
        .map(|((verb, resource, part), count)| {
            let slash = if part.is_empty() { "" } else { "/" };
            format!("{count} {verb} {resource}{slash}{part}")
        });
    let refused = format!("{} refused as too many", requests.refused);
    let refused = (requests.refused > 0).then_some(refused);
    named.chain(refused).collect::<Vec<_>>().join(", ")
}

/// What grows how.
pub(crate) fn growth(results: &[Measured]) -> String {
    let mut text = String::from("| |");
    for result in results {
        let _ = write!(text, " {} |", result.nodes);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(results.len()));
    let names = results.first().map(Measured::figures).unwrap_or_default();
    for (index, (name, _)) in names.iter().enumerate() {
        let _ = write!(text, "\n| {name} |");
        let mut before: Option<(usize, f64)> = None;
        for result in results {
            let (_, figure) = result.figures()[index];
            let per_node = before
                .filter(|(_, before)| *before > 0.0)
                .map(|(nodes, before)| {
                    let grown = figure / before / (result.nodes as f64 / nodes as f64);
                    format!(" (×{grown:.2} per node)")
                });
            let _ = write!(text, " {figure:.1}{} |", per_node.unwrap_or_default());
            before = Some((result.nodes, figure));
        }
    }
    text.push('\n');
    text
}
