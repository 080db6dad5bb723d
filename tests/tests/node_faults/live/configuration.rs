//! containerd's configuration: what is ours in it, and what is others'.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::host::LIMIT;
use e2e::host::agent::{ALLOWED, Agent, CAREFUL};
use e2e::process::wait_for;
use policy::paths::CONTAINERD_DROP_IN;
use rustix::process::Signal;

use super::VERIFIER;
use super::scene::{Live, Opens, another, applied, bypassed, put};
use crate::run::Recovered;

pub(super) async fn drop_in() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let (starts, pulls) = (live.host.starts(), live.pulls());
    let before = live.host.read(CONTAINERD_DROP_IN).context("a drop-in")?;
    fs::remove_file(live.host.path(CONTAINERD_DROP_IN))?;
    let begin = Instant::now();
    wait_for("the drop-in", LIMIT, async || {
        Ok(live
            .host
            .read(CONTAINERD_DROP_IN)
            .filter(|now| *now == before))
    })
    .await?;
    let took = begin.elapsed();
    let first = applied(&agent);
    live.ask()?;
    another(&mut agent, first).await?;
    ensure!(
        live.host.starts() == starts,
        "containerd was restarted for it"
    );
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}

/// What others write into the configuration takes effect when they restart containerd.
pub(super) async fn others(lines: &'static str) -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let (starts, pulls, first) = (live.host.starts(), live.pulls(), applied(&agent));
    let text = format!("version = 3\n{lines}");
    put(
        &live.host,
        "etc/containerd/conf.d/50-others.toml",
        text.as_bytes(),
        0o644,
    )?;
    live.ask()?;
    let begin = Instant::now();
    let new = another(&mut agent, first).await;
    let took = begin.elapsed();
    let now = live.host.starts();
    pulls.end(Opens::No).await?;
    ensure!(
        now == starts,
        "containerd was started {} times more: {new:?}",
        now - starts
    );
    new?;
    live.decides().await?;
    Ok(Recovered(Some(took)))
}

/// The good bundle needs nothing of the configuration; the next one does, and containerd does not
/// start with what it then reads.
pub(super) async fn rolled_back() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, CAREFUL)?;
    agent.enforces().await?;
    let pulls = live.pulls();
    agent.terminate().await?;
    // Read at the next start alone: pulls go past the verifier then, and there will be none.
    let root = live
        .host
        .read("etc/containerd/config.toml")
        .context("a root file")?;
    let table = "[plugins.'io.containerd.cri.v1.images']\n";
    let changed = root.replacen(
        table,
        &format!("{table}discard_unpacked_layers = true\n"),
        1,
    );
    ensure!(changed != root, "the root file has no table of images");
    live.host.write("etc/containerd/config.toml", &changed)?;
    live.host.write(
        "etc/containerd/conf.d/zz-nodeseal-forgotten.toml",
        "version = 3\n[debug]\nlevel = 'deafening'\n",
    )?;
    live.ask()?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    let begin = Instant::now();
    let minutes = Duration::from_mins(5);
    agent
        .until("the way back", minutes, |status| {
            status.is("Applied", "False", "RolledBack")
        })
        .await?;
    let read = || live.host.read("etc/containerd/config.toml");
    let back = async || Ok((read().as_ref() == Some(&changed)).then_some(()));
    wait_for("the configuration as it was", LIMIT, back)
        .await
        .with_context(|| read().unwrap_or_default())?;
    wait_for("containerd", LIMIT, async || {
        Ok(live.host.containerd().await.ok())
    })
    .await?;
    let took = begin.elapsed();
    ensure!(
        live.host.path(VERIFIER).exists(),
        "the good bundle is gone, too"
    );
    // Somebody else's setting lets pulls pass now; it is told.
    drop(pulls);
    agent
        .until("the bypass to be told", LIMIT, |status| {
            status.is("Enforcing", "False", "Bypassed")
        })
        .await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn past() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    agent.terminate().await?;
    fs::remove_file(live.host.path(CONTAINERD_DROP_IN))?;
    let old = live.host.containerd().await?;
    live.containerd(Signal::KILL).await?;
    wait_for("another containerd", LIMIT, async || {
        Ok(live.host.containerd().await.ok().filter(|pid| *pid != old))
    })
    .await?;
    fs::remove_file(live.host.path("var/lib/nodeseal/status.json"))?;
    let begin = Instant::now();
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let took = begin.elapsed();
    live.decides().await?;
    Ok(Recovered(Some(took)))
}
