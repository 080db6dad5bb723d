//! Since which version CRI-O knows what: the one table that decides, and that the docs show.

use crate::version::Version;

/// Something that CRI-O's files can say, or that CRI-O does, from some version on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// `sigstoreSigned` with a key.
    Keys,
    /// `fulcio`, and a Rekor key.
    FulcioAndLog,
    /// A folder with a policy file per namespace.
    NamespaceFiles,
    /// The policy of the namespace is checked when a container is created, too.
    CheckAtCreation,
    /// Several keys, any one of which may have signed.
    KeyLists,
    /// `pki`.
    Pki,
    /// Image volumes are checked like other images.
    ImageVolumes,
}

impl Feature {
    /// All of them, by version.
    pub const ALL: [Self; 7] = [
        Self::Keys,
        Self::FulcioAndLog,
        Self::NamespaceFiles,
        Self::CheckAtCreation,
        Self::KeyLists,
        Self::Pki,
        Self::ImageVolumes,
    ];

    /// The first version.
    #[must_use]
    pub const fn since(self) -> Version {
        match self {
            Self::Keys => Version::new(1, 25, 0),
            Self::FulcioAndLog => Version::new(1, 27, 0),
            Self::NamespaceFiles => Version::new(1, 28, 0),
            Self::CheckAtCreation => Version::new(1, 31, 0),
            Self::KeyLists => Version::new(1, 32, 0),
            Self::Pki | Self::ImageVolumes => Version::new(1, 33, 0),
        }
    }

    /// What it is, for tables.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Keys => "signatures by one key (`keyData`)",
            Self::FulcioAndLog => {
                "keyless signatures and log entries (`fulcio`, `rekorPublicKeyData`)"
            }
            Self::NamespaceFiles => "policy files of namespaces (`signature_policy_dir`)",
            Self::CheckAtCreation => {
                "namespaced policies hold for images that are on the node already"
            }
            Self::KeyLists => "any one of several keys (`keyDatas`, `rekorPublicKeyDatas`)",
            Self::Pki => "signatures by certificates of your own PKI (`pki`)",
            Self::ImageVolumes => "namespaced policies hold for image volumes",
        }
    }

    /// Whether a version has it.
    #[must_use]
    pub fn is_in(self, version: Version) -> bool {
        version >= self.since()
    }
}

/// The oldest CRI-O that the table speaks of; nothing is expressible before.
pub const OLDEST: Version = Feature::Keys.since();
/// The newest CRI-O that the format was compared with.
pub const NEWEST: Version = Version::new(1, 38, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_versions() {
        let versions = Feature::ALL.map(Feature::since);
        assert!(versions.is_sorted(), "{versions:?}");
        assert!(!Feature::Pki.is_in(Version::new(1, 32, 9)));
        assert!(Feature::Pki.is_in(Version::new(1, 33, 0)));
    }
}
