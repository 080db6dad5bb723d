//! Two real registries on loopback, plain HTTP: one without and one with the referrers API.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use xtask::peers;

use crate::folder::Folder;
use crate::oci::{self, Repository};
use crate::ports;
use crate::process::Process;

/// How long a registry may take to answer.
const START: Duration = Duration::from_secs(20);

/// Which registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The reference implementation. It has **no** referrers API: signatures as bundles lie behind
    /// an index under the tag `sha256-<hex>`.
    Distribution,
    /// That of go-containerregistry, which **has** the referrers API. It forgets its manifests when
    /// it ends.
    Referrers,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    // Fields are dropped in this order: the process ends before its folder is removed.
    process: Option<Process>,
    kind: Kind,
    address: SocketAddrV4,
    folder: Folder,
}

impl Registry {
    /// Starts a registry and waits until it answers.
    pub async fn start(kind: Kind) -> Result<Self> {
        let address = ports::free()?;
        let folder = Folder::new("registry")?;
        fs::create_dir(folder.join("storage")).context("create the storage of a registry")?;
        let mut registry = Self {
            process: None,
            kind,
            address,
            folder,
        };
        registry.restart().await?;
        Ok(registry)
    }

    /// The registry without the referrers API.
    pub async fn distribution() -> Result<Self> {
        Self::start(Kind::Distribution).await
    }

    /// The registry with the referrers API.
    pub async fn with_referrers() -> Result<Self> {
        Self::start(Kind::Referrers).await
    }

    /// Ends it; whoever asks finds nobody listening.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again at the same address, with what it has stored.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        let mut command = match self.kind {
            Kind::Distribution => self.distribution_command()?,
            Kind::Referrers => self.referrers_command()?,
        };
        let mut process =
            Process::start("registry", &mut command, &self.folder.join("registry.log"))?;
        let url = format!("http://{}/v2/", self.address);
        process
            .ready(START, async || {
                let answer = oci::client()?.get(&url).send().await;
                Ok(answer
                    .is_ok_and(|answer| answer.status().is_success())
                    .then_some(()))
            })
            .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Which one it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `127.0.0.1:port`, as it stands in an image's name.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// One of its repositories.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        Repository::new(self.host(), name)
    }

    /// The folder in which it stores, for tampering with what is at rest.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.folder.join("storage")
    }

    /// The file that holds a blob (or a manifest of the distribution registry).
    #[must_use]
    pub fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        match self.kind {
            Kind::Distribution => {
                let prefix = hex.get(..2).unwrap_or_default();
                let blobs = self.storage().join("docker/registry/v2/blobs/sha256");
                blobs.join(prefix).join(hex).join("data")
            }
            Kind::Referrers => self.storage().join("sha256").join(hex),
        }
    }

    /// What it has logged, requests among it.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    fn distribution_command(&self) -> Result<Command> {
        let config = self.folder.join("config.yml");
        let text = distribution_config(self.address, &self.storage());
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let mut command = Command::new(peers::locate("registry")?);
        command.arg("serve").arg(config);
        // It would look for an OpenTelemetry collector otherwise.
        command.env("OTEL_TRACES_EXPORTER", "none");
        Ok(command)
    }

    fn referrers_command(&self) -> Result<Command> {
        let mut command = Command::new(peers::locate("referrers-registry")?);
        command
            .args(["-address", &self.host(), "-disk"])
            .arg(self.storage());
        Ok(command)
    }
}

/// The configuration of the distribution registry: YAML, which JSON is a part of.
fn distribution_config(address: SocketAddrV4, storage: &Path) -> String {
    let config = serde_json::json!({
        "version": 0.1,
        "log": { "level": "info" },
        "storage": {
            "filesystem": { "rootdirectory": storage },
            // Tests take signatures away.
            "delete": { "enabled": true },
            // A cache would hide what a test changes on disk.
            "cache": {},
        },
        "http": { "addr": address },
    });
    format!("{config:#}\n")
}
