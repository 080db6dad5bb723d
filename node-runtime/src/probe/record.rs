//! What the registry saw.

use super::names::{CONFIG, Image};

/// The most requests of a leg that are kept. Both runtimes send fewer than ten.
const MAX_REQUESTS: usize = 64;
/// The most bytes of a path that are kept; the longest that means anything here has 130.
const MAX_PATH: usize = 256;

/// What is asked of a registry that only answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path, without query, cut after 256 bytes.
    pub path: String,
}

/// What came in during one leg.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The requests below the leg's repository, in their order; up to 64.
    pub requests: Vec<Request>,
    /// Requests below the leg's repository that are not among them.
    pub dropped: u32,
    /// Other requests, as the one for `/v2/` by which CRI-O begins.
    pub others: u32,
    /// Connections. More than requests where somebody did not get as far as to ask: a runtime that
    /// does not trust the certificate, or that was told to speak another protocol.
    pub connections: u32,
}

impl Seen {
    /// Adds a request.
    pub(super) fn add(&mut self, method: Method, path: &str, image: &Image) {
        if !is_below(path, &image.repository) {
            self.others = self.others.saturating_add(1);
        } else if self.requests.len() < MAX_REQUESTS {
            let end = path.floor_char_boundary(MAX_PATH);
            let path = path[..end].to_owned();
            self.requests.push(Request { method, path });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Where the first request of this kind stands.
    pub(super) fn first(&self, method: Method, kind: Kind, references: &[&str]) -> Option<usize> {
        self.requests
            .iter()
            .position(|request| request.method == method && request.is(kind, references))
    }

    /// Where the last one does.
    pub(super) fn last(&self, method: Method, kind: Kind, references: &[&str]) -> Option<usize> {
        self.requests
            .iter()
            .rposition(|request| request.method == method && request.is(kind, references))
    }

    /// Whether any blob was asked for, by any method.
    pub(super) fn any_blob(&self) -> bool {
        let blob = |request: &Request| request.path.contains("/blobs/");
        self.requests.iter().any(blob)
    }

    /// Where the config was asked for last.
    pub(super) fn config(&self) -> Option<usize> {
        self.last(Method::Get, Kind::Blobs, &[CONFIG])
    }
}

/// What a path of a repository leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifests,
    Blobs,
}

impl Kind {
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Blobs => "blobs",
        }
    }
}

impl Request {
    fn is(&self, kind: Kind, references: &[&str]) -> bool {
        let mut parts = self.path.rsplitn(3, '/');
        let reference = parts.next().unwrap_or_default();
        parts.next() == Some(kind.segment()) && references.contains(&reference)
    }
}

/// Whether a path is one of this repository.
fn is_below(path: &str, repository: &str) -> bool {
    let rest = path.strip_prefix("/v2/");
    let rest = rest.and_then(|rest| rest.strip_prefix(repository));
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            repository: "nodeseal-probe/00".to_owned(),
            reference: "tag".to_owned(),
        }
    }

    #[test]
    fn requests_of_other_repositories_are_only_counted() {
        let mut seen = Seen::default();
        let paths = [
            "/v2/",
            "/v2/nodeseal-probe/001/manifests/tag",
            "/v2/nodeseal-probe/allow/00/manifests/tag",
            "/nodeseal-probe/00/manifests/tag",
            "/v2/nodeseal-probe/00",
        ];
        for path in paths {
            seen.add(Method::Get, path, &image());
        }
        assert_eq!((seen.requests.len(), seen.others), (0, 5));
        seen.add(Method::Get, "/v2/nodeseal-probe/00/manifests/tag", &image());
        assert_eq!(seen.first(Method::Get, Kind::Manifests, &["tag"]), Some(0));
        assert_eq!(seen.first(Method::Head, Kind::Manifests, &["tag"]), None);
        assert_eq!(seen.first(Method::Get, Kind::Blobs, &["tag"]), None);
        assert_eq!(seen.first(Method::Get, Kind::Manifests, &["tug"]), None);
    }

    #[test]
    fn neither_many_requests_nor_long_ones_cost_more_memory() {
        let mut seen = Seen::default();
        let path = format!("/v2/nodeseal-probe/00/manifests/{}", "é".repeat(5000));
        for _ in 0..1000 {
            seen.add(Method::Get, &path, &image());
        }
        assert_eq!(seen.requests.len(), MAX_REQUESTS);
        assert_eq!(seen.dropped, 1000 - 64);
        assert!(seen.requests.iter().all(|r| r.path.len() <= MAX_PATH));
    }
}
