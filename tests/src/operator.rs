//! The operator, as a process of its own.

use std::net::SocketAddrV4;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::ports;
use crate::process::{self, Process};

/// Where the product is, and with it the operator's lease.
pub const NAMESPACE: &str = "nodeseal-system";
/// How long it may take to be ready, or to end.
const SOON: Duration = Duration::from_mins(1);

/// One replica. It is killed when this is dropped.
#[derive(Debug)]
pub struct Operator {
    /// Its process.
    pub process: Process,
    /// Where its health is served.
    pub health: SocketAddrV4,
    /// Where its metrics are.
    pub metrics: SocketAddrV4,
}

impl Operator {
    /// Starts this program, which knows the cluster by `kubeconfig`, with its output in `log`. `more`
    /// adds to its command line and variables.
    pub fn start(
        program: &Path,
        kubeconfig: &Path,
        log: &Path,
        more: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let (health, metrics) = (ports::free()?, ports::free()?);
        let mut command = Command::new(program);
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--namespace", NAMESPACE])
            .args(["--health-port", &health.port().to_string()])
            .args(["--metrics-address", &metrics.to_string()])
            .env("RUST_LOG", "info,operator=debug");
        more(&mut command);
        Ok(Self {
            process: Process::start("nodeseal-operator", &mut command, log)?,
            health,
            metrics,
        })
    }

    /// What this page of its health answers; 0 while nobody listens.
    pub async fn answer(&self, path: &str) -> u16 {
        let ask = async || -> std::io::Result<u16> {
            let mut stream = TcpStream::connect(self.health).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            let code = answer.split(' ').nth(1).unwrap_or_default();
            Ok(code.parse().unwrap_or_default())
        };
        ask().await.unwrap_or_default()
    }

    /// Waits until it has listed everything.
    pub async fn ready(&self) -> Result<()> {
        let found = process::wait_for("the operator to be ready", SOON, async || {
            Ok((self.answer("/readyz").await == 200).then_some(()))
        });
        found.await.with_context(|| self.process.log())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = Pid::from_raw(i32::try_from(self.process.id())?);
        kill_process(id.context("a process without id")?, signal)?;
        Ok(())
    }

    /// Ends it politely: it gives the lease back.
    pub async fn terminate(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.process.ended(SOON).await.map(drop)
    }

    /// Waits until it holds the lease, for so long.
    pub async fn leads(&self, client: &Client, limit: Duration) -> Result<()> {
        let id = self.process.id();
        let what = format!("process {id} to lead");
        let found = process::wait_for(&what, limit, async || {
            // While the API server is gone there is nothing to see.
            let leader = leader(client).await.unwrap_or_default();
            Ok((leader.as_deref().and_then(process_of) == Some(id)).then_some(()))
        });
        found.await.with_context(|| self.process.log())
    }
}

/// Who holds the lease: a host's name and a process id.
pub async fn leader(client: &Client) -> Result<Option<String>> {
    let api = Api::<Lease>::namespaced(client.clone(), NAMESPACE);
    let lease = api.get_opt("nodeseal-operator").await?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity))
}

/// The process id of a holder of the lease.
#[must_use]
pub fn process_of(holder: &str) -> Option<u32> {
    holder.rsplit('-').next()?.parse().ok()
}
