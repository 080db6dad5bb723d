//! The node's credentials for registries: Docker's `config.json` with its helpers, and the kubelet's
//! credential providers.
//!
//! They are looked for when a registry asks, and not before: most images need none, and a program
//! costs more than a round trip. Nothing is kept beyond the run, least of all on disk. A pod's
//! `imagePullSecrets` never get here: containerd does not hand them on.

mod docker;
mod kubelet;
mod matching;
mod program;
#[cfg(test)]
mod testing;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use policy::verifier::Access;
use serde::Deserialize;

use self::docker::Run;
use crate::environment::Environment;

/// The most credentials that are tried at one host.
const MAX_CANDIDATES: usize = 4;

/// A text that never shows in messages.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What opens a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password, which may well be a token.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that is exchanged for another one (`OAuth2`'s refresh token).
    IdentityToken(Secret),
}

impl Credential {
    /// A password, unless it is empty.
    fn password(username: &str, password: &str) -> Option<Self> {
        (!username.is_empty() && !password.is_empty()).then(|| Self::Password {
            username: username.to_owned(),
            password: Secret::new(password),
        })
    }
}

/// What credentials are wanted for: a repository at the very host that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    image: String,
}

impl Target {
    /// The repository `host[:port]/path`.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
        }
    }

    fn host(&self) -> &str {
        self.image.split('/').next().unwrap_or_default()
    }

    fn is_hub(&self) -> bool {
        matches!(
            self.host(),
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        )
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// In the order in which they are tried.
    pub credentials: Vec<Credential>,
    /// What went wrong on the way, in words for a message.
    pub notes: Vec<String>,
}

/// Looks for the credentials of `target`: Docker's helper for the host, then entries of its file,
/// then the kubelet's providers, then Docker's store for all hosts. A program may take up to `time`;
/// one that fails is noted, and the search goes on.
pub async fn find(
    target: &Target,
    access: &Access,
    environment: &Environment,
    root: &Path,
    time: Duration,
) -> Candidates {
    let run = Run {
        environment,
        root,
        time,
    };
    let mut notes = Vec::new();
    let config = docker::load(&access.docker_configs, root, &mut notes);
    let mut credentials = Vec::new();
    credentials.extend(config.helper(target, &run, &mut notes).await);
    credentials.extend(config.entries(target, &mut notes));
    if let Some(place) = &access.credential_provider {
        credentials.extend(kubelet::ask(place, target, &run, &mut notes).await);
    }
    if credentials.is_empty() {
        credentials.extend(config.store(target, &run, &mut notes).await);
    }
    credentials.truncate(MAX_CANDIDATES);
    Candidates { credentials, notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let credential = Credential::password("u", "hunter2").unwrap();
        let shown = format!("{credential:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(Credential::password("u", ""), None);
        assert_eq!(Credential::password("", "p"), None);
    }

    #[tokio::test]
    async fn nothing_is_configured_so_nothing_is_found() {
        let target = Target::new("a.example/app");
        let environment = Environment::default();
        let root = tempfile::tempdir().unwrap();
        let time = Duration::from_secs(1);
        let found = find(&target, &Access::default(), &environment, root.path(), time).await;
        assert_eq!(found, Candidates::default());
    }
}
