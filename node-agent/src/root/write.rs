//! Changing files below the root: new files under a temporary name, then a rename.
//!
//! Everything is on disk (fsync of the file, then of its directory) before the call returns.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;

use policy::digest::Digest;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::hash::Hasher;
use super::{FileError, Root, Seen, Xattrs, split, temporary};
use crate::fault;

/// Mode, owner and extended attributes of a file that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, set whatever the umask is.
    pub mode: u32,
    /// User and group; `None` leaves the agent's own.
    pub owner: Option<(u32, u32)>,
    /// Besides those that the system gives a new file.
    pub xattrs: Xattrs,
}

impl Attributes {
    /// The agent's own file with this mode.
    #[must_use]
    pub fn mode(mode: u32) -> Self {
        Self {
            mode,
            owner: None,
            xattrs: Xattrs::default(),
        }
    }

    /// Those of a file that was seen.
    #[must_use]
    pub fn of(seen: &Seen) -> Self {
        Self {
            mode: seen.mode,
            owner: Some((seen.uid, seen.gid)),
            xattrs: seen.xattrs.clone(),
        }
    }
}

impl Root {
    /// Writes a new file in one piece, under a name that nobody reads, and syncs it.
    ///
    /// Whatever stands at that name is a leftover of ours and is removed first. The directory is
    /// not synced: [`Root::rename`] does that, or [`Root::sync`].
    pub fn stage(
        &self,
        path: &str,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), FileError> {
        let size = bytes.len() as u64;
        self.stage_from(path, &mut { bytes }, size, attributes)?;
        Ok(())
    }

    /// As [`Root::stage`], with all that `reader` gives; `size` is what it is thought to give.
    /// Returns the digest of what was written. A small part of it is in memory at once.
    pub fn stage_from(
        &self,
        path: &str,
        reader: &mut dyn Read,
        size: u64,
        attributes: &Attributes,
    ) -> Result<Digest, FileError> {
        let (parent, name) = split(path);
        let dir = self.parent(parent)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(0o600));
        fault::point("before create", path);
        let fd = match open() {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(&dir, name, AtFlags::empty())
                    .map_err(|errno| self.io("remove", path, errno))?;
                fault::point("after removal of leftover", path);
                open()
            }
            result => result,
        }
        .map_err(|errno| self.io("create", path, errno))?;
        fault::point("after create", path);
        let result = self.fill(path, fd, reader, size, attributes);
        if result.is_err() {
            // Half a file under a temporary name helps nobody; the first error is the one to tell.
            let _ = rustix::fs::unlinkat(&dir, name, AtFlags::empty());
        }
        result
    }

    /// Stages a copy of another file below the root, and returns the digest of what was copied;
    /// `None` when there is no such file.
    pub fn stage_copy(
        &self,
        from: &str,
        path: &str,
        attributes: &Attributes,
    ) -> Result<Option<Digest>, FileError> {
        let Some(mut file) = self.regular(from)? else {
            return Ok(None);
        };
        let meta = file
            .metadata()
            .map_err(|error| self.io("read", from, error))?;
        self.stage_from(path, &mut file, meta.len(), attributes)
            .map(Some)
    }

    fn fill(
        &self,
        path: &str,
        fd: OwnedFd,
        reader: &mut dyn Read,
        size: u64,
        attributes: &Attributes,
    ) -> Result<Digest, FileError> {
        let mut file = File::from(fd);
        let mut hasher = Hasher::new();
        // In two parts, so that a fault can leave half a file.
        pass(
            &mut Read::take(&mut *reader, size / 2),
            &mut file,
            &mut hasher,
        )
        .map_err(|error| self.io("write", path, error))?;
        fault::point("amid write", path);
        pass(reader, &mut file, &mut hasher).map_err(|error| self.io("write", path, error))?;
        fault::point("after write", path);
        if let Some((uid, gid)) = attributes.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::fchown(&file, Some(uid), Some(gid))
                .map_err(|errno| self.io("set the owner of", path, errno))?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(attributes.mode))
            .map_err(|errno| self.io("set the mode of", path, errno))?;
        fault::point("after chmod", path);
        // After the owner, with whose change the kernel takes capabilities away.
        self.set_xattrs(path, &file, &attributes.xattrs)?;
        file.sync_all()
            .map_err(|error| self.io("sync", path, error))?;
        fault::point("after fsync", path);
        hasher
            .finish()
            .map_err(|error| self.io("write", path, error))
    }

    /// Renames a file or a directory over what is there, and syncs both directories.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), FileError> {
        let (from_parent, from_name) = split(from);
        let (to_parent, to_name) = split(to);
        let source = self.parent(from_parent)?;
        let target = self.parent(to_parent)?;
        fault::point("before rename", to);
        rustix::fs::renameat(&source, from_name, &target, to_name)
            .map_err(|errno| self.io("rename a new file to", to, errno))?;
        fault::point("after rename", to);
        self.sync_dir(&target, to_parent)?;
        if from_parent != to_parent {
            self.sync_dir(&source, from_parent)?;
        }
        fault::point("after fsync of directory", to);
        Ok(())
    }

    /// Writes a file of the agent's own: temporary name in the same directory, then a rename.
    pub fn replace(
        &self,
        path: &str,
        bytes: &[u8],
        attributes: &Attributes,
    ) -> Result<(), FileError> {
        let staged = temporary(path);
        self.stage(&staged, bytes, attributes)?;
        self.rename(&staged, path).inspect_err(|_| {
            // A folder may stand there. What was staged for it is of no use; the error says it all.
            let _ = self.remove(&staged);
        })
    }

    /// Removes a file, or an empty directory; nothing there is fine.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        let (parent, name) = split(path);
        let Some(dir) = self.existing_dir(parent)? else {
            return Ok(());
        };
        let found = match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => rustix::fs::FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(self.io("look at", path, errno)),
        };
        let flags = if found == rustix::fs::FileType::Directory {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        fault::point("before removal", path);
        rustix::fs::unlinkat(&dir, name, flags).map_err(|errno| self.io("remove", path, errno))?;
        fault::point("after removal", path);
        self.sync_dir(&dir, parent)
    }

    /// Syncs a directory, so that the names in it survive a loss of power.
    pub fn sync(&self, path: &str) -> Result<(), FileError> {
        let dir = self.parent(path)?;
        self.sync_dir(&dir, path)
    }

    /// Opens, and creates when it is not there, a small file that is held open: the lock.
    pub fn open_held(&self, path: &str, mode: u32) -> Result<File, FileError> {
        let (parent, name) = split(path);
        let dir = self.parent(parent)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fault::point("before open", path);
        let fd = rustix::fs::openat(&dir, name, flags, Mode::from_raw_mode(mode))
            .map_err(|errno| self.io("open", path, errno))?;
        fault::point("after open", path);
        Ok(File::from(fd))
    }

    pub(super) fn parent(&self, path: &str) -> Result<OwnedFd, FileError> {
        self.dir(path)
            .map_err(|errno| self.io("open the directory", path, errno))
    }

    pub(super) fn sync_dir(&self, dir: &OwnedFd, path: &str) -> Result<(), FileError> {
        rustix::fs::fsync(dir).map_err(|errno| self.io("sync the directory", path, errno))
    }
}

/// Passes everything on, and its digest.
fn pass(reader: &mut dyn Read, file: &mut File, hasher: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                file.write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
