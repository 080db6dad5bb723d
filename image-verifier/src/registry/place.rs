//! Where a registry is, and what is there: credentials and the headers of `hosts.toml` go nowhere else.

use reqwest::Url;

use super::error::RegistryError;

/// A URL at a registry. There is no way to make one that is at another origin than the registry's base,
/// whatever the registry answers, so whoever holds one may send secrets along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place(Url);

impl Place {
    /// The base of a registry, by the node's own configuration. All other places come of it.
    pub(super) fn base(url: Url) -> Self {
        Self(url)
    }

    /// What is at `path`, from here; an error if that is at another origin.
    pub(super) fn join(&self, path: &str) -> Result<Self, RegistryError> {
        let joined = self.0.join(path).ok().and_then(|url| self.at(url));
        joined.ok_or_else(|| RegistryError::Internal {
            cause: "the URL of a request is not at the registry".to_owned(),
        })
    }

    /// `url` as a place, if it is at the same origin.
    pub(super) fn at(&self, url: Url) -> Option<Self> {
        (url.origin() == self.0.origin()).then_some(Self(url))
    }

    /// With one more parameter, unless it has one of this name.
    pub(super) fn with_parameter(mut self, name: &str, value: &str) -> Self {
        if !self.0.query_pairs().any(|(other, _)| other == name) {
            self.0.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    /// The URL.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_never_at_another_origin() {
        let base = Place::base(Url::parse("https://a.example:5000/v2/").unwrap());
        for (path, url) in [
            ("app/x", Some("https://a.example:5000/v2/app/x")),
            ("/y", Some("https://a.example:5000/y")),
            ("//b.example/v2/", None),
            ("http://a.example:5000/", None),
            ("https://a.example:5001/", None),
            ("https://a.example/", None),
        ] {
            let joined = base.join(path).ok();
            assert_eq!(
                joined.as_ref().map(|place| place.url().as_str()),
                url,
                "{path}"
            );
        }
        for (url, is) in [
            ("https://a.example:5000/next?n=2", true),
            ("https://b.example:5000/next", false),
        ] {
            assert_eq!(base.at(Url::parse(url).unwrap()).is_some(), is, "{url}");
        }
    }

    #[test]
    fn a_parameter_stands_once() {
        let base = Place::base(Url::parse("https://a.example/").unwrap());
        let once = base.with_parameter("ns", "docker.io");
        let twice = once.clone().with_parameter("ns", "other");
        assert_eq!(once.url().as_str(), "https://a.example/?ns=docker.io");
        assert_eq!(twice, once);
    }
}
