//! Running other programs: in the open, or into a log with a sign of life.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a long build says that it is still at work.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How much of a failed build's log is shown, in lines.
const TAIL: usize = 60;

/// Runs a command with its output shown, and fails when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = describe(command);
    let status = command
        .status()
        .with_context(|| format!("start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed: {status}");
    }
    Ok(())
}

/// Runs a command with its output in `log`; prints `what` and the time it has taken now and then,
/// and the end of the log when it fails.
pub fn run_logged(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    let name = describe(command);
    let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
    let errors = output
        .try_clone()
        .with_context(|| format!("open {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("start `{name}`"))?;

    let started = Instant::now();
    let (sender, receiver) = channel();
    // The receiver outlives the thread unless the process is on its way out.
    thread::spawn(move || sender.send(child.wait()));
    println!("{what} …");
    let status = loop {
        match receiver.recv_timeout(SIGN_OF_LIFE) {
            Ok(status) => break status.with_context(|| format!("wait for `{name}`"))?,
            Err(RecvTimeoutError::Timeout) => println!("{what} … {}", elapsed(started)),
            Err(RecvTimeoutError::Disconnected) => bail!("lost track of `{name}`"),
        }
    };
    if !status.success() {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        bail!(
            "`{name}` failed: {status}; the end of {}:\n{tail}",
            log.display()
        );
    }
    println!("{what}: done in {}", elapsed(started));
    Ok(())
}

/// The time since `started`, for people: `45 s`, `2 min 05 s`.
#[must_use]
pub fn elapsed(started: Instant) -> String {
    match started.elapsed().as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
