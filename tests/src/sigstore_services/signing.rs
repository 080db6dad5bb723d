//! Keyless signing by each cosign, and the check of it by the same.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Services, Token, Trust};
use crate::cosign::{Format, KeyPair, Version};
use crate::process;

/// Which transparency log an entry goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// None.
    Off,
    /// Rekor v1: a signed entry timestamp, an inclusion proof.
    V1,
    /// Rekor v2: an inclusion proof without a time of its own. Bundles only.
    V2,
}

/// One way to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// By which cosign.
    pub version: Version,
    /// In which format.
    pub format: Format,
    /// With an entry where.
    pub log: Log,
    /// With a timestamp of the timestamp authority.
    pub timestamp: bool,
}

/// The ways that leave all that a verifier needs. cosign 2 with Rekor v2 is not among them: it sends
/// entries of the kind `dsse`, and rekor-tiles takes `hashedrekord` alone.
pub const WAYS: [Way; 7] = [
    way(Version::V2, Format::Attachment, Log::V1, false),
    way(Version::V2, Format::Attachment, Log::V1, true),
    way(Version::V2, Format::Bundle, Log::V1, false),
    way(Version::V3, Format::Bundle, Log::V1, false),
    way(Version::V3, Format::Bundle, Log::V1, true),
    way(Version::V3, Format::Bundle, Log::V2, true),
    way(Version::V3, Format::Attachment, Log::V1, false),
];

/// A way to sign.
#[must_use]
pub const fn way(version: Version, format: Format, log: Log, timestamp: bool) -> Way {
    Way {
        version,
        format,
        log,
        timestamp,
    }
}

impl Way {
    /// A name for it that a repository can have.
    #[must_use]
    pub fn name(self) -> String {
        let time = if self.timestamp { "-timestamp" } else { "" };
        format!(
            "{:?}-{:?}-log-{:?}{time}",
            self.version, self.format, self.log
        )
        .to_lowercase()
    }
}

impl Services {
    /// Signs an image, which is named by its digest, as whom the token names.
    pub async fn sign(&self, way: Way, token: &Token, image: &str) -> Result<()> {
        let mut command = self.command(way, "sign")?;
        command
            .arg("--identity-token")
            .arg(self.issuer.issue(token)?);
        command.arg(image);
        process::output(command).await.map(drop)
    }

    /// Signs an image by a key, with whatever else the way says.
    pub async fn sign_by_key(&self, way: Way, key: &KeyPair, image: &str) -> Result<()> {
        let mut command = self.command(way, "sign")?;
        command.arg("--key").arg(&key.private).arg(image);
        process::output(command).await.map(drop)
    }

    /// Attests an image with a predicate of SPDX as whom the token names.
    pub async fn attest(&self, way: Way, token: &Token, image: &str) -> Result<()> {
        let predicate = self.folder.join("predicate.json");
        fs::write(&predicate, r#"{"spdxVersion":"SPDX-2.3"}"#).context("write a predicate")?;
        let mut command = self.command(way, "attest")?;
        command.args(["--type", "spdxjson", "--predicate"]);
        command.arg(predicate).arg("--identity-token");
        command.arg(self.issuer.issue(token)?).arg(image);
        process::output(command).await.map(drop)
    }

    /// The command that checks a signature by `subject`, whom `issuer` vouches for.
    pub fn verify_command(
        &self,
        way: Way,
        trust: &Trust,
        (issuer, subject): (&str, &str),
        image: &str,
    ) -> Result<Command> {
        let root = self
            .folder
            .join(format!("trusted_root-{}.json", way.name()));
        fs::write(&root, trust.json()).context("write a trusted root")?;
        let mut command = self.cosign(way.version).command()?;
        command.current_dir(self.folder.path());
        command.args(["verify", "--allow-http-registry", "--trusted-root"]);
        command.arg(root);
        command.args(["--certificate-oidc-issuer", issuer]);
        command.args(["--certificate-identity", subject]);
        if way.version == Version::V2 && way.format == Format::Bundle {
            command.arg("--new-bundle-format");
        }
        // Without a timestamp, cosign 3 has to be told that the log's word is enough.
        if way.timestamp {
            command.arg("--use-signed-timestamps");
        }
        if way.log == Log::Off {
            command.arg("--insecure-ignore-tlog=true");
        }
        command.arg(image);
        Ok(command)
    }

    /// `cosign sign` or another of its commands with the services' addresses.
    fn command(&self, way: Way, verb: &str) -> Result<Command> {
        let mut command = self.cosign(way.version).command()?;
        command.current_dir(self.folder.path());
        command.args([verb, "--yes", "--allow-http-registry"]);
        match way.format {
            Format::Bundle => {
                if way.version == Version::V2 {
                    command.arg("--new-bundle-format");
                }
                command
                    .arg("--trusted-root")
                    .arg(self.folder.join("trusted_root.json"));
                command
                    .arg("--signing-config")
                    .arg(self.signing_config(way));
            }
            Format::Attachment => self.attach(&mut command, way),
        }
        Ok(command)
    }

    /// Attachments know addresses, not signing configurations.
    fn attach(&self, command: &mut Command, way: Way) {
        if way.version == Version::V3 {
            command.args(["--new-bundle-format=false", "--use-signing-config=false"]);
        }
        command.arg("--fulcio-url").arg(self.fulcio.url());
        if way.log == Log::Off {
            command.arg("--tlog-upload=false");
        } else {
            command.arg("--rekor-url").arg(self.rekor_v1.url());
        }
        if way.timestamp {
            let url = format!("{}/api/v1/timestamp", self.timestamps.url());
            command.arg("--timestamp-server-url").arg(url);
        }
        // What it gets, it checks, by TUF if nobody says how.
        let at = |name: &str| self.folder.join(name);
        command.env("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", at("ct.pub"));
        command.env("SIGSTORE_REKOR_PUBLIC_KEY", at("rekor-v1.pub"));
        command.env("SIGSTORE_ROOT_FILE", at("fulcio.pem"));
    }

    fn signing_config(&self, way: Way) -> PathBuf {
        let time = if way.timestamp { "-timestamp" } else { "" };
        let name = format!("signing-config-{:?}{time}.json", way.log).to_lowercase();
        self.folder.join(name)
    }

    /// Writes the signing configurations of all ways.
    pub(super) fn write_signing_files(&self) -> Result<()> {
        for log in [Log::Off, Log::V1, Log::V2] {
            for timestamp in [false, true] {
                let way = way(Version::V3, Format::Bundle, log, timestamp);
                let config = self.signing_config_json(log, timestamp);
                fs::write(self.signing_config(way), config.to_string())
                    .context("write a signing configuration")?;
            }
        }
        Ok(())
    }

    /// A signing configuration (sigstore's protobuf-specs, version 0.2) with this log, and with the
    /// timestamp authority or without.
    fn signing_config_json(&self, log: Log, timestamp: bool) -> Value {
        let service = |url: String, version: u32| {
            json!({
                "url": url,
                "majorApiVersion": version,
                "validFor": {"start": "2020-01-01T00:00:00Z"},
                "operator": "nodeseal tests",
            })
        };
        let mut config = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [service(self.fulcio.url(), 1)],
            "oidcUrls": [service(self.issuer.url(super::Issuer::PEOPLE), 1)],
        });
        let log = match log {
            Log::Off => None,
            Log::V1 => Some(service(self.rekor_v1.url(), 1)),
            Log::V2 => Some(service(self.rekor_v2.url(), 2)),
        };
        if let Some(log) = log {
            config["rekorTlogUrls"] = json!([log]);
            config["rekorTlogConfig"] = json!({"selector": "ANY"});
        }
        if timestamp {
            let url = format!("{}/api/v1/timestamp", self.timestamps.url());
            config["tsaUrls"] = json!([service(url, 1)]);
            config["tsaConfig"] = json!({"selector": "ANY"});
        }
        config
    }
}
