//! A node, the ways to registries, sigstore's services, and signed images.

use std::fs;
use std::io;

use anyhow::{Context as _, Result, ensure};
use e2e::cosign::{Cosign, Format, KeyPair, Version};
use e2e::keys::{Key, Kind};
use e2e::policies::PolicyText;
use e2e::sigstore_services::signing::way;
use e2e::sigstore_services::{Issuer, Log, Person, Services, Way};
use e2e::{Image, Node, signatures};
use policy::paths;
use serde_json::json;

use crate::link::Link;
use crate::measure::Contender;

/// Whom keyless signatures are by.
const SIGNER: &str = "dev@corp.example";

/// Everything that is measured.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) links: [Link; 3],
    services: Services,
    cosign: Cosign,
    key: KeyPair,
    /// For many signatures: one that needs no cosign.
    own: Key,
}

/// A signature by somebody, in some format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) title: &'static str,
    name: &'static str,
    format: Format,
    /// Without a key.
    keyless: Option<Way>,
}

/// What is compared. The first of each pair is what cosign 3 does unless it is told otherwise.
pub(crate) const SHAPES: [Shape; 4] = [
    Shape {
        title: "key, bundle",
        name: "key/bundle",
        format: Format::Bundle,
        keyless: None,
    },
    Shape {
        title: "key, .sig",
        name: "key/attachment",
        format: Format::Attachment,
        keyless: None,
    },
    Shape {
        title: "keyless, bundle (Rekor v2, timestamp)",
        name: "keyless/bundle",
        format: Format::Bundle,
        keyless: Some(way(Version::V3, Format::Bundle, Log::V2, true)),
    },
    Shape {
        title: "keyless, .sig (Rekor v1)",
        name: "keyless/attachment",
        format: Format::Attachment,
        keyless: Some(way(Version::V3, Format::Attachment, Log::V1, false)),
    },
];

impl Scene {
    pub(crate) async fn start() -> Result<Self> {
        let (node, services) = tokio::try_join!(Node::start(None), Services::start())?;
        let links = [
            Link::near().await?,
            Link::plain(&node).await?,
            Link::tls(&node).await?,
        ];
        let cosign = Cosign::new(Version::V3)?;
        let key = cosign.generate_key("key").await?;
        let own = Key::generate(Kind::P256)?;
        let scene = Self {
            node,
            links,
            services,
            cosign,
            key,
            own,
        };
        scene.enforce()?;
        Ok(scene)
    }

    /// Wants a key for some images of each registry, and somebody's identity for others.
    fn enforce(&self) -> Result<()> {
        let scopes = |below: &str| -> Vec<String> {
            let scope = |link: &Link| format!("{}/{}/{below}", link.host, link.name);
            self.links.iter().map(scope).collect()
        };
        let by_key = |name: &str, pem: &str| {
            let scopes = scopes(name);
            let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
            PolicyText::new(name, &scopes)
                .authority("release", pem)
                .yaml()
        };
        let trust = self.services.trust();
        let keyless = json!({
            "apiVersion": "nodeseal.dev/v1alpha1",
            "kind": "ClusterImageSignaturePolicy",
            "metadata": {"name": "keyless"},
            "spec": {"scopes": scopes("keyless"), "authorities": [{"name": "release", "keyless": {
                "trustRoot": "lab",
                "identities": [{"issuer": self.issuer(), "subject": SIGNER}],
            }}]},
        });
        self.node.enforce(&format!(
            "{}---\n{}---\n{keyless}\n---\n{}",
            by_key("key", &self.key.pem),
            by_key("many", &self.own.public_pem()?),
            trust.yaml("lab"),
        ))
    }

    fn issuer(&self) -> String {
        self.services.issuer().url(Issuer::PEOPLE)
    }

    /// An image at the end of a link, signed this way.
    pub(crate) async fn signed(&self, link: &Link, shape: Shape) -> Result<Image> {
        let image = link
            .push(&format!("{}/{}", link.name, shape.name), "v1")
            .await?;
        link.open();
        let name = image.by_digest();
        match shape.keyless {
            None => self.cosign.sign(&self.key, shape.format, &name).await?,
            Some(way) => {
                let signer = Person::new(SIGNER).token();
                self.services.sign(way, &signer, &name).await?;
            }
        }
        link.close();
        Ok(image)
    }

    /// Images with attachments at the end of a link: `many/<name>`, with a tag for each.
    pub(crate) async fn many(&self, link: &Link, name: &str, count: usize) -> Result<Vec<Image>> {
        link.open();
        let mut images = Vec::new();
        for index in 0..count {
            let repository = format!("{}/many/{name}", link.name);
            let image = link.push(&repository, &format!("v{index}")).await?;
            signatures::sign(&image, &self.own).await?;
            images.push(image);
        }
        link.close();
        Ok(images)
    }

    /// The verifier as containerd calls it, in the node's root.
    pub(crate) fn ours(&self, image: &Image) -> Contender {
        let descriptor = json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.size,
        });
        let verifier = format!("/{}/{}", paths::VERIFIER_DIR, paths::VERIFIER_NAME);
        let root = self.node.root().display().to_string();
        let command = [
            "/usr/sbin/chroot",
            &root,
            &verifier,
            "-name",
            &image.by_tag(),
            "-digest",
            &image.digest,
            "-stdin-media-type",
            "application/vnd.oci.descriptor.v1+json",
        ];
        Contender {
            command: command.map(str::to_owned).into(),
            environment: Vec::new(),
            stdin: format!("{descriptor}\n"),
        }
    }

    /// `cosign verify`, with all that it needs without asking anybody but the registry.
    pub(crate) fn theirs(&self, link: &Link, shape: Shape, image: &Image) -> Result<Contender> {
        let name = image.by_digest();
        let mut command = match shape.keyless {
            None => self
                .cosign
                .verify_command(&self.key.public, shape.format, &name, &[])?,
            Some(way) => {
                let identity = (self.issuer(), SIGNER);
                let identity = (identity.0.as_str(), identity.1);
                let trust = self.services.trust();
                self.services.verify_command(way, trust, identity, &name)?
            }
        };
        if let Some(ca) = &link.ca {
            command.arg("--registry-cacert").arg(ca);
        }
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let environment = command
            .get_envs()
            .filter_map(|(name, value)| Some((text(name), text(value?))))
            .collect();
        Ok(Contender {
            command: std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(text)
                .collect(),
            environment,
            stdin: String::new(),
        })
    }

    /// Lets the verifier forget what it keeps.
    pub(crate) fn forget(&self) -> Result<()> {
        let cache = self.node.root().join(paths::STATE_DIR).join("cache");
        match fs::remove_dir_all(&cache) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", cache.display()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the verifier's last answer was one that it had kept, by its own log.
    pub(crate) fn was_cached(&self) -> Result<bool> {
        let log = self
            .node
            .root()
            .join(paths::STATE_DIR)
            .join("verdicts/current.jsonl");
        let log = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        let last = log.lines().last().context("the log of verdicts is empty")?;
        let last: serde_json::Value = serde_json::from_str(last)?;
        ensure!(last["verdict"] == "allowed", "the last verdict: {last}");
        last["cached"].as_bool().context("`cached` of a verdict")
    }
}
