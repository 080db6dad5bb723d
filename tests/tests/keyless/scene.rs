//! A node with a containerd, a registry, and sigstore's services.

use anyhow::Result;
use e2e::cosign::{Format, Version};
use e2e::sigstore_services::signing::way;
use e2e::sigstore_services::{Issuer, Log, Services, Token, Trust, Way};
use e2e::{Image, Node, Registry};
use serde_json::{Value, json};

/// Somebody whom most policies here name.
pub(crate) const DEV: &str = "dev@corp.example";
/// A bundle as most have it today.
pub(crate) const BUNDLE: Way = way(Version::V3, Format::Bundle, Log::V2, true);
/// An attachment as most have it today.
pub(crate) const ATTACHMENT: Way = way(Version::V2, Format::Attachment, Log::V1, false);

/// A node, a registry without referrers API, and the services.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) registry: Registry,
    pub(crate) services: Services,
}

impl Scene {
    pub(crate) async fn start() -> Result<Self> {
        let (node, registry, services) = tokio::try_join!(
            Node::start(None),
            Registry::distribution(),
            Services::start()
        )?;
        Ok(Self {
            node,
            registry,
            services,
        })
    }

    /// The issuer of a realm.
    pub(crate) fn issuer(&self, realm: &str) -> String {
        self.services.issuer().url(realm)
    }

    /// The identity that most policies here want.
    pub(crate) fn dev(&self) -> Value {
        json!({"issuer": self.issuer(Issuer::PEOPLE), "subject": DEV})
    }

    /// Wants one of these identities for everything in the registry, by what the services vouch for.
    pub(crate) fn enforce(&self, identities: &[Value]) -> Result<()> {
        self.enforce_by(self.services.trust(), identities)
    }

    /// As [`Scene::enforce`], by another trust root.
    pub(crate) fn enforce_by(&self, trust: &Trust, identities: &[Value]) -> Result<()> {
        self.enforce_authority(
            trust,
            &json!({"name": "release", "keyless": {"trustRoot": "lab", "identities": identities}}),
        )
    }

    /// Wants this authority for everything in the registry.
    pub(crate) fn enforce_authority(&self, trust: &Trust, authority: &Value) -> Result<()> {
        let policy = json!({
            "apiVersion": "nodeseal.dev/v1alpha1",
            "kind": "ClusterImageSignaturePolicy",
            "metadata": {"name": "release-images"},
            "spec": {"scopes": [self.registry.host()], "authorities": [authority]},
        });
        self.node
            .enforce(&format!("{policy}\n---\n{}", trust.yaml("lab")))
    }

    pub(crate) async fn push(&self, name: &str) -> Result<Image> {
        Image::push(&self.registry, name, "v1").await
    }

    /// A new image of this name, signed this way by whom the token names.
    pub(crate) async fn signed(&self, name: &str, way: Way, token: &Token) -> Result<Image> {
        let image = self.push(name).await?;
        self.sign(way, token, &image).await?;
        Ok(image)
    }

    pub(crate) async fn sign(&self, way: Way, token: &Token, image: &Image) -> Result<()> {
        self.services.sign(way, token, &image.by_digest()).await
    }

    /// Pulls and forgets an image; returns `pulled`, or the code of the refusal.
    pub(crate) async fn verdict(&self, image: &Image) -> Result<String> {
        let verdict = match self.node.pull(&image.by_tag()).await? {
            Ok(()) => "pulled".to_owned(),
            Err(refusal) => {
                println!("{}: {}", image.by_tag(), refusal.in_short());
                refusal.code
            }
        };
        if verdict == "pulled" {
            self.node.cri().await?.remove(&image.by_tag()).await?;
        }
        Ok(verdict)
    }

    /// What the node says where these identities are wanted.
    pub(crate) async fn verdict_for(&self, image: &Image, identity: Value) -> Result<String> {
        self.enforce(&[identity])?;
        self.verdict(image).await
    }
}
