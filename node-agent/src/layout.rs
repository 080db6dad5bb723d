//! The names of the agent's own files, and where the verifier is installed.
//!
//! All paths are relative to the root.

use policy::paths::{STAGING_DIR, STATE_DIR, VERIFIER_DIR, VERIFIER_NAME};

use crate::root::{TEMPORARY_SUFFIX, split, temporary};
use crate::verdicts;

/// The last good policies, compiled but not flattened.
pub const BUNDLE: &str = "var/lib/nodeseal/bundle";
/// What the agent wrote: path, digest, mode.
pub const STATE: &str = "var/lib/nodeseal/state.json";
/// What the agent last said about the node.
pub const STATUS: &str = "var/lib/nodeseal/status.json";
/// An apply that is under way.
pub const JOURNAL: &str = "var/lib/nodeseal/journal";
/// The last good policies that were seen to work, as [`BUNDLE`] holds them.
pub const GOOD: &str = "var/lib/nodeseal/good";
/// How the last bundles fared.
pub const TRIALS: &str = "var/lib/nodeseal/trials.json";
/// Which configuration the running runtime has read.
pub const STARTED: &str = "var/lib/nodeseal/started.json";
/// The port and the keys of the registry that proves enforcement.
pub const PROBE: &str = "var/lib/nodeseal/probe.json";
/// Covered images that were pulled again since their signatures are looked for.
pub const REFRESHED: &str = "var/lib/nodeseal/refreshed.json";
/// What the agent made outside of here besides files that are recorded.
pub const TRACES: &str = "var/lib/nodeseal/traces.json";
/// All files of the agent's own that are written by way of a temporary one.
pub const OWN_FILES: [&str; 12] = [
    BUNDLE,
    STATE,
    STATUS,
    JOURNAL,
    GOOD,
    TRIALS,
    STARTED,
    PROBE,
    REFRESHED,
    TRACES,
    verdicts::PLACE,
    verdicts::SEEN,
];
/// Held by the one agent that works on this root.
pub const LOCK: &str = "var/lib/nodeseal/lock";
/// Copies of files that others wrote, kept for good.
pub const BACKUP_DIR: &str = "var/lib/nodeseal/backup";
/// Copies of our own files, kept while an apply is under way.
pub const ROLLBACK_DIR: &str = "var/lib/nodeseal/backup/rollback";

/// Directories of the agent's own, with 0700, that exist before anything else is done.
pub const STATE_DIRS: [&str; 3] = [STATE_DIR, BACKUP_DIR, ROLLBACK_DIR];

/// A path as one file name: `etc/nodeseal/x` becomes `etc+nodeseal+x`.
#[must_use]
pub fn flat_name(path: &str) -> String {
    path.replace('/', "+")
}

/// An absolute path as the runtime sees it, made relative to the root; nothing where it is not
/// absolute, or not plain: no `.`, `..` or empty parts.
#[must_use]
pub fn relative(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?.trim_end_matches('/');
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    path.split('/').all(plain).then(|| path.to_owned())
}

/// Where the verifier goes.
///
/// containerd executes **every** entry of `folder`, hidden and temporary ones too, so new
/// binaries are written in `staging`, a folder beside it on the same file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierPlace {
    /// The folder that containerd's `bin_dir` names.
    pub folder: String,
    /// Where binaries are staged.
    pub staging: String,
}

impl Default for VerifierPlace {
    fn default() -> Self {
        Self {
            folder: VERIFIER_DIR.to_owned(),
            staging: STAGING_DIR.to_owned(),
        }
    }
}

/// Why a `--bin-dir` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not an absolute, plain path.
    #[error(
        "`{0}` is not a folder for the verifier: give an absolute path of at least two levels \
         without `.` and `..`, such as /opt/nodeseal/image-verifier"
    )]
    NotPlain(String),
    /// A folder that holds other things by its nature.
    #[error(
        "`{0}` is a folder of the system, and containerd executes every entry of the verifier's \
         folder: give one that holds the verifier alone, such as /opt/nodeseal/image-verifier"
    )]
    Shared(String),
}

impl VerifierPlace {
    /// The place for `--bin-dir`, an absolute path as containerd sees it.
    pub fn in_folder(bin_dir: &str) -> Result<Self, PlaceError> {
        let folder = relative(bin_dir)
            .filter(|folder| folder.contains('/'))
            .ok_or_else(|| PlaceError::NotPlain(bin_dir.to_owned()))?;
        let (parent, name) = split(&folder);
        if name == "bin" && matches!(parent, "usr" | "usr/local" | "opt") || name == "sbin" {
            return Err(PlaceError::Shared(bin_dir.to_owned()));
        }
        if folder == VERIFIER_DIR {
            return Ok(Self::default());
        }
        let staging = format!("{parent}/nodeseal-staging");
        Ok(Self { folder, staging })
    }

    /// The folder as containerd's configuration writes it.
    #[must_use]
    pub fn bin_dir(&self) -> String {
        format!("/{}", self.folder)
    }

    /// The installed binary.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}/{VERIFIER_NAME}", self.folder)
    }

    /// A new binary on its way into a folder that exists.
    #[must_use]
    pub fn staged_file(&self) -> String {
        temporary(&format!("{}/{VERIFIER_NAME}", self.staging))
    }

    /// A whole new folder on its way to where none exists.
    #[must_use]
    pub fn staged_folder(&self) -> String {
        format!(
            "{}/.{}{TEMPORARY_SUFFIX}",
            self.staging,
            split(&self.folder).1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_folder_is_the_products_own() {
        let place = VerifierPlace::in_folder("/opt/nodeseal/image-verifier/").unwrap();
        assert_eq!(place, VerifierPlace::default());
        assert_eq!(place.bin_dir(), "/opt/nodeseal/image-verifier");
        assert_eq!(
            place.file(),
            "opt/nodeseal/image-verifier/nodeseal-verifier"
        );
    }

    #[test]
    fn nothing_is_ever_staged_inside_the_verifiers_folder() {
        for bin_dir in [
            "/opt/nodeseal/image-verifier",
            "/opt/containerd/image-verifier/bin",
        ] {
            let place = VerifierPlace::in_folder(bin_dir).unwrap();
            for staged in [place.staged_file(), place.staged_folder()] {
                assert!(
                    !staged.starts_with(&format!("{}/", place.folder)),
                    "{staged}"
                );
            }
        }
    }

    #[test]
    fn only_plain_absolute_folders_of_its_own_are_taken() {
        for bad in [
            "",
            "opt/x",
            "/",
            "/opt",
            "/opt/../etc",
            "/opt//x",
            "/opt/./x",
            "/usr/bin",
        ] {
            assert!(VerifierPlace::in_folder(bad).is_err(), "{bad}");
        }
    }
}
