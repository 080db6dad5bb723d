//! What a plan is made from, and what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use policy::containerd::File;
use policy::digest::Digest;
use policy::paths::VERIFIER_NAME;

use crate::journal::Step;
use crate::layout::VerifierPlace;
use crate::root::EntryKind;
pub use crate::root::Seen;

/// What is on disk now.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The files at the paths that matter; absent ones are left out.
    pub files: BTreeMap<String, Seen>,
    /// Symbolic links in the place of files that the agent wrote, with what they point to.
    pub links: BTreeMap<String, String>,
    /// What was there before nodeseal, by the path of its copy; copies that are lost or damaged
    /// are left out.
    pub originals: BTreeMap<String, Seen>,
    /// The entries of the verifier's folder; `None` when there is no such folder.
    pub verifier_folder: Option<Vec<(String, EntryKind)>>,
}

impl Current {
    /// Refuses when the verifier's folder holds anything else.
    pub(super) fn refuse_unexpected(&self, place: &VerifierPlace) -> Result<(), Refusal> {
        let entries: Vec<String> = self
            .verifier_folder
            .iter()
            .flatten()
            .filter(|(name, _)| name != VERIFIER_NAME)
            .map(|(name, kind)| format!("`{name}` ({kind})"))
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        Err(Refusal::UnexpectedEntries {
            folder: place.folder.clone(),
            entries: entries.join(", "),
        })
    }
}

/// What becomes of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This file stands there.
    Write {
        /// The path.
        path: String,
        /// The whole file.
        file: File,
        /// The path is nodeseal's alone, so a file there that is as it should be is its own. In
        /// another path it is not: it has to be given back.
        own: bool,
    },
    /// A file of the administrator's stands there with a change of ours, in the mode and with the
    /// owner that it has. What it was before the change is what is given back.
    Edit {
        /// The path.
        path: String,
        /// The digest of the text that the change was made to; nothing where there was no file. Over
        /// another one it is not made: that would take back what somebody wrote meanwhile.
        from: Option<Digest>,
        /// The whole file.
        bytes: Vec<u8>,
    },
    /// What stands there stays, whoever wrote it, and stays recorded.
    Keep {
        /// The path.
        path: String,
    },
    /// A file with a change of ours, which somebody else changed since, stands there without ours.
    Unedit {
        /// The path.
        path: String,
        /// The digest of the text that it was made from, as with an edit.
        from: Digest,
        /// The whole file.
        bytes: Vec<u8>,
    },
    /// What was there before nodeseal stands there again, byte for byte, or nothing.
    Restore {
        /// The path.
        path: String,
    },
    /// The verifier stands in its folder, alone.
    Verifier {
        /// Its binary, on the agent's own file system.
        program: PathBuf,
        /// Digest of that binary.
        sha256: Digest,
    },
}

impl Target {
    /// The path, unless it is that of the verifier, which the place knows.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Write { path, .. }
            | Self::Edit { path, .. }
            | Self::Keep { path }
            | Self::Unedit { path, .. }
            | Self::Restore { path } => Some(path),
            Self::Verifier { .. } => None,
        }
    }
}

/// What becomes of files that were written once and are not named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Others {
    /// They are given back, but for the verifier: a running containerd may still look in its
    /// folder.
    #[default]
    GiveBack,
    /// They are given back, the verifier before all others: without its policy it would refuse every
    /// pull.
    GiveBackAll,
    /// They stay: what is named is only the first part of what is to come.
    Keep,
}

/// What should be on disk.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Where the verifier goes, on a runtime that has one.
    pub place: Option<VerifierPlace>,
    /// Everything that should be there, in the order in which it is changed, each path once.
    pub targets: Vec<Target>,
    /// What becomes of files that were written once and are not named.
    pub others: Others,
    /// The last good policies, as `layout::BUNDLE` holds them; nothing where these stay as they are.
    pub bundle: Option<Vec<u8>>,
    /// Who owns what the agent writes.
    pub uid: u32,
}

/// Where the new content of a path comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From memory.
    Bytes(Vec<u8>),
    /// A program on the agent's own file system. It is read when it is needed: an agent at rest
    /// does not hold it in memory.
    Program(PathBuf),
    /// A copy below the root.
    Copy(String),
}

/// Something about a managed file that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A file that nodeseal did not write was replaced.
    Foreign {
        /// The file.
        path: String,
        /// Its copy.
        copy: String,
    },
    /// A file of nodeseal's was changed by someone else and is put back.
    Changed {
        /// The file.
        path: String,
        /// What the change looked like.
        copy: String,
    },
    /// What was there before nodeseal cannot be given back: its copy is lost or damaged. The file
    /// of nodeseal's stays.
    Lost {
        /// The file.
        path: String,
        /// Where the copy was.
        copy: String,
    },
    /// A symbolic link took the place of a file of nodeseal's, which is put back.
    Linked {
        /// The file.
        path: String,
        /// What the link pointed to.
        target: String,
    },
    /// A file of nodeseal's was removed, or its mode or owner changed, and is put back.
    PutBack {
        /// The file.
        path: String,
    },
}

/// What there is to do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In their order; empty when everything is as it should be.
    pub steps: Vec<Step>,
    /// The new content of each path that a step writes.
    pub contents: BTreeMap<String, Source>,
    /// What the record of the agent's files says afterwards.
    pub state: Vec<u8>,
    /// The folders that these files need. Others that the agent made go where they are empty.
    pub folders: BTreeSet<String>,
    /// What to tell.
    pub notes: Vec<Note>,
    /// What stands in the verifier's folder beside it, and is not the agent's to remove.
    pub unexpected: Option<String>,
}

/// Why nothing is done at all.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There are other things in the verifier's folder.
    #[error(
        "the verifier's folder /{folder} also holds {entries}: containerd executes every entry of \
         that folder at every pull. Remove what does not belong there, or give nodeseal a folder \
         of its own (--bin-dir)"
    )]
    UnexpectedEntries {
        /// The folder.
        folder: String,
        /// What else is in it.
        entries: String,
    },
    /// Somebody changed a file after it was read.
    #[error("/{path} is being changed by someone else; it is tried again at the next check")]
    Changed {
        /// The file.
        path: String,
    },
    /// The agent's own record cannot be put into JSON.
    #[error("the record of written files cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}
