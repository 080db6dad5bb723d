//! The verifier's own files below `/var/lib/nodeseal`, opened so that nobody else can have put
//! anything there: step by step from an open folder, never through a link, and only what root (or
//! the user that containerd runs as) owns and nobody else can write.
//!
//! The agent makes `/var/lib/nodeseal`; where it is not there nothing is written at all. Nothing
//! here decides about an image: whoever uses it goes on without on every error.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use policy::paths::STATE_DIR;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;

/// The name of a file that is not whole yet. Only who holds the folder's lock writes one, so that
/// there is never more than one left over.
const UNFINISHED: &str = ".new";
/// The most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 1024;
/// The pause between two tries for a lock that is held for microseconds.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not there.
    #[error("{0} is not there")]
    Absent(PathBuf),
    /// It cannot be opened, read or written.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A link, a pipe, a folder in place of a file.
    #[error("{0} is not a regular file: remove it")]
    NotAFile(PathBuf),
    /// Somebody else could have written it.
    #[error(
        "{path} can be written by others than root (owner {uid}, mode {mode:04o}): check who changed it, then remove it"
    )]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// Larger than anything that is written there.
    #[error("{path} has more than {limit} bytes: remove it")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Another process has it locked.
    #[error("{0} is locked")]
    Locked(PathBuf),
}

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

/// A regular file in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: CString,
    /// When it was written, in Unix seconds.
    pub modified: i64,
}

impl Folder {
    /// The state folder of the node whose files are under `root`.
    pub fn state(root: &Path) -> Result<Self, StateError> {
        let path = root.join(STATE_DIR);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StateError::Absent(path));
        };
        // Up to here these are the system's folders, which may be links.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = rustix::fs::open(parent, flags, Mode::empty())
            .map_err(|errno| failed(path.clone(), errno))?;
        Self::open(&parent, Path::new(name), path.clone())
    }

    fn open(parent: &OwnedFd, name: &Path, path: PathBuf) -> Result<Self, StateError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = openat(parent, name, flags, Mode::empty())
            .map_err(|errno| failed(path.clone(), errno))?;
        let stat = fstat(&descriptor).map_err(|errno| failed(path.clone(), errno))?;
        check_owner(&path, stat.st_uid, stat.st_mode)?;
        Ok(Self { descriptor, path })
    }

    /// A folder in it.
    pub fn child(&self, name: &str) -> Result<Self, StateError> {
        Self::open(&self.descriptor, Path::new(name), self.path.join(name))
    }

    /// A folder in it, made if it is not there.
    pub fn child_or_new(&self, name: &str) -> Result<Self, StateError> {
        match self.child(name) {
            Err(StateError::Absent(path)) => {
                match mkdirat(&self.descriptor, name, Mode::RWXU) {
                    // Somebody else was faster.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed(path, errno)),
                }
                self.child(name)
            }
            known => known,
        }
    }

    /// Opens a regular file in it with `flags`; one that has to be made gets mode 0600.
    pub fn file(&self, name: &str, flags: OFlags) -> Result<File, StateError> {
        let path = || self.path.join(name);
        // A link could lead anywhere; a pipe could block.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = match openat(&self.descriptor, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                return Err(StateError::NotAFile(path()));
            }
            Err(errno) => return Err(failed(path(), errno)),
        };
        let metadata = file
            .metadata()
            .map_err(|source| io_failed(path(), source))?;
        if !metadata.is_file() {
            return Err(StateError::NotAFile(path()));
        }
        check_owner(&path(), metadata.uid(), metadata.mode())?;
        Ok(file)
    }

    /// The bytes of a file in it, which has at most `limit` of them.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, StateError> {
        let path = || self.path.join(name);
        let mut bytes = Vec::new();
        self.file(name, OFlags::RDONLY)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| io_failed(path(), source))?;
        if bytes.len() as u64 > limit {
            return Err(StateError::TooLarge {
                path: path(),
                limit,
            });
        }
        Ok(bytes)
    }

    /// Puts a file in the place of `name`, whole or not at all. For who holds the lock.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        // What somebody left who was killed.
        self.remove(UNFINISHED);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let written = self.file(UNFINISHED, flags).and_then(|mut file| {
            file.write_all(bytes)
                .map_err(|source| io_failed(self.path.join(UNFINISHED), source))
        });
        let placed = written.and_then(|()| self.rename(UNFINISHED, name));
        if placed.is_err() {
            self.remove(UNFINISHED);
        }
        placed
    }

    /// Renames a file in it over another one.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), StateError> {
        renameat(&self.descriptor, from, &self.descriptor, to)
            .map_err(|errno| failed(self.path.join(to), errno))
    }

    /// Removes a file or a link, if that is possible.
    pub fn remove(&self, name: impl rustix::path::Arg) {
        // One that stays is not used either.
        let _ = unlinkat(&self.descriptor, name, AtFlags::empty());
    }

    /// The files in it, but no more than a bound.
    pub fn files(&self) -> Result<Vec<Listed>, StateError> {
        let listed = |errno| failed(self.path.clone(), errno);
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.descriptor)
            .map_err(listed)?
            .take(MAX_ENTRIES)
        {
            let entry = entry.map_err(listed)?;
            let name = entry.file_name();
            let stat = statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
            let Ok(stat) = stat else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                files.push(Listed {
                    name: name.to_owned(),
                    modified: stat.st_mtime,
                });
            }
        }
        Ok(files)
    }

    /// Locks it until it is dropped. Who holds the lock does so for microseconds: it is waited for
    /// no longer than `patience`.
    pub fn lock(&self, patience: Duration) -> Result<(), StateError> {
        let until = Instant::now() + patience;
        loop {
            match flock(&self.descriptor, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(StateError::Locked(self.path.clone())),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(self.path.clone(), errno)),
            }
        }
    }
}

fn check_owner(path: &Path, uid: u32, mode: u32) -> Result<(), StateError> {
    let mode = mode & 0o7777;
    // Where containerd itself runs without root, its own user is the administrator.
    let own = rustix::process::geteuid().as_raw();
    if (uid != 0 && uid != own) || mode & 0o022 != 0 {
        let path = path.to_owned();
        return Err(StateError::Untrusted { path, uid, mode });
    }
    Ok(())
}

fn failed(path: PathBuf, errno: Errno) -> StateError {
    match errno {
        Errno::NOENT => StateError::Absent(path),
        errno => io_failed(path, errno.into()),
    }
}

fn io_failed(path: PathBuf, source: io::Error) -> StateError {
    StateError::Io { path, source }
}

#[cfg(test)]
mod tests;
