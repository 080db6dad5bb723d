//! A node with a real containerd, and somebody who pulls all the while.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::host::agent::{Agent, Status, policy};
use e2e::host::configs::{Config, Format, Table};
use e2e::host::{Host, LIMIT, VERSIONS};
use e2e::keys::{self, Key};
use e2e::policies::PolicyText;
use e2e::process::wait_for;
use e2e::{Cri, Image, Registry, signatures};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::node::send;

/// A node, images, and somebody who pulls them all the time.
pub(super) struct Live {
    pub(super) host: Host,
    pub(super) registry: Registry,
    pub(super) signed: Image,
    pub(super) unsigned: Image,
    pub(super) policy: PolicyText,
}

/// Whether pulls go past the verifier for a moment, by what somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    No,
    Briefly,
}

impl Live {
    pub(super) async fn start(change: impl FnOnce(Config) -> Config) -> Result<Self> {
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
    pub(super) fn ask(&self) -> Result<()> {
        let more = PolicyText::new("more", &["more.example"]);
        let more = more.authority("k", &Key::generate(keys::Kind::P256)?.public_pem()?);
        policy(&self.host, "more.yaml", &more.yaml())
    }

    pub(super) fn pulls(&self) -> Pulls {
        Pulls::start(&self.host, &self.signed, &self.unsigned)
    }

    /// The signed image is let in, and the other one is refused by the verifier.
    pub(super) async fn decides(&self) -> Result<()> {
        wait_for("the signed image to be let in", LIMIT, async || {
            Ok(self.host.pull(&self.signed.by_tag()).await?.ok())
        })
        .await?;
        self.host.refuses(&self.unsigned.by_tag()).await
    }

    pub(super) async fn containerd(&self, signal: Signal) -> Result<()> {
        send(self.host.containerd().await?, signal)
    }
}

/// Pulls both images again and again.
pub(super) struct Pulls {
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
    pub(super) async fn end(self, opens: Opens) -> Result<()> {
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
pub(super) fn put(host: &Host, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let staged = host.policies().with_extension("staged");
    fs::write(&staged, bytes)?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(mode))?;
    fs::rename(staged, host.path(path)).with_context(|| format!("put {path} in its place"))
}

/// The bundle that the status names.
pub(super) fn applied(agent: &Agent<'_>) -> Option<String> {
    agent.status()?["appliedBundle"].as_str().map(str::to_owned)
}

/// Waits until another bundle is proven to be in force.
pub(super) async fn another(agent: &mut Agent<'_>, before: Option<String>) -> Result<()> {
    let other = |status: &Status<'_>| {
        status.is("Enforcing", "True", "Enforcing")
            && status.is("Applied", "True", "Applied")
            && status.0["appliedBundle"].as_str() != before.as_deref()
    };
    agent
        .until("the new policies in force", LIMIT, other)
        .await
        .map(drop)
}

/// A configuration that pulls past verifiers, until the drop-in says otherwise.
pub(super) fn bypassed(config: Config) -> Config {
    config.key(Table::Snapshots, "discard_unpacked_layers = true")
}
