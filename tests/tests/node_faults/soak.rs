//! Ten thousand changes of policies on one agent: what it takes then, and what it took at first.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Followed;
use crate::node::{Node, STATE};

/// How many changes there are.
const CHANGES: u64 = 10_000;
/// After so many the agent has met everything that it will meet again.
const WARM: u64 = 1_000;
/// How much more memory it may take at the end than then, in percent.
const GROWTH: u64 = 10;
/// The most bytes in the agent's own folder.
const DISK: u64 = 4 << 20;

/// What an agent takes.
#[derive(Debug, Clone, Copy)]
struct Takes {
    /// Resident memory now, and the most that there ever was, in KiB.
    rss: u64,
    peak: u64,
    /// The part of it that is no file's: what the program has allocated.
    own: u64,
    /// Open files.
    files: usize,
    /// Bytes in its own folder.
    disk: u64,
    /// Milliseconds of the processor, since it started.
    cpu: u64,
}

impl Takes {
    fn of(node: &Node) -> Result<Self> {
        let agent = node.agent.as_ref().context("an agent runs")?;
        let proc = format!("/proc/{}", agent.id());
        let status = fs::read_to_string(format!("{proc}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.context("a field")?.trim().trim_end_matches(" kB");
            Ok(number.parse()?)
        };
        let stat = fs::read_to_string(format!("{proc}/stat"))?;
        let stat: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        // User and system time, in ticks of 10 ms, are fields 14 and 15 of proc_pid_stat(5); the
        // first after the name is the third.
        let ticks = |at: usize| stat.get(at).and_then(|text| text.parse::<u64>().ok());
        Ok(Self {
            rss: field("VmRSS:")?,
            peak: field("VmHWM:")?,
            own: field("RssAnon:")?,
            files: fs::read_dir(format!("{proc}/fd"))?.count(),
            disk: size(&node.at(STATE)),
            cpu: 10 * (ticks(11).context("user time")? + ticks(12).context("system time")?),
        })
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Changes policies one after the other, each as soon as the last one is in force. The cluster asks
/// for them: a folder is left in peace for a moment before it is read.
pub(crate) async fn run() -> Result<()> {
    let all = Followed::start().await?;
    let node = &all.node;
    let begin = Instant::now();
    let mut warm = None;
    let mut first = None;
    for change in 1..=CHANGES {
        let scope = format!("host{change}.example");
        all.ask(&scope)?;
        all.enforces(&scope).await?;
        if change == 1 || change % 1_000 == 0 {
            let takes = Takes::of(node)?;
            first.get_or_insert(takes);
            if change == WARM {
                warm = Some(takes);
            }
            println!(
                "{change} changes, {:.0} s: {} KiB now, {} KiB of it allocated, {} KiB at most, {} open files, {} KiB on the disk, {} ms of the processor",
                begin.elapsed().as_secs_f32(),
                takes.rss,
                takes.own,
                takes.peak,
                takes.files,
                takes.disk >> 10,
                takes.cpu,
            );
        }
    }
    let (first, warm) = (
        first.context("a beginning")?,
        warm.context("the agent was warm")?,
    );
    let end = Takes::of(node)?;
    println!(
        "{} KiB at first, {} KiB at the end ({} KiB allocated), {} KiB at most; {} µs of the processor for a change",
        first.rss,
        end.rss,
        end.own,
        end.peak,
        1_000 * (end.cpu - first.cpu) / CHANGES,
    );
    ensure!(
        end.files <= first.files + 2,
        "{} open files, and {} at first",
        end.files,
        first.files
    );
    ensure!(end.disk < DISK, "{} bytes on the disk", end.disk);
    ensure!(
        end.rss * 100 <= warm.rss * (100 + GROWTH),
        "{} KiB at the end, and {} KiB after {WARM} changes",
        end.rss,
        warm.rss
    );
    node.is_at_rest().await
}
