//! Each service as a process, with what it is told.

use std::net::SocketAddrV4;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use xtask::peers;

use crate::folder::Folder;
use crate::process::Process;
use crate::{oci, ports};

/// How long a service may take to answer.
const START: Duration = Duration::from_secs(30);

/// A running service.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    name: &'static str,
    address: SocketAddrV4,
}

impl Server {
    /// Starts a program and waits until it answers this path with success.
    async fn start(
        name: &'static str,
        folder: &Folder,
        mut command: Command,
        address: SocketAddrV4,
        path: &str,
    ) -> Result<Self> {
        let process = Process::start(name, &mut command, &folder.join(format!("{name}.log")))?;
        let mut server = Self {
            process,
            name,
            address,
        };
        let url = format!("{}{path}", server.url());
        server
            .process
            .ready(START, async || {
                let answer = oci::client()?.get(&url).send().await;
                Ok(answer
                    .is_ok_and(|answer| answer.status().is_success())
                    .then_some(()))
            })
            .await?;
        Ok(server)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// `http://127.0.0.1:port`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn log(&self) -> String {
        self.process.log()
    }

    /// What it answers to a GET.
    pub(super) async fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url());
        let answer = oci::client()?.get(&url).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let text = answer.with_context(|| format!("get {url}"))?.text().await;
        text.with_context(|| format!("read {url}"))
    }
}

/// A CA in its own memory, that logs every certificate at `ct_log`.
pub(super) async fn fulcio(folder: &Folder, ct_log: SocketAddrV4) -> Result<Server> {
    let (http, grpc, metrics) = (ports::free()?, ports::free()?, ports::free()?);
    let mut command = command("fulcio", folder)?;
    command.args(["serve", "--ca", "ephemeralca", "--host", "127.0.0.1"]);
    command.args(["--grpc-host", "127.0.0.1", "--port"]);
    command.arg(http.port().to_string());
    command.arg("--grpc-port").arg(grpc.port().to_string());
    command
        .arg("--metrics-port")
        .arg(metrics.port().to_string());
    // By default it is one name for all of them.
    command
        .arg("--legacy-unix-domain-socket")
        .arg(folder.join("fulcio.sock"));
    command.arg("--config-path").arg(folder.join("fulcio.yaml"));
    command.arg("--ct-log-url").arg(ct_log_url(ct_log));
    command
        .arg("--ct-log-public-key-path")
        .arg(folder.join("ct.pub"));
    Server::start("fulcio", folder, command, http, "/healthz").await
}

/// Trillian, with the CT log that is its first customer.
pub(super) async fn trillian(folder: &Folder, ct_log: SocketAddrV4) -> Result<Server> {
    let grpc = ports::free()?;
    let mut command = command("trillian", folder)?;
    command.arg("-address").arg(grpc.to_string());
    command.arg("-ct-address").arg(ct_log.to_string());
    command.arg("-ct-key").arg(folder.join("ct.key"));
    command.arg("-ct-roots").arg(folder.join("fulcio.pem"));
    // The CT log answers when Trillian does.
    let server = Server::start("trillian", folder, command, ct_log, "/ct/ct/v1/get-sth").await?;
    Ok(Server {
        address: grpc,
        ..server
    })
}

/// Rekor v1, which makes a tree in that Trillian.
pub(super) async fn rekor_v1(folder: &Folder, trillian: &Server) -> Result<Server> {
    let http = ports::free()?;
    let mut command = command("rekor-server", folder)?;
    command.args(["serve", "--trillian_log_server.address", "127.0.0.1"]);
    command
        .arg("--trillian_log_server.port")
        .arg(trillian.address.port().to_string());
    command.args(["--rekor_server.address", "127.0.0.1", "--port"]);
    command.arg(http.port().to_string());
    command.args(["--rekor_server.hostname", "127.0.0.1"]);
    command
        .arg("--rekor_server.signer")
        .arg(folder.join("rekor-v1.key"));
    // Its index of what is in the log wants a database.
    command.args(["--enable_retrieve_api=false", "--enabled_api_endpoints"]);
    command.arg(
        "getLogInfo,getPublicKey,getLogProof,createLogEntry,getLogEntryByIndex,getLogEntryByUUID",
    );
    Server::start("rekor-v1", folder, command, http, "/api/v1/log").await
}

/// Rekor v2, with its tiles in the folder.
pub(super) async fn rekor_v2(folder: &Folder) -> Result<Server> {
    let (http, grpc, metrics) = (ports::free()?, ports::free()?, ports::free()?);
    let mut command = command("rekor-tiles", folder)?;
    // Checkpoints are by that name, and those who check them go by the host of its URL.
    command.args(["serve", "--hostname", ORIGIN, "--http-port"]);
    command.arg(http.port().to_string());
    command.arg("--grpc-port").arg(grpc.port().to_string());
    command
        .arg("--http-metrics-port")
        .arg(metrics.port().to_string());
    command
        .arg("--signer-filepath")
        .arg(folder.join("rekor-v2.key"));
    command.arg("--storage-dir").arg(folder.join("tiles"));
    // An answer waits for the next checkpoint.
    command.args(["--checkpoint-interval", "100ms", "--batch-max-age", "20ms"]);
    Server::start("rekor-v2", folder, command, http, "/healthz").await
}

/// A timestamp authority with a chain of its own in memory.
pub(super) async fn timestamps(folder: &Folder) -> Result<Server> {
    let http = ports::free()?;
    let mut command = command("timestamp-server", folder)?;
    command.arg("-address").arg(http.to_string());
    Server::start("timestamps", folder, command, http, "/ping").await
}

/// The name in the checkpoints of both logs.
pub(super) const ORIGIN: &str = "127.0.0.1";

/// Where the CT log is; `ct` is its name there.
pub(super) fn ct_log_url(address: SocketAddrV4) -> String {
    format!("http://{address}/ct")
}

/// A program with nothing of this machine's environment.
fn command(program: &str, folder: &Folder) -> Result<Command> {
    let mut command = Command::new(peers::locate(program)?);
    command.current_dir(folder.path()).env_clear();
    command.env("HOME", folder.path());
    command.env("TMPDIR", folder.path());
    Ok(command)
}
