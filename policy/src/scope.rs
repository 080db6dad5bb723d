//! Scopes: what a policy covers, in canonical form only.
//!
//! The grammar is that of containers-policy.json(5), transport `docker`: a host, a namespace or
//! repository below it, one tag or digest of a repository, or `*.domain`. What is not canonical
//! would never match in a runtime, so it is refused with the form to write instead.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::reference::{self, ReferenceError};

/// The most bytes a scope may have (also the schema's `maxLength`).
pub const MAX_SCOPE: usize = 512;
/// What the twin of a scope has more.
const TWIN: &str = ":443";

/// A canonical scope. Ordered and compared as its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(String);

/// Why a text is not a canonical [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Nothing there.
    #[error("a scope must not be empty: write a registry host, a repository, or `*.domain`")]
    Empty,
    /// Longer than the limit.
    #[error("a scope has at most {MAX_SCOPE} bytes")]
    TooLong,
    /// A scheme such as `https://`.
    #[error("`{0}` has a scheme: write the registry host without it")]
    Scheme(String),
    /// A trailing slash.
    #[error("`{0}` ends in a slash: write `{1}`, which covers everything below it too")]
    TrailingSlash(String, String),
    /// A known text whose canonical form is another one.
    #[error("`{written}` is not canonical and would never match: write `{canonical}`")]
    NotCanonical {
        /// What the user wrote.
        written: String,
        /// What to write instead.
        canonical: String,
    },
    /// One segment below Docker Hub: an official image in short form, or an organisation. Which one
    /// was meant cannot be told, and the wrong guess would cover nothing.
    #[error(
        "`docker.io/{0}` would not match the official image `{0}`: write `docker.io/library/{0}`; of an organisation list the repositories, as `docker.io/{0}/…`"
    )]
    DockerHub(String),
    /// No registry host.
    #[error(
        "`{written}` names no registry host (a host has a dot or a port, or is `localhost`): write `{canonical}` for Docker Hub, or put the registry's host in front"
    )]
    NoHost {
        /// What the user wrote.
        written: String,
        /// The same on Docker Hub.
        canonical: String,
    },
    /// `*` alone or in a place where the grammar has none.
    #[error(
        "`{0}`: a wildcard stands only at the start, as `*.domain`, without port and path; to decide about images that no policy covers use EnforcementConfig.spec.defaultAction"
    )]
    Wildcard(String),
    /// Both a tag and a digest.
    #[error("`{0}` has a tag and a digest: runtimes drop the tag, write the digest alone")]
    TagAndDigest(String),
    /// A tag or digest on a host.
    #[error("`{0}`: a tag or digest needs a repository in front of it")]
    VersionWithoutRepository(String),
    /// A part that the reference grammar refuses.
    #[error("`{written}`: {source}")]
    Part {
        /// What the user wrote.
        written: String,
        /// Which part, and why.
        source: ReferenceError,
    },
}

impl Scope {
    /// Parses a scope as users write it.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.len() > MAX_SCOPE {
            return Err(ScopeError::TooLong);
        }
        let scope = Self::parse_compiled(text)?;
        match scope.host().and_then(|host| host.strip_suffix(TWIN)) {
            Some(host) => Err(ScopeError::NotCanonical {
                written: text.to_owned(),
                canonical: format!("{host}{}", scope.below_host()),
            }),
            None => Ok(scope),
        }
    }

    /// Parses a scope as it stands in compiled tables: as [`Scope::parse`], but with the `:443`
    /// twins that the compiler adds.
    pub fn parse_compiled(text: &str) -> Result<Self, ScopeError> {
        let written = || text.to_owned();
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        let twin = text
            .split('/')
            .next()
            .is_some_and(|host| host.ends_with(TWIN));
        if text.len() > MAX_SCOPE + if twin { TWIN.len() } else { 0 } {
            return Err(ScopeError::TooLong);
        }
        if text.contains("://") {
            return Err(ScopeError::Scheme(written()));
        }
        if text.contains('*') {
            return Self::parse_wildcard(text);
        }
        if let Some(stripped) = text.strip_suffix('/') {
            return Err(ScopeError::TrailingSlash(written(), stripped.to_owned()));
        }
        let (host, rest) = text
            .find(['/', '@'])
            .map_or((text, ""), |at| text.split_at(at));
        check_scope_host(text, host, rest)?;
        if rest.starts_with('@') {
            return Err(ScopeError::VersionWithoutRepository(written()));
        }
        if let Some(below) = rest.strip_prefix('/') {
            check_below_host(text, below)?;
            if host == "docker.io" && !below.contains('/') && below != "library" {
                return Err(match below.find([':', '@']) {
                    None => ScopeError::DockerHub(below.to_owned()),
                    Some(_) => ScopeError::NotCanonical {
                        written: written(),
                        canonical: format!("docker.io/library/{below}"),
                    },
                });
            }
        }
        Ok(Self(written()))
    }

    fn parse_wildcard(text: &str) -> Result<Self, ScopeError> {
        let error = || ScopeError::Wildcard(text.to_owned());
        let domain = text.strip_prefix("*.").ok_or_else(error)?;
        if domain.contains(['*', '/', ':', '@']) {
            return Err(error());
        }
        let lower = domain.to_ascii_lowercase();
        reference::check_host(&lower).map_err(|_| error())?;
        if lower != domain {
            return Err(ScopeError::NotCanonical {
                written: text.to_owned(),
                canonical: format!("*.{lower}"),
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The scope's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the scope is one tag or one digest of a repository.
    #[must_use]
    pub fn version(&self) -> Option<ScopeVersion<'_>> {
        let below = self.below_host();
        if let Some((_, digest)) = below.split_once('@') {
            Some(ScopeVersion::Digest(digest))
        } else {
            below.split_once(':').map(|(_, tag)| ScopeVersion::Tag(tag))
        }
    }

    /// This scope and every wider one that holds it, most specific first: the tail of the lookup
    /// list of any image in it. Nesting is always decided by this list.
    #[must_use]
    pub fn lookup(&self) -> Vec<String> {
        lookup_of(&self.0)
    }

    /// Whether this scope is `other` or lies inside it.
    #[must_use]
    pub fn is_within(&self, other: &Scope) -> bool {
        self.lookup().contains(&other.0)
    }

    /// The same scope with the port 443 written out, for a scope whose host has no port: runtimes
    /// look such a name up literally, although it is the same registry.
    #[must_use]
    pub fn twin(&self) -> Option<Self> {
        let host = self.host()?;
        // The colons of an IPv6 address stand in brackets.
        let has_port = host
            .rsplit_once(']')
            .map_or(host, |(_, rest)| rest)
            .contains(':');
        (!has_port).then(|| Self(format!("{host}:443{}", self.below_host())))
    }

    /// `host[:port]`, or nothing for a wildcard.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        if self.0.starts_with('*') {
            return None;
        }
        Some(
            self.0
                .split_once('/')
                .map_or(self.0.as_str(), |(host, _)| host),
        )
    }

    fn below_host(&self) -> &str {
        self.host().map_or("", |host| &self.0[host.len()..])
    }

    /// The repository path, when the scope has a path and no tag or digest.
    #[must_use]
    pub fn is_repository(&self) -> bool {
        self.below_host().len() > 1 && self.version().is_none()
    }
}

/// The name of a scope, or of what stands in a lookup list, for its twin's name: the twin has the
/// entries of the scope.
pub(crate) fn without_twin_port(name: &str) -> String {
    let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    format!("{}{rest}", host.strip_suffix(TWIN).unwrap_or(host))
}

/// What [`Scope::lookup`] gives, for a scope that other systems wrote and that may not be canonical:
/// the text itself and every wider scope that the runtimes look up after it.
#[must_use]
pub fn lookup_of(text: &str) -> Vec<String> {
    if let Some(domain) = text.strip_prefix("*.") {
        let mut list = vec![text.to_owned()];
        list.extend(reference::wildcard_chain(domain));
        return list;
    }
    let slash = text.find('/').unwrap_or(text.len());
    let version = text[slash..].find(['@', ':']).map(|at| slash + at);
    match version {
        Some(at) => {
            let mut list = vec![text.to_owned()];
            list.extend(reference::name_chain(&text[..at]));
            list
        }
        None => reference::name_chain(text),
    }
}

/// The tag or digest that a scope ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeVersion<'a> {
    /// One tag. Pods that pin a digest lose the tag before any policy sees it.
    Tag(&'a str),
    /// One digest.
    Digest(&'a str),
}

fn check_scope_host(text: &str, host: &str, rest: &str) -> Result<(), ScopeError> {
    let lower = host.to_ascii_lowercase();
    let has_host = lower.contains(['.', ':']) || lower == "localhost";
    let looks_like_tag = rest.is_empty()
        && !host.starts_with('[')
        && host.split_once(':').is_some_and(|(name, tag)| {
            !name.contains('.') && name != "localhost" && tag.parse::<u16>().is_err()
        });
    if !has_host || looks_like_tag {
        let path = if rest.is_empty() {
            format!("library/{text}")
        } else {
            text.to_owned()
        };
        return Err(ScopeError::NoHost {
            written: text.to_owned(),
            canonical: format!("docker.io/{path}"),
        });
    }
    let not_canonical = |canonical: String| ScopeError::NotCanonical {
        written: text.to_owned(),
        canonical,
    };
    match reference::check_host(&lower) {
        Ok(()) => {}
        Err(ReferenceError::Port(port)) if rest.is_empty() && port.parse::<u32>().is_err() => {
            return Err(ScopeError::VersionWithoutRepository(text.to_owned()));
        }
        Err(source) => {
            return Err(ScopeError::Part {
                written: text.to_owned(),
                source,
            });
        }
    }
    if lower != host {
        return Err(not_canonical(format!("{lower}{rest}")));
    }
    if host == "index.docker.io" {
        return Err(not_canonical(format!("docker.io{rest}")));
    }
    Ok(())
}

fn check_below_host(text: &str, below: &str) -> Result<(), ScopeError> {
    let part = |source| ScopeError::Part {
        written: text.to_owned(),
        source,
    };
    let (name, digest) = match below.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (below, None),
    };
    let (name, tag) = match name.split_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (name, None),
    };
    if tag.is_some() && digest.is_some() {
        return Err(ScopeError::TagAndDigest(text.to_owned()));
    }
    for component in name.split('/') {
        reference::check_path_component(component).map_err(part)?;
    }
    if let Some(tag) = tag {
        reference::check_tag(tag).map_err(part)?;
    }
    if let Some(digest) = digest {
        Digest::parse(digest).map_err(|e| part(ReferenceError::Digest(e)))?;
    }
    Ok(())
}

impl Borrow<str> for Scope {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_compiled(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
