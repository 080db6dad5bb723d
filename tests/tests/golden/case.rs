//! A case's folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use crds::load::Source;
use policy::containerd::ConfigVersion;
use policy::version::Version;
use serde::Deserialize;

use crate::keys::{Pems, fill};

/// What a case is about.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) node: Node,
    /// `policies.yaml`, or the files of `policies`.
    pub(crate) policies: Vec<Source>,
    /// The same in `before`, where the node had other policies until now.
    pub(crate) before: Option<Vec<Source>>,
    /// The node's own policy.json.
    pub(crate) base: Option<String>,
    /// `registries.conf` and then the files of `registries.conf.d`.
    pub(crate) registries_conf: Texts,
    /// The files of `registries.d` that are not ours.
    pub(crate) registries_d: Texts,
    pub(crate) asks: Vec<Ask>,
}

/// Texts by the name of their file.
pub(crate) type Texts = BTreeMap<String, String>;

/// `node.yaml`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Node {
    pub(crate) runtime: Runtime,
    version: String,
    /// Scopes that the node itself needs, such as that of its sandbox image.
    #[serde(default)]
    pub(crate) exempt: Vec<String>,
    /// The version of containerd's own configuration file.
    #[serde(default)]
    pub(crate) config_version: Option<i64>,
    /// Whether that file points elsewhere than to the verifier.
    #[serde(default = "yes")]
    pub(crate) drop_in: bool,
}

/// The runtime of a node.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runtime {
    CriO,
    Containerd,
}

/// One entry of `asks.yaml`: what has to become of an image.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ask {
    /// With a tag or a digest.
    pub(crate) image: String,
    /// Where it really lies; under its own name where this is left out.
    #[serde(default)]
    pub(crate) at: Option<String>,
    #[serde(default)]
    pub(crate) namespace: Option<String>,
    /// See [`crate::keys::Signers::sign`].
    #[serde(default)]
    pub(crate) signed_by: Vec<String>,
    pub(crate) verdict: Wanted,
}

/// What has to come of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wanted {
    Allowed,
    Refused,
}

fn yes() -> bool {
    true
}

impl Case {
    /// With these keys where its files name them.
    pub(crate) fn read(folder: PathBuf, pems: &Pems) -> Result<Self> {
        let before = folder.join("before");
        let base = text(&folder.join("base.json"))?;
        let mut conf = texts(&folder.join("registries.conf.d"))?;
        if let Some(text) = text(&folder.join("registries.conf"))? {
            // It sorts first.
            conf.insert(" registries.conf".to_owned(), text);
        }
        let asks = text(&folder.join("asks.yaml"))?;
        Ok(Self {
            node: serde_saphyr::from_str(&fs::read_to_string(folder.join("node.yaml"))?)?,
            policies: policies(&folder, pems)?,
            before: before
                .is_dir()
                .then(|| policies(&before, pems))
                .transpose()?,
            base: base.map(|text| fill(&text, pems)).transpose()?,
            registries_conf: conf,
            registries_d: texts(&folder.join("registries.d"))?,
            asks: match asks {
                Some(asks) => serde_saphyr::from_str(&asks).context("asks.yaml")?,
                None => Vec::new(),
            },
            folder,
        })
    }

    /// The runtime's version.
    pub(crate) fn version(&self) -> Result<Version> {
        Ok(self.node.version.parse()?)
    }

    /// By default that which comes with the version of containerd.
    pub(crate) fn config_version(&self) -> Result<ConfigVersion> {
        let default = if self.version()?.major < 2 { 2 } else { 3 };
        let number = self.node.config_version.unwrap_or(default);
        ConfigVersion::from_number(number).context("no such version of a configuration")
    }
}

fn policies(folder: &Path, pems: &Pems) -> Result<Vec<Source>> {
    let texts = match text(&folder.join("policies.yaml"))? {
        Some(text) => Texts::from([("policies.yaml".to_owned(), text)]),
        None => texts(&folder.join("policies"))?,
    };
    let source = |(name, text): (String, String)| {
        let text = fill(&text, pems).with_context(|| name.clone())?;
        Ok(Source { name, text })
    };
    texts.into_iter().map(source).collect()
}

/// The texts in a folder, or none.
fn texts(folder: &Path) -> Result<Texts> {
    let mut texts = Texts::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            texts.insert(name.into_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(texts)
}

/// The text of a file, if there is one.
fn text(path: &Path) -> Result<Option<String>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(Some(text))
}
