//! What CRI-O's own configuration says: crio.conf, then crio.conf.d in the order of names.

use std::collections::BTreeSet;

use node_runtime::crio;
use policy::scope::Scope;
use toml_edit::{DocumentMut, Item, TableLike};

use super::Crio;
use crate::error::{ConfigError, CycleError};
use crate::layout::relative;
use crate::root::{FileError, Root};
use crate::sandbox::{self, Named};

/// The file that CRI-O's packages name in its configuration.
pub(super) const DEFAULT_POLICY: &str = "etc/crio/policy.json";
/// Where CRI-O looks for namespace files when nothing names another folder.
const DEFAULT_NAMESPACE_DIR: &str = "etc/crio/policies";
/// The file and the folder of CRI-O's configuration.
pub(super) const SOURCES: [&str; 2] = ["etc/crio/crio.conf", "etc/crio/crio.conf.d"];
/// The most bytes of one file.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// What there is to know; absent is what no file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Config {
    /// `signature_policy`.
    pub(super) policy: Option<String>,
    /// `signature_policy_dir`.
    namespace_dir: Option<String>,
    /// `pause_image`.
    pause_image: Option<String>,
}

/// The paths in force, relative to the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    /// policy.json.
    pub(super) policy: String,
    /// The folder of namespace files.
    pub(super) namespace_dir: String,
}

/// Reads all files.
pub(super) fn read(root: &Root) -> Result<Config, CycleError> {
    let mut config = Config::default();
    for (path, bytes) in files(root)? {
        config.merge(&path, &bytes)?;
    }
    Ok(config)
}

fn files(root: &Root) -> Result<Vec<(String, Vec<u8>)>, FileError> {
    let [file, folder] = SOURCES;
    let mut paths = vec![file.to_owned()];
    let entries = root.entries_following(folder)?.unwrap_or_default();
    paths.extend(entries.iter().map(|(name, _)| format!("{folder}/{name}")));
    let mut files = Vec::new();
    for path in paths {
        match root.read_following(&path, FILE_LIMIT) {
            Ok(content) => files.extend(content.map(|content| (path, content.bytes))),
            // Folders and the like are none of CRI-O's either.
            Err(error) if error.is_foreign() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

impl Config {
    /// Takes over what a further file says. An empty path is none.
    fn merge(&mut self, path: &str, bytes: &[u8]) -> Result<(), ConfigError> {
        let shown = || format!("/{path}");
        let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::Text { path: shown() })?;
        let document: DocumentMut = text.parse().map_err(|source| ConfigError::Toml {
            path: shown(),
            source,
        })?;
        let image = document
            .get("crio")
            .and_then(Item::as_table_like)
            .and_then(|crio| crio.get("image"))
            .and_then(Item::as_table_like);
        let text_of =
            |image: &dyn TableLike, key| image.get(key).and_then(Item::as_str).map(str::to_owned);
        for (field, key) in [
            (&mut self.policy, "signature_policy"),
            (&mut self.namespace_dir, "signature_policy_dir"),
            (&mut self.pause_image, "pause_image"),
        ] {
            if let Some(text) = image.and_then(|image| text_of(image, key)) {
                *field = Some(text).filter(|text| !text.is_empty());
            }
        }
        Ok(())
    }

    /// The command line first, then the configuration, then what CRI-O's packages set.
    pub(super) fn paths(&self, crio: &Crio) -> Paths {
        let choose = |given: &Option<String>, named: &Option<String>, default: &str| {
            let named = || named.as_deref().and_then(relative);
            given
                .clone()
                .or_else(named)
                .unwrap_or_else(|| default.to_owned())
        };
        let namespace_dir = choose(
            &crio.namespace_dir,
            &self.namespace_dir,
            DEFAULT_NAMESPACE_DIR,
        );
        Paths {
            policy: choose(&crio.policy, &self.policy, DEFAULT_POLICY),
            namespace_dir,
        }
    }

    /// Where the files that are written would not be those that are read.
    pub(super) fn warnings(&self, crio: &Crio, paths: &Paths) -> Vec<String> {
        let mut warnings = Vec::new();
        for (key, flag, named, path) in [
            (
                "signature_policy",
                "--crio-policy",
                &self.policy,
                &paths.policy,
            ),
            (
                "signature_policy_dir",
                "--crio-namespace-dir",
                &self.namespace_dir,
                &paths.namespace_dir,
            ),
        ] {
            if let Some(named) = named
                && relative(named).as_ref() != Some(path)
            {
                warnings.push(format!(
                    "CRI-O's configuration has `{key} = \"{named}\"`, so /{path} is not read: set \
                     `{key} = \"/{path}\"` in [crio.image] and restart CRI-O, or give the other \
                     path with {flag}"
                ));
            }
        }
        if self.policy.is_none() && crio.policy.is_none() {
            warnings.push(format!(
                "CRI-O's configuration names no `signature_policy`, and without one /{path} is \
                 not read: set `signature_policy = \"/{path}\"` in [crio.image] and restart \
                 CRI-O, or say with --crio-policy which file is in force",
                path = paths.policy
            ));
        }
        warnings
    }

    /// The policy file that CRI-O does not read because it names none, relative to the root.
    pub(super) fn lacks(&self, crio: &Crio, paths: &Paths) -> Option<String> {
        (self.policy.is_none() && crio.policy.is_none()).then(|| paths.policy.clone())
    }

    /// The sandbox images, which are always accepted.
    pub(super) fn exempt(&self, told: &[String], warnings: &mut Vec<String>) -> BTreeSet<Scope> {
        let named = self.pause_image.as_deref().map(|image| Named {
            image,
            by: "CRI-O's configuration",
        });
        sandbox::exempt(named, told, warnings)
    }
}

/// What a CRI-O has in force.
impl From<&crio::Config> for Config {
    fn from(config: &crio::Config) -> Self {
        Self {
            policy: config.signature_policy.clone(),
            namespace_dir: config.signature_policy_dir.clone(),
            pause_image: config.pause_image.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::version::Version;

    use super::*;

    fn parsed(files: &[&str]) -> Config {
        let mut config = Config::default();
        for text in files {
            config.merge("etc/crio/crio.conf", text.as_bytes()).unwrap();
        }
        config
    }

    fn crio(policy: Option<&str>) -> Crio {
        Crio {
            version: Version::new(1, 34, 0),
            policy: policy.map(str::to_owned),
            namespace_dir: None,
            running: None,
        }
    }

    #[test]
    fn later_files_win_and_an_empty_path_names_none() {
        let first = "[crio.image]\nsignature_policy = '/a.json'\npause_image = 'r.example/p:3'\n";
        let inline = "[crio]\nimage = { signature_policy = '/etc/b.json' }\n";
        let config = parsed(&[first, inline]);
        assert_eq!(config.paths(&crio(None)).policy, "etc/b.json");
        assert_eq!(config.pause_image.as_deref(), Some("r.example/p:3"));
        let config = parsed(&[first, "[crio.image]\nsignature_policy = ''\n"]);
        let paths = config.paths(&crio(None));
        assert_eq!(paths.policy, DEFAULT_POLICY);
        let warnings = config.warnings(&crio(None), &paths);
        assert!(warnings[0].contains("names no `signature_policy`"));
    }

    #[test]
    fn a_file_that_is_not_the_one_in_force_is_a_warning() {
        let config = parsed(&["[crio.image]\nsignature_policy = '/etc/b.json'\n"]);
        let given = crio(Some("etc/c.json"));
        let paths = config.paths(&given);
        assert_eq!(paths.policy, "etc/c.json");
        assert!(config.warnings(&given, &paths)[0].contains("so /etc/c.json is not read"));
        let crio = crio(None);
        assert_eq!(config.warnings(&crio, &config.paths(&crio)), [""; 0]);
    }

    #[test]
    fn the_sandbox_image_is_exempt() {
        let mut warnings = Vec::new();
        let mut exempt = |files: &[&str]| -> Vec<String> {
            let exempt = parsed(files).exempt(&[], &mut warnings);
            exempt.iter().map(ToString::to_string).collect()
        };
        assert_eq!(exempt(&[]), ["registry.k8s.io/pause"]);
        let named = "[crio.image]\npause_image = 'r.example/pause:3'\n";
        assert_eq!(exempt(&[named]), ["r.example/pause:3"]);
        let wrong = "[crio.image]\npause_image = 'Not An Image'\n";
        assert_eq!(exempt(&[wrong]), [""; 0]);
        assert_eq!(warnings.len(), 1);
    }
}
