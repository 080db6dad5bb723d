//! Processes, sockets and ports.

use std::fs;
use std::net::TcpListener;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use e2e::Cri;
use e2e::host::LIMIT;
use e2e::host::agent::{ALLOWED, Agent, DISABLED, policy};
use e2e::process::wait_for;
use policy::paths::CONTAINERD_DROP_IN;
use rustix::process::Signal;

use super::scene::{Live, Opens, another, applied, bypassed};
use super::{OWN_VERIFIER, POLICY, VERIFIER};
use crate::node::send;
use crate::run::Recovered;

pub(super) async fn stopped() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let (before, pulls) = (applied(&agent), live.pulls());
    let pid = live.host.containerd().await?;
    send(pid, Signal::STOP)?;
    live.ask()?;
    agent
        .until("the silence to be told", LIMIT, |status| {
            !status.is("Detected", "True", "Detected")
        })
        .await?;
    send(pid, Signal::CONT)?;
    let begin = Instant::now();
    another(&mut agent, before).await?;
    let took = begin.elapsed();
    ensure!(live.host.starts() == 1, "containerd was restarted");
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}

/// An agent that has never seen the runtime answer takes everything off all the same.
pub(super) async fn emergency() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    agent.terminate().await?;
    let files = [VERIFIER, POLICY, CONTAINERD_DROP_IN, OWN_VERIFIER];
    let there = || files.map(|path| live.host.path(path).exists());
    ensure!(there().contains(&true), "there is nothing to take off");
    let pid = live.host.containerd().await?;
    send(pid, Signal::STOP)?;
    let begin = Instant::now();
    let mut agent = Agent::by_events(&live.host, DISABLED)?;
    let off = agent
        .until("everything off", LIMIT, |status| {
            status.is("Enforcing", "False", "Disabled") && status.is("Applied", "True", "Applied")
        })
        .await;
    let (took, there) = (begin.elapsed(), there());
    send(pid, Signal::CONT)?;
    off?;
    ensure!(there == [false; 4], "{files:?} are there: {there:?}");
    wait_for("the unsigned image to be let in", LIMIT, async || {
        Ok(live.host.pull(&live.unsigned.by_tag()).await?.ok())
    })
    .await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn killed() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let (before, pulls) = (applied(&agent), live.pulls());
    live.containerd(Signal::KILL).await?;
    live.ask()?;
    let begin = Instant::now();
    another(&mut agent, before).await?;
    let took = begin.elapsed();
    ensure!(live.host.starts() == 2, "the agent restarted it once more");
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn no_socket() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let pid = live.host.containerd().await?;
    fs::remove_file(live.host.socket())?;
    agent
        .until("the silence to be told", LIMIT, |status| {
            !status.is("Detected", "True", "Detected")
        })
        .await?;
    send(pid, Signal::KILL)?;
    let socket = live.host.socket();
    wait_for("another containerd", LIMIT, async || {
        Ok(Cri::answers(&socket).await.then_some(()))
    })
    .await?;
    let begin = Instant::now();
    agent.enforces().await?;
    let took = begin.elapsed();
    live.decides().await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn port() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let pulls = live.pulls();
    let port = || -> Result<u64> {
        let text = live
            .host
            .read("var/lib/nodeseal/probe.json")
            .context("probe.json")?;
        let record: serde_json::Value = serde_json::from_str(&text)?;
        record["port"].as_u64().context("a port")
    };
    let first = port()?;
    agent.terminate().await?;
    let taken = TcpListener::bind(("127.0.0.1", u16::try_from(first)?))?;
    // Nothing of what the last one said is to be taken for news.
    fs::remove_file(live.host.path("var/lib/nodeseal/status.json"))?;
    let begin = Instant::now();
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let took = begin.elapsed();
    ensure!(port()? != first, "the port is the same");
    drop(taken);
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn restarting() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let old = live.host.containerd().await?;
    let agent = Agent::by_events(&live.host, ALLOWED)?;
    wait_for("containerd to be gone", LIMIT, async || {
        Ok((live.host.containerd().await.ok() != Some(old)).then_some(()))
    })
    .await?;
    // Its drop kills it.
    drop(agent);
    let begin = Instant::now();
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let took = begin.elapsed();
    live.decides().await?;
    ensure!(
        live.host.starts() <= 3,
        "containerd was started {} times",
        live.host.starts()
    );
    Ok(Recovered(Some(took)))
}

pub(super) async fn registry_gone() -> Result<Recovered> {
    let mut live = Live::start(|config| config).await?;
    let Live {
        host,
        registry,
        signed,
        policy: rules,
        ..
    } = &mut live;
    let mut agent = Agent::by_events(host, ALLOWED)?;
    agent.enforces().await?;
    registry.stop();
    ensure!(host.pull(&signed.by_tag()).await?.is_err());
    policy(
        host,
        "policy.yaml",
        &rules.clone().field("threshold: 1").yaml(),
    )?;
    agent.enforces().await?;
    registry.restart().await?;
    let begin = Instant::now();
    drop(agent);
    live.decides().await?;
    Ok(Recovered(Some(begin.elapsed())))
}
