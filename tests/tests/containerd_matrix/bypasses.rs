//! Every setting by which CRI's pulls go past the verifiers: named by its file and line, proven by
//! pulls that were not verified, and turned off where that is asked for and can be done.

use anyhow::{Context as _, Result, ensure};
use e2e::host::agent::{ALLOWED, Agent, CAREFUL, policy, wish};
use e2e::host::configs::{Format, Table};
use e2e::host::{Host, LIMIT, Version, full, verifying};
use e2e::{Image, Registry};
use policy::paths::CONTAINERD_DROP_IN;

use crate::detection::strict;

/// A setting.
#[derive(Debug, Clone, Copy)]
struct Bypass {
    key: &'static str,
    table: Table,
    line: &'static str,
    /// A drop-in can turn it off.
    fixable: bool,
    /// Whether it can be in a root file of version 2.
    in_v2: bool,
}

const fn fixable(key: &'static str, table: Table, line: &'static str) -> Bypass {
    Bypass {
        key,
        table,
        line,
        fixable: true,
        in_v2: true,
    }
}

const fn lasting(key: &'static str, line: &'static str) -> Bypass {
    Bypass {
        key,
        table: Table::Registry,
        line,
        fixable: false,
        in_v2: true,
    }
}

const BYPASSES: [Bypass; 8] = [
    Bypass {
        // It is of version 3 alone.
        in_v2: false,
        ..fixable(
            "use_local_image_pull",
            Table::Images,
            "use_local_image_pull = true",
        )
    },
    fixable(
        "disable_snapshot_annotations",
        Table::Snapshots,
        "disable_snapshot_annotations = false",
    ),
    fixable(
        "discard_unpacked_layers",
        Table::Snapshots,
        "discard_unpacked_layers = true",
    ),
    fixable(
        "max_concurrent_downloads",
        Table::Images,
        "max_concurrent_downloads = 5",
    ),
    fixable(
        "image_pull_with_sync_fs",
        Table::Images,
        "image_pull_with_sync_fs = true",
    ),
    Bypass {
        // Beside a folder of hosts.toml containerd takes none, and 2.2 makes the default folder of
        // an empty one of version 2.
        in_v2: false,
        ..lasting(
            "registry.mirrors",
            "config_path = ''\nmirrors.'r.example'.endpoint = ['https://m.example']",
        )
    },
    lasting(
        "registry.configs",
        "configs.'r.example'.auth.username = 'u'",
    ),
    lasting("registry.auths", "auths.'https://r.example'.username = 'u'"),
];

/// The node goes from bypassed to enforcing, or stays bypassed and untouched.
async fn one(
    version: Version,
    format: Format,
    bypass: Bypass,
    image: &Image,
    rules: &str,
) -> Result<()> {
    let (host, config) = Host::with(version, format, |config| {
        config.key(bypass.table, bypass.line)
    })
    .await?;
    policy(&host, "policy.yaml", rules)?;
    let text = config.to_string();
    let place = format!(
        "/etc/containerd/config.toml:{}",
        bypass
            .line
            .lines()
            .next_back()
            .and_then(|line| config.line_of(line))
            .context("the line of the bypass")?
    );
    let mut agent = Agent::start(&host, CAREFUL)?;
    // By its place in the file, and by pulls that nobody verified.
    let status = agent
        .until("the bypass", LIMIT, |status| {
            let said = status.message("Enforcing");
            status.is("Enforcing", "False", "Bypassed")
                && said.contains(&place)
                && said.contains(bypass.key)
        })
        .await?;
    ensure!(host.starts() == 1, "{status:#}");
    ensure!(host.read("etc/containerd/config.toml") == Some(text.clone()));
    host.pull(&image.by_tag())
        .await?
        .context("past the verifier")?;

    wish(&host, ALLOWED)?;
    if !bypass.fixable {
        // The same words as before, so what shows that it was looked at is the bundle.
        let first = status["appliedBundle"].clone();
        agent
            .until("the bypass, that stays", LIMIT, |status| {
                status.is("Enforcing", "False", "Bypassed")
                    && status.message("Enforcing").contains(&place)
                    && status.0["appliedBundle"] != first
            })
            .await?;
        ensure!(host.starts() == 1 && !host.path(CONTAINERD_DROP_IN).exists());
        ensure!(host.read("etc/containerd/config.toml") == Some(text));
        return Ok(());
    }
    let status = agent.enforces().await?;
    ensure!(host.starts() == 2, "{} starts, {status:#}", host.starts());
    let drop_in = host.read(CONTAINERD_DROP_IN).context("a drop-in")?;
    ensure!(
        drop_in.contains(&format!("version = {}", format.number())),
        "{drop_in}"
    );
    let root = host.read("etc/containerd/config.toml").unwrap_or_default();
    ensure!(
        root.contains("/etc/containerd/conf.d/zz-nodeseal*.toml"),
        "{root}"
    );
    // Only the line that was added.
    let kept: Vec<_> = root
        .lines()
        .filter(|line| !line.starts_with("imports"))
        .collect();
    ensure!(kept == text.lines().collect::<Vec<_>>(), "{root}");
    // It has the image from before, and asks the registry again.
    host.refuses(&image.by_tag()).await?;
    Ok(())
}

async fn all(format: Format, wanted: impl Fn(&Bypass) -> bool) -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let rules = strict(&registry)?;
    for version in verifying() {
        for bypass in BYPASSES.into_iter().filter(&wanted) {
            one(version, format, bypass, &image, &rules)
                .await
                .with_context(|| {
                    format!("containerd {} {format:?} {}", version.number, bypass.key)
                })?;
            println!(
                "containerd {} {format:?} {}: {}",
                version.number,
                bypass.key,
                if bypass.fixable { "fixed" } else { "named" }
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_bypass_that_can_be_turned_off_is_in_a_root_file_of_version_3() -> Result<()> {
    all(Format::V3, |bypass| bypass.fixable).await
}

/// The sample has one for each table.
#[tokio::test]
async fn each_bypass_that_can_be_turned_off_is_in_a_root_file_of_version_2() -> Result<()> {
    let sample = ["discard_unpacked_layers", "max_concurrent_downloads"];
    all(Format::V2, |bypass| {
        bypass.fixable && bypass.in_v2 && (full() || sample.contains(&bypass.key))
    })
    .await
}

#[tokio::test]
async fn a_bypass_that_no_drop_in_can_turn_off_is_named_and_nothing_is_touched() -> Result<()> {
    all(Format::V3, |bypass| !bypass.fixable).await?;
    all(Format::V2, |bypass| {
        !bypass.fixable && bypass.in_v2 && (full() || bypass.key == "registry.auths")
    })
    .await
}
