//! The agent with what its manifest, `config/base/agent.yaml`, gives it: that this is enough, and
//! that each capability is needed.
//!
//! ```text
//! Manifest: capabilities, mounts and arguments, from the file itself
//!   │
//! Agent:    a mount namespace with a read-only root and these mounts below /host, and setpriv(1)
//!   │
//! Host:     a folder that is the root of a real containerd, which is started again when it ends
//! ```
//!
//! The mounts are of one file system, as on most nodes: a rename from one to another fails all the
//! same (`EXDEV`). Not covered: the seccomp profile, which is the runtime's, and `SELinux`.

#![allow(
    clippy::expect_used,
    reason = "it is how a test fails, and helper functions of tests"
)]

mod manifest;
mod pod;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use anyhow::{Context as _, Result, ensure};
use e2e::host::agent::{ALLOWED, DISABLED, policy, wish};
use e2e::host::configs::{Config, Format, Table};
use e2e::host::tree::{below, differences, tree};
use e2e::host::{Host, LIMIT, verifying};
use e2e::policies::PolicyText;
use e2e::{ControlPlane, Image, Key, Registry, keys, process};
use policy::paths::{CONTAINERD_DROP_IN, STATE_DIR, VERIFIER_NAME, VERIFIER_POLICY};

use crate::manifest::Manifest;
use crate::pod::{Agent, prepare, uninstall};

/// containerd's root file, on the node.
const ROOT_FILE: &str = "etc/containerd/config.toml";

/// Where containerd has its verifiers unless it is told otherwise, on the node.
const DEFAULT_FOLDER: &str = "opt/containerd/image-verifier/bin";

/// An administrator who is not root, and keeps passwords of registries in the root file.
const OWNER: u32 = 1000;

/// Whose the root file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Root,
    Other,
}

/// A node with a containerd. Where its root file is somebody else's, it has to be changed; root's is
/// as containerd wants it, and the verifier goes into the folder that containerd has by default.
async fn node(manifest: &Manifest, registry: &Registry, owner: Owner) -> Result<Host> {
    let version = *verifying().last().context("a containerd that verifies")?;
    let change = |config: Config| match owner {
        Owner::Root => config,
        Owner::Other => config.key(Table::Snapshots, "discard_unpacked_layers = true"),
    };
    let (host, _) = Host::with(version, Format::V3, change).await?;
    prepare(&host, manifest)?;
    if owner == Owner::Other {
        let path = host.path(ROOT_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(OWNER), Some(OWNER))?;
    }
    let key = Key::generate(keys::Kind::P256)?.public_pem()?;
    let rules = PolicyText::new("p", &[&registry.host()]).authority("k", &key);
    policy(&host, "policy.yaml", &rules.yaml())?;
    wish(&host, ALLOWED)?;
    Ok(host)
}

/// Installs, proves, puts back and leaves with the capabilities of the manifest, on a node whose
/// containerd has files of somebody else's.
#[tokio::test]
async fn what_the_manifest_gives_is_enough() -> Result<()> {
    let manifest = Manifest::read()?;
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let host = node(&manifest, &registry, Owner::Other).await?;
    let before = tree(&host.root())?;

    let mut agent = Agent::start(&host, &manifest, &manifest.capabilities)?;
    agent.enforces().await?;
    // The kernel agrees with the manifest: no more capabilities than it names, and none to come.
    let held = u64::from_str_radix(&agent.kernel("CapEff")?, 16)?;
    ensure!(held.count_ones() as usize == manifest.capabilities.len());
    for field in ["CapPrm", "CapBnd"] {
        ensure!(
            u64::from_str_radix(&agent.kernel(field)?, 16)? == held,
            "{field}"
        );
    }
    ensure!(agent.kernel("NoNewPrivs")? == "1");
    host.refuses(&image.by_tag()).await?;
    ensure!(host.starts() == 2, "containerd was restarted once");
    let file = fs::metadata(host.path(ROOT_FILE))?;
    ensure!((file.uid(), file.gid(), file.mode() & 0o7777) == (OWNER, OWNER, 0o600));
    ensure!(host.path(CONTAINERD_DROP_IN).exists());

    // Somebody changes one file, and removes another.
    let there = host
        .read(VERIFIER_POLICY)
        .context("the verifier's policy")?;
    host.write(VERIFIER_POLICY, "{}")?;
    let drop_in = host.read(CONTAINERD_DROP_IN).context("the drop-in")?;
    fs::remove_file(host.path(CONTAINERD_DROP_IN))?;
    process::wait_for("both to be put back", LIMIT, async || {
        let policy = host.read(VERIFIER_POLICY);
        let is_back = policy.as_ref() == Some(&there)
            && host.read(CONTAINERD_DROP_IN).as_ref() == Some(&drop_in);
        Ok(is_back.then_some(()))
    })
    .await?;
    agent.enforces().await?;

    // By a wish, and all of it: only the folders that were made for mounts stay, and they were there.
    wish(&host, DISABLED)?;
    let disabled = "Enforcing=Disabled";
    let status = agent
        .until(disabled, LIMIT, |status| {
            status.is("Enforcing", "False", "Disabled") && status.is("Applied", "True", "Applied")
        })
        .await?;
    let left = differences(&before, &tree(&host.root())?);
    ensure!(left.is_empty(), "{left:?} {status:#}");
    ensure!(host.pull(&image.by_tag()).await?.is_ok(), "still refused");

    // And by hand.
    wish(&host, ALLOWED)?;
    agent.enforces().await?;
    drop(agent);
    let said = uninstall(&host, &manifest).await?;
    let left = differences(&before, &tree(&host.root())?);
    ensure!(left.is_empty(), "{left:?} {said}");
    let own = below(&host.path(STATE_DIR))?;
    ensure!(own.is_empty(), "{:?} {said}", own.keys());
    let file = fs::metadata(host.path(ROOT_FILE))?;
    ensure!((file.uid(), file.gid(), file.mode() & 0o7777) == (OWNER, OWNER, 0o600));
    Ok(())
}

/// What breaks without a capability, as the status says it.
const NEEDED: [(&str, &str); 3] = [
    (
        "DAC_OVERRIDE",
        "/etc/containerd/config.toml: Permission denied",
    ),
    ("CHOWN", "cannot set the owner of "),
    ("FOWNER", "cannot set the mode of "),
];

#[tokio::test]
async fn each_capability_is_needed() -> Result<()> {
    let manifest = Manifest::read()?;
    let mut listed: Vec<_> = manifest.capabilities.iter().map(String::as_str).collect();
    let mut known = NEEDED.map(|(name, _)| name);
    listed.sort_unstable();
    known.sort_unstable();
    ensure!(
        listed == known,
        "{listed:?}, and it is known what breaks without {known:?}"
    );

    let registry = Registry::distribution().await?;
    for (name, breaks) in NEEDED {
        let host = node(&manifest, &registry, Owner::Other).await?;
        let before = tree(&host.root())?;
        let others = manifest.capabilities.iter().filter(|other| *other != name);
        let others: Vec<_> = others.cloned().collect();
        let mut agent = Agent::start(&host, &manifest, &others)?;
        let status = agent
            .until(breaks, LIMIT, |status| {
                !status.is("Applied", "True", "Applied")
                    && (status.message("Applied").contains(breaks)
                        || status.message("Enforcing").contains(breaks))
            })
            .await
            .with_context(|| format!("without {name}"))?;
        // It says so, and does nothing by halves: folders that it made are recorded, and go later.
        let mut left = differences(&before, &tree(&host.root())?);
        left.retain(|path| !host.root().join(path).is_dir());
        ensure!(left.is_empty(), "without {name}: {left:?} {status:#}");
        println!("without {name}: {breaks}");
    }
    Ok(())
}

/// Where all files are root's, as nearly everywhere, the capabilities are not used: they can be taken
/// from the manifest there. The verifier comes by a rename from a folder of the same mount.
#[tokio::test]
async fn a_node_whose_files_are_roots_needs_none() -> Result<()> {
    let manifest = Manifest::read()?;
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    let host = node(&manifest, &registry, Owner::Root).await?;
    let before = tree(&host.root())?;
    let mut agent = Agent::start(&host, &manifest, &[])?;
    agent.enforces().await?;
    ensure!(u64::from_str_radix(&agent.kernel("CapEff")?, 16)? == 0);
    ensure!(host.path(DEFAULT_FOLDER).join(VERIFIER_NAME).exists());
    host.refuses(&image.by_tag()).await?;
    wish(&host, DISABLED)?;
    agent
        .until("Enforcing=Disabled", LIMIT, |status| {
            status.is("Enforcing", "False", "Disabled") && status.is("Applied", "True", "Applied")
        })
        .await?;
    let left = differences(&before, &tree(&host.root())?);
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// The API server, which knows every field, takes all of `config/base`, in the order that kustomize
/// gives it.
#[tokio::test]
async fn the_api_server_takes_the_manifests() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let folder = xtask::cache::workspace().join("config/base");
    let folder = folder.to_str().context("a path of text")?;
    let said = plane
        .kubectl(&["apply", "--validate=strict", "-k", folder])
        .await?;
    ensure!(
        said.contains("daemonset.apps/nodeseal-agent created"),
        "{said}"
    );
    Ok(())
}
