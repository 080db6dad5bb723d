//! What has to change and may or may not, the restart, and what becomes of one that fails.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::host::agent::{ALLOWED, Agent, Status, Wish, wish};
use e2e::host::configs::{Config, Format, Table};
use e2e::host::tree::{below, differences};
use e2e::host::{Host, LIMIT, verifying};
use e2e::process::wait_for;
use policy::paths::CONTAINERD_DROP_IN;

/// A program that runs until it is ended, and needs no file: it listens on a port that is free.
const PROGRAM: &str = "referrers-registry";

fn bypassed(config: Config) -> Config {
    config.key(Table::Snapshots, "discard_unpacked_layers = true")
}

/// The changes are asked for, and nobody may restart it.
const PENDING: Wish = Wish {
    restart: "Never",
    ..ALLOWED
};

#[tokio::test]
async fn where_no_restart_is_allowed_the_change_is_told_and_not_made() -> Result<()> {
    for version in verifying() {
        for &format in version.formats {
            let (host, config) = Host::with(version, format, bypassed).await?;
            let before = below(&host.path("etc/containerd"))?;
            let mut agent = Agent::start(&host, PENDING)?;
            let status = agent
                .until("Applied=Pending", LIMIT, |status| {
                    status.is("Applied", "False", "Pending")
                        && status.is("Enforcing", "False", "Bypassed")
                })
                .await?;
            ensure!(host.starts() == 1);
            let after = below(&host.path("etc/containerd"))?;
            ensure!(after == before, "{:?}", differences(&before, &after));
            let told = Status(&status).message("Applied");
            for line in [
                "`containerd.restart: Allowed`",
                "--- /etc/containerd/config.toml",
                "+imports = [\"/etc/containerd/conf.d/zz-nodeseal*.toml\"]",
                "+++ /etc/containerd/conf.d/zz-nodeseal.toml",
                "+discard_unpacked_layers = false",
                "+bin_dir = \"/opt/nodeseal/image-verifier\"",
            ] {
                ensure!(
                    told.replace('\'', "\"").contains(&line.replace('\'', "\"")),
                    "no {line} in:\n{told}"
                );
            }

            // Who does as it says has what the agent would have made.
            wish(&host, ALLOWED)?;
            agent.enforces().await?;
            ensure!(host.starts() == 2);
            drop(agent);
            let root = host.read("etc/containerd/config.toml").unwrap_or_default();
            ensure!(root != config.to_string(), "{root}");
            for line in told
                .lines()
                .filter(|line| line.starts_with('+') && !line.starts_with("+++"))
            {
                let there = [host.read(CONTAINERD_DROP_IN), Some(root.clone())];
                let is_there = there.iter().flatten().any(|file| {
                    file.lines()
                        .any(|of_file| Some(of_file) == line.strip_prefix('+'))
                });
                ensure!(is_there, "{line} is in neither file");
            }
            println!(
                "containerd {} {format:?}: pending, then done",
                version.number
            );
        }
    }
    Ok(())
}

/// A container as it is for `ctr task ls`: its process and state.
async fn task(host: &Host) -> Result<String> {
    let tasks = host.ctr(&["task", "ls"]).await?;
    let line = tasks.lines().find(|line| line.starts_with("survivor"));
    Ok(line.context("no container is there")?.to_owned())
}

#[tokio::test]
async fn a_container_survives_the_restart() -> Result<()> {
    for version in verifying() {
        let (host, _) = Host::with(version, version.formats[0], bypassed).await?;
        let program = xtask::peers::locate(PROGRAM)?;
        host.install("var/container/bin", &program)?;
        host.ctr(&[
            "run",
            "--detach",
            "--net-host",
            "--null-io",
            "--rootfs",
            "/var/container",
            "survivor",
            "/bin/referrers-registry",
            "-disk",
            "/",
        ])
        .await?;
        let before = task(&host).await?;
        ensure!(before.contains("RUNNING"), "{before}");

        let mut agent = Agent::start(&host, ALLOWED)?;
        let old = host.containerd().await?;
        agent.enforces().await?;
        ensure!(host.containerd().await? != old && host.starts() == 2);
        ensure!(task(&host).await? == before, "{before}");
        println!("containerd {}: {before}", version.number);
    }
    Ok(())
}

/// A file that nobody imports, until the agent adds the line: with it containerd does not start,
/// which no look at the files can tell.
#[tokio::test]
async fn a_containerd_that_does_not_come_back_gets_its_configuration_back() -> Result<()> {
    for version in verifying() {
        let (host, config) = Host::with(version, version.formats[0], bypassed).await?;
        let format = version.formats[0].number();
        let broken = format!("version = {format}\n[debug]\nlevel = 'deafening'\n");
        host.write("etc/containerd/conf.d/zz-nodeseal-forgotten.toml", &broken)?;
        let before = below(&host.path("etc/containerd"))?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        let status = agent
            .until("Applied=RolledBack", Duration::from_mins(4), |status| {
                status.is("Applied", "False", "RolledBack")
            })
            .await?;
        let after = below(&host.path("etc/containerd"))?;
        ensure!(
            after == before,
            "{:?} {status:#}",
            differences(&before, &after)
        );
        ensure!(host.read("etc/containerd/config.toml") == Some(config.to_string()));
        wait_for("containerd", LIMIT, async || {
            Ok(host.containerd().await.is_ok().then_some(()))
        })
        .await?;
        let starts = host.starts();
        ensure!(
            host.log().contains("deafening"),
            "it started:\n{}",
            host.log()
        );

        // What failed is not tried again, until the policies change and the reason is gone.
        std::fs::remove_file(host.path("etc/containerd/conf.d/zz-nodeseal-forgotten.toml"))?;
        let changed = Wish {
            interval: "11s",
            ..ALLOWED
        };
        wish(&host, changed)?;
        agent.enforces().await?;
        ensure!(host.starts() == starts + 1, "{} {starts}", host.starts());
        println!("containerd {}: rolled back", version.number);
    }
    Ok(())
}

/// The line that imports drop-ins is there already, as in a configuration that a containerd of 2.2
/// or later made itself.
#[tokio::test]
async fn a_root_file_that_imports_the_folder_is_not_edited() -> Result<()> {
    for version in verifying() {
        for format in [Format::V3, Format::V2] {
            let line = "imports = ['/etc/containerd/conf.d/*.toml']";
            let change = |config: Config| bypassed(config.top(line));
            let (host, config) = Host::with(version, format, change).await?;
            let mut agent = Agent::start(&host, ALLOWED)?;
            agent.enforces().await?;
            ensure!(host.starts() == 2 && host.path(CONTAINERD_DROP_IN).exists());
            ensure!(host.read("etc/containerd/config.toml") == Some(config.to_string()));
        }
    }
    Ok(())
}
