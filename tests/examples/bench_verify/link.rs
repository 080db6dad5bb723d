//! The ways to a registry.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::oci::Repository;
use e2e::{Folder, Image, Node, Process, Registry, ports};
use pem::Pem;
use serde_json::json;
use tokio::net::TcpStream;
use xtask::peers;

use crate::relay::Relay;

/// How far away a registry behind a relay is, one way.
pub(crate) const FAR: Duration = Duration::from_millis(30);
/// How long a registry may take to listen.
const START: Duration = Duration::from_secs(20);

/// A registry, and the way to it.
#[derive(Debug)]
pub(crate) struct Link {
    /// What a table calls it.
    pub(crate) title: &'static str,
    /// Part of the names of its images: two links may lead to one registry.
    pub(crate) name: &'static str,
    /// `127.0.0.1:port`, as it stands in an image's name.
    pub(crate) host: String,
    /// Where the registry is too far away to be measured without.
    pub(crate) relay: Option<Relay>,
    /// The authority to believe, where it speaks TLS.
    pub(crate) ca: Option<PathBuf>,
    /// What the relay leads to.
    target: String,
    open: Registry,
    // Fields are dropped in this order: the process ends before its folder is removed.
    _gate: Option<Process>,
    _folder: Folder,
}

impl Link {
    /// Plain HTTP to a registry with the referrers API, with nothing between.
    pub(crate) async fn near() -> Result<Self> {
        let open = Registry::with_referrers().await?;
        Ok(Self {
            title: "loopback, HTTP",
            name: "near",
            host: open.host(),
            relay: None,
            ca: None,
            target: open.host(),
            open,
            _gate: None,
            _folder: Folder::new("link")?,
        })
    }

    /// The same from afar. `hosts.toml` says that it is plain HTTP.
    pub(crate) async fn plain(node: &Node) -> Result<Self> {
        let (open, relay) = (Registry::with_referrers().await?, Relay::start()?);
        let link = Self {
            title: "30 ms, HTTP",
            name: "plain",
            host: relay.host(),
            relay: Some(relay),
            ca: None,
            target: open.host(),
            open,
            _gate: None,
            _folder: Folder::new("link")?,
        };
        link.hosts_toml(node, &format!("server = 'http://{}'\n", link.host))?;
        Ok(link)
    }

    /// TLS from afar, to a registry without the referrers API, as most are reached.
    pub(crate) async fn tls(node: &Node) -> Result<Self> {
        let (open, relay) = (Registry::distribution().await?, Relay::start()?);
        let folder = Folder::new("link")?;
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let ca = folder.join("ca.crt");
        let pem = |label: &str, der: &[u8]| pem::encode(&Pem::new(label, der));
        fs::write(&ca, pem("CERTIFICATE", own.cert.der())).context("write a certificate")?;
        let key = pem("PRIVATE KEY", &own.signing_key.serialize_der());
        fs::write(folder.join("key.pem"), key).context("write a key")?;
        let address = ports::free()?;
        let link = Self {
            title: "30 ms, TLS",
            name: "tls",
            host: relay.host(),
            relay: Some(relay),
            ca: Some(ca.clone()),
            target: address.to_string(),
            _gate: Some(gate(&folder, address, &open).await?),
            open,
            _folder: folder,
        };
        let certs_d = link.hosts_toml(
            node,
            &format!("server = 'https://{}'\nca = 'ca.crt'\n", link.host),
        )?;
        fs::copy(ca, certs_d.join("ca.crt")).context("copy a certificate")?;
        Ok(link)
    }

    /// Pushes an image; it is named as it will be pulled.
    pub(crate) async fn push(&self, repository: &str, tag: &str) -> Result<Image> {
        let mut image = Image::push(&self.open, repository, tag).await?;
        image.repository = Repository::new(&self.host, repository);
        Ok(image)
    }

    /// For signers: the registry itself, in plain HTTP, under the name by which it is reached.
    pub(crate) fn open(&self) {
        if let Some(relay) = &self.relay {
            relay.aim(&self.open.host(), Duration::ZERO);
        }
    }

    /// For what is measured.
    pub(crate) fn close(&self) {
        if let Some(relay) = &self.relay {
            relay.aim(&self.target, FAR);
        }
    }

    /// Tells the node how to reach it; returns the folder.
    fn hosts_toml(&self, node: &Node, text: &str) -> Result<PathBuf> {
        let folder = node.root().join("etc/containerd/certs.d").join(&self.host);
        fs::create_dir_all(&folder).context("create a folder of certs.d")?;
        fs::write(folder.join("hosts.toml"), text).context("write hosts.toml")?;
        Ok(folder)
    }
}

/// The distribution registry with TLS, over what an open one stores.
async fn gate(folder: &Folder, address: SocketAddrV4, open: &Registry) -> Result<Process> {
    let file = |name: &str| folder.join(name).display().to_string();
    let config = json!({
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": open.storage()}, "cache": {}},
        "http": {
            "addr": address,
            "tls": {"certificate": file("ca.crt"), "key": file("key.pem")},
        },
    });
    let path: &Path = &folder.join("config.yml");
    fs::write(path, format!("{config:#}\n")).context("write a registry's configuration")?;
    let mut command = Command::new(peers::locate("registry")?);
    command.arg("serve").arg(path);
    command.env("OTEL_TRACES_EXPORTER", "none");
    let mut process = Process::start("gate", &mut command, &folder.join("gate.log"))?;
    process
        .ready(START, async || {
            Ok(TcpStream::connect(address).await.ok().map(drop))
        })
        .await?;
    Ok(process)
}
