//! Who reads the files on a node: the library that CRI-O verifies with, the verifier, containerd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use e2e::judge::{Question, Verdict};
use e2e::sigstore::signer::{BUNDLE, CERTIFICATE, CHAIN};
use e2e::sigstore::{Signature, attach_memory};
use e2e::{Folder, Judge, MemoryRegistry};
use image_verifier::candidate::{Attachment, Candidate, Found, Signed};
use image_verifier::evaluate::evaluate;
use image_verifier::policy_file;
use policy::bundle::DefaultAction;
use policy::crio::document::PolicyJson;
use policy::crio::render::REGISTRIES_D_FILE;
use policy::digest::Digest;
use policy::files::FileSet;
use policy::flatten::Outcome;
use policy::paths;
use policy::reference::Reference;
use policy::verifier::VerifierPolicy;
use xtask::peers;

use crate::case::{Ask, Case, Wanted};
use crate::keys::Signers;
use crate::outcome::ACCEPT;

/// No case has a policy or a registry for it.
const BYSTANDER: &str = "bystander.test/any";
/// Of every image: they differ in their names alone, so that cases can name the digest.
const CONTENT: &str = "golden";
/// What cases name.
const DIGEST: &str = "sha256:e4303565a0f85c8a93d4abb54b4aa1175d2af478ef41cadfcbd3dca1e6453018";

/// All of them, and the images.
pub(crate) struct Consumers {
    judge: Judge,
    registry: MemoryRegistry,
}

impl Consumers {
    pub(crate) fn start() -> Result<Self> {
        let registry = MemoryRegistry::start()?;
        let image = registry.push_image(BYSTANDER, "v1", CONTENT)?;
        ensure!(
            image.digest == DIGEST,
            "cases have to name {}",
            image.digest
        );
        let judge = Judge::behind(&registry)?;
        Ok(Self { judge, registry })
    }

    /// That all files are read by those for whom they are.
    pub(crate) fn accept(&mut self, case: &Case, files: &FileSet) -> Result<()> {
        let folder = Folder::new("golden")?;
        for (path, file) in files {
            let at = folder.join(path);
            fs::create_dir_all(at.parent().context("a file stands in a folder")?)?;
            fs::write(&at, &file.bytes)?;
            fs::set_permissions(&at, fs::Permissions::from_mode(file.mode))?;
            if path.starts_with("etc/crio/") {
                PolicyJson::parse(&file.bytes).with_context(|| path.clone())?;
                if let Err(why) = self.judge.parse(&at)? {
                    bail!("CRI-O would refuse {path}: {why}");
                }
            } else if path == paths::VERIFIER_POLICY {
                VerifierPolicy::from_json(&file.bytes).with_context(|| path.clone())?;
                policy_file::read(folder.path())?;
            } else if path == paths::CONTAINERD_DROP_IN {
                containerd_takes(&at)?;
            } else {
                ensure!(path == REGISTRIES_D_FILE, "nobody reads {path}");
            }
        }
        // The library reads both of these for any image.
        let registries_d = registries_d(case, files, &folder)?;
        self.registry.push_image(BYSTANDER, "v1", CONTENT)?;
        let mut confs = vec![folder.join("registries.conf")];
        for (index, text) in case.registries_conf.values().enumerate() {
            let conf = folder.join(format!("{index}.conf"));
            fs::write(&conf, text)?;
            confs.push(conf);
        }
        for registries_conf in confs {
            let verdict = self.judge.ask(&Question {
                policy: ACCEPT.as_bytes().to_vec().into(),
                registries_d: registries_d.clone(),
                registries_conf,
                image: format!("{BYSTANDER}:v1"),
            })?;
            ensure!(verdict == Verdict::Allowed, "{verdict:?}");
        }
        Ok(())
    }

    /// Whether an image may run with these files, and what was said.
    pub(crate) fn ask(
        &mut self,
        case: &Case,
        files: &FileSet,
        ask: &Ask,
        signers: &Signers,
    ) -> Result<(Wanted, String)> {
        let name = Reference::parse(&ask.image).map_err(|error| anyhow!("{error}"))?;
        let at = ask.at.clone().unwrap_or_else(|| name.repository());
        let tag = name.tag().unwrap_or("unused");
        // What was asked for before must not be found on a mirror.
        self.registry.clear();
        let image = self.registry.push_image(&at, tag, CONTENT)?;
        let repository = name.repository();
        let sign = |words: &String| signers.sign(words, &repository, &image);
        let signatures = ask.signed_by.iter().map(sign).collect::<Result<Vec<_>>>()?;
        if let Some(file) = files.get(paths::VERIFIER_POLICY) {
            ensure!(ask.namespace.is_none(), "the verifier is told no namespace");
            let found: Vec<Found> = signatures.into_iter().map(found).collect();
            return verifier(&file.bytes, &name, &image.digest, &found);
        }
        attach_memory(&self.registry, &image, &signatures);
        let folder = Folder::new("golden")?;
        let conf = folder.join("registries.conf");
        let all: Vec<&str> = case.registries_conf.values().map(String::as_str).collect();
        ensure!(all.len() <= 1, "the judge is given one registries.conf");
        if let [text] = all.as_slice() {
            fs::write(&conf, text)?;
        }
        let own = ask.namespace.as_ref();
        let own = own.and_then(|ns| files.get(&format!("{}/{ns}.json", paths::CRIO_NAMESPACES)));
        let policy = own.or_else(|| files.get(paths::CRIO_POLICY));
        let policy = match (policy, &case.base) {
            (Some(file), _) => file.bytes.clone(),
            (None, Some(base)) => base.clone().into_bytes(),
            (None, None) => ACCEPT.as_bytes().to_vec(),
        };
        let verdict = self.judge.ask(&Question {
            policy: policy.into(),
            registries_d: registries_d(case, files, &folder)?,
            registries_conf: conf,
            image: ask.image.clone(),
        })?;
        match verdict {
            Verdict::Allowed => Ok((Wanted::Allowed, String::new())),
            Verdict::Refused(why) => Ok((Wanted::Refused, why)),
            Verdict::Invalid(why) => bail!("CRI-O takes no file of ours: {why}"),
        }
    }
}

/// As the verifier finds it.
fn found(signature: Signature) -> Found {
    let annotation = |name: &str| signature.annotations.get(name).cloned();
    let attachment = Attachment {
        certificate: annotation(CERTIFICATE),
        chain: annotation(CHAIN),
        log_entry: annotation(BUNDLE),
        timestamp: None,
        payload: signature.payload,
        signature: signature.signature,
    };
    Found::Candidate(Candidate {
        origin: "attached".to_owned(),
        signed: Signed::Attachment(attachment),
    })
}

/// The verdict of our own engine.
fn verifier(
    policy: &[u8],
    image: &Reference,
    digest: &str,
    found: &[Found],
) -> Result<(Wanted, String)> {
    let policy = VerifierPolicy::from_json(policy)?;
    let decision = policy.flat.decide(image);
    let now = SystemTime::now().try_into()?;
    let digest = Digest::parse(digest).map_err(|error| anyhow!("{error}"))?;
    Ok(match decision.outcome {
        Outcome::Exempt | Outcome::Default(DefaultAction::Allow) => {
            (Wanted::Allowed, String::new())
        }
        Outcome::Refused | Outcome::Default(DefaultAction::Reject) => {
            (Wanted::Refused, "by default".to_owned())
        }
        Outcome::Verify(_) => match evaluate(&decision, found, image, &digest, now).refusal {
            None => (Wanted::Allowed, String::new()),
            Some(why) => (Wanted::Refused, format!("{why:?}")),
        },
    })
}

/// The folder with our file and those of others.
fn registries_d(case: &Case, files: &FileSet, folder: &Folder) -> Result<PathBuf> {
    let at = folder.join("registries.d");
    fs::create_dir_all(&at)?;
    for (name, text) in &case.registries_d {
        fs::write(at.join(name), text)?;
    }
    if let Some(ours) = files.get(REGISTRIES_D_FILE) {
        fs::write(at.join("nodeseal.yaml"), &ours.bytes)?;
    }
    Ok(at)
}

/// That containerd reads a drop-in, and with it would run what is in our folder.
fn containerd_takes(drop_in: &Path) -> Result<()> {
    let text = fs::read_to_string(drop_in)?;
    // The lab's containerd is older than version 4, which renames nothing of this.
    let root = if text.contains("\nversion = 2\n") {
        2
    } else {
        3
    };
    let text = text.replace("\nversion = 4\n", "\nversion = 3\n");
    fs::write(drop_in, text)?;
    let config = drop_in.with_extension("root.toml");
    let import = serde_json::to_string(drop_in)?;
    fs::write(&config, format!("version = {root}\nimports = [{import}]\n"))?;
    let mut command = Command::new(peers::locate("containerd")?);
    command
        .arg("--config")
        .arg(&config)
        .args(["config", "dump"]);
    let output = command.output().context("run containerd")?;
    let (said, shown) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    ensure!(
        output.status.success() && !said.contains("Ignoring"),
        "containerd: {said}"
    );
    let wanted = format!("bin_dir = '/{}'", paths::VERIFIER_DIR);
    ensure!(shown.contains(&wanted), "containerd reads:\n{shown}");
    Ok(())
}
