//! Which name a signature must carry.

use serde::{Deserialize, Serialize};

use crate::reference::{self, Named};

/// The most bytes that host and path of a name may have together where CRI-O reads it.
const MAX_NAME: usize = 255;

/// Which name a signature must carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase")]
pub enum Match {
    /// The very same name.
    MatchExact {},
    /// The same name for a tag, the same repository for a digest.
    MatchRepoDigestOrExact {},
    /// The same repository.
    MatchRepository {},
    /// One given name.
    #[serde(rename_all = "camelCase")]
    ExactReference {
        /// With a tag or digest.
        docker_reference: TaggedName,
    },
    /// One given repository.
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        /// A name.
        docker_repository: Name,
    },
    /// The image's name with a prefix replaced.
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        /// What is replaced.
        prefix: Prefix,
        /// What stands there instead.
        signed_prefix: Prefix,
    },
}

/// An image name that CRI-O can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).map(|_| Self(text))
    }
}

/// An image name with a tag or digest that CRI-O can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TaggedName(String);

impl TryFrom<String> for TaggedName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = parse(&text)?;
        if name.tag().is_none() && name.digest().is_none() {
            return Err(format!("`{text}` has neither a tag nor a digest"));
        }
        Ok(Self(text))
    }
}

/// `host[:port]` or `host[:port]/path`, without tag and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(String);

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text.as_str(), None),
        };
        let mut components = path.into_iter().flat_map(|path| path.split('/'));
        check_size(&text, &text)?;
        reference::check_host(host)
            .and_then(|()| components.try_for_each(reference::check_path_component))
            .map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self(text))
    }
}

fn parse(text: &str) -> Result<Named, String> {
    let name = Named::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    check_size(text, &name.repository())?;
    Ok(name)
}

/// CRI-O's grammar has no IPv6 addresses, and counts the host to a name's length.
fn check_size(text: &str, repository: &str) -> Result<(), String> {
    if text.starts_with('[') {
        return Err(format!("CRI-O reads no IPv6 address in `{text}`"));
    }
    if repository.len() > MAX_NAME {
        return Err(format!(
            "`{text}`: CRI-O reads names of at most {MAX_NAME} bytes"
        ));
    }
    Ok(())
}
