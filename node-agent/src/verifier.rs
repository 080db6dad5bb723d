//! The verifier's binary, as it comes with the agent (on the agent's own file system).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

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
    /// It is empty or implausibly large.
    #[error(
        "the verifier {path} is no program (it is empty, or larger than {READ_LIMIT} bytes); \
         installed, it would refuse every pull"
    )]
    Implausible {
        /// The file.
        path: String,
    },
}

/// Reads the binary.
pub fn read(path: &Path) -> Result<Vec<u8>, VerifierError> {
    let failed = |source| VerifierError::Read {
        path: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(READ_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.is_empty() || bytes.len() as u64 > READ_LIMIT {
        return Err(VerifierError::Implausible {
            path: path.display().to_string(),
        });
    }
    Ok(bytes)
}
