//! Faults around a real containerd, with pulls all the while.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::keys::{self, Key};
use e2e::policies::PolicyText;
use e2e::process::wait_for;
use e2e::{Cri, Image, Registry, signatures};
use policy::paths::CONTAINERD_DROP_IN;
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::agent::{ALLOWED, Agent, CAREFUL, policy};
use crate::configs::{Config, Format, Table};
use crate::host::{Host, LIMIT, VERSIONS};
use crate::node::send;
use crate::run::{Case, Recovered};

/// What containerd looks into when nobody tells it another folder.
const BIN_DIR: &str = "opt/containerd/image-verifier/bin";
const VERIFIER: &str = "opt/containerd/image-verifier/bin/nodeseal-verifier";
const POLICY: &str = "etc/nodeseal/verifier/policy.json";

#[allow(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "containerd: SIGSTOP, with a change meanwhile",
            "nothing rolled back, then new",
            stopped,
        ),
        Case::new(
            "containerd: SIGKILL, started again by another",
            "enforces",
            killed,
        ),
        Case::new(
            "containerd: its socket is removed",
            "told, then enforces",
            no_socket,
        ),
        Case::new(
            "containerd: the port of the proof is taken",
            "another port, enforces",
            port,
        ),
        Case::new(
            "containerd: the verifier is replaced by garbage",
            "put back, nothing pulled",
            || harmed(Opens::No, |host| put(host, VERIFIER, b"garbage", 0o755)),
        ),
        Case::new(
            "containerd: the verifier is replaced by one that accepts",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    put(host, VERIFIER, b"#!/bin/true\n", 0o755)
                })
            },
        ),
        Case::new(
            "containerd: the policy is removed",
            "put back, nothing pulled",
            || harmed(Opens::No, |host| Ok(fs::remove_file(host.path(POLICY))?)),
        ),
        Case::new(
            "containerd: the policy covers nothing any more",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    let text = host.read(POLICY).unwrap_or_default();
                    put(
                        host,
                        POLICY,
                        text.replace("\"127.0.0.1:", "\"127.0.0.2:").as_bytes(),
                        0o644,
                    )
                })
            },
        ),
        Case::new(
            "containerd: the folder of verifiers is removed",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    Ok(fs::remove_dir_all(host.path(BIN_DIR))?)
                })
            },
        ),
        Case::new(
            "containerd: a verifier of others refuses everything",
            "told, then enforces",
            foreign,
        ),
        Case::new(
            "containerd: the drop-in is removed",
            "put back without a restart",
            drop_in,
        ),
        Case::new(
            "containerd: started again while the drop-in was away",
            "put back, restarted",
            past,
        ),
        Case::new(
            "containerd: somebody else changes its configuration",
            "not restarted for it",
            || others("[debug]\nlevel = 'info'\n"),
        ),
        Case::new(
            "containerd: somebody else breaks its configuration",
            "not restarted into it",
            || others("[debug]\nlevel = 'deafening'\n"),
        ),
        Case::new(
            "containerd: it does not come up with a new bundle",
            "back to the last good one",
            rolled_back,
        )
        .slow(),
        Case::new(
            "containerd: the agent is killed in the middle of a restart",
            "enforces",
            restarting,
        ),
        Case::new(
            "containerd: the registry is gone, and comes back",
            "refused, then pulled",
            registry_gone,
        ),
    ]
}

/// A node, images, and somebody who pulls them all the time.
struct Live {
    host: Host,
    registry: Registry,
    signed: Image,
    unsigned: Image,
    policy: PolicyText,
}

/// Whether pulls go past the verifier for a moment, by what somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    No,
    Briefly,
}

impl Live {
    async fn start(change: impl FnOnce(Config) -> Config) -> Result<Self> {
        let version = VERSIONS
            .into_iter()
            .find(|version| version.number == "2.2.1");
        let version = version.context("the version that every run takes")?;
        let (started, registry) = tokio::try_join!(
            Host::with(version, Format::V3, change),
            Registry::distribution()
        )?;
        let key = Key::generate(keys::Kind::P256)?;
        let signed = Image::push(&registry, "team/app", "signed").await?;
        signatures::sign(&signed, &key).await?;
        let unsigned = Image::push(&registry, "team/other", "unsigned").await?;
        let rules = PolicyText::new("p", &[&registry.host()]).authority("k", &key.public_pem()?);
        policy(&started.0, "policy.yaml", &rules.yaml())?;
        Ok(Self {
            host: started.0,
            registry,
            signed,
            unsigned,
            policy: rules,
        })
    }

    /// Asks for one policy more.
    fn ask(&self) -> Result<()> {
        let more = PolicyText::new("more", &["more.example"]);
        let more = more.authority("k", &Key::generate(keys::Kind::P256)?.public_pem()?);
        policy(&self.host, "more.yaml", &more.yaml())
    }

    fn pulls(&self) -> Pulls {
        Pulls::start(&self.host, &self.signed, &self.unsigned)
    }

    /// The signed image is let in, and the other one is refused by the verifier.
    async fn decides(&self) -> Result<()> {
        wait_for("the signed image to be let in", LIMIT, async || {
            Ok(self.host.pull(&self.signed.by_tag()).await?.ok())
        })
        .await?;
        self.host.refuses(&self.unsigned.by_tag()).await
    }

    async fn containerd(&self, signal: Signal) -> Result<()> {
        send(self.host.containerd().await?, signal)
    }
}

/// Pulls both images again and again.
struct Pulls {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 3]>,
    task: JoinHandle<()>,
}

impl Pulls {
    fn start(host: &Host, signed: &Image, unsigned: &Image) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Arc<[AtomicU64; 3]> = Arc::default();
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&counts));
        let (signed, unsigned, socket) = (signed.by_tag(), unsigned.by_tag(), host.socket());
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                let of_signed = pull(&socket, &signed).await;
                let of_unsigned = pull(&socket, &unsigned).await;
                counted[0].fetch_add(u64::from(of_signed), Ordering::Relaxed);
                counted[1].fetch_add(u64::from(of_unsigned), Ordering::Relaxed);
                counted[2].fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        Self { stop, counts, task }
    }

    /// Ends it; fails if an image without signature came in that was not let in by somebody else.
    async fn end(self, opens: Opens) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.context("somebody who pulls")?;
        let [signed, unsigned, rounds] =
            [0, 1, 2].map(|at| self.counts[at].load(Ordering::Relaxed));
        println!(
            "{rounds} rounds of pulls: {signed} signed and {unsigned} unsigned images came in"
        );
        ensure!(rounds > 0, "nothing was pulled");
        ensure!(
            opens == Opens::Briefly || unsigned == 0,
            "an image without signature was pulled {unsigned} times in {rounds} rounds"
        );
        Ok(())
    }
}

async fn pull(socket: &Path, image: &str) -> bool {
    let pull = async {
        let cri = Cri::connect(socket).await.ok()?;
        let pulled = cri.pull(image).await.ok();
        // The next one begins from nothing.
        if pulled.is_some() {
            cri.remove(image).await.ok();
        }
        pulled
    };
    // A stopped runtime does not answer; the pull may still be there when it goes on.
    tokio::time::timeout(Duration::from_secs(5), pull)
        .await
        .ok()
        .flatten()
        .is_some()
}

/// Puts a file in a place at one go, as somebody with a mind would.
fn put(host: &Host, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let staged = host.policies().with_extension("staged");
    fs::write(&staged, bytes)?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(mode))?;
    fs::rename(staged, host.path(path)).with_context(|| format!("put {path} in its place"))
}

/// The bundle that the status names.
fn applied(agent: &Agent<'_>) -> Option<String> {
    agent.status()?["appliedBundle"].as_str().map(str::to_owned)
}

/// Waits until another bundle is proven to be in force.
async fn another(agent: &mut Agent<'_>, before: Option<String>) -> Result<()> {
    let other = |status: &crate::agent::Status<'_>| {
        status.is("Enforcing", "True", "Enforcing")
            && status.is("Applied", "True", "Applied")
            && status.0["appliedBundle"].as_str() != before.as_deref()
    };
    agent
        .until("the new policies in force", LIMIT, other)
        .await
        .map(drop)
}

async fn stopped() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn killed() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn no_socket() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn port() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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
    let mut agent = Agent::start(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let took = begin.elapsed();
    ensure!(port()? != first, "the port is the same");
    drop(taken);
    live.decides().await?;
    pulls.end(Opens::No).await?;
    Ok(Recovered(Some(took)))
}

async fn harmed(opens: Opens, fault: fn(&Host) -> Result<()>) -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn foreign() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

/// A configuration that pulls past verifiers, until the drop-in says otherwise.
fn bypassed(config: Config) -> Config {
    config.key(Table::Snapshots, "discard_unpacked_layers = true")
}

async fn drop_in() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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
async fn others(lines: &'static str) -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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
async fn rolled_back() -> Result<Recovered> {
    let live = Live::start(|config| config).await?;
    let mut agent = Agent::start(&live.host, CAREFUL)?;
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
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn past() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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
    let mut agent = Agent::start(&live.host, ALLOWED)?;
    agent.enforces().await?;
    let took = begin.elapsed();
    live.decides().await?;
    Ok(Recovered(Some(took)))
}

async fn restarting() -> Result<Recovered> {
    let live = Live::start(bypassed).await?;
    let old = live.host.containerd().await?;
    let agent = Agent::start(&live.host, ALLOWED)?;
    wait_for("containerd to be gone", LIMIT, async || {
        Ok((live.host.containerd().await.ok() != Some(old)).then_some(()))
    })
    .await?;
    // Its drop kills it.
    drop(agent);
    let begin = Instant::now();
    let mut agent = Agent::start(&live.host, ALLOWED)?;
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

async fn registry_gone() -> Result<Recovered> {
    let mut live = Live::start(|config| config).await?;
    let Live {
        host,
        registry,
        signed,
        policy: rules,
        ..
    } = &mut live;
    let mut agent = Agent::start(host, ALLOWED)?;
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
