//! `--watch`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::lab::{Lab, SOON, policy};
use crate::pem;
use crate::tool::{program, viewer};

/// For what comes only after a connection was lost and tried again.
const LATE: Duration = Duration::from_mins(1);

struct Watch {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Watch {
    fn start(kubeconfig: &std::path::Path, arguments: &[&str]) -> Result<Self> {
        let mut command = program(kubeconfig)?;
        command.args(["status", "--watch"]).args(arguments);
        let mut child = Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("its output")?;
        let err = child.stderr.take().context("its errors")?;
        Ok(Self {
            child,
            out: BufReader::new(out).lines(),
            err: BufReader::new(err).lines(),
        })
    }

    /// The first line from here on that is so.
    async fn line(&mut self, is: impl Fn(&str) -> bool) -> Result<String> {
        let mut seen = Vec::new();
        let find = async {
            while let Some(line) = self.out.next_line().await? {
                if is(&line) {
                    return Ok(line);
                }
                seen.push(line);
            }
            anyhow::bail!("it has ended")
        };
        let found = tokio::time::timeout(SOON, find).await;
        found
            .unwrap_or_else(|_| Err(anyhow::anyhow!("waited in vain")))
            .with_context(|| format!("{seen:#?}"))
    }

    async fn complaint(&mut self, part: &str) -> Result<()> {
        let find = async {
            while let Some(line) = self.err.next_line().await? {
                if line.contains(part) {
                    return Ok(());
                }
            }
            anyhow::bail!("it has ended")
        };
        tokio::time::timeout(LATE, find)
            .await
            .context(part.to_owned())?
    }

    async fn end(mut self, signal: Signal) -> Result<Option<i32>> {
        let id = self.child.id().context("a process that lives")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        kill_process(id, signal)?;
        let status = tokio::time::timeout(SOON, self.child.wait()).await??;
        Ok(status.code())
    }
}

#[tokio::test]
async fn a_watch_sees_what_changes_and_an_api_server_that_goes_and_comes() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let viewer = viewer(&lab).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let mut documents = Watch::start(&viewer, &["--output", "json"])?;
    let first: Value = serde_json::from_str(&documents.line(|_| true).await?)?;
    assert_eq!(first["policies"]["total"], 0);
    let mut lines = Watch::start(&viewer, &[])?;
    lines
        .line(|line| line.contains("policies 0/0 ready"))
        .await?;

    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    lab.roll_out(&["a"], &["p"]).await?;
    let is_ready = |line: &str| {
        let json: Value = serde_json::from_str(line).unwrap_or_default();
        json["ready"] == true && json["policies"]["ready"] == 1
    };
    documents.line(is_ready).await?;
    lines
        .line(|line| line.contains("policy p: Ready True Ready, 1/1 nodes"))
        .await?;

    lab.plane.stop_api_server();
    lines
        .complaint("nothing is heard, and it is tried again")
        .await?;
    lab.plane.start_api_server().await?;
    lines.complaint("connected again").await?;

    lab.apply(&policy("p", &["docker.io/busybox"], &inline))
        .await?;
    lines
        .line(|line| line.contains("policy p: Ready False InvalidScope"))
        .await?;
    documents.line(|line| line.contains("InvalidScope")).await?;
    // The code is that of what was shown last.
    assert_eq!(lines.end(Signal::INT).await?, Some(1));
    assert_eq!(documents.end(Signal::TERM).await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_watch_of_what_is_ready_ends_with_zero() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let viewer = viewer(&lab).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    lab.apply(&policy(
        "p",
        &["registry.example/team"],
        &json!({ "data": pem() }),
    ))
    .await?;
    lab.roll_out(&["a"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    let mut one = Watch::start(&viewer, &["p"])?;
    one.line(|line| line.contains("policy p: Ready True Ready, 1/1 nodes"))
        .await?;
    assert_eq!(one.end(Signal::INT).await?, Some(0));
    Ok(())
}
