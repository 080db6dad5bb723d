//! What registries want with status 401: bearer tokens (the distribution project's token
//! specification) and basic authentication.

use reqwest::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::error::RegistryError;
use super::transport::Transport;
use crate::credentials::{Credential, Secret};
use crate::hosts::is_loopback;

/// The most bytes of a token service's answer.
const MAX_ANSWER: u64 = 64 * 1024;
/// The most bytes of a token: it has to fit into a header.
const MAX_TOKEN: usize = 16 * 1024;
/// The most bytes of a challenge that are parsed.
const MAX_CHALLENGE: usize = 4 * 1024;
/// What a token service is told that we are.
const CLIENT_ID: &str = "nodeseal-verifier";

/// What a registry asks for with status 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a token service.
    Bearer {
        /// The service.
        realm: Url,
        /// What the registry calls itself there.
        service: Option<String>,
        /// The repository to read, where the registry knows it under another name than we do.
        scope: Option<String>,
    },
    /// A password in every request.
    Basic,
}

/// What goes along with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    /// A token.
    Bearer(Secret),
    /// A password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
}

impl Authorization {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Bearer(token) => request.bearer_auth(token.expose()),
            Self::Basic { username, password } => {
                request.basic_auth(username, Some(password.expose()))
            }
        }
    }
}

impl Challenge {
    /// The challenge among an answer's headers; a token is preferred. Its realm must be `https`,
    /// or the registry itself plain HTTP, and then on this machine where the registry is.
    pub(super) fn from_headers(headers: &HeaderMap, registry: &Url) -> Option<Self> {
        let challenges: Vec<Self> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .filter(|text| text.len() <= MAX_CHALLENGE)
            .filter_map(|text| Self::parse(text, registry))
            .collect();
        let bearer = challenges
            .iter()
            .find(|challenge| **challenge != Self::Basic);
        bearer.or(challenges.first()).cloned()
    }

    fn parse(text: &str, registry: &Url) -> Option<Self> {
        let text = text.trim_start();
        let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
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
        let is_local = |url: &Url| url.host_str().is_some_and(is_loopback);
        let trusted = match realm.scheme() {
            "https" => realm.has_host(),
            "http" => registry.scheme() == "http" && (!is_local(registry) || is_local(&realm)),
            _ => false,
        };
        trusted.then(|| Self::Bearer {
            realm,
            service: get("service"),
            scope: get("scope").filter(|scope| is_read_only(scope)),
        })
    }
}

/// Whether a scope asks for nothing but to pull from one repository.
fn is_read_only(scope: &str) -> bool {
    let name = scope
        .strip_prefix("repository:")
        .and_then(|rest| rest.strip_suffix(":pull"));
    name.is_some_and(|name| !name.is_empty() && !name.contains([' ', ',']))
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

/// What the challenge is answered with; nothing if this credential is no answer to it.
///
/// The scope is our own, whatever else the registry asks for: there is nothing that the verifier
/// wants but to pull from `path`, or from what the registry calls it.
pub(super) async fn answer(
    transport: &Transport<'_>,
    challenge: &Challenge,
    credential: Option<&Credential>,
    path: &str,
) -> Result<Option<Authorization>, RegistryError> {
    let (realm, service, scope) = match (challenge, credential) {
        (Challenge::Basic, Some(Credential::Password { username, password })) => {
            return Ok(Some(Authorization::Basic {
                username: username.clone(),
                password: password.clone(),
            }));
        }
        (Challenge::Basic, _) => return Ok(None),
        (
            Challenge::Bearer {
                realm,
                service,
                scope,
            },
            _,
        ) => (realm, service, scope),
    };
    let mut parameters = realm.clone();
    parameters.set_query(None);
    {
        let mut query = parameters.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        let own = || format!("repository:{path}:pull");
        query.append_pair("scope", &scope.clone().unwrap_or_else(own));
        if let Some(Credential::IdentityToken(token)) = credential {
            query.append_pair("client_id", CLIENT_ID);
            query.append_pair("grant_type", "refresh_token");
            query.append_pair("refresh_token", token.expose());
        }
    }
    let parameters = parameters.query().unwrap_or_default().to_owned();
    let client = transport.client;
    let response = if let Some(Credential::IdentityToken(_)) = credential {
        let request = client
            .post(realm.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(parameters);
        // A redirect would carry the token to wherever it leads: it is not followed.
        transport.attempt(request).await?
    } else {
        let mut url = realm.clone();
        let joined = match realm.query() {
            Some(own) if !own.is_empty() => format!("{own}&{parameters}"),
            _ => parameters,
        };
        url.set_query(Some(&joined));
        let authorize = |request: RequestBuilder| match credential {
            Some(Credential::Password { username, password }) => {
                request.basic_auth(username, Some(password.expose()))
            }
            _ => request,
        };
        transport.follow(&url, authorize).await?
    };
    match RegistryError::from_status(response.status().as_u16()) {
        None => {}
        // No such repository, or none that may be read with this credential.
        Some(RegistryError::NotFound | RegistryError::Denied { .. }) => return Ok(None),
        Some(error) => return Err(error),
    }
    let bytes = transport.read(response, MAX_ANSWER).await?;
    let bad = || RegistryError::malformed("the token service's answer holds no token");
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let token = answer.token.or(answer.access_token).ok_or_else(bad)?;
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN || !visible {
        return Err(bad());
    }
    Ok(Some(Authorization::Bearer(Secret::new(token))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, registry: &str) -> Option<Challenge> {
        Challenge::parse(text, &Url::parse(registry).unwrap())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: Url::parse(realm).unwrap(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    const SECURE: &str = "https://registry.example/";

    #[test]
    fn a_bearer_challenge_names_realm_and_service() {
        let expected = bearer("https://auth.example/token", Some("reg,istry"), None);
        for text in [
            r#"Bearer realm="https://auth.example/token",service="reg,istry",scope="x""#,
            r#"bearer  scope="a,b" , realm="https://auth.example/token", service="reg\,istry""#,
        ] {
            assert_eq!(parse(text, SECURE).as_ref(), Some(&expected), "{text}");
        }
        assert_eq!(
            parse("Bearer realm=https://auth.example/token", SECURE),
            Some(bearer("https://auth.example/token", None, None))
        );
    }

    #[test]
    fn a_scope_counts_only_if_it_asks_to_pull_from_one_repository() {
        for (scope, kept) in [
            ("repository:proxy/app:pull", true),
            ("repository:app:pull,push", false),
            ("repository:app:*", false),
            ("repository:app:pull repository:b:pull", false),
            ("repository:app:push,pull", false),
            ("repository::pull", false),
            ("registry:catalog:*", false),
        ] {
            let text = format!("Bearer realm=\"https://a.example/\",scope=\"{scope}\"");
            let expected = bearer("https://a.example/", None, kept.then_some(scope));
            assert_eq!(parse(&text, SECURE), Some(expected), "{scope}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password_in_every_request() {
        let mut headers = HeaderMap::new();
        let registry = Url::parse(SECURE).unwrap();
        for text in ["Basic realm=\"x\"", "Bearer realm=\"https://a.example/\""] {
            headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
        }
        let chosen = Challenge::from_headers(&headers, &registry);
        assert_eq!(chosen, Some(bearer("https://a.example/", None, None)));
        headers.remove(WWW_AUTHENTICATE);
        headers.append(WWW_AUTHENTICATE, "basic".parse().unwrap());
        let chosen = Challenge::from_headers(&headers, &registry);
        assert_eq!(chosen, Some(Challenge::Basic));
    }

    #[test]
    fn other_challenges_lead_nowhere() {
        for text in [
            "",
            "Bearer",
            "Negotiate",
            r#"Digest realm="https://auth.example/""#,
            r#"Bearer realm="http://auth.example/token""#,
            r#"Bearer realm="file:///etc/passwd""#,
            r#"Bearer realm="https://auth.example/"#,
            r#"Bearer realm="https://auth.example/" x"#,
            r#"Bearer service="x""#,
        ] {
            assert_eq!(parse(text, SECURE), None, "{text}");
        }
    }

    #[test]
    fn a_plain_realm_is_for_plain_registries_and_a_local_one_keeps_it_local() {
        let local = r#"Bearer realm="http://127.0.0.1:5001/token""#;
        let other = r#"Bearer realm="http://auth.example/token""#;
        for (text, registry, trusted) in [
            (local, "http://127.0.0.1:5000/", true),
            (local, "https://127.0.0.1:5000/", false),
            (other, "http://127.0.0.1:5000/", false),
            (other, "http://registry.example:5000/", true),
            (other, "https://registry.example:5000/", false),
        ] {
            assert_eq!(
                parse(text, registry).is_some(),
                trusted,
                "{text} {registry}"
            );
        }
    }
}
