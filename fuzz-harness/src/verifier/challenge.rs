//! `WWW-Authenticate`: where a registry sends us for a token.

use image_verifier::hosts::is_loopback;
use image_verifier::registry::auth::Challenge;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

/// The most bytes of a challenge that are parsed.
const MAX_CHALLENGE: usize = 4 * 1024;
/// Whom the challenges are by: as it should be, on this machine, and in a cluster's own network.
const REGISTRIES: [&str; 3] = [
    "https://registry.example/",
    "http://127.0.0.1:5000/",
    "http://registry.example:5000/",
];

pub(crate) const WORDS: &[&str] = &[
    "Bearer ",
    "bearer\t",
    "Basic ",
    "Negotiate",
    "Digest ",
    "realm=",
    "service=",
    "scope=",
    "error=\"invalid_token\"",
    "\"",
    "\\\"",
    "\\",
    ",",
    " , ",
    "=",
    "https://auth.example/token",
    "http://auth.example/token",
    "http://127.0.0.1:5001/token",
    "http://[::1]/token",
    "http://127.0.0.1.evil.example/",
    "http://localhost@evil.example/",
    "https://user:password@auth.example/",
    "https://",
    "file:///etc/passwd",
    "unix:///run/x.sock",
    "repository:team/app:pull",
    "repository:team/app:pull,push",
    "repository:a:pull repository:b:pull",
    "registry:catalog:*",
    ":pull",
    "\u{e9}",
    "\n",
];

/// Headers, one a line.
#[must_use]
pub fn challenge(data: &[u8]) -> bool {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n').take(16) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let mut accepted = false;
    for registry in REGISTRIES {
        let registry = Url::parse(registry).expect("a URL");
        let found = Challenge::from_headers(&headers, &registry);
        assert_eq!(found, Challenge::from_headers(&headers, &registry));
        let Some(found) = found else { continue };
        accepted = true;
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(text).expect("what was read can be written");
            headers.append(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"x\""),
            );
            headers.append(WWW_AUTHENTICATE, value);
            Challenge::from_headers(&headers, &registry)
        };
        let text = match &found {
            Challenge::Basic => "Basic".to_owned(),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                leads_nowhere_else(realm, &registry);
                if let Some(scope) = scope {
                    asks_to_pull(scope);
                }
                write(realm, service.as_deref(), scope.as_deref())
            }
        };
        // What has to be escaped may make it too long.
        if text.len() <= MAX_CHALLENGE {
            assert_eq!(read(&text), Some(found), "{text}");
        }
    }
    accepted
}

/// Credentials go to the realm: never in the clear where the registry is not, and off this machine
/// only for a registry that is off it.
fn leads_nowhere_else(realm: &Url, registry: &Url) {
    let local = |url: &Url| url.host_str().is_some_and(is_loopback);
    assert!(realm.has_host(), "{realm}");
    match realm.scheme() {
        "https" => {}
        "http" => {
            assert_eq!(registry.scheme(), "http", "{realm}");
            assert!(local(realm) || !local(registry), "{realm}");
        }
        other => unreachable!("a realm of scheme {other}"),
    }
}

fn asks_to_pull(scope: &str) {
    assert!(scope.starts_with("repository:"), "{scope}");
    assert!(scope.ends_with(":pull"), "{scope}");
    assert!(!scope.contains([' ', ',']), "{scope}");
}

fn write(realm: &Url, service: Option<&str>, scope: Option<&str>) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!("Bearer realm={}", quote(realm.as_str()));
    for (name, value) in [("service", service), ("scope", scope)] {
        if let Some(value) = value {
            text.extend([",", name, "=", &quote(value)]);
        }
    }
    text
}
