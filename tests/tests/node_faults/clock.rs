//! A wall clock that jumps, and one that began elsewhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use xtask::product::Product;

use crate::node::{Ask, Kind, Node, POLICY};
use crate::run::{Case, Recovered};
use crate::sight::Allowed;

const YEARS: i64 = 10 * 365 * 24 * 3600;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("clock: it jumps ten years ahead", "new", || jumps(&[YEARS])),
        Case::new("clock: it jumps ten years back", "new", || jumps(&[-YEARS])),
        Case::new("clock: it is set to 1970", "new", || {
            jumps(&[-1_700_000_000])
        }),
        Case::new("clock: it jumps to and fro", "new", || {
            jumps(&[YEARS, -YEARS, 3_600, -3_600])
        }),
        Case::new("clock: the machine has run for ten years", "new", || {
            started(YEARS)
        }),
    ]
}

/// The clock of a process, built where it is needed.
fn shim(node: &Node) -> Result<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/node_faults/clock.c");
    let library = node.beside("clock.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source);
    let done = cc.output().context("run cc")?;
    ensure!(done.status.success(), "cc: {done:?}");
    Ok(library)
}

/// What is added to the clock from now on.
fn set(seconds: i64, node: &Node) -> Result<()> {
    let staged = node.beside("clock.new");
    fs::write(&staged, seconds.to_string())?;
    fs::rename(staged, node.beside("clock")).context("set the clock")
}

/// The year in which something was applied last, as the status has it.
fn year(node: &Node) -> String {
    let status = node.status();
    let time = status["lastAppliedTime"].as_str().unwrap_or_default();
    time.chars().take(4).collect()
}

/// Every time with a change, and something to put back.
async fn jumps(steps: &'static [i64]) -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    set(0, &node)?;
    let mut command = node.command(&Product::Agent.locate()?);
    command
        .env("LD_PRELOAD", shim(&node)?)
        .env("NODESEAL_CLOCK", node.beside("clock"));
    node.start_as(command)?;
    let sight = node.sight();
    node.brings(Ask::Old).await?;
    node.until("the status", |node| year(node).len() == 4)
        .await?;
    let now = year(&node);
    let mut took = None;
    for (at, seconds) in steps.iter().enumerate() {
        set(*seconds, &node)?;
        let ask = if at % 2 == 0 { Ask::New } else { Ask::Old };
        node.ask(ask)?;
        took = Some(node.brings(ask).await?);
        // It is that clock that it goes by.
        if seconds.abs() >= YEARS {
            node.until("the time of that clock in the status", |node| {
                year(node) != now
            })
            .await?;
        }
        fs::remove_file(node.at(POLICY))?;
        node.brings(ask).await?;
    }
    sight.end(Allowed::Refused)?;
    node.is_at_rest().await?;
    Ok(Recovered(took))
}

/// In a time namespace, whose machine was started long ago.
async fn started(seconds: i64) -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    let mut command = Command::new("unshare");
    command.args(["--time", "--fork", "--kill-child"]);
    command.args([
        "--boottime",
        &seconds.to_string(),
        "--monotonic",
        &seconds.to_string(),
    ]);
    command.arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    node.start_as(command)?;
    let sight = node.sight();
    node.ask(Ask::New)?;
    let took = node.brings(Ask::New).await?;
    fs::remove_file(node.at(POLICY))?;
    node.brings(Ask::New).await?;
    sight.end(Allowed::Refused)?;
    Ok(Recovered(Some(took)))
}
