//! The environment variables that are honoured: proxies, and nothing else.
//!
//! A verifier inherits containerd's environment, and what other tools read from theirs would move
//! the root of trust: `SSL_CERT_FILE`, `SIGSTORE_*`, `TUF_*`, `DOCKER_CONFIG`, `HOME`. None of them
//! is ever read.

use std::ffi::OsString;

/// The honoured variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HTTP_PROXY`, else `http_proxy`.
    pub http_proxy: Option<String>,
    /// `HTTPS_PROXY`, else `https_proxy`.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
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
            #[cfg(feature = "test-root")]
            test_root: upper.test_root,
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
