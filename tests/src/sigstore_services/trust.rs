//! The `trusted_root.json` of what runs, and of parts of it.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::servers::{ORIGIN, Server, ct_log_url};
use crate::cosign::Cosign;
use crate::folder::Folder;
use crate::process;
use crate::sigstore::{Authority, Log};

/// Before anything here began.
const START: &str = "2020-01-01T00:00:00Z";

/// A trust root in the format of sigstore's protobuf-specs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust(Value);

impl Trust {
    /// Trusts all of these, in cosign's own words.
    pub(super) async fn of(
        cosign: &Cosign,
        folder: &Folder,
        fulcio: &Server,
        ct_log: SocketAddrV4,
        rekor_v1: &Server,
        rekor_v2: &Server,
        timestamps: &Server,
    ) -> Result<Self> {
        let at = |name: &str| folder.join(name).display().to_string();
        let out = folder.join("trusted_root.json");
        let mut command = cosign.command()?;
        command.current_dir(folder.path());
        command.args(["trusted-root", "create"]);
        command.arg("--fulcio").arg(format!(
            "url={},certificate-chain={}",
            fulcio.url(),
            at("fulcio.pem")
        ));
        command.arg("--ctfe").arg(format!(
            "url={},public-key={},start-time={START}",
            ct_log_url(ct_log),
            at("ct.pub")
        ));
        command.arg("--rekor").arg(format!(
            "url={},public-key={},start-time={START}",
            rekor_v1.url(),
            at("rekor-v1.pub")
        ));
        command.arg("--rekor").arg(format!(
            "url={},public-key={},start-time={START},origin={ORIGIN}",
            rekor_v2.url(),
            at("rekor-v2.pub")
        ));
        command.arg("--tsa").arg(format!(
            "url={}/api/v1/timestamp,certificate-chain={}",
            timestamps.url(),
            at("timestamps.pem")
        ));
        command.arg("--out").arg(&out);
        process::output(command).await?;
        Self::read(&out)
    }

    fn read(path: &Path) -> Result<Self> {
        let context = || format!("read {}", path.display());
        let text = fs::read(path).with_context(context)?;
        serde_json::from_slice(&text)
            .map(Self)
            .with_context(context)
    }

    /// The file's content.
    #[must_use]
    pub fn json(&self) -> String {
        self.0.to_string()
    }

    /// The same without CT logs: certificates need no SCT.
    #[must_use]
    pub fn without_ct_logs(mut self) -> Self {
        if let Some(root) = self.0.as_object_mut() {
            root.remove("ctlogs");
        }
        self
    }

    /// The same with what another root says about one kind, by its member: `certificateAuthorities`,
    /// `ctlogs`, `tlogs` or `timestampAuthorities`.
    #[must_use]
    pub fn replaced(mut self, other: &Self, member: &str) -> Self {
        self.0[member] = other.0[member].clone();
        self
    }

    /// Trusts this certificate authority of the tests' own, too.
    pub fn with_authority(self, authority: &Authority) -> Result<Self> {
        let chain = pem::parse_many(authority.chain_pem()).context("read a chain")?;
        let certificates: Vec<Value> = chain
            .iter()
            .map(|block| json!({"rawBytes": STANDARD.encode(block.contents())}))
            .collect();
        let entry = json!({
            "subject": {"organization": "nodeseal tests", "commonName": "own"},
            "uri": "https://own.invalid",
            "certChain": {"certificates": certificates},
            "validFor": {"start": START},
        });
        Ok(self.with("certificateAuthorities", entry))
    }

    /// Trusts this log of the tests' own, too.
    pub fn with_log(self, log: &Log) -> Result<Self> {
        let key = pem::parse(log.public_pem()?).context("read a log's key")?;
        let id = hex::decode(log.id()?).context("read a log's name")?;
        let entry = json!({
            "baseUrl": "https://log.invalid",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(key.contents()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": START},
            },
            "logId": {"keyId": STANDARD.encode(id)},
        });
        Ok(self.with("tlogs", entry))
    }

    /// As the object that a policy names by `name`.
    #[must_use]
    pub fn yaml(&self, name: &str) -> String {
        let object = json!({
            "apiVersion": "nodeseal.dev/v1alpha1",
            "kind": "TrustRoot",
            "metadata": {"name": name},
            "spec": {"trustedRoot": {"data": self.json()}},
        });
        format!("{object}\n")
    }

    fn with(mut self, list: &str, entry: Value) -> Self {
        match &mut self.0[list] {
            Value::Array(entries) => entries.push(entry),
            absent => *absent = json!([entry]),
        }
        self
    }
}
