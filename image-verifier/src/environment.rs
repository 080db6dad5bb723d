//! The environment variables that are honoured: proxies, and nothing else.
//!
//! A verifier inherits containerd's environment, and what other tools read from theirs would move
//! the root of trust: `SSL_CERT_FILE`, `SIGSTORE_*`, `TUF_*`, `DOCKER_CONFIG`, `HOME`. None of them
//! is ever read.
//!
//! On a desk the user's own programs hand out the user's own credentials ([`Environment::of_desk`]):
//! they get the whole environment of the user, as docker gives it to them, and still nothing of it but
//! proxies means anything to the verification itself.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// The environment of a user, for the programs of that user. Its values may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Desk(Vec<(OsString, OsString)>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "[{count} variables]")
    }
}

impl Desk {
    /// All variables.
    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        &self.0
    }

    /// Where the user's programs are looked for.
    pub(crate) fn path(&self) -> Option<&OsStr> {
        let path = self.0.iter().find(|(name, _)| name == "PATH");
        path.map(|(_, value)| value.as_os_str())
    }
}

/// The honoured variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HTTP_PROXY`, else `http_proxy`.
    pub http_proxy: Option<String>,
    /// `HTTPS_PROXY`, else `https_proxy`.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
    /// What programs that hand out credentials are given on a desk; nothing on a node.
    pub desk: Option<Desk>,
    /// Under which folder the node's files are looked for, in test builds only.
    #[cfg(feature = "test-root")]
    pub test_root: Option<std::path::PathBuf>,
}

impl Environment {
    /// Keeps what is honoured of `variables`. The upper-case name wins, as in Go, so that the
    /// verifier goes the way that containerd itself goes. Empty values count as absent.
    #[must_use]
    pub fn from_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut lower = Self::default();
        let mut upper = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let slot = match name {
                "HTTP_PROXY" => &mut upper.http_proxy,
                "HTTPS_PROXY" => &mut upper.https_proxy,
                "NO_PROXY" => &mut upper.no_proxy,
                "http_proxy" => &mut lower.http_proxy,
                "https_proxy" => &mut lower.https_proxy,
                "no_proxy" => &mut lower.no_proxy,
                #[cfg(feature = "test-root")]
                "NODESEAL_TEST_ROOT" => {
                    upper.test_root = Some(value.into());
                    continue;
                }
                _ => continue,
            };
            *slot = value.into_string().ok().filter(|value| !value.is_empty());
        }
        Self {
            http_proxy: upper.http_proxy.or(lower.http_proxy),
            https_proxy: upper.https_proxy.or(lower.https_proxy),
            no_proxy: upper.no_proxy.or(lower.no_proxy),
            desk: None,
            #[cfg(feature = "test-root")]
            test_root: upper.test_root,
        }
    }

    /// As [`Environment::from_variables`], for a user who verifies by hand: programs that hand out
    /// credentials are looked for in the user's `PATH` and are given all of `variables`.
    #[must_use]
    pub fn of_desk(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let variables: Vec<_> = variables.into_iter().collect();
        Self {
            desk: Some(Desk(variables.clone())),
            ..Self::from_variables(variables)
        }
    }

    /// The folder under which the node's files are: `/`, whatever the environment says, except in
    /// test builds.
    #[must_use]
    pub fn root(&self) -> std::path::PathBuf {
        #[cfg(feature = "test-root")]
        if let Some(root) = &self.test_root {
            return root.clone();
        }
        std::path::PathBuf::from("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Environment {
        let own = |(name, value): &(&str, &str)| (name.into(), value.into());
        Environment::from_variables(variables.iter().map(own))
    }

    #[test]
    fn only_proxies_are_kept() {
        let hostile = [
            ("SSL_CERT_FILE", "/tmp/ca"),
            ("SSL_CERT_DIR", "/tmp"),
            ("SIGSTORE_ROOT_FILE", "/tmp/root"),
            ("TUF_ROOT", "/tmp"),
            ("DOCKER_CONFIG", "/tmp"),
            ("HOME", "/tmp"),
            ("ALL_PROXY", "http://x"),
            ("Http_Proxy", "http://x"),
        ];
        assert_eq!(from(&hostile), Environment::default());
        let environment = from(&[
            ("HTTPS_PROXY", "http://p:1"),
            ("no_proxy", "a,b"),
            ("HTTP_PROXY", "http://q"),
        ]);
        assert_eq!(environment.https_proxy.as_deref(), Some("http://p:1"));
        assert_eq!(environment.http_proxy.as_deref(), Some("http://q"));
        assert_eq!(environment.no_proxy.as_deref(), Some("a,b"));
    }

    #[test]
    fn a_desk_keeps_everything_for_programs_and_shows_nothing() {
        let variables = [
            ("PATH", "/home/u/bin"),
            ("TOKEN", "hunter2"),
            ("HTTPS_PROXY", "p"),
        ];
        let own = variables.map(|(name, value)| (name.into(), value.into()));
        let environment = Environment::of_desk(own.clone());
        assert_eq!(environment.https_proxy.as_deref(), Some("p"));
        let desk = environment.desk.as_ref().unwrap();
        assert_eq!(desk.variables(), own);
        assert_eq!(desk.path(), Some(OsStr::new("/home/u/bin")));
        let shown = format!("{environment:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_upper_case_name_wins_unless_it_is_empty() {
        for order in [[0, 1], [1, 0]] {
            let both = [
                ("https_proxy", "http://lower"),
                ("HTTPS_PROXY", "http://upper"),
            ];
            let environment = from(&order.map(|index| both[index]));
            assert_eq!(environment.https_proxy.as_deref(), Some("http://upper"));
        }
        let environment = from(&[("https_proxy", "http://lower"), ("HTTPS_PROXY", "")]);
        assert_eq!(environment.https_proxy.as_deref(), Some("http://lower"));
    }

    #[cfg(not(feature = "test-root"))]
    #[test]
    fn a_production_build_ignores_the_root_of_tests() {
        assert_eq!(
            from(&[("NODESEAL_TEST_ROOT", "/tmp/x")]).root().as_os_str(),
            "/"
        );
    }

    #[cfg(feature = "test-root")]
    #[test]
    fn a_test_build_looks_under_the_root_of_tests() {
        assert_eq!(
            from(&[("NODESEAL_TEST_ROOT", "/tmp/x")]).root().as_os_str(),
            "/tmp/x"
        );
        assert_eq!(from(&[]).root().as_os_str(), "/");
    }
}
