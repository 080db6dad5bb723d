//! Where a node keeps credentials: Docker's `config.json`, and the kubelet's credential providers
//! with their answers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image_verifier::credentials::{Candidates, Credential, Secret};
use policy::verifier::{Access, CredentialProvider};
use serde_json::{Value, json};

use super::place::Place;
use super::{are_lines, may_cover, value_of};

/// The registry that asks.
const HOST: &str = "a.example:5000";
/// What is pulled from there.
const IMAGE: &str = "a.example:5000/team/app";
/// What must not show in a message.
const SECRET: &str = "s3cr3t";
/// The most credentials that are tried.
const MAX_CREDENTIALS: usize = 4;
/// The files of the node.
const DOCKER: &str = "docker.json";
const KUBELET: &str = "kubelet.yaml";
const ANSWER: &str = "answer.json";

pub(crate) const DOCKER_WORDS: &[&str] = &[
    "auths",
    "auth",
    "username",
    "password",
    "identitytoken",
    "credHelpers",
    "credsStore",
    "a.example:5000",
    "https://a.example:5000/v2/",
    "http://a.example:5000/team",
    "*.example:5000",
    "a.example",
    "b.example:5000",
    "a.example:5001",
    "a.example:5000.evil.example",
    "evil.example/a.example:5000",
    "https://index.docker.io/v1/",
    "[a-z].example:5000",
    "[",
    "?",
    "*",
    "\\\\",
    "dXNlcjpzM2NyM3Q=",
    "dXNlcjpzM2NyM3Q",
    "dXNlcg==",
    "s3cr3t",
    "<token>",
    "../../bin/sh",
    "null",
    "{}",
    "[]",
    "\"\"",
    "\\u0000",
    "\\u001b[2J",
    "\\ud800",
];

pub(crate) const KUBELET_WORDS: &[&str] = &[
    "apiVersion: ",
    "kubelet.config.k8s.io/v1",
    "kubelet.config.k8s.io/v1alpha1",
    "kind: CredentialProviderConfig\n",
    "providers:\n",
    "- name: answer\n",
    "name: ",
    "answer",
    "../answer",
    "matchImages:\n",
    "\"*.example:5000\"",
    "a.example:5000",
    "a.example",
    "b.example:5000",
    "*",
    "defaultCacheDuration: 12h\n",
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "credentialprovider.kubelet.k8s.io/v2",
    "args: [x]\n",
    "env:\n",
    "value: ",
    "s3cr3t",
    "tokenAttributes:\n",
    "requireServiceAccount: true\n",
    "&a ",
    "*a",
    "<<: *a\n",
    "{",
    "}",
    "[",
    "]",
    "~",
    "null",
    "- ",
    ": ",
    "---\n",
    "\0",
];

pub(crate) const ANSWER_WORDS: &[&str] = &[
    "kind",
    "CredentialProviderResponse",
    "CredentialProviderRequest",
    "apiVersion",
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
    "cacheKeyType",
    "Image",
    "Registry",
    "Global",
    "cacheDuration",
    "auth",
    "username",
    "password",
    "a.example:5000",
    "a.example:5000/team",
    "a.example:5000/team/app",
    "*.example:5000",
    "b.example:5000",
    "a.example",
    "s3cr3t",
    "null",
    "{}",
    "[]",
    "\"\"",
    "\\u0000",
    "\\ud800",
];

thread_local! {
    static PLACE: Place = Place::new();
}

/// Docker's `config.json`. Every credential is of an entry for the host, and what is found can be
/// written down again. There are no helpers to run.
#[must_use]
pub fn docker_config(data: &[u8]) -> bool {
    let read = |data: &[u8]| {
        PLACE.with(|place| {
            place.put(DOCKER, data);
            place.credentials(IMAGE, &docker())
        })
    };
    let found = read(data);
    assert_eq!(found, read(data));
    is_sound(&found);
    let known = value_of(data);
    let config = known.clone().unwrap_or_default();
    let told = found.notes.iter().any(|note| note.contains(SECRET));
    assert!(!told || names_hold_secrets(&config), "{:?}", found.notes);
    let empty = serde_json::Map::new();
    let entries = config["auths"].as_object().unwrap_or(&empty);
    for credential in found.credentials.iter().filter(|_| known.is_some()) {
        let own = entries.iter().any(|(pattern, entry)| {
            may_cover(pattern, HOST) && says(entry).as_ref() == Some(credential)
        });
        assert!(own, "no entry for {HOST} says so");
    }
    for credential in &found.credentials {
        let entry = match credential {
            Credential::IdentityToken(token) => json!({"identitytoken": token.expose()}),
            Credential::Password { username, password } => {
                json!({"username": username, "password": password.expose()})
            }
        };
        let text = json!({"auths": {HOST: entry}}).to_string();
        let again = read(text.as_bytes());
        assert_eq!(again.credentials, std::slice::from_ref(credential));
        assert_eq!(again.notes, Vec::<String>::new());
    }
    !found.credentials.is_empty()
}

/// The kubelet's configuration. The one program there is runs only where it is named, and for images
/// that it is for.
#[must_use]
pub fn credential_provider(data: &[u8]) -> bool {
    let found = PLACE.with(|place| {
        let answer = response(&json!({HOST: {"username": "user", "password": SECRET}}));
        install(place, answer.to_string().as_bytes());
        place.put(KUBELET, data);
        place.credentials(IMAGE, &kubelet())
    });
    is_sound(&found);
    let text = String::from_utf8_lossy(data);
    let told = found.notes.iter().any(|note| note.contains(SECRET));
    let config = serde_saphyr::from_str::<Value>(&text).unwrap_or_default();
    assert!(!told || names_hold_secrets(&config), "{:?}", found.notes);
    if found.credentials.is_empty() {
        return false;
    }
    assert!(text.contains("CredentialProviderConfig"), "{text}");
    let providers = config["providers"].as_array().cloned().unwrap_or_default();
    let named = providers.iter().filter(|provider| {
        let patterns = provider["matchImages"].as_array().into_iter().flatten();
        let mut patterns = patterns.filter_map(Value::as_str);
        provider["name"] == "answer" && patterns.any(|pattern| may_cover(pattern, HOST))
    });
    let named = named.count();
    assert!(
        named >= found.credentials.len(),
        "{named} providers: {text}"
    );
    for credential in &found.credentials {
        assert_eq!(Some(credential), password("user", SECRET).as_ref());
    }
    true
}

/// What a credential provider answers. Every credential is of an entry for the host.
#[must_use]
pub fn provider_answer(data: &[u8]) -> bool {
    let found = PLACE.with(|place| {
        install(place, data);
        let config = json!({"apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [{"name": "answer", "matchImages": ["*.example:5000"],
                "defaultCacheDuration": "0s",
                "apiVersion": "credentialprovider.kubelet.k8s.io/v1"}]});
        place.put(KUBELET, config.to_string().as_bytes());
        place.credentials(IMAGE, &kubelet())
    });
    is_sound(&found);
    let known = value_of(data);
    let answer = known.clone().unwrap_or_default();
    let told = found.notes.iter().any(|note| note.contains(SECRET));
    assert!(!told || names_hold_secrets(&answer), "{:?}", found.notes);
    if found.credentials.is_empty() || known.is_none() {
        return false;
    }
    let expected = response(&json!({}));
    assert_eq!(answer["kind"], expected["kind"]);
    assert_eq!(answer["apiVersion"], expected["apiVersion"]);
    let entries: BTreeMap<String, Value> =
        serde_json::from_value(answer["auth"].clone()).expect("entries");
    for credential in &found.credentials {
        let own = entries.iter().any(|(pattern, entry)| {
            may_cover(pattern, HOST) && says(entry).as_ref() == Some(credential)
        });
        assert!(own, "no entry for {HOST} says so");
    }
    true
}

fn docker() -> Access {
    Access {
        docker_configs: vec![format!("/{DOCKER}")],
        ..Access::none()
    }
}

fn kubelet() -> Access {
    Access {
        credential_provider: Some(CredentialProvider {
            config: format!("/{KUBELET}"),
            bin_dir: "/bin".to_owned(),
        }),
        ..Access::none()
    }
}

/// A program that answers with these bytes, whatever it is asked.
fn install(place: &Place, answer: &[u8]) {
    place.put(ANSWER, answer);
    if !place.root().join("bin/answer").exists() {
        let path = place.root().join(ANSWER);
        place.program(
            "bin/answer",
            &format!("#!/bin/sh\nexec cat '{}'\n", path.display()),
        );
    }
}

fn response(auth: &Value) -> Value {
    json!({"kind": "CredentialProviderResponse",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Registry", "auth": auth})
}

fn is_sound(found: &Candidates) {
    are_lines(&found.notes);
    assert!(found.credentials.len() <= MAX_CREDENTIALS);
    for credential in &found.credentials {
        let (name, secret) = match credential {
            Credential::Password { username, password } => (username.as_str(), password),
            Credential::IdentityToken(token) => ("token", token),
        };
        assert!(!name.is_empty() && !secret.expose().is_empty());
        assert!(!format!("{credential:?}").contains(SECRET) || name.contains(SECRET));
    }
}

fn password(username: &str, password: &str) -> Option<Credential> {
    (!username.is_empty() && !password.is_empty()).then(|| Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    })
}

/// What an entry says, by another reader.
fn says(entry: &Value) -> Option<Credential> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Credential::IdentityToken(Secret::new(token)));
    }
    if let Some(auth) = text("auth") {
        let mut auth = auth.trim().trim_end_matches('=').to_owned();
        while auth.len() % 4 != 0 {
            auth.push('=');
        }
        let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
        let (name, secret) = decoded.split_once(':')?;
        return password(name, secret.trim_end_matches('\0'));
    }
    password(text("username")?, text("password")?)
}

/// Whether the secret stands where messages may quote: anywhere but in the members for secrets.
fn names_hold_secrets(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, member)| {
            let is_secret = matches!(
                name.as_str(),
                "password" | "identitytoken" | "auth" | "value"
            );
            name.contains(SECRET)
                || (!(is_secret && member.is_string()) && names_hold_secrets(member))
        }),
        Value::Array(members) => members.iter().any(names_hold_secrets),
        Value::String(text) => text.contains(SECRET),
        _ => false,
    }
}
