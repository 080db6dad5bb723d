//! What is found out before anything is changed: flags that forbid it, and room on the disk.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{IFlags, fstat, fstatvfs, ioctl_getflags};
use rustix::io::Errno;

use super::{FileError, Root, split};

/// New files for one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need<'a> {
    /// A path on the file system that they go to; it need not exist.
    pub path: &'a str,
    /// The bytes of one file.
    pub bytes: u64,
}

/// A file system, and what is to go there.
struct Volume<'a> {
    /// One of the paths, for the message.
    path: &'a str,
    folder: OwnedFd,
    bytes: u64,
    files: u64,
}

impl Root {
    /// Refuses where chattr(1) made the file, or the folder that it is in, immutable or
    /// append-only. The agent never takes these flags away: somebody set them on purpose.
    pub fn refuse_protected(&self, path: &str) -> Result<(), FileError> {
        let (folder_path, folder) = self.nearest_dir(split(path).0)?;
        self.refuse_flags(folder_path, &folder)?;
        match self.regular(path) {
            Ok(Some(file)) => self.refuse_flags(path, &file),
            Ok(None) => Ok(()),
            // Whoever replaces it says what is wrong with it.
            Err(error) if error.is_foreign() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn refuse_flags(&self, path: &str, file: impl AsFd) -> Result<(), FileError> {
        let flags = match ioctl_getflags(file) {
            Ok(flags) => flags,
            // A file system without such flags.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(self.io("read the flags of", path, errno)),
        };
        let (flag, letter) = if flags.contains(IFlags::IMMUTABLE) {
            ("immutable", 'i')
        } else if flags.contains(IFlags::APPEND) {
            ("append-only", 'a')
        } else {
            return Ok(());
        };
        Err(FileError::Protected {
            path: self.show(path),
            flag,
            letter,
        })
    }

    /// Refuses where a file system has no room for what is to be written there.
    ///
    /// Blocks that only root may use count as room, and what is written over does not: a disk that
    /// is fuller than it looks here shows when the files are staged, and nothing is changed then
    /// either.
    pub fn refuse_full(&self, needs: &[Need<'_>]) -> Result<(), FileError> {
        let mut volumes: BTreeMap<u64, Volume<'_>> = BTreeMap::new();
        for need in needs {
            let (_, folder) = self.nearest_dir(split(need.path).0)?;
            let failed = |errno| self.io("look at the file system of", need.path, errno);
            let device = fstat(&folder).map_err(failed)?.st_dev;
            let block = fstatvfs(&folder).map_err(failed)?.f_frsize.max(1);
            let volume = volumes.entry(device).or_insert(Volume {
                path: need.path,
                folder,
                bytes: 0,
                files: 0,
            });
            let bytes = need.bytes.checked_next_multiple_of(block);
            volume.bytes = volume.bytes.saturating_add(bytes.unwrap_or(u64::MAX));
            volume.files += 1;
        }
        for volume in volumes.values() {
            self.refuse_full_volume(volume)?;
        }
        Ok(())
    }

    fn refuse_full_volume(&self, volume: &Volume<'_>) -> Result<(), FileError> {
        let stat = fstatvfs(&volume.folder)
            .map_err(|errno| self.io("look at the file system of", volume.path, errno))?;
        let free = stat.f_bfree.saturating_mul(stat.f_frsize);
        // Zero where the file system has no such limit.
        let is_full = stat.f_blocks > 0 && free < volume.bytes;
        if is_full {
            return Err(FileError::Full {
                path: self.show(volume.path),
                needed: volume.bytes,
                free,
            });
        }
        if stat.f_files > 0 && stat.f_ffree < volume.files {
            return Err(FileError::NoInodes {
                path: self.show(volume.path),
                needed: volume.files,
                free: stat.f_ffree,
            });
        }
        Ok(())
    }

    /// The folder at `path`, or the nearest one above it that exists, and where that is.
    pub(super) fn nearest_dir<'a>(&self, path: &'a str) -> Result<(&'a str, OwnedFd), FileError> {
        let mut here = path;
        loop {
            match self.dir(here) {
                Ok(folder) => return Ok((here, folder)),
                // Whoever needs a folder there says what is wrong.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !here.is_empty() => {
                    here = split(here).0;
                }
                Err(errno) => return Err(self.io("open the directory", here, errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::ioctl_setflags;

    use super::*;

    /// A file or folder with a flag, which goes before the folder is removed.
    struct Flagged(std::fs::File);

    impl Flagged {
        fn new(path: &std::path::Path, flags: IFlags) -> Self {
            let file = std::fs::File::open(path).unwrap();
            ioctl_setflags(&file, flags).unwrap_or_else(|errno| {
                panic!("no {flags:?} on {}: {errno}; it takes root", path.display())
            });
            Self(file)
        }
    }

    impl Drop for Flagged {
        fn drop(&mut self) {
            let _ = ioctl_setflags(&self.0, IFlags::empty());
        }
    }

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dirs("etc/x", 0o755).unwrap();
        std::fs::write(dir.path().join("etc/x/f"), "x").unwrap();
        (dir, root)
    }

    #[test]
    fn flags_of_a_file_and_of_its_folder_are_told_with_the_way_out() {
        let (dir, root) = root();
        for path in ["etc/x/f", "etc/x/not-there", "etc/x/no/folder/yet"] {
            root.refuse_protected(path).unwrap();
        }
        for (at, flags, path, told) in [
            ("etc/x/f", IFlags::IMMUTABLE, "etc/x/f", "chattr -i"),
            (
                "etc/x/f",
                IFlags::APPEND,
                "etc/x/f",
                "append-only (chattr +a)",
            ),
            (
                "etc/x",
                IFlags::IMMUTABLE,
                "etc/x/new",
                "immutable (chattr +i)",
            ),
            ("etc", IFlags::IMMUTABLE, "etc/new/folder/f", "immutable"),
        ] {
            let flagged = Flagged::new(&dir.path().join(at), flags);
            let error = root.refuse_protected(path).unwrap_err();
            assert!(error.is_foreign(), "{error}");
            let text = error.to_string();
            let shown = dir.path().join(at).display().to_string();
            assert!(text.starts_with(&format!("{shown} is ")), "{text}");
            assert!(text.contains(told), "{text}");
            drop(flagged);
            root.refuse_protected(path).unwrap();
        }
    }

    #[test]
    fn a_disk_without_room_is_told_with_path_and_bytes() {
        let (_dir, root) = root();
        let need = |bytes| Need {
            path: "etc/x/new/f",
            bytes,
        };
        root.refuse_full(&[need(4096), need(0)]).unwrap();
        // Each for itself fits; all of them do not.
        let half = u64::MAX / 2;
        for needs in [[need(u64::MAX), need(0)], [need(half), need(half)]] {
            let error = root.refuse_full(&needs).unwrap_err();
            assert!(!error.is_foreign());
            let text = error.to_string();
            assert!(text.contains("etc/x/new/f: its file system has "), "{text}");
            assert!(text.contains("bytes free"), "{text}");
        }
    }
}
