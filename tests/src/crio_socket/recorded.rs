//! What a real CRI-O 1.37 answered.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Settings;
use crate::cri::api;

/// `GET /config`, verbatim.
const CONFIG: &str = include_str!("../../../node-runtime/src/crio/crio-1.37-config.toml");

/// Answers over CRI in JSON, each below a line of its name.
const CRI: &str = include_str!("crio-1.37-cri.txt");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    version: String,
    runtime_name: String,
    runtime_version: String,
    runtime_api_version: String,
}

#[derive(Deserialize)]
struct Status {
    status: Conditions,
    info: std::collections::HashMap<String, String>,
}

#[derive(Deserialize)]
struct Conditions {
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    r#type: String,
    status: bool,
}

#[derive(Deserialize)]
struct Images {
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    /// Protocol buffers write 64 bits as text.
    size: String,
    #[serde(default)]
    pinned: bool,
}

impl Default for Settings {
    /// # Panics
    ///
    /// If the recording is none.
    #[allow(clippy::expect_used, reason = "the recording is part of the program")]
    fn default() -> Self {
        let images = images().expect("a recording of ListImages");
        Self {
            version: version().expect("a recording of Version").runtime_version,
            signature_policy: "/lab/crio/policy.json".to_owned(),
            signature_policy_dir: "/lab/crio/policies".to_owned(),
            images,
            config: None,
        }
    }
}

impl Settings {
    /// What `GET /config` answers.
    pub(super) fn config(&self) -> Result<Vec<u8>> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let config = with_value(CONFIG, "signature_policy", &self.signature_policy)?;
        let config = with_value(&config, "signature_policy_dir", &self.signature_policy_dir)?;
        Ok(config.into_bytes())
    }
}

pub(super) fn version() -> Result<api::VersionResponse> {
    let names: Names = answer("Version")?;
    Ok(api::VersionResponse {
        version: names.version,
        runtime_name: names.runtime_name,
        runtime_version: names.runtime_version,
        runtime_api_version: names.runtime_api_version,
    })
}

pub(super) fn status(verbose: bool) -> Result<api::StatusResponse> {
    let answer: Status = answer("Status verbose")?;
    let condition = |condition: Condition| api::RuntimeCondition {
        r#type: condition.r#type,
        status: condition.status,
        ..api::RuntimeCondition::default()
    };
    let conditions = answer.status.conditions.into_iter().map(condition);
    Ok(api::StatusResponse {
        status: Some(api::RuntimeStatus {
            conditions: conditions.collect(),
        }),
        info: if verbose { answer.info } else { [].into() },
    })
}

fn images() -> Result<Vec<api::Image>> {
    let answer: Images = answer("ListImages")?;
    let image = |image: Image| {
        Ok(api::Image {
            id: image.id,
            repo_tags: image.repo_tags,
            repo_digests: image.repo_digests,
            size: image.size.parse().context("a size")?,
            pinned: image.pinned,
            spec: None,
        })
    };
    answer.images.into_iter().map(image).collect()
}

/// The answer below `## <name> <nil>`.
fn answer<T: DeserializeOwned>(name: &str) -> Result<T> {
    let heading = format!("## {name} <nil>\n");
    let (_, rest) = CRI.split_once(&heading).context("the heading is missing")?;
    let (answer, _) = rest.split_once("\n## ").unwrap_or((rest, ""));
    serde_json::from_str(answer).with_context(|| format!("the recording of {name}"))
}

/// The configuration with another string for a key that is there once.
fn with_value(config: &str, key: &str, value: &str) -> Result<String> {
    let start = format!("    {key} = \"");
    let of_key = |line: &&str| line.starts_with(&start);
    let found = config.lines().filter(of_key).count();
    ensure!(found == 1, "{key} is {found} times in the recording");
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    let line = |line| {
        if of_key(&line) {
            return format!("{start}{value}\"\n");
        }
        format!("{line}\n")
    };
    Ok(config.lines().map(line).collect())
}
