//! The agent's own records, damaged in every way, and of a newer version.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::node::{Ask, KINDS, Kind, Node, STATE, condition};
use crate::run::{Case, Recovered, full};
use crate::sight::Allowed;

/// What happens to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Gone,
    Empty,
    Truncated,
    Garbage,
    Zeros,
    Newer,
    Huge,
    Link,
    Folder,
}

const HARMS: [Harm; 9] = [
    Harm::Gone,
    Harm::Empty,
    Harm::Truncated,
    Harm::Garbage,
    Harm::Zeros,
    Harm::Newer,
    Harm::Huge,
    Harm::Link,
    Harm::Folder,
];

/// The agent's records.
const RECORDS: [&str; 13] = [
    "journal",
    "state.json",
    "bundle",
    "good",
    "trials.json",
    "started.json",
    "probe.json",
    "refreshed.json",
    "folders.json",
    "status.json",
    "seen.json",
    "verdicts-read.json",
    "lock",
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = RECORDS
        .iter()
        .map(|&record| {
            let name =
                format!("records: {record} is lost, cut, garbage, newer, huge, a link, a folder");
            Case::new(name, "new, or old with a reason", move || damaged(record))
        })
        .collect();
    cases.push(Case::new(
        "records: all of them are lost",
        "new; CRI-O: old files are told apart by their content",
        all_lost,
    ));
    cases
}

fn harm(node: &Node, record: &str, harm: Harm) -> Result<()> {
    let path = node.at(STATE).join(record);
    let before = fs::read(&path).unwrap_or_default();
    if path.exists() {
        fs::remove_file(&path)?;
    }
    let bytes = match harm {
        Harm::Gone => return Ok(()),
        Harm::Empty => Vec::new(),
        Harm::Truncated => before[..before.len() / 2].to_vec(),
        Harm::Garbage => b"\x00\xff\xfe{]not json".to_vec(),
        Harm::Zeros => vec![0; before.len().max(64)],
        Harm::Newer => newer(&before),
        Harm::Huge => {
            // More than any record may have; no byte of it takes room.
            fs::File::create(&path)?.set_len(300 << 20)?;
            return Ok(());
        }
        Harm::Link => return symlink("/etc/passwd", &path).context("make a link"),
        Harm::Folder => return fs::create_dir(&path).context("make a folder"),
    };
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}

/// The record as a newer agent would have written it.
fn newer(before: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(before).into_owned();
    let mut newer = text.clone();
    for key in ["version", "format"] {
        newer = newer.replacen(&format!("\"{key}\": 1"), &format!("\"{key}\": 99"), 1);
        newer = newer.replacen(&format!("\"{key}\":1"), &format!("\"{key}\":99"), 1);
    }
    if newer == text {
        "{\"version\": 99, \"format\": 99, \"new\": {}}".clone_into(&mut newer);
    }
    newer.into_bytes()
}

/// What the look has to come to.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// What is asked for is in force.
    New,
    /// What was in force is, and this word is in the reason; an administrator has to do something.
    Old(&'static str),
    /// Either.
    Whole,
}

fn fate(kind: Kind, record: &str, harm: Harm) -> Fate {
    match (record, harm) {
        ("bundle", Harm::Newer) => Fate::Old("BundleTooNew"),
        // It cannot be told any more what of CRI-O's files is the node's own.
        (
            "state.json",
            Harm::Gone | Harm::Empty | Harm::Truncated | Harm::Garbage | Harm::Zeros | Harm::Newer,
        ) if kind == Kind::Crio => Fate::Old("state.json"),
        // No file of the agent's: it neither follows it nor takes it away.
        (_, Harm::Link | Harm::Folder | Harm::Huge) => Fate::Whole,
        _ => Fate::New,
    }
}

async fn damaged(record: &'static str) -> Result<Recovered> {
    let mut slowest = Duration::ZERO;
    let mut wrong = Vec::new();
    for kind in KINDS {
        let both = full() || ["journal", "state.json", "bundle", "good"].contains(&record);
        if kind == Kind::Crio && !both {
            continue;
        }
        let start = Node::applied(kind)?;
        start.ask(Ask::New)?;
        for harm in HARMS {
            if record == "lock" && harm == Harm::Newer {
                continue;
            }
            match look(&start, record, harm).await {
                Ok(took) => slowest = slowest.max(took),
                Err(error) => wrong.push(format!("{kind:?}, {harm:?}: {error:#}")),
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(Recovered(Some(slowest)))
}

async fn look(start: &Node, record: &str, how: Harm) -> Result<Duration> {
    let node = start.copy()?;
    harm(&node, record, how)?;
    let sight = node.sight();
    let begin = Instant::now();
    let said = node.once()?;
    let took = begin.elapsed();
    let (old, new) = (node.holds(Ask::Old)?, node.holds(Ask::New)?);
    match fate(node.kind, record, how) {
        Fate::New => ensure!(
            new && said.status.success(),
            "not in force: {}",
            words(&said)
        ),
        Fate::Old(word) => ensure!(
            old && !said.status.success() && words(&said).contains(word),
            "{word} was expected: {}",
            words(&said)
        ),
        Fate::Whole => ensure!(old || new, "neither set is in force: {}", words(&said)),
    }
    // Where it is not what is asked for, that is told.
    ensure!(
        new || !said.status.success(),
        "it is not told: {}",
        words(&said)
    );
    sight.end(Allowed::Held)?;
    if new {
        // The next look has nothing to do.
        let again = node.once()?;
        ensure!(
            node.holds(Ask::New)?,
            "the next look took it back: {}",
            words(&again)
        );
        node.is_at_rest().await?;
    }
    Ok(took)
}

fn words(said: &Output) -> String {
    let status: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    let log = String::from_utf8_lossy(&said.stderr).into_owned();
    format!(
        "{} {} {}{log}",
        said.status,
        condition(&status, "Applied"),
        status["error"]
    )
}

async fn all_lost() -> Result<Recovered> {
    let mut slowest = Duration::ZERO;
    for kind in KINDS {
        let node = Node::applied(kind)?;
        node.ask(Ask::New)?;
        fs::remove_dir_all(node.at(STATE))?;
        let sight = node.sight();
        let begin = Instant::now();
        let said = node.once()?;
        slowest = slowest.max(begin.elapsed());
        match kind {
            Kind::Containerd => {
                ensure!(node.holds(Ask::New)?, "not in force: {}", words(&said));
            }
            // Nothing tells that the rules are nodeseal's, so they are taken for the node's own, and
            // hold beside the new ones.
            Kind::Crio => {}
        }
        sight.end(Allowed::Held)?;
    }
    Ok(Recovered(Some(slowest)))
}
