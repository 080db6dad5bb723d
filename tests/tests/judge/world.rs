//! What all cases share: a registry, the judge, keys.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use e2e::cosign::{self, Cosign, Format, KeyPair};
use e2e::judge::{Question, Verdict};
use e2e::keys::Kind;
use e2e::{Folder, Image, Judge, Key, Registry, signatures};
use image_verifier::environment::Environment;
use image_verifier::run::{Subject, decide};
use policy::bundle::Bundle;
use policy::crio::document::PolicyJson;
use policy::crio::registries_conf as mirrors;
use policy::crio::render::{CrioFacts, Rendered, namespace_path, render};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::model::{Policy, PolicyId};
use policy::paths;
use policy::reference::Reference;
use policy::verifier::{Access, Limits, VerifierPolicy};
use tokio::time::{Duration, Instant};

use crate::case::Case;

/// A key that both cosigns and tests sign with.
pub(crate) struct Signer {
    pub(crate) key: Key,
    pub(crate) pem: String,
}

/// Registry, judge, keys, cosigns.
pub(crate) struct World {
    pub(crate) registry: Registry,
    judge: Judge,
    folder: Folder,
    pub(crate) signers: [Signer; 3],
    pub(crate) cosign2: Cosign,
    pub(crate) cosign3: Cosign,
}

/// What one engine said.
#[derive(Debug)]
pub(crate) enum Said {
    Allowed,
    Refused(String),
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        let signer = || signer(Kind::P256);
        Ok(Self {
            registry: Registry::distribution().await?,
            judge: Judge::start()?,
            folder: Folder::new("judge")?,
            signers: [signer()?, signer()?, signer()?],
            cosign2: Cosign::new(cosign::Version::V2)?,
            cosign3: Cosign::new(cosign::Version::V3)?,
        })
    }

    /// `host:port/path`.
    pub(crate) fn scope(&self, path: &str) -> String {
        format!("{}/{path}", self.registry.host())
    }

    pub(crate) async fn image(&self, repository: &str, tag: &str) -> Result<Image> {
        Image::push(&self.registry, repository, tag).await
    }

    /// An image that these signers have signed, each with the name that cosign writes.
    pub(crate) async fn signed(
        &self,
        repository: &str,
        tag: &str,
        by: &[&Signer],
    ) -> Result<Image> {
        let image = self.image(repository, tag).await?;
        let name = image.repository.full_name();
        self.sign_as(&image, &name, by).await?;
        Ok(image)
    }

    /// Signs an image under a name that need not be its own.
    pub(crate) async fn sign_as(&self, image: &Image, name: &str, by: &[&Signer]) -> Result<()> {
        let payload = signatures::payload(name, &image.digest);
        let sign = |signer: &&Signer| Ok((payload.clone(), signer.key.sign(&payload)?));
        let signed: Result<Vec<_>> = by.iter().map(sign).collect();
        signatures::attach(image, &signed?).await
    }

    /// An image that a cosign has signed in the format of attachments.
    pub(crate) async fn cosigned(
        &self,
        cosign: &Cosign,
        pair: &KeyPair,
        repository: &str,
    ) -> Result<Image> {
        let image = self.image(repository, "v1").await?;
        cosign
            .sign(pair, Format::Attachment, &image.by_digest())
            .await?;
        Ok(image)
    }

    /// CRI-O's verdict with the files that the case renders to.
    pub(crate) fn crio(&mut self, case: &Case) -> Result<Said> {
        let facts = CrioFacts {
            version: case.version,
            policy_path: paths::CRIO_POLICY.to_owned(),
            namespace_dir: paths::CRIO_NAMESPACES.to_owned(),
            base: PolicyJson::parse(case.base.as_bytes())?,
            taken_locations: case.taken.clone(),
        };
        let policies: Result<Vec<Policy>, _> = case
            .policies
            .iter()
            .cloned()
            .map(Policy::try_from)
            .collect();
        let bundle = Bundle::new(case.settings.clone(), policies?);
        let registries = mirrors::parse(&case.registries_conf)?;
        let rendered =
            render(&bundle, &NodeFacts::default(), &facts).with_mirrors(&registries, &facts);
        let root = self.node(case, &facts, &rendered)?;
        let own = root.join(namespace_path(&facts, case.namespace));
        let question = Question {
            policy: if own.exists() {
                own.into()
            } else {
                root.join(&facts.policy_path).into()
            },
            registries_d: root.join("etc/containers/registries.d"),
            registries_conf: root.join("etc/containers/registries.conf"),
            image: case.image.clone(),
        };
        match self.judge.ask(&question)? {
            Verdict::Allowed => Ok(Said::Allowed),
            Verdict::Refused(why) => Ok(Said::Refused(why)),
            Verdict::Invalid(why) => anyhow::bail!("the library refuses the whole file: {why}"),
        }
    }

    /// The files of the node, every one of which our strict reader and the library's must accept.
    fn node(&mut self, case: &Case, facts: &CrioFacts, rendered: &Rendered) -> Result<PathBuf> {
        let root = self.folder.join(case.what.replace([' ', '/'], "-"));
        ensure!(!root.exists(), "two cases are called {:?}", case.what);
        let registries_d = root.join("etc/containers/registries.d");
        fs::create_dir_all(&registries_d)?;
        fs::write(
            root.join("etc/containers/registries.conf"),
            &case.registries_conf,
        )?;
        if !case.beside.is_empty() {
            fs::write(registries_d.join("00-own.yaml"), &case.beside)?;
        }
        let base = root.join(&facts.policy_path);
        fs::create_dir_all(base.parent().context("a path without folder")?)?;
        fs::write(&base, &case.base)?;
        for (path, file) in rendered.files(facts) {
            let target = root.join(&path);
            fs::create_dir_all(target.parent().context("a path without folder")?)?;
            fs::write(&target, &file.bytes)?;
            if path.starts_with("etc/crio/") {
                PolicyJson::parse(&file.bytes).with_context(|| path.clone())?;
                if let Err(why) = self.judge.parse(&target)? {
                    anyhow::bail!("the library refuses {path}: {why}");
                }
            }
        }
        Ok(root)
    }

    /// The verdict of our verifier on the same policies. It is told no namespace, so it gets those
    /// of the case's namespace as cluster policies.
    pub(crate) async fn verifier(&self, case: &Case) -> Result<Said> {
        let covering = case.policies.iter().filter(|draft| {
            draft
                .id
                .namespace()
                .is_none_or(|namespace| namespace == case.namespace)
        });
        let policies: Result<Vec<Policy>, _> = covering
            .cloned()
            .map(|mut draft| {
                if let PolicyId::Namespaced { namespace, name } = draft.id {
                    let name = format!("{namespace}-{name}");
                    draft.id = PolicyId::Cluster { name };
                }
                Policy::try_from(draft)
            })
            .collect();
        let bundle = Bundle::new(case.settings.clone(), policies?);
        let policy = VerifierPolicy {
            bundle: bundle.digest(),
            limits: Limits::default(),
            access: Access::none(),
            flat: flatten(&bundle, &NodeFacts::default()),
        };
        let subject = Subject {
            image: Reference::parse(&case.image)?,
            digest: Digest::parse(&case.digest)?,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let answer = decide(&subject, &policy, &Environment::default(), deadline).await;
        match answer.refusal {
            None => Ok(Said::Allowed),
            Some(refusal) => {
                ensure!(!refusal.reason.is_transient(), "no verdict: {refusal:?}");
                Ok(Said::Refused(format!(
                    "{}: {}",
                    refusal.reason, refusal.message
                )))
            }
        }
    }
}

/// A signer with a key of this kind.
pub(crate) fn signer(kind: Kind) -> Result<Signer> {
    let key = Key::generate(kind)?;
    let pem = key.public_pem()?;
    Ok(Signer { key, pem })
}
