//! What registries want with status 401: bearer tokens (the distribution project's token
//! specification) and basic authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, InvalidHeaderValue, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::body;
use super::error::RegistryError;
use super::reach;
use super::transport::Transport;
use crate::credentials::{Credential, Secret};
use crate::reason::quoted;

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
pub enum Challenge {
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
    /// The value of the header.
    pub(super) fn header(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = match self {
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
            Self::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                format!("Basic {}", STANDARD.encode(pair))
            }
        };
        let mut value = HeaderValue::try_from(text)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// What an answer with status 401 or 403 asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// What can be answered.
    pub(super) challenge: Option<Challenge>,
    /// A token service that is not asked, with why, in words for a message.
    pub(super) refused: Option<String>,
}

impl Asked {
    /// What the headers of an answer of `registry` say.
    pub(super) fn of(headers: &HeaderMap, registry: &Url) -> Self {
        let mut asked = Self::default();
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        for text in values.filter_map(|value| value.to_str().ok()) {
            if text.len() > MAX_CHALLENGE {
                continue;
            }
            match Challenge::parse(text, registry) {
                Ok(None) => {}
                // A token is preferred; of several, the first.
                Ok(Some(found)) => match asked.challenge {
                    None => asked.challenge = Some(found),
                    Some(Challenge::Basic) if found != Challenge::Basic => {
                        asked.challenge = Some(found);
                    }
                    Some(_) => {}
                },
                Err(refused) => asked.refused = asked.refused.or(Some(refused)),
            }
        }
        asked
    }
}

impl Challenge {
    /// The challenge among an answer's headers; a token is preferred. Its realm must be `https`,
    /// or the registry itself plain HTTP, and then on this machine where the registry is. A registry
    /// elsewhere cannot name one on this machine.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, registry: &Url) -> Option<Self> {
        Asked::of(headers, registry).challenge
    }

    /// `host[:port]` of the token service.
    pub(super) fn service(&self) -> Option<String> {
        match self {
            Self::Bearer { realm, .. } => Some(authority(realm)),
            Self::Basic => None,
        }
    }

    /// Nothing for what is no challenge that is known; an error, in words for a message, for a token
    /// service that is not asked.
    fn parse(text: &str, registry: &Url) -> Result<Option<Self>, String> {
        let text = text.trim_start();
        let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Some(Self::Basic));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(None);
        }
        let Some(parameters) = parameters_of(parameters) else {
            return Ok(None);
        };
        let get = |name: &str| {
            parameters
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let Some(realm) = get("realm").and_then(|realm| Url::parse(&realm).ok()) else {
            return Ok(None);
        };
        if let Some(why) = distrusted(&realm, registry) {
            // Without what else it says: it is the registry's text.
            let shown = quoted(&realm.origin().ascii_serialization());
            return Err(format!("its token service at {shown} is not asked: {why}"));
        }
        Ok(Some(Self::Bearer {
            realm,
            service: get("service"),
            scope: get("scope").filter(|scope| is_read_only(scope)),
        }))
    }
}

/// Why a registry may not send us there for a token, if so.
fn distrusted(realm: &Url, registry: &Url) -> Option<&'static str> {
    let is_local = reach::is_on_this_machine;
    let plain = realm.scheme() == "http";
    if !plain && realm.scheme() != "https" {
        return Some("it is neither https nor http");
    }
    if !realm.has_host() {
        return Some("it has no host");
    }
    if plain && registry.scheme() != "http" {
        return Some("it is plain HTTP, and the registry is not");
    }
    if plain && is_local(registry) && !is_local(realm) {
        return Some("it is plain HTTP off this machine, and the registry is on it");
    }
    (!reach::may_lead(registry, realm)).then_some("it is on this machine, and the registry is not")
}

/// `host[:port]`.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or(host.to_owned(), |port| format!("{host}:{port}"))
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

/// What a challenge is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// This goes along with requests.
    Use(Authorization),
    /// The credential is of a kind that is no answer.
    None,
    /// The token service has none for this credential.
    Refused {
        /// Its HTTP status: 401, 403 or 404.
        status: u16,
    },
}

/// What the challenge is answered with. An error is one of the token service, and names it.
pub(super) async fn answer(
    transport: &Transport<'_>,
    challenge: &Challenge,
    credential: Option<&Credential>,
    path: &str,
) -> Result<Reply, RegistryError> {
    let answer = ask(transport, challenge, credential, path).await;
    answer.map_err(|error| match error {
        RegistryError::Internal { .. } | RegistryError::NoMemory { .. } => error,
        error => {
            let service = challenge.service().unwrap_or_default();
            RegistryError::Transient {
                cause: format!("the token service {service}: {error}"),
            }
        }
    })
}

/// The scope is our own, whatever else the registry asks for: there is nothing that the verifier
/// wants but to pull from `path`, or from what the registry calls it.
async fn ask(
    transport: &Transport<'_>,
    challenge: &Challenge,
    credential: Option<&Credential>,
    path: &str,
) -> Result<Reply, RegistryError> {
    let (realm, service, scope) = match (challenge, credential) {
        (Challenge::Basic, Some(Credential::Password { username, password })) => {
            return Ok(Reply::Use(Authorization::Basic {
                username: username.clone(),
                password: password.clone(),
            }));
        }
        (Challenge::Basic, _) => return Ok(Reply::None),
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
    let response = if let Some(Credential::IdentityToken(_)) = credential {
        let request = transport
            .client(realm)?
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
    let status = response.status().as_u16();
    match RegistryError::from_status(status) {
        None => {}
        // No such repository, or none that may be read with this credential.
        Some(RegistryError::NotFound | RegistryError::Denied { .. }) => {
            return Ok(Reply::Refused { status });
        }
        Some(_) => {
            return Err(RegistryError::Transient {
                cause: format!("HTTP status {status}"),
            });
        }
    }
    let bytes = body::read(response, MAX_ANSWER, transport.budget).await?;
    let bad = || RegistryError::Transient {
        cause: "its answer holds no token".to_owned(),
    };
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| bad())?;
    let token = answer.token.or(answer.access_token).ok_or_else(bad)?;
    let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
    if token.is_empty() || token.len() > MAX_TOKEN || !visible {
        return Err(bad());
    }
    Ok(Reply::Use(Authorization::Bearer(Secret::new(token))))
}

#[cfg(test)]
mod tests;
