//! Child processes: a peer that runs until it is dropped, or a tool that runs to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cleanup;

/// How long [`wait_for`] pauses between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A running peer. It has its own process group, which is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("open {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = cleanup::start_group(command).with_context(|| format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself, and says how.
    pub async fn ended(&mut self, limit: Duration) -> Result<std::process::ExitStatus> {
        let name = format!("{} to end", self.name);
        let ended = wait_for(&name, limit, async || Ok(self.child.try_wait()?)).await;
        ended.with_context(|| format!("the log of {}:\n{}", self.name, tail(&self.log())))
    }

    /// Everything it has printed up to now.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `ready` holds, as [`wait_for`]; fails at once when the process ends before.
    pub async fn ready<T>(
        &mut self,
        limit: Duration,
        mut ready: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let name = format!("{} to be ready", self.name);
        let found = wait_for(&name, limit, async || {
            if let Some(status) = self.child.try_wait().context("look after a process")? {
                bail!("{} has ended ({status})", self.name);
            }
            ready().await
        })
        .await;
        found.with_context(|| format!("the log of {}:\n{}", self.name, tail(&self.log())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        cleanup::end_group(&mut self.child);
    }
}

/// Calls `look` until it returns something, at most for `limit`; an error ends the wait.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if started.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs a tool to its end; returns what it printed on stdout, or fails with what it said.
pub async fn output(command: Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let args: Vec<_> = command
        .get_args()
        .map(|arg| arg.to_string_lossy())
        .collect();
    let line = format!("{name} {}", args.join(" "));
    let output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("start `{line}`"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let (said, printed) = (text(&output.stderr), text(&output.stdout));
        bail!(
            "`{line}` failed ({}):\n{}\n{}",
            output.status,
            said.trim(),
            printed.trim()
        );
    }
    Ok(text(&output.stdout))
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
