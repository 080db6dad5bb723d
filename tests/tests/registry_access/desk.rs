//! A node's root with the verifier in it, run as containerd runs it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use e2e::keys::{Key, Kind};
use e2e::{Folder, Image, Registry, signatures};
use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, Settings};
use policy::containerd::{ContainerdFacts, render};
use policy::flatten::{NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::verifier::{Access, CredentialProvider};
use rustix::mount::mount_bind;
use serde_json::json;
use xtask::product::Product;

use crate::gate::write;

/// A root folder, and the key that its policy wants.
#[derive(Debug)]
pub(crate) struct Desk {
    folder: Folder,
    key: Key,
}

/// The answer of the verifier: `allowed`, or the code of the refusal.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: String,
    pub(crate) line: String,
}

impl Desk {
    pub(crate) fn new() -> Result<Self> {
        let desk = Self {
            folder: Folder::new("desk")?,
            key: Key::generate(Kind::P256)?,
        };
        let draft = PolicyDraft {
            on_unsupported: OnUnsupported::Ignore,
            id: PolicyId::Cluster {
                name: "everything".to_owned(),
            },
            scopes: vec!["*.0.0.1".to_owned(), "*.test".to_owned()],
            exclude: Vec::new(),
            requirement: RequirementDraft {
                mode: Mode::Enforce,
                threshold: 1,
                authorities: vec![AuthorityDraft::key("release", desk.key.public_pem()?)],
                signed_identity: SignedIdentity::MatchRepository {
                    unnamed: UnnamedSignatures::Accept,
                },
            },
        };
        let policy = Policy::try_from(draft).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let bundle = Bundle::new(Settings::default(), [policy]);
        let facts = ContainerdFacts {
            drop_in: false,
            access: Access {
                credential_provider: Some(CredentialProvider {
                    config: "/etc/kubernetes/providers.yaml".to_owned(),
                    bin_dir: "/usr/libexec/providers".to_owned(),
                }),
                ..Access::default()
            },
            ..ContainerdFacts::default()
        };
        let flat = flatten(&bundle, &NodeFacts::default());
        for (path, file) in render(&flat, &bundle.digest(), &facts) {
            desk.file(&path, &file.bytes)?;
        }
        desk.provider("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n")?;
        // Names of the tests, with both kinds of address, and nobody to ask about others.
        desk.file("etc/hosts", b"127.0.0.1 registry.test\n::1 registry.test\n")?;
        desk.file(
            "etc/resolv.conf",
            b"nameserver 127.0.0.1\noptions attempts:1 timeout:1\n",
        )?;
        // Random numbers come from there.
        fs::create_dir(desk.path("dev")).context("create dev")?;
        mount_bind("/dev", desk.path("dev")).context("mount dev in the node's root")?;
        let verifier = desk.path("verifier");
        fs::copy(Product::Verifier.locate()?, &verifier).context("copy the verifier")?;
        Ok(desk)
    }

    /// A path below the root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path)
    }

    /// Writes a file below the root.
    pub(crate) fn file(&self, path: &str, bytes: &[u8]) -> Result<()> {
        write(&self.path(path), bytes)
    }

    /// Writes the `hosts.toml` for images of `host`.
    pub(crate) fn hosts(&self, host: &str, text: &str) -> Result<()> {
        let path = format!("etc/containerd/certs.d/{host}/hosts.toml");
        self.file(&path, text.as_bytes())
    }

    /// Writes the kubelet's `config.json`.
    pub(crate) fn docker_config(&self, config: &serde_json::Value) -> Result<()> {
        self.file("var/lib/kubelet/config.json", config.to_string().as_bytes())
    }

    /// Writes the `config.json` with this user for a host.
    pub(crate) fn password(&self, host: &str, username: &str, password: &str) -> Result<()> {
        let entry = json!({"username": username, "password": password});
        self.docker_config(&json!({"auths": {host: entry}}))
    }

    /// Writes the kubelet's `CredentialProviderConfig`.
    pub(crate) fn provider(&self, config: &str) -> Result<()> {
        self.file("etc/kubernetes/providers.yaml", config.as_bytes())
    }

    /// Installs a script that may use what the shell has built in. Another process writes it: were
    /// the file open here while a test next door forks, it could not be run for a moment.
    pub(crate) fn script(&self, path: &str, text: &str) -> Result<()> {
        self.shell()?;
        let path = self.path(path);
        fs::create_dir_all(path.parent().context("a script lies in a folder")?)?;
        let mut writer = Command::new("/bin/sh")
            .args(["-c", "cat >\"$0\" && chmod 0755 \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()?;
        let mut stdin = writer.stdin.take().context("a pipe")?;
        stdin.write_all(format!("#!/bin/sh\n{text}\n").as_bytes())?;
        drop(stdin);
        anyhow::ensure!(
            writer.wait()?.success(),
            "{} was not written",
            path.display()
        );
        Ok(())
    }

    /// Puts this machine's shell into the root, with its libraries.
    fn shell(&self) -> Result<()> {
        if self.path("bin/sh").exists() {
            return Ok(());
        }
        let libraries = Command::new("ldd")
            .arg("/bin/sh")
            .output()
            .context("run ldd")?;
        let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
        let paths = libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for path in paths.chain(["/bin/sh"]) {
            let target = self.path(path.trim_start_matches('/'));
            fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
            fs::copy(path, &target).with_context(|| format!("copy {path}"))?;
        }
        Ok(())
    }

    /// Pushes an image that is signed under the name by which it will be pulled from `host`.
    pub(crate) async fn signed(&self, registry: &Registry, host: &str) -> Result<Image> {
        let image = Image::push(registry, "team/app", "v1").await?;
        self.sign(&image, host).await?;
        Ok(image)
    }

    /// Signs an image under the name by which it will be pulled from `host`.
    pub(crate) async fn sign(&self, image: &Image, host: &str) -> Result<()> {
        let payload = signatures::payload(&format!("{host}/team/app"), &image.digest);
        let signature = self.key.sign(&payload)?;
        signatures::attach(image, &[(payload, signature)]).await
    }

    /// Pulls `host/team/app:v1`.
    pub(crate) async fn pull(&self, host: &str, image: &Image) -> Result<Answer> {
        let root = self.path("");
        let name = format!("{host}/team/app:v1");
        let descriptor = json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.size,
        });
        let digest = image.digest.clone();
        // Waiting for it must not keep the servers of this test from answering.
        tokio::task::spawn_blocking(move || run(&root, &name, &digest, &descriptor.to_string()))
            .await?
    }

    /// Pulls, and expects a code.
    pub(crate) async fn expect(
        &self,
        host: &str,
        image: &Image,
        code: &str,
        part: &str,
    ) -> Result<()> {
        let answer = self.pull(host, image).await?;
        if answer.code != code || !answer.line.contains(part) {
            bail!("expected {code} with {part:?}: {}", answer.line);
        }
        Ok(())
    }
}

fn run(root: &Path, name: &str, digest: &str, descriptor: &str) -> Result<Answer> {
    let mut child = Command::new("/usr/sbin/chroot")
        .arg(root)
        .args(["/verifier", "-name", name, "-digest", digest])
        .args([
            "-stdin-media-type",
            "application/vnd.oci.descriptor.v1+json",
        ])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("start the verifier")?;
    let mut stdin = child.stdin.take().context("a pipe")?;
    writeln!(stdin, "{descriptor}")?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let line = String::from_utf8(output.stdout)?.trim().to_owned();
    let code = if output.status.success() {
        "allowed"
    } else {
        let (_, rest) = line
            .split_once("SignatureValidationFailed: ")
            .with_context(|| format!("no verdict: {line}"))?;
        rest.split(' ').next().unwrap_or_default()
    };
    Ok(Answer {
        code: code.to_owned(),
        line: line.clone(),
    })
}
