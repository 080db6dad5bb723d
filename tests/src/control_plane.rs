//! A Kubernetes control plane without controllers: etcd and an API server on loopback.
//!
//! What controllers would do, such as removing the objects of a removed node, does not happen.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use xtask::{cache, peers};

use crate::folder::Folder;
use crate::keys::{self, Key};
use crate::ports;
use crate::process::{self, Process};

mod audit;
mod client;

pub use audit::{Request, requests_in};
pub use client::Refused;

/// How long each of the two may take to answer.
const START: Duration = Duration::from_mins(1);
/// The user who may do everything.
const ADMIN: &str = "admin";

/// A user whom the API server knows by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, such as `system:node:n-1`; the token is made of it.
    pub name: String,
    /// The groups, such as `system:nodes`.
    pub groups: Vec<String>,
}

impl User {
    /// A user of these groups.
    #[must_use]
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }

    /// The token to show.
    #[must_use]
    pub fn token(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        format!("token-{}", self.name.chars().map(word).collect::<String>())
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    // Fields are dropped in this order: the processes end before their folder is removed.
    apiserver: Option<Process>,
    etcd: Process,
    etcd_address: SocketAddrV4,
    address: SocketAddrV4,
    ca: String,
    folder: Folder,
}

impl ControlPlane {
    /// Starts it and waits until the API server is ready: about five seconds.
    pub async fn start() -> Result<Self> {
        Self::with_users(&[]).await
    }

    /// The same with users besides the administrator. They have the rights that RBAC gives them.
    pub async fn with_users(users: &[User]) -> Result<Self> {
        Self::begin(users, false).await
    }

    /// The same, and what service accounts ask of it is written down: see [`Self::requests`].
    pub async fn audited() -> Result<Self> {
        Self::begin(&[], true).await
    }

    async fn begin(users: &[User], audited: bool) -> Result<Self> {
        let folder = Folder::new("cluster")?;
        if audited {
            write(&folder, audit::POLICY_FILE, audit::POLICY)?;
        }
        let (etcd_address, address) = (ports::free()?, ports::free()?);
        let admin = User::new(ADMIN, &["system:masters"]);
        let mut tokens = String::new();
        for (number, user) in users.iter().chain([&admin]).enumerate() {
            let (token, groups) = (user.token(), user.groups.join(","));
            writeln!(tokens, "{token},{},{number},\"{groups}\"", user.name)?;
        }
        write(&folder, "tokens.csv", &tokens)?;
        let key = Key::generate(keys::Kind::P256)?;
        write(&folder, "service-account.key", &key.private_pem()?)?;
        write(&folder, "service-account.pub", &key.public_pem()?)?;
        let etcd = start_etcd(&folder, etcd_address).await?;
        let mut plane = Self {
            apiserver: None,
            etcd,
            etcd_address,
            address,
            ca: String::new(),
            folder,
        };
        plane.start_api_server().await?;
        let config = serde_json::to_string_pretty(&plane.kubeconfig_of(&plane.admin_token()))?;
        write(&plane.folder, "kubeconfig", &config)?;
        Ok(plane)
    }

    /// Ends the API server; whoever asks finds nobody listening. What it has stored stays.
    pub fn stop_api_server(&mut self) {
        self.apiserver = None;
    }

    /// Starts it again at the same address, with the same certificate and what was stored.
    pub async fn start_api_server(&mut self) -> Result<()> {
        self.stop_api_server();
        let mut command = self.command()?;
        let log = self.folder.join("kube-apiserver.log");
        let mut apiserver = Process::start("kube-apiserver", &mut command, &log)?;
        let certificate = self.folder.join("certificates/apiserver.crt");
        let ready = apiserver.ready(START, async || {
            // Written before it listens, once: a restart finds it.
            let ca = fs::read_to_string(&certificate).unwrap_or_default();
            if ca.is_empty() {
                return Ok(None);
            }
            let url = format!("{}/readyz", self.url());
            Ok(client::is_ready(&ca, &url, &self.admin_token())
                .await
                .then_some(ca))
        });
        let ca = ready.await?;
        self.ca = ca;
        self.apiserver = Some(apiserver);
        Ok(())
    }

    /// `https://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificates that its own is checked against, as PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The token of the administrator.
    #[must_use]
    pub fn admin_token(&self) -> String {
        User::new(ADMIN, &[]).token()
    }

    /// A kubeconfig of the administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A kubeconfig for another token, in a file of that name beside the administrator's.
    pub fn kubeconfig_for(&self, name: &str, token: &str) -> Result<PathBuf> {
        let name = format!("kubeconfig-{name}");
        let config = serde_json::to_string_pretty(&self.kubeconfig_of(token))?;
        write(&self.folder, &name, &config)?;
        Ok(self.folder.join(name))
    }

    /// What the API server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let log = self.apiserver.as_ref().map(Process::log);
        log.unwrap_or_default()
    }

    /// The process ids of etcd and, while it runs, of the API server.
    #[must_use]
    pub fn ids(&self) -> (u32, Option<u32>) {
        (self.etcd.id(), self.apiserver.as_ref().map(Process::id))
    }

    /// Calls kubectl as the administrator; returns what it printed, or fails with what it said.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(peers::locate("kubectl")?);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(args);
        // Its caches lie in the home folder, by address, and addresses come again.
        command.env("HOME", self.folder.path());
        command.env("KUBECACHEDIR", self.folder.join("kubectl-cache"));
        process::output(command).await
    }

    fn kubeconfig_of(&self, token: &str) -> Value {
        let ca = self.folder.join("certificates/apiserver.crt");
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{
                "name": "lab",
                "cluster": { "server": self.url(), "certificate-authority": ca },
            }],
            "users": [{ "name": "lab", "user": { "token": token } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
        })
    }

    fn command(&self) -> Result<Command> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let mut command = Command::new(peers::locate("kube-apiserver")?);
        for (flag, value) in [
            ("etcd-servers", format!("http://{}", self.etcd_address)),
            ("bind-address", self.address.ip().to_string()),
            ("secure-port", self.address.port().to_string()),
            // Loopback is refused here; nobody uses it without the reconciler of endpoints.
            ("advertise-address", "192.0.2.1".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("cert-dir", file("certificates")),
            ("token-auth-file", file("tokens.csv")),
            ("authorization-mode", "Node,RBAC".to_owned()),
            ("enable-admission-plugins", "NodeRestriction".to_owned()),
            // It waits for a controller to make each namespace's default account.
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
            ("service-cluster-ip-range", "198.51.100.0/24".to_owned()),
            (
                "service-account-issuer",
                "https://kubernetes.default.svc".to_owned(),
            ),
            ("service-account-key-file", file("service-account.pub")),
            (
                "service-account-signing-key-file",
                file("service-account.key"),
            ),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        command.args(audit::flags(&self.folder));
        Ok(command)
    }
}

async fn start_etcd(folder: &Folder, address: SocketAddrV4) -> Result<Process> {
    let (clients, peers_url) = (
        format!("http://{address}"),
        format!("http://{}", ports::free()?),
    );
    let mut command = Command::new(peers::locate("etcd")?);
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers_url])
        .args(["--initial-advertise-peer-urls", &peers_url])
        .args(["--initial-cluster", &format!("default={peers_url}")])
        .args(["--unsafe-no-fsync", "--log-level", "warn"]);
    let mut etcd = Process::start("etcd", &mut command, &folder.join("etcd.log"))?;
    let health = format!("{clients}/health");
    etcd.ready(START, async || {
        Ok(client::is_healthy(&health).await.then_some(()))
    })
    .await?;
    Ok(etcd)
}

fn write(folder: &Folder, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

/// The definitions that are in the repository: path and content.
fn manifests() -> Result<Vec<(PathBuf, Value)>> {
    let folder = cache::workspace().join("crds/manifests");
    let mut found = Vec::new();
    let context = || format!("list {}", folder.display());
    for entry in fs::read_dir(&folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let value = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is no YAML", path.display()))?;
        found.push((path, value));
    }
    if found.is_empty() {
        bail!("there is no definition in {}", folder.display());
    }
    Ok(found)
}
