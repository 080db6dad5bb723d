//! A node: a folder that is a containerd's root, and a supervisor that keeps containerd running.

pub mod agent;
pub mod configs;
pub mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use xtask::peers;

use self::configs::{Config, Format};
use crate::containerd::snapshotter;
use crate::cri::PullError;
use crate::{Cri, Folder, Process, process};

/// How long anything may take that takes seconds.
pub const LIMIT: Duration = Duration::from_mins(1);

/// A version of containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The version, as CRI tells it without its `v`.
    pub number: &'static str,
    containerd: &'static str,
    shim: &'static str,
    /// Whether CRI's pulls go through image verifiers at all.
    pub verifies: bool,
    /// The versions of root files that it reads.
    pub formats: &'static [Format],
}

/// The one that every run takes.
const SAMPLE: Version = Version {
    number: "2.2.1",
    containerd: "containerd",
    shim: "containerd-shim-runc-v2",
    verifies: true,
    formats: &[Format::V3, Format::V2],
};

/// All of them.
pub const VERSIONS: [Version; 5] = [
    Version {
        number: "1.7.35",
        containerd: "containerd-1.7",
        shim: "containerd-shim-runc-v2-1.7",
        verifies: false,
        formats: &[Format::V2],
    },
    Version {
        number: "2.0.14",
        containerd: "containerd-2.0",
        shim: "containerd-shim-runc-v2-2.0",
        verifies: false,
        ..SAMPLE
    },
    Version {
        number: "2.1.9",
        containerd: "containerd-2.1",
        shim: "containerd-shim-runc-v2-2.1",
        ..SAMPLE
    },
    SAMPLE,
    Version {
        number: "2.3.7",
        containerd: "containerd-2.3",
        shim: "containerd-shim-runc-v2-2.3",
        ..SAMPLE
    },
];

/// Whether everything is tested, and not a sample.
#[must_use]
pub fn full() -> bool {
    std::env::var_os("NODESEAL_FULL").is_some_and(|value| !value.is_empty())
}

/// The versions that this run tests.
#[must_use]
pub fn versions() -> Vec<Version> {
    let wanted = |version: &Version| full() || *version == SAMPLE;
    VERSIONS.into_iter().filter(wanted).collect()
}

/// Those of them whose pulls can be held to policies.
#[must_use]
pub fn verifying() -> Vec<Version> {
    let versions = versions().into_iter();
    versions.filter(|version| version.verifies).collect()
}

/// What stands for systemd: in namespaces of its own, so that whatever containerd starts or mounts
/// goes with it. `$1` is the root, `$2` the path of containerd there.
const SUPERVISOR: &str = r#"
set -e
# runc wants a mount point as its root.
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /sys "$1/sys"
while :; do
    chroot "$1" "$2" --config /etc/containerd/config.toml || echo "supervisor: containerd ended with $?"
    sleep 0.1
done
"#;

/// Where containerd's socket is, on the node.
const SOCKET: &str = "run/containerd/containerd.sock";

/// A node. The agent runs beside it.
#[derive(Debug)]
pub struct Host {
    // Fields are dropped in this order: the processes end before their folder is removed.
    supervisor: Option<Process>,
    /// Of its containerd.
    pub version: Version,
    folder: Folder,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Whether there is a process that has not ended, by its `proc_pid_stat(5)`.
#[must_use]
pub fn runs(stat: &Path) -> bool {
    let stat = fs::read_to_string(stat).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    // A zombie has ended, and waits for its parent to ask after it.
    !state.is_empty() && !state.starts_with('Z')
}

impl Host {
    /// A node on which nothing runs yet.
    pub fn new(version: Version) -> Result<Self> {
        let folder = Folder::new("mx")?;
        let host = Self {
            supervisor: None,
            version,
            folder,
        };
        for name in [
            "root/proc",
            "root/dev",
            "root/sys",
            "root/tmp",
            "root/usr/bin",
            "root/etc/containerd",
            "root/run",
            "root/var/lib",
            "root/opt",
            "policies",
        ] {
            let path = host.folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("create {name}"))?;
        }
        // A node's processes are known by their names.
        for (program, name) in [
            (version.containerd, "containerd"),
            (version.shim, "containerd-shim-runc-v2"),
            ("runc", "runc"),
        ] {
            let to = host.path("usr/bin").join(name);
            fs::copy(peers::locate(program)?, to).with_context(|| format!("copy {program}"))?;
        }
        Ok(host)
    }

    /// A node whose containerd answers, with a configuration that this function makes of the usual
    /// one.
    pub async fn with(
        version: Version,
        format: Format,
        change: impl FnOnce(Config) -> Config,
    ) -> Result<(Self, Config)> {
        let mut host = Self::new(version)?;
        let config = change(Config::new(format, snapshotter(&host.root())?));
        host.write("etc/containerd/config.toml", &config.to_string())?;
        host.boot().await?;
        Ok((host, config))
    }

    /// Starts the supervisor, and waits until containerd answers.
    pub async fn boot(&mut self) -> Result<()> {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", SUPERVISOR, "supervisor"])
            .arg(self.root())
            .arg("/usr/bin/containerd")
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            );
        let log = self.folder.join("containerd.log");
        let mut process = Process::start("the supervisor", &mut command, &log)?;
        let socket = self.socket();
        let answers = async || Ok(Cri::answers(&socket).await.then_some(()));
        process.ready(LIMIT, answers).await?;
        self.supervisor = Some(process);
        Ok(())
    }

    /// Ends the supervisor, and with it containerd and everything that it started.
    pub fn halt(&mut self) {
        let Some(supervisor) = self.supervisor.take() else {
            return;
        };
        let pid = supervisor.id();
        let first = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        drop(supervisor);
        // The first process of the namespace is gone when all others are, so that none of them
        // writes any more.
        let first = first.unwrap_or_default();
        let stat = PathBuf::from(format!("/proc/{}/stat", first.trim()));
        let begin = Instant::now();
        while runs(&stat) && begin.elapsed() < LIMIT {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The node's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// A path of the node's, here.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The folder of policies.
    #[must_use]
    pub fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// A file for the agent's output.
    #[must_use]
    pub fn agent_log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// containerd's socket, here.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path(SOCKET)
    }

    /// The address of that, as the kubelet has it.
    #[must_use]
    pub fn endpoint() -> String {
        format!("unix:///{SOCKET}")
    }

    /// Writes a file of the node's.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        let folder = path.parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// Copies a program into a folder of the node's.
    pub fn install(&self, folder: &str, program: &Path) -> Result<()> {
        let folder = self.path(folder);
        fs::create_dir_all(&folder)?;
        let name = program.file_name().context("a program has a name")?;
        fs::copy(program, folder.join(name)).context("copy a program")?;
        Ok(())
    }

    /// A file of the node's; nothing where there is none.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// What containerd and its supervisor have said.
    #[must_use]
    pub fn log(&self) -> String {
        let supervisor = self.supervisor.as_ref();
        supervisor.map(Process::log).unwrap_or_default()
    }

    /// How often containerd was started.
    #[must_use]
    pub fn starts(&self) -> usize {
        self.log().matches("msg=\"starting containerd\"").count()
    }

    /// The id of the containerd that listens.
    pub async fn containerd(&self) -> Result<u32> {
        let stream = tokio::net::UnixStream::connect(self.socket())
            .await
            .context("connect to containerd")?;
        let pid = stream.peer_cred()?.pid().context("a process listens")?;
        Ok(u32::try_from(pid)?)
    }

    /// Pulls as a kubelet would.
    pub async fn pull(&self, image: &str) -> Result<Result<(), PullError>> {
        let cri = Cri::connect(&self.socket()).await?;
        Ok(cri.pull(image).await.map(drop))
    }

    /// Fails unless a pull is refused by the verifier's own word.
    pub async fn refuses(&self, image: &str) -> Result<()> {
        match self.pull(image).await? {
            Ok(()) => bail!("{image} was pulled"),
            Err(error) => ensure!(
                error.message.contains("SignatureValidationFailed"),
                "{image} was not refused by the verifier: {error}"
            ),
        }
        Ok(())
    }

    /// Runs `ctr` on the node.
    pub async fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(peers::locate("ctr")?);
        command.arg("--address").arg(self.socket()).args(args);
        process::output(command).await
    }
}
