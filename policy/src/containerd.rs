//! The files of a containerd node.

use std::fmt::Write as _;

use crate::digest::Digest;
pub use crate::files::{File, FileSet};
use crate::flatten::Flat;
use crate::paths;
use crate::verifier::{Access, Limits, VerifierPolicy};

/// The version line of a containerd configuration. A drop-in must have that of the root file:
/// with another one containerd loses its CRI settings, or does not start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigVersion {
    /// Version 2 (containerd 1.x, still read by 2.x).
    V2,
    /// Version 3 (containerd 2.0 and later).
    #[default]
    V3,
    /// Version 4 (containerd 2.3 and later).
    V4,
}

impl ConfigVersion {
    /// From the number in the file.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            2 => Some(Self::V2),
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            _ => None,
        }
    }

    /// The number in the file.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::V2 => 2,
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }
}

/// What rendering has to know of a node's containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerdFacts {
    /// The version of the root configuration file.
    pub config_version: ConfigVersion,
    /// The drop-in is needed, because the configuration does not point at the verifier's folder.
    pub drop_in: bool,
    /// What one pull may cost.
    pub limits: Limits,
    /// Where the node keeps its registry hosts and credentials.
    pub access: Access,
}

impl Default for ContainerdFacts {
    fn default() -> Self {
        Self {
            config_version: ConfigVersion::default(),
            drop_in: true,
            limits: Limits::default(),
            access: Access::default(),
        }
    }
}

/// Renders the files. The verifier's binary is no part of them.
#[must_use]
pub fn render(flat: &Flat, bundle: &Digest, facts: &ContainerdFacts) -> FileSet {
    let policy = VerifierPolicy {
        bundle: bundle.clone(),
        limits: facts.limits,
        access: facts.access.clone(),
        flat: flat.clone(),
    };
    let mut files = FileSet::new();
    files.insert(
        paths::VERIFIER_POLICY.to_owned(),
        File {
            bytes: policy.to_json(),
            mode: 0o644,
        },
    );
    if facts.drop_in {
        files.insert(
            paths::CONTAINERD_DROP_IN.to_owned(),
            File {
                bytes: drop_in(facts.config_version).into_bytes(),
                mode: 0o644,
            },
        );
    }
    files
}

/// The plugin's id is the same in all versions of the configuration.
fn drop_in(version: ConfigVersion) -> String {
    let mut text = String::from(
        "# Written by nodeseal. Every image pull over CRI runs the verifier in this folder.\n",
    );
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "version = {}\n\n[plugins.'io.containerd.image-verifier.v1.bindir']\n  bin_dir = '/{}'\n",
        version.number(),
        paths::VERIFIER_DIR
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Settings};
    use crate::flatten::{NodeFacts, flatten};
    use crate::testing::policy;

    fn rendered(facts: &ContainerdFacts) -> FileSet {
        let bundle = Bundle::new(Settings::default(), [policy("p", &["a.example"], &[])]);
        render(
            &flatten(&bundle, &NodeFacts::default()),
            &bundle.digest(),
            facts,
        )
    }

    #[test]
    fn the_drop_in_has_the_version_of_the_root_file() {
        let facts = ContainerdFacts {
            config_version: ConfigVersion::V2,
            ..Default::default()
        };
        let files = rendered(&facts);
        let text = String::from_utf8(files[paths::CONTAINERD_DROP_IN].bytes.clone()).unwrap();
        assert!(text.contains("\nversion = 2\n"), "{text}");
        assert!(
            text.contains("bin_dir = '/opt/nodeseal/image-verifier'"),
            "{text}"
        );
        for (number, version) in [
            (2, ConfigVersion::V2),
            (3, ConfigVersion::V3),
            (4, ConfigVersion::V4),
        ] {
            assert_eq!(ConfigVersion::from_number(number), Some(version));
            assert_eq!(version.number(), number);
        }
        assert_eq!(ConfigVersion::from_number(1), None);
    }

    #[test]
    fn no_drop_in_is_written_where_none_is_needed() {
        let files = rendered(&ContainerdFacts {
            drop_in: false,
            ..Default::default()
        });
        assert_eq!(files.keys().collect::<Vec<_>>(), [paths::VERIFIER_POLICY]);
    }

    #[test]
    fn the_rendered_policy_passes_the_verifiers_own_reader() {
        let files = rendered(&ContainerdFacts::default());
        VerifierPolicy::from_json(&files[paths::VERIFIER_POLICY].bytes).unwrap();
    }
}
