//! All access to the node's files, below one root directory.
//!
//! Directories are opened with `openat2(2)` and `RESOLVE_IN_ROOT`: a symbolic link on the way
//! (`/opt` → `/var/opt` on image-based systems) is followed as if the root were `/`, so nothing
//! ever leaves it. The last component is never followed: a link at the place of a file that the
//! agent reads back or replaces is an error that names the link.
//!
//! Paths are relative to the root, without a leading slash: `etc/nodeseal/verifier/policy.json`.

mod guard;
pub(crate) mod hash;
mod read;
mod write;
mod xattr;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

pub use self::guard::Need;
pub use self::read::{Content, EntryKind, Seen};
pub use self::write::{Attributes, Emptied};
pub use self::xattr::Xattrs;

/// What goes wrong with one file. Each variant names the full path and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A symbolic link stands where the agent keeps a file of its own.
    #[error(
        "{path} is a symbolic link to {target}; remove it, or point it out of the way: nodeseal \
         replaces only regular files"
    )]
    Symlink {
        /// The link.
        path: String,
        /// What it points to.
        target: String,
    },
    /// A directory, socket, device or pipe stands where a file is expected.
    #[error("{path} is a {found}, not a {wanted}; move it out of the way")]
    WrongKind {
        /// The path.
        path: String,
        /// What is there.
        found: EntryKind,
        /// What should be there.
        wanted: EntryKind,
    },
    /// A file is larger than anything the agent writes or reads.
    #[error("{path} is larger than {limit} bytes, the most that is read of it")]
    TooLarge {
        /// The path.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A directory on the way is a symbolic link that leads nowhere below the root.
    #[error(
        "{path} leads through a symbolic link to a place that does not exist below {root}; create \
         that place or remove the link"
    )]
    Dangling {
        /// The directory.
        path: String,
        /// The root that nothing leaves.
        root: String,
    },
    /// chattr(1) keeps a file or a folder from being changed.
    #[error(
        "{path} is {flag} (chattr +{letter}): remove the flag with `chattr -{letter} {path}`, or \
         keep nodeseal from this file; nodeseal takes no such flag away"
    )]
    Locked {
        /// The file or folder.
        path: String,
        /// What it is.
        flag: &'static str,
        /// The flag's letter.
        letter: char,
    },
    /// A file has attributes that could not be given back with it.
    #[error(
        "{path} has more extended attributes than are kept of one file ({names} names without \
         those of the kernel, {bytes} bytes), or one whose name is not UTF-8: remove some, \
         see getfattr(1)",
        names = xattr::MAX_NAMES,
        bytes = xattr::MAX_BYTES
    )]
    Attributes {
        /// The file.
        path: String,
    },
    /// There is no room for what is to be written.
    #[error(
        "cannot write {path}: its file system has {free} bytes free, and {needed} are needed: \
         make room there"
    )]
    Full {
        /// A file that does not fit.
        path: String,
        /// What is needed on its file system, in bytes.
        needed: u64,
        /// What is free there.
        free: u64,
    },
    /// There can be no more files.
    #[error(
        "cannot write {path}: its file system has {free} inodes free, and {needed} are needed: \
         remove files there"
    )]
    NoInodes {
        /// A file that cannot be made.
        path: String,
        /// How many are needed on its file system.
        needed: u64,
        /// How many are free there.
        free: u64,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `open`, `rename`, …
        action: &'static str,
        /// The path.
        path: String,
        /// The answer of the operating system.
        source: io::Error,
    },
}

impl FileError {
    /// True when something that does not belong to nodeseal stands in the way, rather than a
    /// call that failed.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Symlink { .. }
                | Self::WrongKind { .. }
                | Self::Locked { .. }
                | Self::Attributes { .. }
        )
    }
}

/// A root directory: `/` on a node, any folder in tests and when images are built.
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
    uid: u32,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({})", self.path.display())
    }
}

impl Root {
    /// Opens the root directory, which must exist.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| FileError::Io {
                action: "open the root directory",
                path: path.display().to_string(),
                source: errno.into(),
            })?;
        Ok(Self {
            fd,
            path: path.to_owned(),
            uid: rustix::process::geteuid().as_raw(),
        })
    }

    /// The path as an administrator writes it, for messages.
    #[must_use]
    pub fn show(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    /// The user that the agent runs as, who owns what it writes.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The root itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn io(&self, action: &'static str, path: &str, source: impl Into<io::Error>) -> FileError {
        FileError::Io {
            action,
            path: self.show(path),
            source: source.into(),
        }
    }

    /// Opens a directory, following links inside the root only.
    fn dir(&self, path: &str) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.resolve(path, flags)
    }

    fn resolve(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename elsewhere on the system raced with a `..`; the manual says: try again.
        for _ in 0..16 {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }
}

/// Splits a path into its directory (`""` for the root) and its last component.
#[must_use]
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The temporary name beside a file: hidden, and with an ending that no reader of the directory
/// takes for its own (`*.toml`, `*.yaml`, `*.json`).
#[must_use]
pub fn temporary(path: &str) -> String {
    let (dir, name) = split(path);
    let slash = if dir.is_empty() { "" } else { "/" };
    format!("{dir}{slash}.{name}{TEMPORARY_SUFFIX}")
}

/// How every temporary name of the agent ends.
pub const TEMPORARY_SUFFIX: &str = ".nodeseal-tmp";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn temporary_names_are_hidden_and_end_in_nothing_that_a_runtime_reads() {
        assert_eq!(
            temporary("etc/x/policy.json"),
            "etc/x/.policy.json.nodeseal-tmp"
        );
        assert_eq!(temporary("journal"), ".journal.nodeseal-tmp");
    }

    #[test]
    fn a_link_inside_the_root_is_followed_as_if_the_root_were_the_file_system() {
        let (dir, root) = root();
        std::fs::create_dir_all(dir.path().join("var/opt")).unwrap();
        symlink("/var/opt", dir.path().join("opt")).unwrap();
        root.create_dirs("opt/nodeseal/x", 0o755).unwrap();
        root.replace("opt/nodeseal/x/f", b"here", &Attributes::mode(0o644))
            .unwrap();
        assert_eq!(
            std::fs::read(dir.path().join("var/opt/nodeseal/x/f")).unwrap(),
            b"here"
        );
    }

    #[test]
    fn a_link_out_of_the_root_leads_nowhere() {
        let (dir, root) = root();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("policy.json"), "outside").unwrap();
        symlink(outside.path(), dir.path().join("etc")).unwrap();
        assert!(root.read("etc/policy.json", 100).unwrap().is_none());
        let error = root.create_dirs("etc/nodeseal", 0o755).unwrap_err();
        assert!(matches!(error, FileError::Dangling { .. }), "{error}");
        // As many `..` as one likes stay in the root as well.
        std::fs::remove_file(dir.path().join("etc")).unwrap();
        symlink("../../../../../../tmp", dir.path().join("etc")).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        root.create_dirs("etc/nodeseal", 0o755).unwrap();
        assert!(dir.path().join("tmp/nodeseal").is_dir());
    }

    #[test]
    fn a_link_at_the_place_of_a_file_is_refused_by_name() {
        let (dir, root) = root();
        symlink("/etc/passwd", dir.path().join("f")).unwrap();
        let error = root.read("f", 100).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("is a symbolic link to /etc/passwd; remove it"),
            "{text}"
        );
        assert!(error.is_foreign());
    }

    #[test]
    fn directories_and_pipes_are_refused_at_the_place_of_a_file() {
        let (dir, root) = root();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let text = root.read("d", 100).unwrap_err().to_string();
        assert!(
            text.contains("is a directory, not a regular file"),
            "{text}"
        );
        rustix::fs::mknodat(
            CWD,
            dir.path().join("p"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let text = root.read("p", 100).unwrap_err().to_string();
        assert!(text.contains("is a pipe, not a regular file"), "{text}");
    }

    #[test]
    fn reads_are_bounded() {
        let (dir, root) = root();
        std::fs::write(dir.path().join("f"), [b'x'; 101]).unwrap();
        assert!(matches!(
            root.read("f", 100),
            Err(FileError::TooLarge { .. })
        ));
        assert_eq!(root.read("f", 101).unwrap().unwrap().bytes.len(), 101);
    }

    #[test]
    fn a_leftover_temporary_file_is_no_obstacle_and_a_link_there_is_not_followed() {
        let (dir, root) = root();
        std::fs::write(dir.path().join("victim"), "whole").unwrap();
        symlink("victim", dir.path().join(".f.nodeseal-tmp")).unwrap();
        root.replace("f", b"new", &Attributes::mode(0o600)).unwrap();
        assert_eq!(std::fs::read(dir.path().join("victim")).unwrap(), b"whole");
        let content = root.read("f", 10).unwrap().unwrap();
        assert_eq!(
            (content.bytes.as_slice(), content.mode),
            (b"new".as_slice(), 0o600)
        );
    }
}
