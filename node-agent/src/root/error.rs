//! What goes wrong with files.

use std::io;

use super::read::EntryKind;
use super::xattr;

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
    Protected {
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
                | Self::Protected { .. }
                | Self::Attributes { .. }
        )
    }
}
