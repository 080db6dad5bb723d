//! The library, in a process of its own.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use xtask::peers;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
}

/// `InProgress`, `Current`, `Failed` or `Terminating`, with what is said about it.
pub(crate) fn read(object: &Value) -> Result<(String, String)> {
    let mut command = Command::new(peers::locate("kstatus")?);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("start kstatus")?;
    let mut questions = child.stdin.take().context("kstatus has no stdin")?;
    questions.write_all(object.to_string().as_bytes())?;
    drop(questions);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "kstatus: {}", output.status);
    let Answer {
        status,
        message,
        error,
    } = serde_json::from_slice(&output.stdout).context("one answer")?;
    if !error.is_empty() {
        bail!("kstatus: {error}");
    }
    Ok((status, message))
}

/// What it makes of the object, and of the same one with a spec that nobody has looked at, and of the
/// same one while it is deleted.
pub(crate) fn expect(stage: &str, object: &Value, status: &str) -> Result<()> {
    let (is, message) = read(object)?;
    ensure!(
        is == status,
        "{stage}: {is}, not {status}: {message}\n{object:#}"
    );
    println!("{stage}: {is}: {message}");
    let mut deleted = object.clone();
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let (is, _) = read(&deleted)?;
    ensure!(is == "Terminating", "{stage}, being deleted: {is}");
    if object.get("status").is_some() {
        let mut changed = object.clone();
        let generation = object["metadata"]["generation"].as_i64();
        changed["metadata"]["generation"] = (generation.context("a generation")? + 1).into();
        let (is, _) = read(&changed)?;
        ensure!(is == "InProgress", "{stage}, with a changed spec: {is}");
    }
    Ok(())
}
