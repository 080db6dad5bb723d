//! Both cosigns, offline: no transparency log, no signing configuration, no TUF.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use xtask::peers;

use crate::folder::Folder;
use crate::keys::Key;
use crate::process;

/// A trusted root that trusts nobody, which is what a signature by a key alone needs. Without it
/// cosign asks the public good instance, and version 2 refuses to look at bundles.
const EMPTY_TRUSTED_ROOT: &str =
    r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

/// Which cosign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.x: attaches signatures by default.
    V2,
    /// 3.x: writes bundles by default.
    V3,
}

/// What a signature looks like on the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A simple-signing payload under the tag `sha256-<hex>.sig`.
    Attachment,
    /// A sigstore bundle among the image's referrers.
    Bundle,
}

/// All ways to sign: each cosign in each format.
pub const WAYS: [(Version, Format); 4] = [
    (Version::V2, Format::Attachment),
    (Version::V2, Format::Bundle),
    (Version::V3, Format::Bundle),
    (Version::V3, Format::Attachment),
];

/// A cosign with a home of its own.
#[derive(Debug)]
pub struct Cosign {
    version: Version,
    folder: Folder,
}

/// A key pair in cosign's files; the private one has an empty password.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The file with the private key.
    pub private: PathBuf,
    /// The file with the public key.
    pub public: PathBuf,
    /// The public key in PEM.
    pub pem: String,
}

impl Cosign {
    /// A cosign of this version.
    pub fn new(version: Version) -> Result<Self> {
        let folder = Folder::new("cosign")?;
        fs::write(folder.join("trusted_root.json"), EMPTY_TRUSTED_ROOT)
            .context("write an empty trusted root")?;
        Ok(Self { version, folder })
    }

    /// A new key pair, of the only kind that cosign makes: ECDSA on P-256.
    pub async fn generate_key(&self, name: &str) -> Result<KeyPair> {
        let prefix = self.folder.join(name);
        self.run(&["generate-key-pair", "--output-key-prefix"], &prefix)
            .await?;
        read_pair(&prefix)
    }

    /// A key pair made elsewhere, of any kind that cosign reads.
    pub async fn import_key(&self, name: &str, key: &Key) -> Result<KeyPair> {
        let prefix = self.folder.join(name);
        let private = prefix.with_extension("pem");
        fs::write(&private, key.private_pem()?).context("write a private key")?;
        let mut command = self.command()?;
        command.arg("import-key-pair").arg("--key").arg(&private);
        command.arg("--output-key-prefix").arg(&prefix);
        process::output(command).await?;
        read_pair(&prefix)
    }

    /// Signs an image, which is named by its digest.
    pub async fn sign(&self, key: &KeyPair, format: Format, image: &str) -> Result<()> {
        self.sign_with(key, format, image, &[]).await
    }

    /// Signs with more arguments, such as `-a key=value` for annotations.
    pub async fn sign_with(
        &self,
        key: &KeyPair,
        format: Format,
        image: &str,
        more: &[&str],
    ) -> Result<()> {
        let mut command = self.command()?;
        command.args([
            "sign",
            "--yes",
            "--allow-http-registry",
            "--tlog-upload=false",
        ]);
        // Version 3 refuses --tlog-upload=false together with a signing configuration, and would
        // fetch the public one over the network.
        if self.version == Version::V3 {
            command.arg("--use-signing-config=false");
        }
        match (self.version, format) {
            (Version::V2, Format::Attachment) | (Version::V3, Format::Bundle) => {}
            (Version::V2, Format::Bundle) => {
                command.arg("--new-bundle-format");
            }
            (Version::V3, Format::Attachment) => {
                command.arg("--new-bundle-format=false");
            }
        }
        command.arg("--key").arg(&key.private).args(more).arg(image);
        process::output(command).await.map(drop)
    }

    /// Verifies that the key has signed the image, in this format (version 3 looks for both).
    pub async fn verify(&self, public: &Path, format: Format, image: &str) -> Result<String> {
        self.verify_with(public, format, image, &[]).await
    }

    /// Verifies with more arguments, such as `--signature-digest-algorithm sha384`.
    pub async fn verify_with(
        &self,
        public: &Path,
        format: Format,
        image: &str,
        more: &[&str],
    ) -> Result<String> {
        process::output(self.verify_command(public, format, image, more)?).await
    }

    /// The command that [`Cosign::verify_with`] runs.
    pub fn verify_command(
        &self,
        public: &Path,
        format: Format,
        image: &str,
        more: &[&str],
    ) -> Result<Command> {
        let mut command = self.command()?;
        command.args([
            "verify",
            "--allow-http-registry",
            "--insecure-ignore-tlog=true",
        ]);
        command
            .arg("--trusted-root")
            .arg(self.folder.join("trusted_root.json"));
        if self.version == Version::V2 && format == Format::Bundle {
            command.arg("--new-bundle-format");
        }
        command.arg("--key").arg(public).args(more).arg(image);
        Ok(command)
    }

    /// A cosign command with nothing of this machine's environment, for what is not wrapped here.
    pub fn command(&self) -> Result<Command> {
        let program = match self.version {
            Version::V2 => "cosign2",
            Version::V3 => "cosign3",
        };
        let home = self.folder.path();
        let mut command = Command::new(peers::locate(program)?);
        command.current_dir(home).env_clear();
        command.env("HOME", home).env("DOCKER_CONFIG", home);
        command
            .env("TUF_ROOT", home.join("tuf"))
            .env("COSIGN_PASSWORD", "");
        Ok(command)
    }

    async fn run(&self, args: &[&str], path: &Path) -> Result<String> {
        let mut command = self.command()?;
        command.args(args).arg(path);
        process::output(command).await
    }
}

fn read_pair(prefix: &Path) -> Result<KeyPair> {
    let (private, public) = (prefix.with_extension("key"), prefix.with_extension("pub"));
    let pem = fs::read_to_string(&public)
        .with_context(|| format!("read the public key {}", public.display()))?;
    Ok(KeyPair {
        private,
        public,
        pem,
    })
}
