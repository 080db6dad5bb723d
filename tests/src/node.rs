//! A node: a root folder that the agent looks after, and a containerd that has it as its root.
//!
//! containerd runs in a chroot of the folder, so the shipped verifier finds its policy at the fixed
//! path, the agent's drop-in is what makes containerd call it, and nothing is told apart from a
//! real node by a flag.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, mount, mount_bind};
use xtask::peers;
use xtask::product::Product;

use crate::containerd::{START, snapshotter};
use crate::cri::{Cri, PullError};
use crate::folder::Folder;
use crate::process::Process;

/// A node with a running containerd.
#[derive(Debug)]
pub struct Node {
    // Fields are dropped in this order: the process ends before its folder is removed.
    process: Option<Process>,
    agent: PathBuf,
    folder: Folder,
}

/// What the agent said after one look.
#[derive(Debug)]
pub struct Applied {
    /// Whether it exited with 0: everything valid and applied.
    pub ok: bool,
    /// The status that it printed.
    pub status: serde_json::Value,
    /// Its log.
    pub log: String,
}

impl Node {
    /// A node without policies whose agent has looked once, with a containerd that gives a
    /// verifier that much time (containerd's own default where it is not said).
    pub async fn start(per_verifier_timeout: Option<Duration>) -> Result<Self> {
        let mut node = Self::prepare(per_verifier_timeout)?;
        let first = node.apply()?;
        ensure!(first.ok, "the first look failed: {first:?}");
        node.boot().await?;
        Ok(node)
    }

    /// As [`Node::start`], but neither the agent nor containerd has run.
    pub fn prepare(per_verifier_timeout: Option<Duration>) -> Result<Self> {
        let folder = Folder::new("node")?;
        let node = Self {
            process: None,
            agent: Product::Agent.locate()?,
            folder,
        };
        let root = node.root();
        for name in [
            "proc",
            "dev",
            "tmp",
            "usr/bin",
            "etc/containerd",
            "run",
            "var/lib",
            "opt",
        ] {
            fs::create_dir_all(root.join(name)).with_context(|| format!("create {name}"))?;
        }
        fs::create_dir(node.policies()).context("create the folder of policies")?;
        let timeout = per_verifier_timeout.map_or_else(String::new, |limit| {
            format!(
                "\n[plugins.'io.containerd.image-verifier.v1.bindir']\nper_verifier_timeout = '{}ms'\n",
                limit.as_millis()
            )
        });
        let snapshotter = snapshotter(&root)?;
        fs::write(
            root.join("etc/containerd/config.toml"),
            config(snapshotter, &timeout),
        )
        .context("write containerd's configuration")?;
        Ok(node)
    }

    /// Starts containerd in its root, or starts it again.
    pub async fn boot(&mut self) -> Result<()> {
        self.process = None;
        let root = self.root();
        let containerd = root.join("usr/bin/containerd");
        if !containerd.exists() {
            fs::copy(peers::locate("containerd")?, &containerd).context("copy containerd")?;
            mount("proc", root.join("proc"), "proc", MountFlags::empty(), None)
                .context("mount proc in the node's root")?;
            mount_bind("/dev", root.join("dev")).context("mount dev in the node's root")?;
        }
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(&root).args([
            "/usr/bin/containerd",
            "--config",
            "/etc/containerd/config.toml",
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/");
        command.arg0("chroot");
        let mut process = Process::start(
            "containerd",
            &mut command,
            &self.folder.join("containerd.log"),
        )?;
        let socket = self.socket();
        process
            .ready(START, async || {
                Ok(Cri::answers(&socket).await.then_some(()))
            })
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// The node's root folder.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The folder that the agent reads.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// containerd's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/containerd.sock")
    }

    /// Its CRI.
    pub async fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket()).await
    }

    /// containerd's log, with what the verifier said on stderr.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Writes files into the folder of policies; an empty text removes the file.
    pub fn write_policies(&self, files: &BTreeMap<&str, String>) -> Result<()> {
        for (name, text) in files {
            let path = self.policies().join(name);
            if text.is_empty() {
                fs::remove_file(&path).with_context(|| format!("remove {name}"))?;
            } else {
                fs::write(&path, text).with_context(|| format!("write {name}"))?;
            }
        }
        Ok(())
    }

    /// The agent's command line on this node, for one look.
    #[must_use]
    pub fn agent(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("--policy-dir").arg(self.policies());
        command.arg("--root").arg(self.root());
        command.args(["--runtime", "containerd"]);
        command
    }

    /// Lets the agent look once.
    pub fn apply(&self) -> Result<Applied> {
        let mut command = self.agent(&self.agent);
        command.arg("--verifier").arg(Product::Verifier.locate()?);
        command.args(["--once", "--output", "json"]);
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().context("run the agent")?;
        let log = String::from_utf8_lossy(&stderr).into_owned();
        let status_json = serde_json::from_slice(&stdout)
            .with_context(|| format!("read the agent's status ({status}); its log:\n{log}"))?;
        Ok(Applied {
            ok: status.success(),
            status: status_json,
            log,
        })
    }

    /// Writes this one policy file and applies it; every policy in it has to be valid.
    pub fn enforce(&self, text: &str) -> Result<()> {
        self.write_policies(&BTreeMap::from([("policy.yaml", text.to_owned())]))?;
        let applied = self.apply()?;
        ensure!(applied.ok, "the policy was not applied: {applied:?}");
        Ok(())
    }

    /// Pulls an image as a kubelet would; a refusal is the verifier's own line.
    pub async fn pull(&self, image: &str) -> Result<Result<(), Refusal>> {
        let cri = self.cri().await?;
        Ok(match cri.pull(image).await {
            Ok(_) => Ok(()),
            Err(error) => Err(Refusal::read(&error)?),
        })
    }

    /// The code of the refusal of a pull, or `pulled`.
    pub async fn verdict(&self, image: &str) -> Result<String> {
        Ok(match self.pull(image).await? {
            Ok(()) => "pulled".to_owned(),
            Err(refusal) => refusal.code,
        })
    }
}

/// What the verifier said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// Whether another try may go another way.
    pub transient: bool,
    /// What was found, and what to do.
    pub message: String,
}

impl Refusal {
    /// Code and message, without the names of bundle and image at its end.
    #[must_use]
    pub fn in_short(&self) -> String {
        let message = self.message.split(" [").next().unwrap_or_default();
        format!("{}: {message}", self.code)
    }

    /// Takes the verifier's line out of containerd's error.
    fn read(error: &PullError) -> Result<Self> {
        let parse = || {
            let (_, line) = error.message.split_once("SignatureValidationFailed: ")?;
            let (head, message) = line.split_once("): ")?;
            let (code, kind) = head.split_once(" (")?;
            let transient = match kind {
                "transient" => true,
                "fatal" => false,
                _ => return None,
            };
            Some(Self {
                code: code.to_owned(),
                transient,
                message: message.to_owned(),
            })
        };
        parse().with_context(|| format!("the pull failed without a verdict: {error}"))
    }
}

/// containerd's own configuration: what a distribution would ship, with the import that lets a
/// drop-in work.
fn config(snapshotter: &str, extra: &str) -> String {
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
imports = ["/etc/containerd/conf.d/*.toml"]

[grpc]
address = "/run/containerd.sock"

[debug]
level = "debug"

# It would open a socket outside of this root.
[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
enable_unprivileged_ports = false
enable_unprivileged_icmp = false

[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"

# CRI's pulls go through the transfer service, which has a snapshotter of its own.
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "{snapshotter}"
{extra}"#
    )
}
