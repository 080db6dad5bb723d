//! Directories below the root: made, synced, and removed where they are empty.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{FileError, Root, split};
use crate::fault;

/// What became of a directory that was to go if it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emptied {
    /// It is not there: it was removed now or before, or is something else by now.
    Gone,
    /// There is something in it, or a file system is mounted on it.
    InUse,
}

impl Root {
    /// Creates a directory and all that is missing above it. Directories that exist stay as they
    /// are; of those that are made, the last one gets `mode` and the others 0755.
    pub fn create_dirs(&self, path: &str, mode: u32) -> Result<(), FileError> {
        if self.existing_dir(path)?.is_some() {
            return Ok(());
        }
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in ends {
            let here = &path[..end];
            let mode = if end == path.len() { mode } else { 0o755 };
            self.create_dir(here, mode)?;
        }
        Ok(())
    }

    /// Which of a directory and all above it do not exist, the upper ones first.
    pub fn missing_dirs<'a>(&self, path: &'a str) -> Result<Vec<&'a str>, FileError> {
        let mut missing = Vec::new();
        let mut here = path;
        while !here.is_empty() && self.existing_dir(here)?.is_none() {
            missing.push(here);
            here = split(here).0;
        }
        missing.reverse();
        Ok(missing)
    }

    fn create_dir(&self, path: &str, mode: u32) -> Result<(), FileError> {
        if self.existing_dir(path)?.is_some() {
            return Ok(());
        }
        let (parent_path, name) = split(path);
        let parent = self.parent(parent_path)?;
        fault::point("before mkdir", path);
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            // It is there and cannot be opened: a link to nowhere.
            Err(Errno::EXIST) => {
                return Err(FileError::Dangling {
                    path: self.show(path),
                    root: self.path().display().to_string(),
                });
            }
            Err(errno) => return Err(self.io("create the directory", path, errno)),
        }
        fault::point("after mkdir", path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let created = rustix::fs::openat(&parent, name, flags, Mode::empty())
            .map_err(|errno| self.io("open the directory", path, errno))?;
        rustix::fs::fchmod(&created, Mode::from_raw_mode(mode))
            .map_err(|errno| self.io("set the mode of", path, errno))?;
        fault::point("after chmod of directory", path);
        self.sync_dir(&created, path)?;
        self.sync_dir(&parent, parent_path)
    }

    /// As [`Root::sync`], where there is such a directory.
    pub fn sync_if_there(&self, path: &str) -> Result<(), FileError> {
        let dir = self.existing_dir(path)?;
        dir.map_or(Ok(()), |dir| self.sync_dir(&dir, path))
    }

    /// Removes a directory that is empty. A link, or something else in its place, is left alone.
    pub fn remove_empty(&self, path: &str) -> Result<Emptied, FileError> {
        let (parent, name) = split(path);
        let Some(dir) = self.existing_dir(parent)? else {
            return Ok(Emptied::Gone);
        };
        fault::point("before removal", path);
        match rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
            Ok(()) => {}
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Emptied::Gone),
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => return Ok(Emptied::InUse),
            // A mount in a root that cannot be written, as that of a pod: the kernel says so before
            // it looks whether there is such a folder.
            Err(Errno::ROFS) => {
                return Ok(match self.existing_dir(path)? {
                    Some(_) => Emptied::InUse,
                    None => Emptied::Gone,
                });
            }
            Err(errno) => return Err(self.io("remove", path, errno)),
        }
        fault::point("after removal", path);
        self.sync_dir(&dir, parent)?;
        Ok(Emptied::Gone)
    }
}
