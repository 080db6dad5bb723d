//! A real containerd, with everything it keeps in a folder of its own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::statfs;
use xtask::peers;

use crate::cleanup::unmount_below;
use crate::cri::Cri;
use crate::folder::Folder;
use crate::process::{self, Process};

/// How long containerd may take to answer over the CRI.
pub(crate) const START: Duration = Duration::from_secs(30);

/// `OVERLAYFS_SUPER_MAGIC` of statfs(2).
const OVERLAYFS: i64 = 0x794c_7630;

/// What a test wants to be different from the lab's containerd.
///
/// `Options::default()` is a containerd that enforces nothing: its verifier folder is its own and
/// does not exist.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder of image verifiers; [`Containerd::bin_dir`] when not set.
    pub bin_dir: Option<PathBuf>,
    /// The time that one verifier has; containerd's default is 10 s.
    pub per_verifier_timeout: Option<Duration>,
    /// The files that the configuration imports.
    pub imports: Vec<PathBuf>,
    /// More lines for the table of CRI's images, such as `discard_unpacked_layers = true`.
    pub images: String,
    /// More lines for the end of the file: tables of their own.
    pub extra: String,
    /// The environment, which verifiers inherit. Otherwise it holds only a PATH.
    pub env: Vec<(OsString, OsString)>,
}

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    // Fields are dropped in this order: the process ends before its folder is removed.
    process: Option<Process>,
    env: Vec<(OsString, OsString)>,
    bin_dir: PathBuf,
    folder: Folder,
}

impl Containerd {
    /// Writes the configuration, starts containerd and waits until it answers over the CRI.
    pub async fn start(options: Options) -> Result<Self> {
        let folder = Folder::new("ctrd")?;
        let bin_dir = options
            .bin_dir
            .clone()
            .unwrap_or_else(|| folder.join("verifiers"));
        let config = config(folder.path(), &bin_dir, &options)?;
        let path = folder.join("config.toml");
        fs::write(&path, config).with_context(|| format!("write {}", path.display()))?;
        for name in ["certs.d", "tmp", "cni"] {
            fs::create_dir(folder.join(name)).with_context(|| format!("create {name}"))?;
        }
        let mut containerd = Self {
            process: None,
            env: options.env,
            bin_dir,
            folder,
        };
        containerd.restart().await?;
        Ok(containerd)
    }

    /// Ends it by SIGKILL, as a crash would; images stay.
    pub fn stop(&mut self) -> Result<()> {
        self.process = None;
        unmount_below(self.folder.path())
    }

    /// Starts it (again) with what the configuration says now.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let mut command = Command::new(peers::locate("containerd")?);
        command.arg("--config").arg(self.config_path());
        command.env_clear().env("TMPDIR", self.folder.join("tmp"));
        // It starts helpers of the system, such as mount programs.
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let log = self.folder.join("containerd.log");
        let mut process = Process::start("containerd", &mut command, &log)?;
        let socket = self.socket();
        process
            .ready(START, async || {
                Ok(Cri::answers(&socket).await.then_some(()))
            })
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// A client of its CRI.
    pub async fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket()).await
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    /// Its main configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// The folder of its verifiers. It does not exist until somebody creates it.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    /// The folder of `<host>/hosts.toml`.
    #[must_use]
    pub fn certs_d(&self) -> PathBuf {
        self.folder.join("certs.d")
    }

    /// The folder that holds all of it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process id, if it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// What it has logged since it was first started; at level debug what verifiers say on stderr
    /// is among it.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Installs a program as a verifier: a copy beside the folder, then renamed in, since
    /// containerd runs whatever it finds there.
    pub fn install_verifier(&self, name: &str, program: &Path) -> Result<()> {
        fs::create_dir_all(&self.bin_dir).context("create the folder of verifiers")?;
        let staged = self.bin_dir.with_extension(format!("{name}.tmp"));
        fs::copy(program, &staged).with_context(|| format!("copy {}", program.display()))?;
        fs::rename(&staged, self.bin_dir.join(name)).context("install a verifier")
    }

    /// Runs `ctr` against it; returns what it printed.
    pub async fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(peers::locate("ctr")?);
        command.arg("--address").arg(self.socket()).args(args);
        process::output(command).await
    }
}

/// The configuration file.
fn config(folder: &Path, bin_dir: &Path, options: &Options) -> Result<String> {
    let path = |name: &str| quote(&folder.join(name));
    let imports: Vec<_> = options.imports.iter().map(|path| quote(path)).collect();
    let snapshotter = snapshotter(folder)?;
    let mut text = format!(
        r#"version = 3
root = {root}
state = {state}
imports = [{imports}]

[grpc]
address = {socket}

[debug]
level = "debug"

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

# It would open a socket outside this folder.
[plugins."io.containerd.nri.v1.nri"]
disable = true

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
enable_unprivileged_ports = false
enable_unprivileged_icmp = false

# Pulls need no network of pods.
[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = {cni}
bin_dirs = [{cni}]

[plugins."io.containerd.image-verifier.v1.bindir"]
bin_dir = {bin_dir}
"#,
        root = path("root"),
        state = path("state"),
        imports = imports.join(", "),
        socket = path("containerd.sock"),
        opt = path("opt"),
        cni = path("cni"),
        bin_dir = quote(bin_dir),
    );
    if let Some(limit) = options.per_verifier_timeout {
        writeln!(text, "per_verifier_timeout = \"{}ms\"", limit.as_millis())?;
    }
    write!(
        text,
        r#"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"
{images}

[plugins."io.containerd.cri.v1.images".registry]
config_path = {certs_d}

# CRI's pulls go through the transfer service, which has a snapshotter of its own.
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "{snapshotter}"

{extra}
"#,
        images = options.images,
        certs_d = path("certs.d"),
        extra = options.extra,
    )?;
    Ok(text)
}

/// The snapshotter for a containerd below this folder: the default where it works, since an overlay
/// cannot lie on another overlay.
pub fn snapshotter(folder: &Path) -> Result<&'static str> {
    let known = fs::read_to_string("/proc/filesystems").context("read the file systems")?;
    let known = known.lines().any(|line| line.ends_with("\toverlay"));
    let below = statfs(folder)
        .context("look at the file system of the lab")?
        .f_type;
    Ok(if known && below != OVERLAYFS {
        "overlayfs"
    } else {
        "native"
    })
}

/// A path as a TOML string.
fn quote(path: &Path) -> String {
    format!(
        "\"{}\"",
        path.display()
            .to_string()
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
    )
}
