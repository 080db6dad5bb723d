//! Taking everything off a node again, byte for byte.

use std::fs;

use anyhow::{Result, ensure};
use e2e::host::agent::{ALLOWED, Agent, DISABLED, policy, wish};
use e2e::host::configs::{Config, Format, Table};
use e2e::host::tree::{Tree, differences, tree};
use e2e::host::{Host, LIMIT, Version, verifying};
use e2e::{Image, Registry};
use policy::paths::CONTAINERD_DROP_IN;

use crate::detection::strict;

/// A node before it had an agent, and what its configuration is changed by.
async fn scene(
    version: Version,
    format: Format,
    change: fn(Config) -> Config,
) -> Result<(Host, Tree)> {
    let (host, _) = Host::with(version, format, change).await?;
    let before = tree(&host.root())?;
    Ok((host, before))
}

async fn comes_and_goes(format: Format, change: fn(Config) -> Config, drop_in: bool) -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let rules = strict(&registry)?;
    for version in verifying() {
        let (host, before) = scene(version, format, change).await?;
        policy(&host, "policy.yaml", &rules)?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        // More than once, because the second time has the leftovers of the first.
        for round in 1..=2 {
            wish(&host, ALLOWED)?;
            agent.enforces().await?;
            ensure!(host.path(CONTAINERD_DROP_IN).exists() == drop_in);
            host.refuses(&image.by_tag()).await?;
            let starts = host.starts();

            wish(&host, DISABLED)?;
            let status = agent
                .until("Enforcing=Disabled", LIMIT, |status| {
                    status.is("Enforcing", "False", "Disabled")
                        && status.is("Applied", "True", "Applied")
                })
                .await?;
            let left = differences(&before, &tree(&host.root())?);
            ensure!(left.is_empty(), "round {round}: {left:?} {status:#}");
            ensure!(host.starts() <= starts + 1);
            ensure!(host.pull(&image.by_tag()).await?.is_ok(), "still refused");
        }
        println!("containerd {} {format:?}: came and went", version.number);
    }
    Ok(())
}

#[tokio::test]
async fn a_disabled_node_gives_the_configured_folder_back() -> Result<()> {
    comes_and_goes(Format::V3, |config| config, false).await
}

#[tokio::test]
async fn a_disabled_node_gives_the_drop_in_and_the_import_back() -> Result<()> {
    let bypassed: fn(Config) -> Config =
        |config| config.key(Table::Snapshots, "discard_unpacked_layers = true");
    comes_and_goes(Format::V3, bypassed, true).await?;
    comes_and_goes(Format::V2, bypassed, true).await
}

/// An agent that ends cannot know whether another one comes after it.
#[tokio::test]
async fn an_agent_that_ends_leaves_everything_in_force() -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    for version in verifying() {
        let (host, _) = scene(version, Format::V3, |config| config).await?;
        policy(&host, "policy.yaml", &strict(&registry)?)?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        agent.enforces().await?;
        let before = tree(&host.root())?;
        agent.terminate().await?;
        ensure!(tree(&host.root())? == before);
        host.refuses(&image.by_tag()).await?;
        // Nor does the next one have to do anything.
        let applied = fs::read_to_string(host.path("var/lib/nodeseal/status.json"))?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        let status = agent.enforces().await?;
        let first: serde_json::Value = serde_json::from_str(&applied)?;
        ensure!(
            status["lastAppliedTime"] == first["lastAppliedTime"],
            "{status:#}"
        );
        ensure!(tree(&host.root())? == before && host.starts() == 1);
    }
    Ok(())
}
