//! What a cluster of many nodes costs, and how long a change takes. Run it with `cargo xtask bench
//! cluster`, `-- SIZE…` for other sizes; it prints Markdown, and with `-- --write` puts it into
//! `docs/results` as well.
//!
//! Everything is real but the nodes' files: etcd, the API server, the operator as it is shipped, and the
//! agents' own loop and client, all agents in this one process, which shares the processors with the rest.
//!
//! ```text
//! main ─┬─ run       one size: join, change, change by tenths, rest, restart, many join at once
//!       └─ measure   when which node was ready, and what it cost
//! ```

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod measure;
mod run;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};
use xtask::cache;

use crate::run::Size;

/// The sizes, where none are given.
const NODES: [usize; 5] = [10, 100, 200, 1_000, 5_000];
/// How many policies there are.
const POLICIES: usize = 1_000;

fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let before = arguments.len();
    arguments.retain(|argument| argument != "--write");
    let write = arguments.len() < before;
    let sizes: Result<Vec<usize>, _> = arguments.iter().map(|size| size.parse()).collect();
    let mut sizes = sizes.context("a size is a number of nodes")?;
    if sizes.is_empty() {
        sizes.extend(NODES);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let text = runtime.block_on(bench(&sizes))?;
    if write {
        let date = jiff::Zoned::now().date();
        let path = format!("docs/results/{date}-cluster.md");
        let title = format!("# Clusters of many nodes, {date}\n\n");
        fs::write(cache::workspace().join(&path), title + &text)
            .with_context(|| format!("write {path}"))?;
        eprintln!("written to {path}");
    }
    Ok(())
}

async fn bench(sizes: &[usize]) -> Result<String> {
    let policies = env::var("NODESEAL_BENCH_POLICIES").ok();
    let policies = policies.map_or(Ok(POLICIES), |count| count.parse())?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = format!(
        "`cargo xtask bench cluster`, {policies} policies. Load of the machine at the start: {}\n",
        load.trim()
    );
    println!("{text}");
    let mut results = Vec::new();
    for &nodes in sizes {
        let began = Instant::now();
        eprintln!("\n== {nodes} nodes");
        let result = run::run(Size { nodes, policies }).await?;
        eprintln!("== {nodes} nodes: {:.0?}", began.elapsed());
        let table = result.table();
        println!("## {nodes} nodes\n\n{table}");
        write!(text, "\n## {nodes} nodes\n\n{table}")?;
        results.push(result);
    }
    let growth = run::growth(&results);
    println!("## From size to size\n\n{growth}");
    write!(text, "\n## From size to size\n\n{growth}")?;
    Ok(text)
}
