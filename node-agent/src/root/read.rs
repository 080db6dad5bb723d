//! Reading below the root: bounded, and never through a link in the last component.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use std::time::SystemTime;

use policy::digest::Digest;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::hash::Hasher;
use super::{FileError, Root, Xattrs, split};

/// A regular file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// All of its bytes.
    pub bytes: Vec<u8>,
    /// Permission bits, set-id bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it was last written, where the file system says so.
    pub modified: Option<SystemTime>,
}

/// A regular file as it is on disk, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Permission bits, set-id bits included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes. They are kept with a file of others, and of themselves no reason to
    /// write one.
    pub xattrs: Xattrs,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A device, or something newer than this list.
    Device,
}

impl EntryKind {
    fn of(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Pipe,
            FileType::Socket => Self::Socket,
            _ => Self::Device,
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "regular file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
            Self::Device => "device",
        })
    }
}

impl Root {
    /// Reads a regular file of at most `limit` bytes; `None` when there is none.
    ///
    /// A symbolic link in the place of the file is an error, wherever it leads.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Content>, FileError> {
        let file = self.regular(path)?;
        file.map(|file| self.content(path, file, limit)).transpose()
    }

    /// Digest, mode and owner of a regular file of at most `limit` bytes; `None` when there is
    /// none. However large the file, only a small part of it is in memory at once.
    pub fn seen(&self, path: &str, limit: u64) -> Result<Option<Seen>, FileError> {
        let Some(file) = self.regular(path)? else {
            return Ok(None);
        };
        let meta = file
            .metadata()
            .map_err(|error| self.io("read", path, error))?;
        let xattrs = self.xattrs(path, &file)?;
        let mut bounded = file.take(limit.saturating_add(1));
        let (sha256, size) =
            Hasher::all(&mut bounded).map_err(|error| self.io("read", path, error))?;
        if size > limit {
            let path = self.show(path);
            return Err(FileError::TooLarge { path, limit });
        }
        Ok(Some(Seen {
            sha256,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            xattrs,
        }))
    }

    /// The bytes of a regular file; `None` when there is none.
    pub fn size(&self, path: &str) -> Result<Option<u64>, FileError> {
        let size = |file: File| file.metadata().map(|meta| meta.len());
        let size = self.regular(path)?.map(size).transpose();
        size.map_err(|error| self.io("look at", path, error))
    }

    /// When a regular file was last written; `None` when there is none.
    pub fn modified(&self, path: &str) -> Result<Option<SystemTime>, FileError> {
        let modified = |file: File| file.metadata().and_then(|meta| meta.modified());
        let time = self.regular(path)?.map(modified).transpose();
        time.map_err(|error| self.io("look at", path, error))
    }

    /// Opens a regular file, not through a link in its place; `None` when there is none.
    pub(crate) fn regular(&self, path: &str) -> Result<Option<File>, FileError> {
        let (parent, name) = split(path);
        let Some(dir) = self.existing_dir(parent)? else {
            return Ok(None);
        };
        // Not blocking: opening a pipe would wait for a writer before it could be refused.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&dir, name, flags, Mode::empty()) {
            Ok(fd) => self.only_regular(path, fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(self.symlink(&dir, path)),
            // What open(2) says of a socket.
            Err(Errno::NXIO) => Err(FileError::WrongKind {
                path: self.show(path),
                found: EntryKind::Socket,
                wanted: EntryKind::File,
            }),
            Err(errno) => Err(self.io("open", path, errno)),
        }
    }

    /// Reads a file that others own, following links inside the root; `None` when there is none.
    pub fn read_following(&self, path: &str, limit: u64) -> Result<Option<Content>, FileError> {
        match self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC) {
            Ok(fd) => self
                .content(path, self.only_regular(path, fd)?, limit)
                .map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.io("open", path, errno)),
        }
    }

    /// True when there is anything at the path, links inside the root followed.
    pub fn exists(&self, path: &str) -> Result<bool, FileError> {
        match self.resolve(path, OFlags::PATH | OFlags::CLOEXEC) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(self.io("look for", path, errno)),
        }
    }

    /// The names in a directory with their kinds, sorted; `None` when there is no directory.
    ///
    /// The directory itself must not be a symbolic link.
    pub fn entries(&self, path: &str) -> Result<Option<Vec<(String, EntryKind)>>, FileError> {
        let (parent, name) = split(path);
        let Some(parent) = self.existing_dir(parent)? else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(&parent, name, flags, Mode::empty()) {
            Ok(dir) => dir,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno @ (Errno::LOOP | Errno::NOTDIR)) => {
                // With O_DIRECTORY the kernel says ENOTDIR of a link as well.
                let stat = rustix::fs::statat(&parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|_| self.io("open", path, errno))?;
                let found = EntryKind::of(FileType::from_raw_mode(stat.st_mode));
                if found == EntryKind::Symlink {
                    return Err(self.symlink(&parent, path));
                }
                let path = self.show(path);
                return Err(FileError::WrongKind {
                    path,
                    found,
                    wanted: EntryKind::Directory,
                });
            }
            Err(errno) => return Err(self.io("open", path, errno)),
        };
        self.list(path, &dir).map(Some)
    }

    /// As [`Root::entries`], for a directory that others own: it may be a symbolic link.
    pub fn entries_following(
        &self,
        path: &str,
    ) -> Result<Option<Vec<(String, EntryKind)>>, FileError> {
        let dir = self.existing_dir(path)?;
        dir.map(|dir| self.list(path, &dir)).transpose()
    }

    fn list(&self, path: &str, dir: &OwnedFd) -> Result<Vec<(String, EntryKind)>, FileError> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(dir).map_err(|errno| self.io("list", path, errno))? {
            let entry = entry.map_err(|errno| self.io("list", path, errno))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
                let stat = rustix::fs::statat(dir, name, flags)
                    .map_err(|errno| self.io("look at an entry of", path, errno))?;
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            entries.push((name.to_string_lossy().into_owned(), EntryKind::of(kind)));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// Opens a directory, or says that it does not exist.
    pub(super) fn existing_dir(&self, path: &str) -> Result<Option<OwnedFd>, FileError> {
        match self.dir(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.io("open the directory", path, errno)),
        }
    }

    fn only_regular(&self, path: &str, fd: OwnedFd) -> Result<File, FileError> {
        let file = File::from(fd);
        let meta = file
            .metadata()
            .map_err(|error| self.io("read", path, error))?;
        let found = EntryKind::of(FileType::from_raw_mode(meta.mode()));
        if found == EntryKind::File {
            return Ok(file);
        }
        Err(FileError::WrongKind {
            path: self.show(path),
            found,
            wanted: EntryKind::File,
        })
    }

    fn content(&self, path: &str, file: File, limit: u64) -> Result<Content, FileError> {
        let meta = file
            .metadata()
            .map_err(|error| self.io("read", path, error))?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| self.io("read", path, error))?;
        if bytes.len() as u64 > limit {
            return Err(FileError::TooLarge {
                path: self.show(path),
                limit,
            });
        }
        Ok(Content {
            bytes,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            modified: meta.modified().ok(),
        })
    }

    fn symlink(&self, dir: &OwnedFd, path: &str) -> FileError {
        let target = rustix::fs::readlinkat(dir, split(path).1, Vec::new()).map_or_else(
            |_| "?".to_owned(),
            |target| target.to_string_lossy().into_owned(),
        );
        FileError::Symlink {
            path: self.show(path),
            target,
        }
    }
}
