//! A node of files alone: the runtime is told, and its decisions are those of its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::policies::{PolicyText, config};
use e2e::{Folder, Process, process};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use xtask::product::Product;

use crate::sight::Sight;

/// The verifier's policy.
pub(crate) const POLICY: &str = "etc/nodeseal/verifier/policy.json";
/// The drop-in of containerd.
pub(crate) const DROP_IN: &str = "etc/containerd/conf.d/zz-nodeseal.toml";
/// The folder of verifiers.
pub(crate) const FOLDER: &str = "opt/nodeseal/image-verifier";
/// The verifier.
pub(crate) const VERIFIER: &str = "opt/nodeseal/image-verifier/nodeseal-verifier";
/// The policy of CRI-O.
pub(crate) const CRIO_POLICY: &str = "etc/crio/policy.json";
/// Where CRI-O looks for signatures.
pub(crate) const REGISTRIES: &str = "etc/containers/registries.d/nodeseal.yaml";
/// The agent's own folder.
pub(crate) const STATE: &str = "var/lib/nodeseal";
/// The status.
pub(crate) const STATUS: &str = "var/lib/nodeseal/status.json";
/// The journal.
pub(crate) const JOURNAL: &str = "var/lib/nodeseal/journal";

/// A registry that all policies of the test cover.
pub(crate) const KEPT: &str = "kept.example";
/// How long anything may take that takes seconds.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// What distributions ship.
pub(crate) const SHIPPED: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
/// A configuration that asks no verifier unless a drop-in says so.
pub(crate) const CONTAINERD: &str = "version = 3
imports = ['/etc/containerd/conf.d/*.toml']
[plugins.'io.containerd.image-verifier.v1.bindir']
max_verifiers = 0
";

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q
URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==
-----END PUBLIC KEY-----";

/// The runtime whose files these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Containerd,
    Crio,
}

/// Both of them.
pub(crate) const KINDS: [Kind; 2] = [Kind::Containerd, Kind::Crio];

/// Policies that are asked for. Both cover [`KEPT`], and each something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Old,
    New,
}

impl Ask {
    fn files(self) -> [(&'static str, String); 3] {
        let other = match self {
            Self::Old => "old.example",
            Self::New => "new.example",
        };
        [
            ("config.yaml", config(&["defaultAction: Allow"])),
            ("kept.yaml", policy("kept", KEPT)),
            ("other.yaml", policy("other", other)),
        ]
    }
}

/// A policy as a user writes it.
pub(crate) fn policy(name: &str, scope: &str) -> String {
    PolicyText::new(name, &[scope])
        .authority("release", KEY)
        .yaml()
}

/// What is installed as the verifier: version 2 comes with an upgrade.
pub(crate) fn program(version: u8) -> Vec<u8> {
    let mut bytes = format!("#!/bin/sh\nexit {version}\n#").into_bytes();
    bytes.resize(64 * 1024, b'0' + version);
    bytes
}

/// Whether this is a whole program of ours.
pub(crate) fn is_program(bytes: &[u8]) -> bool {
    [1, 2].iter().any(|version| bytes == program(*version))
}

/// A node.
pub(crate) struct Node {
    // Fields are dropped in this order: the process ends before its folder is removed.
    pub(crate) agent: Option<Process>,
    pub(crate) kind: Kind,
    folder: Folder,
}

/// The runtime, what is asked for, and which version of the verifier is installed.
type Asked = (Kind, Ask, u8);
type Files = BTreeMap<&'static str, Option<Vec<u8>>>;

/// The managed files of nodes on which nothing went wrong.
static UNDISTURBED: LazyLock<Mutex<BTreeMap<Asked, Files>>> = LazyLock::new(Mutex::default);

impl Node {
    /// A node that never had an agent, with the policies of [`Ask::Old`] to be applied.
    pub(crate) fn new(kind: Kind) -> Result<Self> {
        let node = Self {
            agent: None,
            kind,
            folder: Folder::new("fault")?,
        };
        for folder in ["etc", "opt", "var/lib"] {
            fs::create_dir_all(node.at(folder))?;
        }
        fs::create_dir_all(node.policies())?;
        match kind {
            Kind::Containerd => {
                node.put("etc/containerd/config.toml", CONTAINERD.as_bytes())?;
                node.install(1)?;
            }
            Kind::Crio => {
                let path = "[crio.image]\nsignature_policy = \"/etc/crio/policy.json\"\n";
                node.put("etc/crio/crio.conf.d/10-crio.conf", path.as_bytes())?;
                node.put(CRIO_POLICY, SHIPPED.as_bytes())?;
                node.put("etc/containers/registries.d/default.yaml", b"# nothing\n")?;
            }
        }
        node.ask(Ask::Old)?;
        Ok(node)
    }

    /// A node on which [`Ask::Old`] is in force, and nobody runs.
    pub(crate) fn applied(kind: Kind) -> Result<Self> {
        let node = Self::new(kind)?;
        let done = node.once()?;
        ensure!(done.status.success(), "the first look failed: {done:?}");
        ensure!(
            node.holds(Ask::Old)?,
            "the first look did not apply the policies"
        );
        Ok(node)
    }

    /// A node on which [`Ask::Old`] is in force, and its agent runs.
    pub(crate) async fn running(kind: Kind) -> Result<Self> {
        let mut node = Self::new(kind)?;
        node.start()?;
        node.brings(Ask::Old).await?;
        Ok(node)
    }

    /// Another node that is the same, byte for byte.
    pub(crate) fn copy(&self) -> Result<Self> {
        let folder = Folder::new("fault")?;
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.folder.join(".")).arg(folder.path());
        let done = copy.status().context("copy a node")?;
        ensure!(done.success(), "cp: {done}");
        Ok(Self {
            agent: None,
            kind: self.kind,
            folder,
        })
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.folder.join("policies")
    }

    /// Writes a file of the node's.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.at(path);
        let folder = path.parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.at(path)).ok()
    }

    /// The verifier that the agent comes with is this one from now on.
    pub(crate) fn install(&self, version: u8) -> Result<()> {
        let staged = self.beside("verifier.new");
        fs::write(&staged, program(version))?;
        fs::set_permissions(&staged, fs::Permissions::from_mode(0o755))?;
        fs::rename(staged, self.beside("verifier")).context("put a program in its place")
    }

    /// Asks for these policies; each file appears as a whole.
    pub(crate) fn ask(&self, ask: Ask) -> Result<()> {
        for (name, text) in ask.files() {
            self.write_policy(name, text.as_bytes())?;
        }
        Ok(())
    }

    pub(crate) fn write_policy(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let staged = self.beside("policy.tmp");
        fs::write(&staged, bytes)?;
        fs::rename(staged, self.policies().join(name)).context("put a policy in its place")
    }

    /// The agent's command line.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.arguments(&mut command);
        command
    }

    /// The arguments of an agent, for what runs one.
    pub(crate) fn arguments(&self, command: &mut Command) {
        command.arg("--root").arg(self.root());
        command.arg("--policy-dir").arg(self.policies());
        match self.kind {
            Kind::Containerd => command
                .args(["--runtime", "containerd", "--runtime-version", "2.2.1"])
                .arg("--verifier")
                .arg(self.beside("verifier")),
            Kind::Crio => command.args(["--runtime", "cri-o", "--runtime-version", "1.34.1"]),
        };
    }

    /// Starts the agent.
    pub(crate) fn start(&mut self) -> Result<()> {
        let command = self.command(&Product::Agent.locate()?);
        self.start_as(command)
    }

    /// Starts an agent by this command line, which still lacks what every agent that goes on has.
    pub(crate) fn start_as(&mut self, mut command: Command) -> Result<()> {
        self.agent = None;
        command.args(["--recheck", "1"]);
        let log = self.beside("agent.log");
        self.agent = Some(Process::start("nodeseal-agent", &mut command, &log)?);
        Ok(())
    }

    /// Lets an agent look once.
    pub(crate) fn once(&self) -> Result<Output> {
        Self::once_as(self.command(&Product::Agent.locate()?))
    }

    /// Lets an agent with fault points look once.
    pub(crate) fn once_with(&self, variables: &[(&str, String)]) -> Result<Output> {
        let mut command = self.command(&Product::AgentFault.locate()?);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        Self::once_as(command)
    }

    fn once_as(mut command: Command) -> Result<Output> {
        command
            .args(["--once", "--output", "json"])
            .stdin(Stdio::null());
        command.output().context("run the agent")
    }

    /// The points that the next look reaches, in their order, by what it does to a copy.
    pub(crate) fn points(&self) -> Result<Vec<String>> {
        let copy = self.copy()?;
        let trace = copy.beside("trace");
        let done = copy.once_with(&[("NODESEAL_FAULT_TRACE", trace.display().to_string())])?;
        ensure!(done.status.success(), "the look failed: {done:?}");
        let text = fs::read_to_string(trace).context("a trace")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Sends the agent a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let agent = self.agent.as_ref().context("an agent runs")?;
        send(agent.id(), signal)
    }

    /// Waits until the agent is gone.
    pub(crate) async fn is_gone(&mut self) -> Result<()> {
        let agent = self.agent.as_ref().context("an agent ran")?;
        let stat = format!("/proc/{}/stat", agent.id());
        process::wait_for("the agent to end", LIMIT, async || {
            Ok(matches!(state(&stat), None | Some('Z')).then_some(()))
        })
        .await?;
        self.agent = None;
        Ok(())
    }

    /// Everything that the agent has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.beside("agent.log")).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Value {
        let text = self.read(STATUS).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Status, reason and message of a condition.
    pub(crate) fn condition(&self, name: &str) -> String {
        condition(&self.status(), name)
    }

    /// Waits for something.
    pub(crate) async fn until(
        &self,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<Duration> {
        let begin = Instant::now();
        let look = async || Ok(holds(self).then_some(()));
        process::wait_for(what, LIMIT, look)
            .await
            .with_context(|| {
                let log = self.log();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(25)..].join("\n");
                format!("the status is {:#}\nthe log:\n{tail}", self.status())
            })?;
        Ok(begin.elapsed())
    }

    /// Waits until these policies are in force, and nothing else is.
    pub(crate) async fn brings(&self, ask: Ask) -> Result<Duration> {
        undisturbed(self.kind, ask, self.version())?;
        let wanted = format!("{ask:?} in force");
        self.until(&wanted, |node| node.holds(ask).unwrap_or_default())
            .await
    }

    fn version(&self) -> u8 {
        let there = fs::read(self.beside("verifier")).unwrap_or_default();
        if there == program(2) { 2 } else { 1 }
    }

    /// Whether these policies are in force, and nothing else is: every file as on a node on which
    /// nothing went wrong.
    pub(crate) fn holds(&self, ask: Ask) -> Result<bool> {
        let wanted = undisturbed(self.kind, ask, self.version())?;
        Ok(wanted.iter().all(|(path, bytes)| self.read(path) == *bytes) && self.is_alone())
    }

    /// Whether all files are of one set.
    pub(crate) fn is_whole(&self) -> Result<bool> {
        Ok(self.holds(Ask::Old)? || self.holds(Ask::New)?)
    }

    /// Nothing else is where programs are run, and what is there has its mode.
    fn is_alone(&self) -> bool {
        let mode = |path: &str| {
            let data = fs::symlink_metadata(self.at(path));
            data.map(|data| (data.is_file(), data.permissions().mode() & 0o7777))
                .ok()
        };
        match self.kind {
            Kind::Crio => mode(CRIO_POLICY) == Some((true, 0o644)),
            Kind::Containerd => {
                let entries = fs::read_dir(self.at(FOLDER)).into_iter().flatten();
                let is_folder =
                    fs::symlink_metadata(self.at(FOLDER)).is_ok_and(|data| data.is_dir());
                is_folder
                    && entries.count() == 1
                    && mode(VERIFIER) == Some((true, 0o755))
                    && mode(POLICY) == Some((true, 0o644))
            }
        }
    }

    /// Fails if something is left of what was under way.
    pub(crate) async fn is_at_rest(&self) -> Result<()> {
        let left = |node: &Self| -> Vec<PathBuf> {
            let mut left = Vec::new();
            for folder in ["etc", "opt", "var"] {
                collect(&node.at(folder), &mut left);
            }
            left
        };
        self.until("nothing to be left over", |node| left(node).is_empty())
            .await
            .map(drop)
            .with_context(|| format!("{:?}", left(self)))
    }

    pub(crate) fn sight(&self) -> Sight {
        Sight::of(self.root(), self.kind)
    }
}

/// What is left of something that was under way.
fn collect(folder: &Path, left: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let text = path.to_string_lossy();
        if text.contains("nodeseal-tmp")
            || text.ends_with(JOURNAL)
            || text.contains("/backup/rollback/")
        {
            left.push(path.clone());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, left);
        }
    }
}

/// Status, reason and message of a condition of a status.
pub(crate) fn condition(status: &Value, name: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|condition| condition["type"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.next().map_or(String::new(), |condition| {
        let [status, reason, message] = ["status", "reason", "message"].map(|at| &condition[at]);
        format!("{} {}: {}", text(status), text(reason), text(message))
    })
}

/// The state of a process by its stat file; nothing where it is gone.
pub(crate) fn state(stat: &str) -> Option<char> {
    let text = fs::read_to_string(stat).ok()?;
    text.rsplit(')').next()?.trim_start().chars().next()
}

/// Sends a signal to a process of this test.
pub(crate) fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id")?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?}"))
}

/// What the files of a node are on which nothing went wrong.
fn undisturbed(kind: Kind, ask: Ask, version: u8) -> Result<Files> {
    let mut known = UNDISTURBED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(files) = known.get(&(kind, ask, version)) {
        return Ok(files.clone());
    }
    let node = Node::new(kind)?;
    node.install(version)?;
    node.ask(ask)?;
    let done = node.once()?;
    ensure!(done.status.success(), "a node without a fault: {done:?}");
    let paths: &[&str] = match kind {
        Kind::Containerd => &[POLICY, DROP_IN, VERIFIER, "etc/containerd/config.toml"],
        Kind::Crio => &[CRIO_POLICY, REGISTRIES],
    };
    let files: Files = paths.iter().map(|path| (*path, node.read(path))).collect();
    if let Some((path, _)) = files.iter().find(|(_, bytes)| bytes.is_none()) {
        bail!("a node without a fault has no {path}");
    }
    known.insert((kind, ask, version), files.clone());
    Ok(files)
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Fills the file system of a folder to the last byte.
pub(crate) fn fill(folder: &Path) -> Result<PathBuf> {
    use std::io::Write as _;
    let path = folder.join("filler");
    let mut file = File::options().create(true).append(true).open(&path)?;
    let block = vec![0; 4096];
    loop {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(path),
            Err(error) => return Err(error).context("fill a disk"),
        }
    }
}
