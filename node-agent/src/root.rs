//! All access to the node's files, below one root directory.
//!
//! Directories are opened with `openat2(2)` and `RESOLVE_IN_ROOT`: a symbolic link on the way
//! (`/opt` → `/var/opt` on image-based systems) is followed as if the root were `/`, so nothing
//! ever leaves it. The last component is never followed: a link at the place of a file that the
//! agent reads back or replaces is an error that names the link.
//!
//! Paths are relative to the root, without a leading slash: `etc/nodeseal/verifier/policy.json`.

mod dirs;
mod error;
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

pub use self::dirs::Emptied;
pub use self::error::FileError;
pub use self::guard::Need;
pub use self::read::{Content, EntryKind, Seen};
pub use self::write::Attributes;
pub use self::xattr::Xattrs;

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
