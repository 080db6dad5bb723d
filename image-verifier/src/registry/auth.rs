//! Anonymous bearer tokens (the distribution project's token specification).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::body::{self, Budget};
use super::endpoint::is_loopback;
use super::error::RegistryError;

/// The most bytes of a token service's answer.
const MAX_ANSWER: u64 = 64 * 1024;
/// The most bytes of a token: it has to fit into a header.
const MAX_TOKEN: usize = 16 * 1024;
/// The most bytes of a challenge that are parsed.
const MAX_CHALLENGE: usize = 4 * 1024;

/// What a registry asks for with status 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: Url,
    service: Option<String>,
}

impl Challenge {
    /// The bearer challenge among an answer's headers. Its realm must be `https`, or on this machine
    /// when the registry itself is.
    pub(super) fn from_headers(headers: &HeaderMap, registry_is_loopback: bool) -> Option<Self> {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .filter(|text| text.len() <= MAX_CHALLENGE)
            .find_map(|text| Self::parse(text, registry_is_loopback))
    }

    fn parse(text: &str, registry_is_loopback: bool) -> Option<Self> {
        let (scheme, parameters) = text.trim_start().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters_of(parameters)?;
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let realm = Url::parse(&get("realm")?).ok()?;
        let trusted = match (realm.scheme(), realm.host_str()) {
            ("https", Some(_)) => true,
            ("http", Some(host)) => registry_is_loopback && is_loopback(host),
            _ => false,
        };
        trusted.then(|| Self {
            realm,
            service: get("service"),
        })
    }
}

/// Reads `key="value", key=token, …`; quoted values may hold escapes and commas.
fn parameters_of(text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next()? {
                    (index, '"') => break index + 1,
                    (_, '\\') => value.push(characters.next()?.1),
                    (_, c) => value.push(c),
                }
            };
            rest = &quoted[end..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            after[..end].trim().clone_into(&mut value);
            rest = &after[end..];
        }
        parameters.push((key.trim().to_ascii_lowercase(), value));
        rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(parameters)
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Fetches a token that may read `path`. The scope is our own, whatever the challenge says: there
/// is nothing else that the verifier wants.
pub(super) async fn token(
    client: &Client,
    challenge: &Challenge,
    path: &str,
    budget: &Budget,
) -> Result<String, RegistryError> {
    let mut url = challenge.realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &challenge.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", &format!("repository:{path}:pull"));
    }
    let response = client.get(url).send().await?;
    match RegistryError::from_status(response.status().as_u16()) {
        None => {}
        // No such repository, or none that may be read without credentials.
        Some(RegistryError::NotFound) => return Err(RegistryError::Denied { status: 401 }),
        Some(error) => return Err(error),
    }
    let bytes = body::read(response, MAX_ANSWER, budget).await?;
    let bad = || RegistryError::malformed("the token service's answer holds no token");
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let token = answer.token.or(answer.access_token).ok_or_else(bad)?;
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN || !visible {
        return Err(bad());
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(text: &str) -> Option<(String, Option<String>)> {
        Challenge::parse(text, false).map(|c| (c.realm.to_string(), c.service))
    }

    #[test]
    fn a_bearer_challenge_names_realm_and_service() {
        let expected = Some((
            "https://auth.example/token".to_owned(),
            Some("reg,istry".to_owned()),
        ));
        for text in [
            r#"Bearer realm="https://auth.example/token",service="reg,istry",scope="x""#,
            r#"bearer  scope="a,b" , realm="https://auth.example/token", service="reg\,istry""#,
        ] {
            assert_eq!(challenge(text), expected, "{text}");
        }
        assert_eq!(
            challenge("Bearer realm=https://auth.example/token"),
            Some(("https://auth.example/token".to_owned(), None))
        );
    }

    #[test]
    fn other_challenges_lead_nowhere() {
        for text in [
            "",
            "Bearer",
            r#"Basic realm="https://auth.example/""#,
            r#"Bearer realm="http://auth.example/token""#,
            r#"Bearer realm="file:///etc/passwd""#,
            r#"Bearer realm="https://auth.example/"#,
            r#"Bearer realm="https://auth.example/" x"#,
            r#"Bearer service="x""#,
        ] {
            assert_eq!(challenge(text), None, "{text}");
        }
    }

    #[test]
    fn a_plain_realm_is_for_loopback_registries_on_loopback_only() {
        let local = r#"Bearer realm="http://127.0.0.1:5001/token""#;
        let other = r#"Bearer realm="http://auth.example/token""#;
        assert!(Challenge::parse(local, true).is_some());
        assert!(Challenge::parse(local, false).is_none());
        assert!(Challenge::parse(other, true).is_none());
    }
}
