//! What the demos show: the samples with keys of their own, images signed and not, and a table of
//! what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cosign::{Cosign, Format, KeyPair, Version};
use crate::images::Image;
use crate::registry::Registry;

/// What became of one image on one node.
#[derive(Debug, Clone)]
pub struct Row {
    /// The image, without the registry.
    pub image: String,
    /// How it was signed.
    pub story: &'static str,
    /// Why it was refused; nothing if it was pulled.
    pub refusal: Option<String>,
}

/// An image of the show.
#[derive(Debug, Clone)]
pub struct Exhibit {
    /// Its name with a tag.
    pub image: String,
    /// How it was signed.
    pub story: &'static str,
    /// Whether a containerd node should let it in.
    pub on_containerd: bool,
    /// Whether a CRI-O node should: it reads attachments only, and no bundles.
    pub on_crio: bool,
}

/// The signers of the samples' three keys, and somebody else.
#[derive(Debug)]
pub struct Signers {
    v2: Cosign,
    v3: Cosign,
    /// The key of the release team.
    pub release: KeyPair,
    security: KeyPair,
    next: KeyPair,
    stranger: KeyPair,
}

impl Signers {
    /// Makes all keys.
    pub async fn new() -> Result<Self> {
        let (v2, v3) = (Cosign::new(Version::V2)?, Cosign::new(Version::V3)?);
        Ok(Self {
            release: v3.generate_key("release").await?,
            security: v3.generate_key("security").await?,
            next: v3.generate_key("next").await?,
            stranger: v3.generate_key("stranger").await?,
            v2,
            v3,
        })
    }

    /// Pushes and signs the images.
    pub async fn images(&self, registry: &Registry) -> Result<Vec<Exhibit>> {
        let push = async |repository, tag| Image::push(registry, repository, tag).await;
        let (v2, v3) = (&self.v2, &self.v3);

        let bundle = push("team/app", "v3").await?;
        v3.sign(&self.release, Format::Bundle, &bundle.by_digest())
            .await?;
        let attached = push("team/app", "v2").await?;
        v2.sign(&self.release, Format::Attachment, &attached.by_digest())
            .await?;
        let unsigned = push("team/app", "unsigned").await?;
        let stranger = push("team/app", "stranger").await?;
        v3.sign(&self.stranger, Format::Bundle, &stranger.by_digest())
            .await?;
        let toy = push("team/sandbox/toy", "v1").await?;
        let both = push("payments/api", "v1").await?;
        for key in [&self.next, &self.security] {
            v2.sign(key, Format::Attachment, &both.by_digest()).await?;
        }
        let one = push("payments/api", "v2").await?;
        v2.sign(&self.release, Format::Attachment, &one.by_digest())
            .await?;

        let exhibit = |image: &Image, story, on_containerd, on_crio| Exhibit {
            image: image.by_tag(),
            story,
            on_containerd,
            on_crio,
        };
        Ok(vec![
            exhibit(
                &bundle,
                "signed by the release key, cosign 3 bundle",
                true,
                false,
            ),
            exhibit(
                &attached,
                "signed by the release key, cosign 2 .sig",
                true,
                true,
            ),
            exhibit(&unsigned, "not signed", false, false),
            exhibit(&stranger, "signed by a stranger", false, false),
            exhibit(&toy, "not signed, excluded by the policy", true, true),
            exhibit(
                &both,
                "signed by the next release key and security",
                true,
                true,
            ),
            exhibit(
                &one,
                "signed by release alone, two are needed",
                false,
                false,
            ),
        ])
    }
}

/// The samples with this registry and these keys in the place of the examples'.
pub fn samples(registry: &Registry, signers: &Signers) -> Result<BTreeMap<&'static str, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples");
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).with_context(|| format!("read the sample {name}"))
    };
    let mut files = BTreeMap::new();
    for name in [
        "cluster-policy.yaml",
        "two-signers.yaml",
        "enforcement-config.yaml",
    ] {
        files.insert(
            name,
            read(name)?.replace("registry.example.com", &registry.host()),
        );
    }
    // In the order in which the sample names them: release, the next release key, security.
    let bodies = key_bodies(&files["two-signers.yaml"]);
    ensure!(bodies.len() == 3, "the sample has {} keys", bodies.len());
    for (body, key) in bodies
        .iter()
        .zip([&signers.release, &signers.next, &signers.security])
    {
        let [new] = &key_bodies(&key.pem)[..] else {
            bail!("cosign wrote no single public key");
        };
        for text in files.values_mut() {
            for (old, new) in body.iter().zip(new) {
                *text = text.replace(old, new);
            }
        }
    }
    Ok(files)
}

/// The base64 lines of each public key in a text.
fn key_bodies(text: &str) -> Vec<Vec<String>> {
    let mut bodies = Vec::new();
    let mut open: Option<Vec<String>> = None;
    for line in text.lines().map(str::trim) {
        if line == "-----BEGIN PUBLIC KEY-----" {
            open = Some(Vec::new());
        } else if line == "-----END PUBLIC KEY-----" {
            bodies.extend(open.take());
        } else if let Some(body) = &mut open {
            body.push(line.to_owned());
        }
    }
    bodies
}

/// Prints a line for each image, and why it was refused.
pub fn print_table(rows: &[Row]) {
    let image = rows
        .iter()
        .map(|row| row.image.chars().count())
        .max()
        .unwrap_or_default();
    println!();
    for row in rows {
        let mark = if row.refusal.is_some() {
            "REFUSED"
        } else {
            "allowed"
        };
        println!("{mark}  {:image$}  {}", row.image, row.story);
        if let Some(why) = &row.refusal {
            println!("         {why}");
        }
    }
}
