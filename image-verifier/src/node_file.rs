//! Files of the node that its administrator writes: registry hosts, credentials, certificates.
//!
//! They are read as containerd and the kubelet read them, links included, but only regular files
//! and never more than a limit: a pipe must not block a pull, nor a device fill the memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Why a file cannot be used. The message names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeFileError {
    /// It cannot be opened or read.
    #[error("{path} cannot be read: {cause}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        cause: String,
    },
    /// A folder, a device, a pipe.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// Larger than any such file.
    #[error("{path} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        limit: u64,
    },
}

/// `path`, an absolute path of the node, below `root`.
#[must_use]
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The bytes of the file at `path`; nothing if there is none.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, NodeFileError> {
    let name = || path.display().to_string();
    let failed = |error: io::Error| NodeFileError::Read {
        path: name(),
        cause: error.to_string(),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(failed(error.into())),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(NodeFileError::NotAFile { path: name() });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(NodeFileError::TooLarge {
            path: name(),
            limit,
        });
    }
    Ok(Some(bytes))
}

/// As [`read`], for a file that has to be there.
pub fn require(path: &Path, limit: u64) -> Result<Vec<u8>, NodeFileError> {
    read(path, limit)?.ok_or_else(|| NodeFileError::Read {
        path: path.display().to_string(),
        cause: "there is no such file".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert_eq!(read(&path, 4), Ok(None));
        assert_eq!(read(&path.join("below"), 4), Ok(None));
        std::fs::write(&path, "abcd").unwrap();
        assert_eq!(read(&path, 4), Ok(Some(b"abcd".to_vec())));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link, 4), Ok(Some(b"abcd".to_vec())));
        for (path, limit, part) in [
            (path.as_path(), 3, "more than 3 bytes"),
            (folder.path(), 3, "not a regular file"),
            (Path::new("/dev/zero"), 3, "not a regular file"),
        ] {
            let error = read(path, limit).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        let error = require(&folder.path().join("none"), 4).unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");
    }

    #[test]
    fn a_pipe_without_writer_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(
            read(&pipe, 4),
            Err(NodeFileError::NotAFile { .. })
        ));
    }
}
