//! Registries that do not let everybody in, in front of what an open one stores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::{Folder, Process, Registry, ports};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use xtask::peers;

use crate::pki::Pki;

/// The user of all tests.
pub(crate) const USER: &str = "node";
/// The user's password.
pub(crate) const PASSWORD: &str = "correct horse";
/// The password in the form that the registry reads (bcrypt, the cheapest there is).
const PASSWORD_HASH: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";

/// A running distribution registry.
#[derive(Debug)]
pub(crate) struct Gate {
    process: Process,
    pub(crate) port: u16,
    // Removed after the process has ended.
    _folder: Folder,
}

/// How it is set up.
#[derive(Debug)]
pub(crate) struct Plan {
    folder: Folder,
    config: Value,
    port: u16,
}

impl Plan {
    /// Serves what `open` stores.
    pub(crate) fn over(open: &Registry) -> Result<Self> {
        Self::new(&json!({
            "filesystem": {"rootdirectory": open.storage()},
            "cache": {},
        }))
    }

    /// Serves nothing of its own, but what the registry at `url` has.
    pub(crate) fn pull_through(url: &str) -> Result<Self> {
        let mut plan = Self::new(&json!({"inmemory": {}}))?;
        plan.config["proxy"] = json!({"remoteurl": url});
        Ok(plan)
    }

    /// Serves nothing.
    pub(crate) fn empty() -> Result<Self> {
        Self::new(&json!({"inmemory": {}}))
    }

    fn new(storage: &Value) -> Result<Self> {
        let address = ports::free()?;
        let config = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": storage,
            "http": {"addr": address},
        });
        Ok(Self {
            folder: Folder::new("gate")?,
            config,
            port: address.port(),
        })
    }

    /// Wants the user's password in every request.
    pub(crate) fn password(mut self) -> Result<Self> {
        let path = self.write("htpasswd", format!("{USER}:{PASSWORD_HASH}\n").as_bytes())?;
        self.config["auth"] = json!({"htpasswd": {"realm": "gate", "path": path}});
        Ok(self)
    }

    /// Wants tokens of the service at `realm`, signed by one of `roots` (PEM).
    pub(crate) fn tokens(mut self, realm: &str, issuer: &str, roots: &str) -> Result<Self> {
        let bundle = self.write("token.pem", roots.as_bytes())?;
        self.config["auth"] = json!({"token": {
            "realm": realm, "service": "gate", "issuer": issuer, "rootcertbundle": bundle,
        }});
        Ok(self)
    }

    /// Speaks TLS.
    pub(crate) fn tls(mut self, pki: &Pki) -> Result<Self> {
        let certificate = self.write("server.crt", pki.server.0.as_bytes())?;
        let key = self.write("server.key", pki.server.1.as_bytes())?;
        self.config["http"]["tls"] = json!({"certificate": certificate, "key": key});
        Ok(self)
    }

    /// Wants a client certificate of `pki`.
    pub(crate) fn client_certificates(mut self, pki: &Pki) -> Result<Self> {
        let ca = self.write("client-ca.crt", pki.ca.as_bytes())?;
        self.config["http"]["tls"]["clientcas"] = json!([ca]);
        Ok(self)
    }

    /// Has its API below this path.
    pub(crate) fn prefix(mut self, path: &str) -> Self {
        self.config["http"]["prefix"] = json!(path);
        self
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(self) -> Result<Gate> {
        let Self {
            folder,
            config,
            port,
        } = self;
        let path = folder.join("config.yml");
        fs::write(&path, format!("{config:#}\n")).context("write a registry's configuration")?;
        let mut command = Command::new(peers::locate("registry")?);
        command.arg("serve").arg(path);
        command.env("OTEL_TRACES_EXPORTER", "none");
        let log = folder.join("gate.log");
        let mut process = Process::start("gate", &mut command, &log)?;
        process
            .ready(Duration::from_secs(20), async || {
                Ok(TcpStream::connect(("127.0.0.1", port)).await.ok())
            })
            .await?;
        Ok(Gate {
            process,
            port,
            _folder: folder,
        })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.folder.join(name);
        write(&path, bytes)?;
        Ok(path)
    }
}

impl Gate {
    /// `127.0.0.1:port`.
    pub(crate) fn local(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `registry.test:port`: the same, by a name that is not known to be this machine.
    pub(crate) fn named(&self) -> String {
        format!("registry.test:{}", self.port)
    }

    /// Everything it has logged, requests among it.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// Writes a file, with the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
