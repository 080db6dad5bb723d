//! Docker's `config.json`: credentials by host, and the helpers that keep them elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::matching;
use super::program::{self, Program};
use super::{Credential, Secret, Target};
use crate::environment::Environment;
use crate::node_file;
use crate::reason::quoted;

/// The most bytes of a file.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// What Docker calls its own registry, in files and to helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// The same as a pattern.
const HUB_KEY: &str = "index.docker.io";
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What a helper says when it has nothing, with a failure's exit code.
const NOT_FOUND: &str = "credentials not found";

/// The fields that are looked at.
#[derive(Deserialize, Default)]
pub(super) struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers", default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore", default)]
    creds_store: String,
}

#[derive(Deserialize, Default)]
struct Entry {
    #[serde(default)]
    auth: Option<Secret>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    identitytoken: Option<Secret>,
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

/// The first of these files that is there and can be read. Trouble with the others is noted.
pub(super) fn load(paths: &[String], root: &Path, notes: &mut Vec<String>) -> Config {
    for path in paths {
        let path = node_file::below(root, Path::new(path));
        match node_file::read(&path, MAX_CONFIG) {
            Ok(None) => {}
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(config) => return config,
                Err(error) => {
                    // Only where: what stands there may be a secret.
                    let (line, column) = (error.line(), error.column());
                    let path = path.display();
                    notes.push(format!(
                        "{path} is not Docker's config.json (line {line}, column {column})"
                    ));
                }
            },
            Err(error) => notes.push(error.to_string()),
        }
    }
    Config::default()
}

impl Config {
    /// The credentials of the file itself, the most specific first.
    pub(super) fn entries(&self, target: &Target, notes: &mut Vec<String>) -> Vec<Credential> {
        let mut keys: Vec<(String, &String)> = self
            .auths
            .keys()
            .map(|written| (matching::key(written), written))
            .collect();
        // As the kubelet sorts them: a longer path is before its begin.
        keys.sort();
        keys.reverse();
        let image = &target.image;
        let mut matching: Vec<_> = keys
            .iter()
            .filter(|(key, _)| matching::covers(key, image))
            .collect();
        if matching.is_empty() && target.is_hub() {
            matching = keys.iter().filter(|(key, _)| key == HUB_KEY).collect();
        }
        let mut found = Vec::new();
        for (_, written) in matching {
            match self.auths[*written].credential() {
                Ok(credential) => found.extend(credential),
                Err(what) => notes.push(format!("the entry {} {what}", quoted(written))),
            }
        }
        found
    }

    /// What the helper for just this host has.
    pub(super) async fn helper(
        &self,
        target: &Target,
        run: &Run<'_>,
        notes: &mut Vec<String>,
    ) -> Option<Credential> {
        let names = target.server_names();
        let helper = names
            .iter()
            .find_map(|name| Some((name, self.cred_helpers.get(name)?)));
        let (server, helper) = helper?;
        ask(helper, server, run, notes).await
    }

    /// What the store for all hosts has.
    pub(super) async fn store(
        &self,
        target: &Target,
        run: &Run<'_>,
        notes: &mut Vec<String>,
    ) -> Option<Credential> {
        if self.creds_store.is_empty() {
            return None;
        }
        let names = target.server_names();
        ask(&self.creds_store, names.first()?, run, notes).await
    }
}

impl Entry {
    /// Nothing for the empty entry that `docker login` leaves where a store has the secret.
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        let filled = |secret: &Option<Secret>| {
            secret
                .as_ref()
                .map(Secret::expose)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        if let Some(token) = filled(&self.identitytoken) {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(auth) = filled(&self.auth) {
            let auth = auth.trim();
            let engine = if auth.ends_with('=') {
                &STANDARD
            } else {
                &STANDARD_NO_PAD
            };
            let bytes = engine
                .decode(auth)
                .map_err(|_| "has an `auth` that is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not text")?;
            let (username, password) = text
                .split_once(':')
                .ok_or("has an `auth` without a colon in it")?;
            // Docker has written secrets with zero bytes at their end.
            return Ok(Credential::password(
                username,
                password.trim_end_matches('\0'),
            ));
        }
        let password = filled(&self.password).unwrap_or_default();
        Ok(Credential::password(
            self.username.as_deref().unwrap_or_default(),
            &password,
        ))
    }
}

/// What a run of a program needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) environment: &'a Environment,
    pub(super) root: &'a Path,
    pub(super) time: Duration,
}

/// Asks `docker-credential-<helper>` about a server.
async fn ask(
    helper: &str,
    server: &str,
    run: &Run<'_>,
    notes: &mut Vec<String>,
) -> Option<Credential> {
    let name = format!("docker-credential-{helper}");
    let Some(path) = program::search(&name, run.root) else {
        notes.push(format!(
            "the credential helper {} is not in {}",
            quoted(&name),
            program::PATH
        ));
        return None;
    };
    let program = Program::new(path, run.environment).map(|p| p.arguments(["get".to_owned()]));
    let answer = match program {
        Ok(program) => program.run(server.as_bytes(), run.time).await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            notes.push(format!("the credential helper {error}"));
            return None;
        }
    };
    let Ok(answer) = serde_json::from_slice::<HelperAnswer>(&answer) else {
        if !String::from_utf8_lossy(&answer).contains(NOT_FOUND) {
            notes.push(format!(
                "the credential helper {} gave no credentials",
                quoted(&name)
            ));
        }
        return None;
    };
    if answer.username == TOKEN_USER {
        return Some(Credential::IdentityToken(answer.secret));
    }
    Credential::password(&answer.username, answer.secret.expose())
}

impl Target {
    /// The names under which Docker may know the host.
    fn server_names(&self) -> Vec<String> {
        if self.is_hub() {
            return [HUB, "docker.io", HUB_KEY, "registry-1.docker.io"]
                .map(str::to_owned)
                .to_vec();
        }
        vec![self.host().to_owned(), format!("https://{}", self.host())]
    }
}

#[cfg(test)]
mod tests;
