//! The verifier, its policy and what is beside it, changed by somebody else.

use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};
use e2e::host::agent::{ALLOWED, Agent};
use e2e::host::{Host, LIMIT};
use e2e::process::wait_for;

use super::scene::{Live, Opens, another, applied, put};
use super::{BIN_DIR, POLICY, VERIFIER};
use crate::run::Recovered;

pub(super) async fn harmed(opens: Opens, fault: fn(&Host) -> Result<()>) -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let files = || {
        (
            fs::read(live.host.path(VERIFIER)).ok(),
            fs::read(live.host.path(POLICY)).ok(),
        )
    };
    let (before, first, pulls) = (files(), applied(&agent), live.pulls());
    fault(&live.host)?;
    let begin = Instant::now();
    wait_for("it to be put back", LIMIT, async || {
        Ok((files() == before).then_some(()))
    })
    .await?;
    let took = begin.elapsed();
    live.decides().await?;
    pulls.end(opens).await?;
    live.ask()?;
    another(&mut agent, first).await?;
    live.decides().await?;
    Ok(Recovered(Some(took)))
}

pub(super) async fn foreign() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::by_events(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let pulls = live.pulls();
    let other = format!("{BIN_DIR}/zz-other");
    put(&live.host, &other, b"#!/nowhere\n", 0o755)?;
    agent
        .until("it to be told", LIMIT, |status| {
            status.0.to_string().contains("zz-other")
        })
        .await?;
    // It refuses what has to pass.
    agent
        .until("the proof that fails", LIMIT, |status| {
            !status.is("Enforcing", "True", "Enforcing")
        })
        .await?;
    ensure!(live.host.path(VERIFIER).exists() && live.host.path(&other).exists());
    fs::remove_file(live.host.path(&other))?;
    let begin = Instant::now();
    agent.enforces().await?;
    let took = begin.elapsed();
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}
