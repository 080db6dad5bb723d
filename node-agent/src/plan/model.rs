//! What a plan is made from, and what it is.

use std::collections::BTreeMap;

use policy::digest::Digest;

use crate::journal::Step;
use crate::layout::VerifierPlace;
use crate::root::EntryKind;

/// A file as it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What is on disk now.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The files at the paths that matter; absent ones are left out.
    pub files: BTreeMap<String, Seen>,
    /// The entries of the verifier's folder; `None` when there is no such folder.
    pub verifier_folder: Option<Vec<(String, EntryKind)>>,
}

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Permission bits.
    pub mode: u32,
}

/// What should be on disk.
#[derive(Debug, Clone)]
pub struct Desired {
    /// Where the verifier goes.
    pub place: VerifierPlace,
    /// Digest of the verifier.
    pub verifier: Digest,
    /// The rendered files by path.
    pub files: BTreeMap<String, Wanted>,
    /// The last good policies, as `layout::BUNDLE` holds them.
    pub bundle: Vec<u8>,
    /// Who owns what the agent writes.
    pub uid: u32,
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
    /// What the record of the agent's files says afterwards.
    pub state: Vec<u8>,
    /// What to tell.
    pub notes: Vec<Note>,
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
    /// The agent's own record cannot be put into JSON.
    #[error("the record of written files cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}
