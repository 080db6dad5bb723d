//! The agent of a node, and what it says.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use xtask::product::Product;

use super::{Host, LIMIT, runs};
use crate::policies::config;
use crate::{Process, process};

/// A running agent, which ends when this is dropped.
#[derive(Debug)]
pub struct Agent<'a> {
    process: Process,
    host: &'a Host,
}

/// What an `EnforcementConfig` says of a containerd.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// `containerd.restart`.
    pub restart: &'static str,
    /// `containerd.fixLocalPull`.
    pub fix_local_pull: bool,
    /// `probe.interval`.
    pub interval: &'static str,
    /// `enforcement`.
    pub enforcement: &'static str,
}

/// Everything may be done to it.
pub const ALLOWED: Wish = Wish {
    restart: "Allowed",
    fix_local_pull: true,
    interval: "10s",
    enforcement: "Enabled",
};

/// What there is without a wish, and proofs as often as they can be.
pub const CAREFUL: Wish = Wish {
    restart: "Never",
    fix_local_pull: false,
    ..ALLOWED
};

/// The containerd is not to be touched any more, and all of it is given back.
pub const DISABLED: Wish = Wish {
    enforcement: "Disabled",
    ..ALLOWED
};

/// Writes the wish beside the policies; a file that appears as a whole.
pub fn wish(host: &Host, wish: Wish) -> Result<()> {
    let Wish {
        restart,
        fix_local_pull,
        interval,
        enforcement,
    } = wish;
    let text = config(&[
        &format!("enforcement: {enforcement}"),
        &format!("containerd: {{restart: {restart}, fixLocalPull: {fix_local_pull}}}"),
        &format!("probe: {{interval: {interval}}}"),
    ]);
    policy(host, "config.yaml", &text)
}

/// Writes a file of policies.
pub fn policy(host: &Host, name: &str, text: &str) -> Result<()> {
    let staged = host.policies().with_extension("tmp");
    fs::write(&staged, text).context("write a policy")?;
    fs::rename(&staged, host.policies().join(name)).context("put a policy in its place")
}

impl<'a> Agent<'a> {
    /// Starts the agent with a wish. It looks every second.
    pub fn start(host: &'a Host, first: Wish) -> Result<Self> {
        Self::looking_every(host, first, "1")
    }

    /// Starts one that seldom looks when nothing seems to change: what happens, happens by events.
    pub fn by_events(host: &'a Host, first: Wish) -> Result<Self> {
        Self::looking_every(host, first, "30")
    }

    fn looking_every(host: &'a Host, first: Wish, seconds: &str) -> Result<Self> {
        wish(host, first)?;
        let mut command = Command::new(Product::Agent.locate()?);
        command
            .arg("--root")
            .arg(host.root())
            .arg("--policy-dir")
            .arg(host.policies())
            .arg("--verifier")
            .arg(Product::Verifier.locate()?)
            .args(["--runtime-endpoint", &Host::endpoint()])
            .args([
                "--restart-by",
                "signal",
                "--recheck",
                seconds,
                "--output",
                "json",
            ]);
        let process = Process::start("nodeseal-agent", &mut command, &host.agent_log())?;
        Ok(Self { process, host })
    }

    /// The last status.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let text = self.host.read("var/lib/nodeseal/status.json")?;
        serde_json::from_str(&text).ok()
    }

    /// Waits for a status.
    pub async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Status<'_>) -> bool,
    ) -> Result<Value> {
        let host = self.host;
        let said = async || {
            let text = host.read("var/lib/nodeseal/status.json");
            let status = text.and_then(|text| serde_json::from_str(&text).ok());
            Ok(status.filter(|status: &Value| holds(&Status(status))))
        };
        let found = self.process.ready(limit, said).await;
        found.with_context(|| {
            format!(
                "containerd {}: waiting for {what}; the status is {:#}\nthe log of the node:\n{}",
                self.host.version.number,
                self.status().unwrap_or_default(),
                tail(&self.host.log()),
            )
        })
    }

    /// Waits until pulls are proven to be held to the policies.
    pub async fn enforces(&mut self) -> Result<Value> {
        self.until("Enforcing=True", LIMIT, |status| {
            status.is("Enforcing", "True", "Enforcing") && status.is("Applied", "True", "Applied")
        })
        .await
    }

    /// Ends the agent as a kubelet does, and waits until it is gone.
    pub async fn terminate(self) -> Result<()> {
        let pid = i32::try_from(self.process.id())?;
        let pid = Pid::from_raw(pid).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let stat = PathBuf::from(format!("/proc/{}/stat", self.process.id()));
        process::wait_for("the agent to end", LIMIT, async || {
            Ok((!runs(&stat)).then_some(()))
        })
        .await
    }
}

/// The last lines of containerd's log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A status, to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Status<'a>(
    /// All of it.
    pub &'a Value,
);

impl<'a> Status<'a> {
    fn condition(self, name: &str) -> Option<&'a Value> {
        let conditions = self.0["conditions"].as_array()?;
        conditions
            .iter()
            .find(|condition| condition["type"] == name)
    }

    /// Whether a condition has this status and reason.
    #[must_use]
    pub fn is(self, name: &str, status: &str, reason: &str) -> bool {
        self.condition(name)
            .is_some_and(|condition| condition["status"] == status && condition["reason"] == reason)
    }

    /// What a condition says in words.
    #[must_use]
    pub fn message(self, name: &str) -> &'a str {
        let condition = self.condition(name);
        condition
            .and_then(|condition| condition["message"].as_str())
            .unwrap_or_default()
    }

    /// The managed files.
    #[must_use]
    pub fn files(self) -> Vec<&'a str> {
        let files = self.0["files"].as_array().into_iter().flatten();
        files.filter_map(|file| file["path"].as_str()).collect()
    }
}
