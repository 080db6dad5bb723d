//! Agents that are killed, stopped, ended, doubled, or kept from speaking.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::{Process, process};
use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt as _;
use xtask::product::Product;

use crate::node::{
    Ask, CRIO_POLICY, JOURNAL, KINDS, Kind, LIMIT, Node, POLICY, SHIPPED, STATUS, state,
};
use crate::run::{Case, Recovered, full};
use crate::sight::{Allowed, Verdict, decide};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        let of = match kind {
            Kind::Containerd => "",
            Kind::Crio => " (CRI-O)",
        };
        let mut case = |name: &str, expected, what: What| {
            let name = format!("SIGKILL at points of {name}{of}");
            cases.push(Case::new(name, expected, move || killed(kind, what)));
        };
        case(
            "a first installation",
            "nothing or new, then new",
            What::Install,
        );
        case("an update", "old or new, then new", What::Update);
        case(
            "a removal of policies",
            "old or none, then none",
            What::Removal,
        );
        case("a recovery", "old or new, then new", What::Recovery);
        case("going back", "old or new, then new", What::Back);
        case("leaving", "old or as before, then as before", What::Leaving);
    }
    cases.extend([
        Case::new(
            "SIGKILL again and again while policies change",
            "one set, then new",
            storm,
        ),
        Case::new(
            "SIGSTOP of the agent, files changed meanwhile",
            "put back after SIGCONT",
            stopped,
        ),
        Case::new(
            "SIGTERM in the middle of an apply",
            "new, and the agent ends",
            || ended(Signal::TERM),
        ),
        Case::new(
            "SIGINT in the middle of an apply",
            "new, and the agent ends",
            || ended(Signal::INT),
        ),
        Case::new("two agents on one node", "the second does nothing", two),
        Case::new("nobody reads what the agent prints", "new", speechless),
        Case::new(
            "the agent may open 24 files",
            "old or new, then new",
            few_files,
        ),
    ]);
    cases
}

/// What is under way when the agent is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Install,
    Update,
    Removal,
    Recovery,
    Back,
    Leaving,
}

const NOTHING: &str = "apiVersion: nodeseal.dev/v1alpha1
kind: EnforcementConfig
metadata: {name: default}
spec: {defaultAction: Allow}
";

/// The node at which it begins, and the command that is killed.
fn start(kind: Kind, what: What) -> Result<Node> {
    if what == What::Install {
        let node = Node::new(kind)?;
        node.ask(Ask::New)?;
        return Ok(node);
    }
    let node = Node::applied(kind)?;
    match what {
        What::Install | What::Leaving => {}
        What::Removal => {
            for name in ["kept.yaml", "other.yaml"] {
                std::fs::remove_file(node.policies().join(name))?;
            }
            node.write_policy("config.yaml", NOTHING.as_bytes())?;
        }
        What::Update | What::Recovery | What::Back => node.ask(Ask::New)?,
    }
    Ok(match what {
        What::Recovery | What::Back => interrupted(&node, what)?,
        _ => node,
    })
}

/// As a kill leaves a node in the middle of its renames; where it has to go back, with a staged file
/// lost as a loss of power may do it.
fn interrupted(node: &Node, what: What) -> Result<Node> {
    let target = match node.kind {
        Kind::Containerd => POLICY,
        Kind::Crio => CRIO_POLICY,
    };
    let wanted = format!("before rename {target}");
    let points = node.points()?;
    let at = points
        .iter()
        .position(|line| line.split_once(' ').is_some_and(|(_, p)| p == wanted));
    let at = at.context("the policy is renamed")? + 1;
    let copy = node.copy()?;
    ensure!(kill(&copy, what, at as u64)?, "it was not killed");
    ensure!(copy.read(JOURNAL).is_some(), "there is no journal");
    if what == What::Back {
        let (folder, name) = target.rsplit_once('/').context("a folder")?;
        std::fs::remove_file(copy.at(&format!("{folder}/.{name}.nodeseal-tmp")))?;
    }
    Ok(copy)
}

fn command(node: &Node, what: What) -> Result<Command> {
    let agent = Product::AgentFault.locate()?;
    if what == What::Leaving {
        let mut command = Command::new(agent);
        command.args(["uninstall", "--root"]).arg(node.root());
        return Ok(command);
    }
    let mut command = node.command(&agent);
    command.arg("--once");
    Ok(command)
}

/// Runs it with a kill at a point: true if it was killed there.
fn kill(node: &Node, what: What, at: u64) -> Result<bool> {
    let mut command = command(node, what)?;
    command
        .env("NODESEAL_FAULT_AT", at.to_string())
        .stdin(Stdio::null());
    let said = command.output().context("run the agent")?;
    let killed = said.status.signal() == Some(9);
    ensure!(killed || said.status.success(), "point {at}: {said:?}");
    Ok(killed)
}

/// Whether what was under way is done.
fn is_done(node: &Node, what: What) -> Result<bool> {
    Ok(match (what, node.kind) {
        (What::Leaving, Kind::Containerd) => {
            !node.at("etc/nodeseal").exists()
                && !node.at("opt/nodeseal").exists()
                && !node.at("var/lib/nodeseal").exists()
        }
        (What::Leaving | What::Removal, Kind::Crio) => {
            node.read(CRIO_POLICY).as_deref() == Some(SHIPPED.as_bytes())
        }
        (What::Removal, Kind::Containerd) => {
            matches!(decide(&node.root(), node.kind), Verdict::Open(text) if text.contains("Default"))
        }
        _ => node.holds(Ask::New)?,
    })
}

async fn killed(kind: Kind, what: What) -> Result<Recovered> {
    let start = start(kind, what)?;
    let whole = start.copy()?;
    let trace = whole.beside("trace");
    let mut untouched = command(&whole, what)?;
    let said = untouched.env("NODESEAL_FAULT_TRACE", &trace).output()?;
    ensure!(
        said.status.success() && is_done(&whole, what)?,
        "without a fault: {said:?}"
    );
    let points = std::fs::read_to_string(&trace)?.lines().count() as u64;
    ensure!(points > 10, "there are only {points} points");
    let step = if full() { 1 } else { points.div_ceil(8) };
    let mut slowest = std::time::Duration::ZERO;
    let mut at = 1;
    while at <= points {
        let node = start.copy()?;
        let context = || format!("killed at point {at} of {points}");
        // What is on the disk at this instant, and what the next agent does with it.
        ensure!(kill(&node, what, at)?, "{}", context());
        let now = decide(&node.root(), kind);
        let fine = match (what, &now) {
            (_, Verdict::Held)
            | (What::Install | What::Removal | What::Leaving, Verdict::Open(_)) => true,
            // A file that looks up nothing, or a verifier without a policy, is never there.
            _ => false,
        };
        ensure!(fine, "{}: a pull is {now:?}", context());
        let sight = node.sight();
        let begin = Instant::now();
        let said = command(&node, what)?.output()?;
        slowest = slowest.max(begin.elapsed());
        ensure!(
            said.status.success() && is_done(&node, what)?,
            "{}: {said:?}",
            context()
        );
        let allowed = match what {
            What::Install | What::Removal | What::Leaving => Allowed::Open,
            What::Update | What::Recovery | What::Back => Allowed::Held,
        };
        sight.end(allowed).with_context(context)?;
        node.is_at_rest().await.with_context(context)?;
        at += step;
    }
    Ok(Recovered(Some(slowest)))
}

async fn storm() -> Result<Recovered> {
    let mut node = Node::running(Kind::Containerd).await?;
    let sight = node.sight();
    for round in 0..if full() { 60 } else { 12 } {
        node.ask(if round % 2 == 0 { Ask::New } else { Ask::Old })?;
        let log = node.log().len();
        node.start()?;
        // At another moment of its life each time.
        let until = round % 4;
        node.until("a sign of life", |node| match until {
            0 => true,
            1 => node.read(JOURNAL).is_some() || node.log().len() > log,
            2 => node.log().len() > log,
            _ => node.is_whole().unwrap_or_default(),
        })
        .await?;
        node.signal(Signal::KILL)?;
        node.is_gone().await?;
    }
    node.ask(Ask::New)?;
    node.start()?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    node.is_at_rest().await?;
    Ok(Recovered(Some(took)))
}

async fn stopped() -> Result<Recovered> {
    let node = Node::running(Kind::Containerd).await?;
    node.until("the first look to end", |node| node.read(STATUS).is_some())
        .await?;
    let sight = node.sight();
    node.signal(Signal::STOP)?;
    node.put(POLICY, b"{}")?;
    node.ask(Ask::New)?;
    ensure!(node.read(POLICY).is_some_and(|bytes| bytes == b"{}"));
    node.signal(Signal::CONT)?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Refused)?;
    node.is_at_rest().await?;
    Ok(Recovered(Some(took)))
}

/// The signal waits for the agent while that has stopped between two renames.
async fn ended(signal: Signal) -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    node.ask(Ask::New)?;
    let points = node.points()?;
    let is_rename = |line: &String| line.ends_with(&format!("before rename {POLICY}"));
    let at = points.iter().position(is_rename).context("a rename")? + 1;
    let sight = node.sight();
    let mut command = node.command(&Product::AgentFault.locate()?);
    command.env("NODESEAL_FAULT_STOP", at.to_string());
    node.start_as(command)?;
    let stat = format!(
        "/proc/{}/stat",
        node.agent.as_ref().map(Process::id).unwrap_or_default()
    );
    process::wait_for("the agent to stop", LIMIT, async || {
        Ok((state(&stat) == Some('T')).then_some(()))
    })
    .await?;
    let begin = Instant::now();
    node.signal(signal)?;
    node.signal(Signal::CONT)?;
    node.is_gone().await?;
    let took = begin.elapsed();
    ensure!(node.holds(Ask::New)?, "it ended in the middle");
    sight.end(Allowed::Held)?;
    node.is_at_rest().await?;
    Ok(Recovered(Some(took)))
}

async fn two() -> Result<Recovered> {
    let mut node = Node::running(Kind::Containerd).await?;
    node.until("the first look to end", |node| node.read(STATUS).is_some())
        .await?;
    let sight = node.sight();
    let second = node.once()?;
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(
        second.status.code() == Some(1) && text.contains("another nodeseal-agent"),
        "{text}"
    );
    let leaving = Command::new(Product::Agent.locate()?)
        .args(["uninstall", "--root"])
        .arg(node.root())
        .output()?;
    ensure!(
        leaving.status.code() == Some(1) && node.holds(Ask::Old)?,
        "{leaving:?}"
    );
    // The lock goes with its holder, however that ends.
    node.signal(Signal::KILL)?;
    node.is_gone().await?;
    node.ask(Ask::New)?;
    node.start()?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}

async fn speechless() -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    let sight = node.sight();
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" >/dev/full 2>&1"])
        .arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    node.start_as(command)?;
    node.ask(Ask::New)?;
    let took = node.brings(Ask::New).await?;
    sight.end(Allowed::Held)?;
    ensure!(node.log().is_empty());
    Ok(Recovered(Some(took)))
}

async fn few_files() -> Result<Recovered> {
    let mut node = Node::applied(Kind::Containerd)?;
    let sight = node.sight();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 24; exec \"$0\" \"$@\""])
        .arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    node.start_as(command)?;
    node.ask(Ask::New)?;
    let took = node.brings(Ask::New).await?;
    // Fewer than it needs to begin at all.
    node.signal(Signal::KILL)?;
    node.is_gone().await?;
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 5; exec \"$0\" \"$@\""])
        .arg(Product::Agent.locate()?);
    node.arguments(&mut command);
    node.ask(Ask::Old)?;
    let said = command.arg("--once").stdin(Stdio::null()).output()?;
    ensure!(node.is_whole()?, "{said:?}");
    sight.end(Allowed::Held)?;
    Ok(Recovered(Some(took)))
}
