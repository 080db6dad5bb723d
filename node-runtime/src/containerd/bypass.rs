//! What keeps pulls over CRI from image verifiers, and what removes it.

use std::fmt;

use super::value::Origin;

/// What a configuration leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Every pull over CRI is put to the verifiers in the configured folder. Whether there is one
    /// in it is another question.
    Full,
    /// Pulls go past them.
    None {
        /// All that is in the way, in the order in which containerd looks; never empty.
        why: Vec<Bypass>,
    },
}

/// One thing that keeps pulls from being verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bypass {
    /// Which.
    pub predicate: Predicate,
    /// The value that makes it hold, as text.
    pub value: String,
    /// Where it was written; `None` for a default and for what is no setting.
    pub origin: Option<Origin>,
    /// What would remove it; `None` when nothing in a configuration does.
    pub fix: Option<Fix>,
}

/// The kinds of bypass. Their texts are what status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Predicate {
    /// The version of containerd is not known.
    VersionUnknown,
    /// Before 2.1 CRI pulls by itself; before 2.0 there are no verifiers at all
    /// (`internal/cri/server/images/image_pull.go@2.0.7` has no other way;
    /// `plugins/imageverifier` is not in 1.7).
    VersionTooOld,
    /// containerd would not start with these files.
    ConfigInvalid,
    /// A plugin that is needed is disabled (`cmd/containerd/server/server.go@2.2.1:LoadPlugins`).
    PluginDisabled,
    /// `max_verifiers = 0` (`pkg/imageverifier/bindir/bindir.go@2.2.1:VerifyImage`).
    NoVerifiers,
    /// `bin_dir = ""`: reading that folder fails as one that does not exist, which allows (same).
    NoBinDir,
    /// `use_local_image_pull = true`. This and the rest: `internal/cri/config/config.go@2.1.5`,
    /// `@2.2.1`, `@2.2.9`, `@2.3.7`, `@2.4.2:CheckLocalImagePullConfigs`, which has had the same
    /// list in all of them.
    UseLocalImagePull,
    /// `disable_snapshot_annotations = false`.
    SnapshotAnnotations,
    /// `discard_unpacked_layers = true`.
    DiscardUnpackedLayers,
    /// Entries in `registry.mirrors`.
    RegistryMirrors,
    /// Entries in `registry.configs`.
    RegistryConfigs,
    /// Entries in `registry.auths`.
    RegistryAuths,
    /// `max_concurrent_downloads` other than 3.
    MaxConcurrentDownloads,
    /// `image_pull_with_sync_fs = true`.
    ImagePullWithSyncFs,
}

impl Predicate {
    /// CRI pulls by itself because of it, so that a drop-in that turns all of these off changes
    /// the way images are pulled.
    #[must_use]
    pub fn is_local_pull(self) -> bool {
        self >= Self::UseLocalImagePull
    }

    /// The key, or what it is about.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::VersionUnknown | Self::VersionTooOld => "containerd version",
            Self::ConfigInvalid => "configuration",
            Self::PluginDisabled => "disabled_plugins",
            Self::NoVerifiers => "max_verifiers",
            Self::NoBinDir => "bin_dir",
            Self::UseLocalImagePull => "use_local_image_pull",
            Self::SnapshotAnnotations => "disable_snapshot_annotations",
            Self::DiscardUnpackedLayers => "discard_unpacked_layers",
            Self::RegistryMirrors => "registry.mirrors",
            Self::RegistryConfigs => "registry.configs",
            Self::RegistryAuths => "registry.auths",
            Self::MaxConcurrentDownloads => "max_concurrent_downloads",
            Self::ImagePullWithSyncFs => "image_pull_with_sync_fs",
        }
    }
}

/// What removes a bypass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fix {
    /// A drop-in can: this key below `plugins` (part by part), with this TOML value.
    DropIn {
        /// The plugin's id, tables, and the key.
        key: Vec<String>,
        /// The value, as TOML.
        value: &'static str,
    },
    /// Only whoever owns the file can, since a drop-in takes nothing away: what to do.
    Remove(String),
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.predicate {
            Predicate::VersionUnknown | Predicate::VersionTooOld | Predicate::ConfigInvalid => {
                f.write_str(&self.value)?;
            }
            predicate => write!(f, "`{} = {}`", predicate.name(), self.value)?,
        }
        if let Some(origin) = &self.origin {
            write!(f, " in {}", origin.place())?;
        }
        Ok(())
    }
}
