//! Image references: strict parsing, normalisation, and the lookup list.
//!
//! The grammar is that of the distribution project's `reference` package, which every runtime
//! uses; the normal form adds `docker.io`, `library/` and the tag `latest` as it does.

use std::fmt;

use crate::digest::{Digest, DigestError};

/// The most bytes a repository path may have (distribution's `RepositoryNameTotalLengthMax`).
const MAX_PATH: usize = 255;
/// The most bytes a whole reference may have: host, path, tag and digest at their limits.
const MAX_REFERENCE: usize = 1024;
/// The most bytes a tag may have.
const MAX_TAG: usize = 128;

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the image reference is empty")]
    Empty,
    /// Longer than any registry accepts.
    #[error(
        "the image reference is longer than {MAX_REFERENCE} bytes, or its path than {MAX_PATH}"
    )]
    TooLong,
    /// The part before the first slash is no host.
    #[error(
        "`{0}` is not a registry host (letters, digits, dots and dashes, then an optional port)"
    )]
    Host(String),
    /// The port is no number, has leading zeros, or is past 65535.
    #[error("`{0}` is not a port from 1 to 65535 without leading zeros")]
    Port(String),
    /// A path component is not lower-case letters and digits with single separators.
    #[error(
        "`{0}` is not a repository path component (lower-case letters, digits, `.`, `_`, `__`, `-`)"
    )]
    Path(String),
    /// The tag has a character that is not allowed, or is too long.
    #[error("`{0}` is not a tag (letters, digits, `_`, `.`, `-`, at most 128 bytes)")]
    Tag(String),
    /// The digest is malformed or of another algorithm.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// 64 hexadecimal digits alone: runtimes take them for a local image ID.
    #[error("64 hexadecimal digits name a local image ID, not an image in a registry")]
    ImageId,
}

/// A name as written, with `docker.io` and `library/` filled in but no default tag: what a
/// signature's `docker-reference` is compared as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Named {
    /// Parses a reference. The host is lower-cased, since names in DNS know no case.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > MAX_REFERENCE {
            return Err(ReferenceError::TooLong);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(name);
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let (host, path) = split_host(name)?;
        if path.len() > MAX_PATH {
            return Err(ReferenceError::TooLong);
        }
        check_host(&host)?;
        for component in path.split('/') {
            check_path_component(component)?;
        }
        Ok(Self {
            host,
            path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// `host/path`, without tag and digest.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The tag as written, if any.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest as written, if any.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }
}

/// An image in a registry, in the normal form that policies are looked up by: with host and path,
/// and with either a digest or a tag (`latest` where none was given). A reference that has both is
/// a digest reference, as it is for both runtimes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    path: String,
    version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Version {
    Tag(String),
    Digest(Digest),
}

impl Reference {
    /// Parses and normalises an image name.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let Named {
            host,
            path,
            tag,
            digest,
        } = Named::parse(text)?;
        let version = match (digest, tag) {
            (Some(digest), _) => Version::Digest(digest),
            (None, Some(tag)) => Version::Tag(tag),
            (None, None) => Version::Tag("latest".to_owned()),
        };
        Ok(Self {
            host,
            path,
            version,
        })
    }

    /// `host[:port]`, lower-case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path below the host.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host/path`.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The tag, unless this is a digest reference.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }

    /// The digest, if this is a digest reference.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest(digest) => Some(digest),
        }
    }

    /// Every scope that this image is looked up by, most specific first
    /// (containers-policy.json(5), transport `docker`).
    #[must_use]
    pub fn lookup(&self) -> Vec<String> {
        let mut list = vec![self.to_string()];
        list.extend(name_chain(&self.repository()));
        list
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        match &self.version {
            Version::Tag(tag) => write!(f, ":{tag}"),
            Version::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// A repository or namespace name, each of its parents, its host, then `*.domain` for each parent
/// domain of the host, port stripped.
pub(crate) fn name_chain(name: &str) -> Vec<String> {
    let mut list = vec![name.to_owned()];
    let mut rest = name;
    while let Some((parent, _)) = rest.rsplit_once('/') {
        list.push(parent.to_owned());
        rest = parent;
    }
    let host = rest.split_once(':').map_or(rest, |(host, _)| host);
    list.extend(wildcard_chain(host));
    list
}

/// `*.domain` for each parent domain of `host`, nearest first.
pub(crate) fn wildcard_chain(host: &str) -> Vec<String> {
    let mut list = Vec::new();
    let mut rest = host;
    while let Some((_, domain)) = rest.split_once('.') {
        list.push(format!("*.{domain}"));
        rest = domain;
    }
    list
}

/// Splits a tag off: a colon after the last slash. `host:5000` alone is read as name and tag, as
/// every runtime does.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    }
}

fn split_host(name: &str) -> Result<(String, String), ReferenceError> {
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    let (host, path) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first.to_ascii_lowercase(), rest),
        // Runtimes take it for a host by its capitals alone; in lower case it would be another name.
        Some((first, _)) if first.bytes().any(|b| b.is_ascii_uppercase()) => {
            return Err(ReferenceError::Host(first.to_owned()));
        }
        _ if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) => {
            return Err(ReferenceError::ImageId);
        }
        _ => ("docker.io".to_owned(), name),
    };
    let host = if host == "index.docker.io" {
        "docker.io".to_owned()
    } else {
        host
    };
    if host == "docker.io" && !path.contains('/') {
        return Ok((host, format!("library/{path}")));
    }
    Ok((host, path.to_owned()))
}

/// Checks a lower-case `host[:port]`. Ports with leading zeros are refused: they reach the same
/// registry under a name that no scope has.
pub(crate) fn check_host(host: &str) -> Result<(), ReferenceError> {
    let (name, port) = if host.starts_with('[') {
        let end = host
            .find(']')
            .ok_or_else(|| ReferenceError::Host(host.to_owned()))?;
        let inside = &host[1..end];
        // Other spellings of an address reach the same registry under a name that no scope has.
        if !inside
            .parse::<std::net::Ipv6Addr>()
            .is_ok_and(|ip| ip.to_string() == inside)
        {
            return Err(ReferenceError::Host(host.to_owned()));
        }
        match &host[end + 1..] {
            "" => return Ok(()),
            rest => match rest.strip_prefix(':') {
                Some(port) => return check_port(port),
                None => return Err(ReferenceError::Host(host.to_owned())),
            },
        }
    } else {
        host.split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port)))
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(ReferenceError::Host(host.to_owned()));
    }
    port.map_or(Ok(()), check_port)
}

fn check_port(port: &str) -> Result<(), ReferenceError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 && !port.starts_with('0') => Ok(()),
        _ => Err(ReferenceError::Port(port.to_owned())),
    }
}

/// Checks one path component: runs of `[a-z0-9]`, separated by `.`, `_`, `__` or any run of `-`.
pub(crate) fn check_path_component(component: &str) -> Result<(), ReferenceError> {
    let error = || ReferenceError::Path(component.to_owned());
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return Err(error());
    }
    for separator in component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        let dashes = separator.bytes().all(|b| b == b'-');
        if !(dashes || matches!(separator, "." | "_" | "__")) {
            return Err(error());
        }
    }
    Ok(())
}

/// Checks a tag: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
pub(crate) fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = tag.bytes().next().is_some_and(word);
    if first && tag.len() <= MAX_TAG && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
        Ok(())
    } else {
        Err(ReferenceError::Tag(tag.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        Reference::parse(text).unwrap().to_string()
    }

    #[test]
    fn short_names_are_filled_in_as_the_runtimes_do() {
        assert_eq!(normal("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(normal("busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(
            normal("docker.io/busybox"),
            "docker.io/library/busybox:latest"
        );
        assert_eq!(
            normal("index.docker.io/busybox"),
            "docker.io/library/busybox:latest"
        );
        assert_eq!(normal("acme/app"), "docker.io/acme/app:latest");
        assert_eq!(normal("localhost/app"), "localhost/app:latest");
        assert_eq!(normal("localhost:5000/app:v1"), "localhost:5000/app:v1");
        assert_eq!(
            normal("Registry.Example.com/app"),
            "registry.example.com/app:latest"
        );
        assert_eq!(normal("[::1]:5000/app"), "[::1]:5000/app:latest");
    }

    #[test]
    fn a_name_with_tag_and_digest_is_a_digest_reference() {
        let digest = Digest::of(b"x");
        let image = Reference::parse(&format!("example.com/app:v1@{digest}")).unwrap();
        assert_eq!(image.tag(), None);
        assert_eq!(image.digest(), Some(&digest));
    }

    #[test]
    fn what_does_not_parse_is_refused_with_its_reason() {
        use ReferenceError as E;
        let cases = [
            ("", E::Empty),
            ("Team/app", E::Host("Team".into())),
            ("example.com/App", E::Path("App".into())),
            ("example.com/a//b", E::Path(String::new())),
            ("example.com/a/", E::Path(String::new())),
            ("example.com/a___b", E::Path("a___b".into())),
            ("example.com/-a", E::Path("-a".into())),
            ("example.com/a:", E::Tag(String::new())),
            ("example.com/a:.x", E::Tag(".x".into())),
            ("example.com:05000/a", E::Port("05000".into())),
            ("example.com:99999/a", E::Port("99999".into())),
            ("example.com:+5/a", E::Port("+5".into())),
            ("example.com./a", E::Host("example.com.".into())),
            ("-x.example/a", E::Host("-x.example".into())),
            ("[::zz]:5000/a", E::Host("[::zz]:5000".into())),
            ("[0::1]:5000/a", E::Host("[0::1]:5000".into())),
            ("example.com/a@sha256:12", E::Digest(DigestError::Malformed)),
            ("https://example.com/a", E::Port(String::new())),
            (" example.com/a", E::Host(" example.com".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Reference::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Reference::parse(&"a".repeat(64)), Err(E::ImageId));
        assert_eq!(
            Reference::parse(&format!("a.b/{}", "a".repeat(256))),
            Err(E::TooLong)
        );
    }

    #[test]
    fn the_lookup_list_goes_from_the_exact_name_to_the_widest_domain() {
        assert_eq!(
            Reference::parse("reg.corp.example:5000/team/app:v1")
                .unwrap()
                .lookup(),
            [
                "reg.corp.example:5000/team/app:v1",
                "reg.corp.example:5000/team/app",
                "reg.corp.example:5000/team",
                "reg.corp.example:5000",
                "*.corp.example",
                "*.example",
            ]
        );
        assert_eq!(
            Reference::parse("localhost/app").unwrap().lookup(),
            ["localhost/app:latest", "localhost/app", "localhost"]
        );
    }
}
