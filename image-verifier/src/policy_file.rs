//! The verifier's policy, read from a place that only the node's administrator can write.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use policy::paths::VERIFIER_POLICY;
use policy::reference::Reference;
use policy::verifier::{
    LeftOut, Limits, MAX_BYTES, PolicyTable, VerifierPolicy, VerifierPolicyError,
};
use rustix::fs::{Mode, OFlags};

/// Why there is no policy to decide by. Every one of them refuses every pull.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be opened or read.
    #[error("{path} cannot be read: {source}. The node agent writes it; see its status")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{path} is not a regular file: remove it, and let the node agent write it again")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else could have written it.
    #[error(
        "{path} can be written by others than root (owner {uid}, mode {mode:04o}): check who changed it, then `chown root` and `chmod 0644`"
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Larger than any policy.
    #[error("{path} has more than {MAX_BYTES} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not a policy that this version reads.
    #[error("{path}: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: VerifierPolicyError,
    },
}

/// A policy that was read, of which only what an image needs is parsed further.
#[derive(Debug)]
pub struct PolicyFile {
    path: PathBuf,
    table: PolicyTable,
}

impl PolicyFile {
    /// What one pull may cost.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.table.limits()
    }

    /// The policy as far as it has to do with `image` ([`PolicyTable::covering`]).
    pub fn covering(self, image: &Reference) -> Result<VerifierPolicy, PolicyFileError> {
        let Self { path, table } = self;
        table
            .covering(image)
            .map_err(|source| PolicyFileError::Invalid { path, source })
    }
}

impl PolicyFile {
    /// As [`PolicyFile::covering`], without invalid policies in audit mode
    /// ([`PolicyTable::covering_without_invalid_audits`]).
    pub fn covering_without_invalid_audits(
        self,
        image: &Reference,
    ) -> Result<(VerifierPolicy, Vec<LeftOut>), PolicyFileError> {
        let Self { path, table } = self;
        table
            .covering_without_invalid_audits(image)
            .map_err(|source| PolicyFileError::Invalid { path, source })
    }
}

/// How many bytes the file has that is read, as far as that can be told: at most [`MAX_BYTES`] of it
/// are.
#[must_use]
pub fn size(root: &Path) -> u64 {
    let metadata = std::fs::symlink_metadata(root.join(VERIFIER_POLICY));
    metadata.map_or(0, |metadata| metadata.len().min(MAX_BYTES))
}

/// Reads the policy of the node whose files are under `root`.
pub fn read(root: &Path) -> Result<PolicyFile, PolicyFileError> {
    let path = root.join(VERIFIER_POLICY);
    let failed = |source| PolicyFileError::Read {
        path: path.clone(),
        source,
    };
    // A link in the last place could lead to a file of somebody else's; a pipe could block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let file = File::from(descriptor);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(PolicyFileError::NotAFile { path });
    }
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    // Where containerd itself runs without root, its own user is the administrator.
    let own = rustix::process::geteuid().as_raw();
    if (uid != 0 && uid != own) || mode & 0o022 != 0 {
        return Err(PolicyFileError::Untrusted { path, uid, mode });
    }
    // As large as it is, so that it is read at once and not held twice while it grows.
    let size = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size + 1);
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PolicyFileError::TooLarge { path });
    }
    match PolicyTable::from_json(&bytes) {
        Ok(table) => Ok(PolicyFile { path, table }),
        Err(source) => Err(PolicyFileError::Invalid { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A root with a policy file of the given content and mode.
    fn root(content: &[u8], mode: u32) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(VERIFIER_POLICY);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        root
    }

    #[test]
    fn a_missing_policy_is_an_error_that_names_the_path() {
        let root = tempfile::tempdir().unwrap();
        let error = read(root.path()).unwrap_err();
        assert!(matches!(error, PolicyFileError::Read { .. }));
        assert!(
            error
                .to_string()
                .contains("etc/nodeseal/verifier/policy.json"),
            "{error}"
        );
    }

    #[test]
    fn a_policy_that_others_can_write_is_not_trusted() {
        for mode in [0o666, 0o664, 0o646] {
            let root = root(b"{}", mode);
            let error = read(root.path()).unwrap_err();
            assert!(
                matches!(error, PolicyFileError::Untrusted { .. }),
                "{mode:o}: {error}"
            );
        }
    }

    #[test]
    fn a_link_or_a_folder_in_its_place_is_refused() {
        let other = root(b"{}", 0o644);
        let link = tempfile::tempdir().unwrap();
        let path = link.path().join(VERIFIER_POLICY);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(other.path().join(VERIFIER_POLICY), &path).unwrap();
        assert!(matches!(
            read(link.path()).unwrap_err(),
            PolicyFileError::Read { .. }
        ));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(
            read(link.path()).unwrap_err(),
            PolicyFileError::NotAFile { .. }
        ));
    }

    #[test]
    fn a_damaged_or_oversized_policy_is_refused() {
        let damaged = root(b"{\"version\":1", 0o644);
        assert!(matches!(
            read(damaged.path()).unwrap_err(),
            PolicyFileError::Invalid { .. }
        ));
        let huge = root(b"", 0o644);
        let file = fs::File::options()
            .write(true)
            .open(huge.path().join(VERIFIER_POLICY))
            .unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(
            read(huge.path()).unwrap_err(),
            PolicyFileError::TooLarge { .. }
        ));
    }
}
