//! The verifier's binary, as it comes with the agent (on the agent's own file system).

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use policy::digest::Digest;

use crate::root::hash::Hasher;
use crate::transaction::READ_LIMIT;

/// Why the binary cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// It cannot be read.
    #[error("cannot read the verifier {path}: {source}; give its file with --verifier")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It is no program, empty or implausibly large.
    #[error(
        "the verifier {path} is no program (it has no ELF header, is empty, or larger than \
         {READ_LIMIT} bytes); installed, it would refuse every pull"
    )]
    Implausible {
        /// The file.
        path: String,
    },
}

/// Opens the binary; also its size in bytes.
pub fn open(path: &Path) -> Result<(File, u64), VerifierError> {
    let failed = |source| VerifierError::Read {
        path: path.display().to_string(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut magic = [0; 4];
    let begins = file.read(&mut magic).map_err(failed)?;
    file.rewind().map_err(failed)?;
    // A script serves in tests.
    let program = magic[..begins].starts_with(b"\x7fELF") || magic[..begins].starts_with(b"#!");
    if !program || size > READ_LIMIT {
        let path = path.display().to_string();
        return Err(VerifierError::Implausible { path });
    }
    Ok((file, size))
}

/// The digest of the binary, which is never in memory as a whole.
pub fn digest(path: &Path) -> Result<Digest, VerifierError> {
    let (file, size) = open(path)?;
    let (digest, read) =
        Hasher::all(&mut file.take(READ_LIMIT + 1)).map_err(|source| VerifierError::Read {
            path: path.display().to_string(),
            source,
        })?;
    if read == size {
        Ok(digest)
    } else {
        // It is being written right now, or is no regular file.
        let path = path.display().to_string();
        Err(VerifierError::Implausible { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_as_a_program_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verifier");
        for (content, good) in [
            (&b"\x7fELF and more"[..], true),
            (b"kind: ClusterImageSignaturePolicy", false),
            (b"", false),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(digest(&path).is_ok(), good, "{content:?}");
        }
    }
}
