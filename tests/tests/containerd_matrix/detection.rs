//! What the agent finds out about a containerd, where nothing of it has to change.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::host::agent::{ALLOWED, Agent, CAREFUL, Status, Wish, policy};
use e2e::host::configs::Config;
use e2e::host::tree::{differences, tree};
use e2e::host::{Host, LIMIT, VERSIONS, full, verifying, versions};
use e2e::keys::{self, Key};
use e2e::policies::PolicyText;
use e2e::{Image, Registry};
use policy::paths::CONTAINERD_DROP_IN;
use rustix::process::{Pid, Signal, kill_process};

/// What containerd looks into when nobody tells it another folder.
const BIN_DIR: &str = "opt/containerd/image-verifier/bin";

/// A policy that asks for a signature which nobody has made.
pub(crate) fn strict(registry: &Registry) -> Result<String> {
    let key = Key::generate(keys::Kind::P256)?.public_pem()?;
    Ok(PolicyText::new("p", &[&registry.host()])
        .authority("k", &key)
        .yaml())
}

#[tokio::test]
async fn where_pulls_go_through_the_configured_folder_containerd_is_left_alone() -> Result<()> {
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    for version in verifying() {
        for &format in version.formats {
            let (host, config) = Host::with(version, format, |config| config).await?;
            policy(&host, "policy.yaml", &strict(&registry)?)?;
            let containerd = host.containerd().await?;
            let mut agent = Agent::start(&host, CAREFUL)?;
            let status = agent.enforces().await?;

            ensure!(host.containerd().await? == containerd && host.starts() == 1);
            ensure!(host.read("etc/containerd/config.toml") == Some(config.to_string()));
            ensure!(!host.path(CONTAINERD_DROP_IN).exists());
            let verifier = format!("{BIN_DIR}/nodeseal-verifier");
            ensure!(
                Status(&status).files().contains(&verifier.as_str()),
                "{status:#}"
            );
            ensure!(status["runtime"]["name"] == "containerd", "{status:#}");
            let told = status["runtime"]["version"].as_str().unwrap_or_default();
            ensure!(told == version.number, "{told} is not {}", version.number);
            let detected = Status(&status).message("Detected");
            let expected = format!(
                "configuration version {} in /etc/containerd/config.toml",
                format.number()
            );
            ensure!(detected.contains(&expected), "{detected}");
            host.refuses(&image.by_tag()).await?;
            println!(
                "containerd {} {format:?}: enforces, untouched",
                version.number
            );
        }
    }
    Ok(())
}

/// Whatever folder the administrator chose, it is the one.
#[tokio::test]
async fn the_folder_that_an_administrator_chose_is_used() -> Result<()> {
    for version in verifying() {
        for &format in version.formats {
            let change = |config: Config| config.verifiers("/opt/admin/verifiers");
            let (host, config) = Host::with(version, format, change).await?;
            let mut agent = Agent::start(&host, ALLOWED)?;
            let status = agent.enforces().await?;
            let verifier = "opt/admin/verifiers/nodeseal-verifier";
            ensure!(Status(&status).files().contains(&verifier), "{status:#}");
            ensure!(host.read("etc/containerd/config.toml") == Some(config.to_string()));
            ensure!(!host.path(CONTAINERD_DROP_IN).exists() && host.starts() == 1);
        }
    }
    Ok(())
}

/// A folder of our own would take the place of theirs, and pulls that they refuse would pass.
#[tokio::test]
async fn a_verifier_of_somebody_else_is_not_silenced() -> Result<()> {
    for version in verifying() {
        let (host, config) = Host::with(version, version.formats[0], |config| config).await?;
        // It ends with 0 whatever it is given: it has no objections.
        let other = format!("{BIN_DIR}/other");
        host.write(&other, "#!/usr/bin/containerd --version\n")?;
        fs::set_permissions(host.path(&other), Permissions::from_mode(0o755))?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        let status = agent
            .until("the other verifier", LIMIT, |status| {
                let said = status.message("Enforcing");
                status.is("Enforcing", "False", "Bypassed")
                    && said.contains("holds other of others")
                    && said.contains("--bin-dir /opt/containerd/image-verifier/bin")
            })
            .await?;
        ensure!(host.path(&other).exists(), "{status:#}");
        ensure!(host.read("etc/containerd/config.toml") == Some(config.to_string()));
        ensure!(!host.path(CONTAINERD_DROP_IN).exists() && host.starts() == 1);
    }
    Ok(())
}

/// 1.7 and 2.0 have no way for a verifier into CRI's pulls. The sample has no such version.
#[tokio::test]
async fn a_containerd_that_never_verifies_is_said_to_be_one_and_left_alone() -> Result<()> {
    ensure!(VERSIONS.iter().any(|version| !version.verifies));
    let registry = Registry::distribution().await?;
    let image = Image::push(&registry, "team/app", "v1").await?;
    for version in versions().into_iter().filter(|version| !version.verifies) {
        for &format in version.formats {
            let (host, _) = Host::with(version, format, |config| config).await?;
            let before = tree(&host.root())?;
            policy(&host, "policy.yaml", &strict(&registry)?)?;
            let mut agent = Agent::start(&host, ALLOWED)?;
            let why = format!(
                "containerd {} runs no image verifier for CRI pulls; 2.1 is the first that does",
                version.number
            );
            let status = agent
                .until("the proof that nothing is verified", LIMIT, |status| {
                    status.is("Enforcing", "False", "Bypassed")
                        && status.message("Enforcing").contains(&why)
                })
                .await?;
            ensure!(host.starts() == 1, "it was restarted");
            let touched = differences(&before, &tree(&host.root())?);
            let foreign: Vec<_> = touched
                .iter()
                .filter(|path| !path.to_string_lossy().contains("nodeseal"))
                .collect();
            ensure!(foreign.is_empty(), "{foreign:?} {status:#}");
            // That is what the status is about.
            ensure!(host.pull(&image.by_tag()).await?.is_ok());
            println!("containerd {} {format:?}: NotEnforcing", version.number);
        }
    }
    ensure!(full() || versions().len() == 1);
    Ok(())
}

/// A proof is about one process: another one is put to the proof at once, not on the interval.
#[tokio::test]
async fn a_containerd_that_somebody_killed_is_put_to_the_proof_when_it_is_back() -> Result<()> {
    let rarely = Wish {
        interval: "1h",
        ..ALLOWED
    };
    for version in verifying() {
        let (host, _) = Host::with(version, version.formats[0], |config| config).await?;
        let mut agent = Agent::start(&host, rarely)?;
        agent.enforces().await?;
        let pulls = |host: &Host| host.log().matches("PullImage \\\"127.0.0.1:").count();
        let before = pulls(&host);
        ensure!(before > 0, "the proof left no trace:\n{}", host.log());

        let old = host.containerd().await?;
        let pid = Pid::from_raw(i32::try_from(old)?).expect("a process id");
        kill_process(pid, Signal::KILL)?;
        e2e::process::wait_for("another proof", LIMIT, async || {
            Ok((pulls(&host) >= before + 2).then_some(()))
        })
        .await?;
        agent.enforces().await?;
        ensure!(host.containerd().await? != old && host.starts() == 2);
        ensure!(pulls(&host) < before + 2 * 2 + 1, "{}", host.log());
        println!("containerd {}: proven again", version.number);
    }
    Ok(())
}

/// While it is gone nothing of it is known, and what was there stays in force.
#[tokio::test]
async fn while_containerd_is_gone_the_status_says_so_and_nothing_is_taken_away() -> Result<()> {
    for version in verifying() {
        let (mut host, _) = Host::with(version, version.formats[0], |config| config).await?;
        Agent::start(&host, ALLOWED)?.enforces().await?;
        let before = tree(&host.root())?;
        host.halt();
        let mut agent = Agent::start(&host, ALLOWED)?;
        let status = agent
            .until("Detected=Unknown", LIMIT, |status| {
                status.is("Detected", "Unknown", "NoAnswer")
            })
            .await?;
        ensure!(tree(&host.root())? == before, "{status:#}");
        drop(agent);
        host.boot().await?;
        let mut agent = Agent::start(&host, ALLOWED)?;
        agent
            .until("an answer", Duration::from_secs(30), |status| {
                status.is("Detected", "True", "Detected")
            })
            .await?;
        agent.enforces().await?;
    }
    Ok(())
}
