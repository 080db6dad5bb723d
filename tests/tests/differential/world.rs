//! Registries, keys, a log, and the two judges.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use e2e::cosign::{Cosign, Format, Version};
use e2e::keys::Kind;
use e2e::sigstore::{Log, Signer};
use e2e::{Folder, Image, Registry, process};
use image_verifier::environment::Environment;
use image_verifier::run::{Subject, decide};
use policy::authority::{AuthorityDraft, SignerDraft, TrustRootRef, TrustRoots};
use policy::bundle::{Bundle, Settings};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, PolicyId, RequirementDraft};
use policy::reference::Reference;
use policy::trust::TrustRoot;
use policy::verifier::{Access, Limits, VerifierPolicy};
use tokio::time::Instant;

use crate::craft::{self, Parts};
use crate::{Case, KINDS};

/// Nothing where it is allowed, else why not.
pub(crate) type Verdict = Result<(), String>;

/// What all combinations share.
pub(crate) struct World {
    // Without and with the referrers API.
    registries: [Registry; 2],
    folder: Folder,
    /// A signer and a stranger for each kind of key.
    signers: Vec<(Kind, Signer, Signer)>,
    log: Log,
    other_log: Log,
    roots: TrustRoots,
    root: TrustRootRef,
    cosign2: Cosign,
    cosign3: Cosign,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let folder = Folder::new("differential")?;
        let mut signers = Vec::new();
        for kind in KINDS {
            let signer = Signer::generate_kind(kind)?;
            fs::write(folder.join(format!("{kind:?}.pub")), signer.public_pem()?)?;
            signers.push((kind, signer, Signer::generate_kind(kind)?));
        }
        let log = Log::new()?;
        fs::write(folder.join("log.pub"), log.public_pem()?)?;
        let root = TrustRoot::from_pem(None, &[log.public_pem()?], &[], None);
        let root = Arc::new(root.map_err(|error| anyhow!("{error}"))?);
        Ok(Self {
            registries: [
                Registry::distribution().await?,
                Registry::with_referrers().await?,
            ],
            signers,
            log,
            other_log: Log::new()?,
            root: TrustRootRef {
                name: "log".to_owned(),
                digest: root.digest(),
            },
            roots: [(root.digest(), root)].into(),
            cosign2: Cosign::new(Version::V2)?,
            cosign3: Cosign::new(Version::V3)?,
            folder,
        })
    }

    fn signers(&self, kind: Kind) -> Result<(&Signer, &Signer)> {
        let found = self.signers.iter().find(|(other, ..)| *other == kind);
        let (_, signer, other) = found.context("a signer of every kind")?;
        Ok((signer, other))
    }

    fn public_key(&self, kind: Kind) -> PathBuf {
        self.folder.join(format!("{kind:?}.pub"))
    }

    /// A new image that is signed as the case says; registries take turns.
    pub(crate) async fn image(&self, index: usize, case: &Case) -> Result<Image> {
        let registry = &self.registries[index % self.registries.len()];
        let image = Image::push(registry, &format!("differential/{index}"), "v1").await?;
        let (signer, other) = self.signers(case.kind)?;
        let parts = Parts {
            kind: case.kind,
            signer,
            other,
            log: case.logged.then_some(&self.log),
            other_log: &self.other_log,
        };
        match case.format {
            Format::Attachment => craft::attach(&image, case.tamper, &parts).await?,
            Format::Bundle => craft::refer(&image, case.tamper, &parts).await?,
        }
        Ok(image)
    }

    /// The verifier's verdict.
    pub(crate) async fn verifier(&self, image: &Image, case: &Case) -> Result<Verdict> {
        let (signer, _) = self.signers(case.kind)?;
        let authority = AuthorityDraft {
            name: "release".to_owned(),
            signer: SignerDraft::Key {
                keys: signer.public_pem()?,
                transparency_log: case.logged.then(|| self.root.clone()),
            },
        };
        let draft = PolicyDraft {
            on_unsupported: OnUnsupported::Ignore,
            id: PolicyId::Cluster {
                name: "release".to_owned(),
            },
            scopes: vec![image.repository.full_name()],
            exclude: Vec::new(),
            requirement: RequirementDraft {
                mode: Mode::Enforce,
                threshold: 1,
                authorities: vec![authority],
                signed_identity: SignedIdentity::MatchRepository {
                    unnamed: UnnamedSignatures::Accept,
                },
            },
        };
        let policy = Policy::new(draft, &self.roots)?;
        let bundle = Bundle::new(Settings::default(), [policy]);
        let policy = VerifierPolicy {
            bundle: bundle.digest(),
            limits: Limits::default(),
            access: Access::none(),
            flat: flatten(&bundle, &NodeFacts::default()),
        };
        let subject = Subject {
            image: Reference::parse(&image.by_tag())?,
            digest: Digest::parse(&image.digest)?,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        let answer = decide(&subject, &policy, &Environment::default(), deadline).await;
        Ok(match answer.refusal {
            None => Ok(()),
            Some(refusal) => {
                ensure!(!refusal.reason.is_transient(), "no verdict: {refusal:?}");
                Err(format!("{}: {}", refusal.reason, refusal.message))
            }
        })
    }

    /// The verdict of `cosign verify` on the same image, by the same key and log.
    pub(crate) async fn cosign(
        &self,
        version: Version,
        image: &Image,
        case: &Case,
    ) -> Result<Verdict> {
        let cosign = match version {
            Version::V2 => &self.cosign2,
            Version::V3 => &self.cosign3,
        };
        let (key, name) = (self.public_key(case.kind), image.by_digest());
        // It goes by SHA-256 whatever the key is, unless told.
        let more: &[&str] = match case.kind {
            Kind::P384 => &["--signature-digest-algorithm", "sha384"],
            Kind::P521 => &["--signature-digest-algorithm", "sha512"],
            _ => &[],
        };
        let command = if case.logged {
            let mut command = cosign.command()?;
            command.args(["verify", "--allow-http-registry", "--key"]);
            command.arg(key).args(more).arg(name);
            command.env("SIGSTORE_REKOR_PUBLIC_KEY", self.folder.join("log.pub"));
            command
        } else {
            cosign.verify_command(&key, case.format, &name, more)?
        };
        let said = process::output(command).await;
        Ok(said.map(drop).map_err(|error| format!("{error:#}")))
    }
}
