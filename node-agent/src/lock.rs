//! One agent to a root.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::layout;
use crate::root::{FileError, Root};

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent holds it.
    #[error(
        "another nodeseal-agent (process {pid}) works on {root}; stop it first, or give this one \
         another --root"
    )]
    Held {
        /// The process that holds it, `unknown` when it did not say.
        pid: String,
        /// The root.
        root: String,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Held as long as the agent runs; the kernel lets go of it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a root, or says who holds it. The state directory must exist.
    pub fn take(root: &Root) -> Result<Self, LockError> {
        let failed = |action, source| {
            LockError::File(FileError::Io {
                action,
                path: root.show(layout::LOCK),
                source,
            })
        };
        let mut file = root.open_held(layout::LOCK, 0o600)?;
        Self::hold(root, &mut file)?;
        // One that was opened before an agent that leaves the node removed it keeps nobody out.
        let links = file.metadata().map_err(|error| failed("look at", error))?;
        if links.nlink() == 0 {
            file = root.open_held(layout::LOCK, 0o600)?;
            Self::hold(root, &mut file)?;
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| failed("write", error))?;
        Ok(Self { _file: file })
    }

    fn hold(root: &Root, file: &mut File) -> Result<(), LockError> {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // A pid is short; nothing else is worth reading.
                let _ = file.take(32).read_to_string(&mut text);
                let pid = text.trim();
                let pid = if pid.is_empty() { "unknown" } else { pid }.to_owned();
                Err(LockError::Held {
                    pid,
                    root: root.path().display().to_string(),
                })
            }
            Err(errno) => Err(LockError::File(FileError::Io {
                action: "lock",
                path: root.show(layout::LOCK),
                source: errno.into(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dirs(policy::paths::STATE_DIR, 0o700).unwrap();
        let first = Lock::take(&root).unwrap();
        let text = Lock::take(&root).unwrap_err().to_string();
        assert!(
            text.contains(&format!("(process {})", std::process::id())),
            "{text}"
        );
        drop(first);
        Lock::take(&root).unwrap();
    }
}
