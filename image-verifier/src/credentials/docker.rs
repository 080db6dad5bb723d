//! Docker's `config.json`: credentials by host, and the helpers that keep them elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::matching;
use super::program::{self, Program};
use super::{Credential, Secret, Target};
use crate::environment::Environment;
use crate::node_file;
use crate::reason::{bounded, quoted};

/// The most bytes of a file.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// The most bytes of a search path in a message.
const MAX_PATH: usize = 160;
/// What Docker calls its own registry, in files and to helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// The same as a pattern.
const HUB_KEY: &str = "index.docker.io";
/// The user name by which a helper says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What a helper says when it has nothing, with a failure's exit code.
const NOT_FOUND: &str = "credentials not found";

/// The fields that are looked at.
///
/// `null` stands for nothing, as Go's decoder has it, and a value of another kind than it should be
/// costs only itself: whatever wrote it may have written good ones beside it.
#[derive(Deserialize, Default)]
pub(super) struct Config {
    #[serde(default)]
    auths: Lenient<BTreeMap<String, Lenient<Entry>>>,
    #[serde(rename = "credHelpers", default)]
    cred_helpers: Lenient<BTreeMap<String, Lenient<String>>>,
    #[serde(rename = "credsStore", default)]
    creds_store: Lenient<String>,
}

/// A value, nothing, or one of another kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Is(T),
    Null(()),
    Odd(IgnoredAny),
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self::Null(())
    }
}

impl<T> Lenient<T> {
    fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Null(()) | Self::Odd(_) => None,
        }
    }

    /// The same, with a note on `what` if it is of another kind.
    fn noted(&self, what: &str, notes: &mut Vec<String>) -> Option<&T> {
        if matches!(self, Self::Odd(_)) {
            notes.push(format!(
                "Docker's config.json: {what} is not what it should be"
            ));
        }
        self.get()
    }
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
        let entries = self.auths.noted("`auths`", notes);
        let mut keys: Vec<(String, (&String, &Lenient<Entry>))> = entries
            .into_iter()
            .flatten()
            .map(|entry| (matching::key(entry.0), entry))
            .collect();
        // As the kubelet sorts them: a longer path is before its begin.
        keys.sort_by(|(one, (a, _)), (other, (b, _))| (other, b).cmp(&(one, a)));
        let image = &target.image;
        let mut matching: Vec<_> = keys
            .iter()
            .filter(|(key, _)| matching::covers(key, image))
            .collect();
        if matching.is_empty() && target.is_hub() {
            matching = keys.iter().filter(|(key, _)| key == HUB_KEY).collect();
        }
        let mut found = Vec::new();
        for (_, (written, entry)) in matching {
            let name = format!("the entry {}", quoted(written));
            let Some(entry) = entry.noted(&name, notes) else {
                continue;
            };
            match entry.credential() {
                Ok(credential) => found.extend(credential),
                Err(what) => notes.push(format!("{name} {what}")),
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
        let helpers = self.cred_helpers.noted("`credHelpers`", notes)?;
        let names = target.server_names();
        let helper = names
            .iter()
            .find_map(|name| Some((name, helpers.get(name)?)));
        let (server, helper) = helper?;
        let helper = helper.noted(&format!("the helper for {}", quoted(server)), notes)?;
        ask(helper, server, run, notes).await
    }

    /// What the store for all hosts has.
    pub(super) async fn store(
        &self,
        target: &Target,
        run: &Run<'_>,
        notes: &mut Vec<String>,
    ) -> Option<Credential> {
        let store = self.creds_store.noted("`credsStore`", notes)?;
        if store.is_empty() {
            return None;
        }
        let names = target.server_names();
        ask(store, names.first()?, run, notes).await
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
    let folders = program::search_path(run.environment);
    let Some(path) = program::search(&name, folders, run.root) else {
        notes.push(format!(
            "the credential helper {} is not in {}",
            quoted(&name),
            bounded(&folders.to_string_lossy(), MAX_PATH)
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
            let told = error.told(run.environment);
            notes.push(format!("the credential helper {told}"));
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
