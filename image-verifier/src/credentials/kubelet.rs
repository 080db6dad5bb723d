//! The kubelet's credential providers: `CredentialProviderConfig`, and the programs that it names.
//!
//! The rules are those of the kubelet 1.34 (`pkg/credentialprovider/plugin`). What it keeps for a
//! while in its memory is asked for again at each run here: a verifier lives for one pull, and
//! credentials are not written to disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy::verifier::CredentialProvider;
use serde::Deserialize;
use serde_json::json;

use super::docker::Run;
use super::matching;
use super::program::Program;
use super::{Credential, Secret, Target};
use crate::node_file;
use crate::reason::quoted;

/// The most bytes of a configuration.
const MAX_CONFIG: u64 = 1024 * 1024;
/// The most files of a folder.
const MAX_FILES: usize = 64;
/// The group of the configuration's versions.
const CONFIG_GROUP: &str = "kubelet.config.k8s.io/";
/// The versions of the protocol.
const PROTOCOLS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    api_version: String,
    kind: String,
    #[serde(default)]
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    name: String,
    #[serde(default)]
    match_images: Vec<String>,
    api_version: String,
    #[serde(default)]
    args: Option<Vec<String>>,
    #[serde(default)]
    env: Option<Vec<Variable>>,
    #[serde(default)]
    token_attributes: Option<TokenAttributes>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAttributes {
    #[serde(default)]
    require_service_account: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    api_version: String,
    kind: String,
    cache_key_type: String,
    #[serde(default)]
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    username: String,
    password: Secret,
}

/// The credentials that the providers have for an image, the most specific first. Trouble with one
/// of them is noted, and the others are asked, as the kubelet does.
pub(super) async fn ask(
    place: &CredentialProvider,
    target: &Target,
    run: &Run<'_>,
    notes: &mut Vec<String>,
) -> Vec<Credential> {
    let providers = match load(&place.config, run.root) {
        Ok(providers) => providers,
        Err(bad) => {
            notes.push(bad);
            return Vec::new();
        }
    };
    let mut found: Vec<(String, Credential)> = Vec::new();
    for provider in providers {
        let covers = |pattern: &String| matching::covers(pattern, &target.image);
        if !provider.match_images.iter().any(covers) {
            continue;
        }
        match provider.run(place, target, run).await {
            Ok(credentials) => found.extend(credentials),
            Err(bad) => {
                let name = quoted(&provider.name);
                notes.push(format!("the credential provider {name}: {bad}"));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found
        .into_iter()
        .map(|(_, credential)| credential)
        .collect()
}

fn load(path: &str, root: &Path) -> Result<Vec<Provider>, String> {
    let path = node_file::below(root, Path::new(path));
    let mut providers = Vec::new();
    for path in files(&path)? {
        let bytes = node_file::require(&path, MAX_CONFIG).map_err(|error| error.to_string())?;
        let name = path.display();
        let bad = |what: &str| format!("{name} is not a CredentialProviderConfig: {what}");
        let text = std::str::from_utf8(&bytes).map_err(|error| bad(&error.to_string()))?;
        // JSON is YAML, too. What the parser quotes may be a secret in a provider's `env`.
        let config: Config =
            serde_saphyr::from_str(text).map_err(|_| bad("it does not have that shape"))?;
        if config.kind != "CredentialProviderConfig"
            || !config.api_version.starts_with(CONFIG_GROUP)
        {
            let found = quoted(&format!("{} {}", config.api_version, config.kind));
            return Err(bad(&format!("it is {found}")));
        }
        providers.extend(config.providers);
    }
    Ok(providers)
}

/// The file itself, or those of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("json" | "yaml" | "yml")) && !path.is_dir() {
            files.push(path);
        }
    }
    if files.len() > MAX_FILES {
        return Err(format!(
            "{} has more than {MAX_FILES} files",
            path.display()
        ));
    }
    files.sort();
    Ok(files)
}

impl Provider {
    async fn run(
        &self,
        place: &CredentialProvider,
        target: &Target,
        run: &Run<'_>,
    ) -> Result<Vec<(String, Credential)>, String> {
        if self.name.contains(['/', ' ', '\0']) || matches!(self.name.as_str(), "" | "." | "..") {
            return Err("its name is not that of a program".to_owned());
        }
        if !PROTOCOLS.contains(&self.api_version.as_str()) {
            return Err(format!(
                "its apiVersion {} is not known",
                quoted(&self.api_version)
            ));
        }
        let tokens = self.token_attributes.as_ref();
        if tokens.is_some_and(|tokens| tokens.require_service_account) {
            return Err(
                "it wants a pod's service account, which a verifier never gets to see".to_owned(),
            );
        }
        let folder = node_file::below(run.root, Path::new(&place.bin_dir));
        let variables = self.env.iter().flatten();
        let variables = variables.map(|Variable { name, value }| (name.clone(), value.clone()));
        let program = Program::new(folder.join(&self.name), run.environment)
            .map_err(|error| error.to_string())?
            .arguments(self.args.iter().flatten().cloned())
            .variables(variables);
        let request = json!({
            "kind": "CredentialProviderRequest",
            "apiVersion": self.api_version,
            "image": target.image,
        });
        let answer = program
            .run(format!("{request}\n").as_bytes(), run.time)
            .await;
        let answer = answer.map_err(|error| error.told(run.environment))?;
        self.read(&answer, target)
    }

    /// The credentials in an answer that are for this image.
    fn read(&self, answer: &[u8], target: &Target) -> Result<Vec<(String, Credential)>, String> {
        let response: Response = serde_json::from_slice(answer)
            .map_err(|_| "its answer is not a CredentialProviderResponse".to_owned())?;
        if response.kind != "CredentialProviderResponse" || response.api_version != self.api_version
        {
            let found = quoted(&format!("{} {}", response.api_version, response.kind));
            return Err(format!(
                "its answer is {found}, not that of {}",
                self.api_version
            ));
        }
        if !matches!(
            response.cache_key_type.as_str(),
            "Image" | "Registry" | "Global"
        ) {
            let found = quoted(&response.cache_key_type);
            return Err(format!("its answer has the cacheKeyType {found}"));
        }
        let auths = response.auth.unwrap_or_default().into_iter();
        let for_target = auths.filter_map(|(pattern, auth)| {
            let key = matching::key(&pattern);
            let covered = matching::covers(&key, &target.image);
            let credential = Credential::password(&auth.username, auth.password.expose());
            Some((key, credential?)).filter(|_| covered)
        });
        Ok(for_target.collect())
    }
}

#[cfg(test)]
mod tests;
