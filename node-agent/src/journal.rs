//! The journal of an apply: written and synced before the first rename, removed after the last.
//!
//! An agent that starts and finds one knows that an apply was interrupted, which files it was to
//! change, and where both their new and their old content is.

use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::root::{Attributes, Seen, Xattrs, split};

/// The version of the journal's format.
const VERSION: u32 = 1;

/// How one path changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Change {
    /// `staged` is renamed over the path.
    File {
        /// Where the new content waits.
        staged: String,
        /// Digest of the new content.
        sha256: Digest,
        /// Permission bits of the new file.
        mode: u32,
        /// User and group of the new file, where they are not the agent's own: of a file that is
        /// given back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<(u32, u32)>,
        /// Extended attributes of the new file: of one that is given back, or stays others'.
        #[serde(default, skip_serializing_if = "Xattrs::is_empty")]
        xattrs: Xattrs,
    },
    /// A folder that holds the file alone is renamed to where none was, so that the folder is
    /// never empty.
    Folder {
        /// The folder that comes to be.
        folder: String,
        /// Where the new folder waits.
        staged: String,
        /// Digest of the file in it.
        sha256: Digest,
        /// Permission bits of the file in it.
        mode: u32,
    },
    /// The file is removed.
    Remove,
}

impl Change {
    /// Where the new content of `path` waits and what it is; `None` for a removal.
    #[must_use]
    pub fn staged(&self, path: &str) -> Option<Staged<'_>> {
        let (at, sha256, attributes) = match self {
            Self::File {
                staged,
                sha256,
                mode,
                owner,
                xattrs,
            } => {
                let attributes = Attributes {
                    mode: *mode,
                    owner: *owner,
                    xattrs: xattrs.clone(),
                };
                (staged.clone(), sha256, attributes)
            }
            Self::Folder {
                staged,
                sha256,
                mode,
                ..
            } => {
                let at = format!("{staged}/{}", split(path).1);
                (at, sha256, Attributes::mode(*mode))
            }
            Self::Remove => return None,
        };
        Some(Staged {
            at,
            sha256,
            attributes,
        })
    }
}

/// New content that waits to be renamed into place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged<'a> {
    /// The file it waits in.
    pub at: String,
    /// Its digest.
    pub sha256: &'a Digest,
    /// Its mode, owner and extended attributes. The last are set with the bytes, and not compared.
    pub attributes: Attributes,
}

impl Staged<'_> {
    /// True when this is what was seen; `uid` is the agent's own.
    #[must_use]
    pub fn is(&self, seen: &Seen, uid: u32) -> bool {
        let Attributes { mode, owner, .. } = &self.attributes;
        seen.sha256 == *self.sha256
            && seen.mode == *mode
            && match owner {
                Some(owner) => *owner == (seen.uid, seen.gid),
                None => seen.uid == uid,
            }
    }
}

/// The old content of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backup {
    /// Where the copy is.
    pub copy: String,
    /// Digest of the old content.
    pub sha256: Digest,
    /// Permission bits of the old file.
    pub mode: u32,
    /// Owner of the old file.
    pub uid: u32,
    /// Group of the old file.
    pub gid: u32,
    /// Extended attributes of the old file.
    #[serde(default, skip_serializing_if = "Xattrs::is_empty")]
    pub xattrs: Xattrs,
    /// True for a file that others wrote: its copy outlives the apply.
    pub lasting: bool,
}

impl Backup {
    /// What the old file looked like.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen {
            sha256: self.sha256.clone(),
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            xattrs: self.xattrs.clone(),
        }
    }
}

/// One step of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The file that changes.
    pub path: String,
    /// How.
    pub change: Change,
    /// What was there; `None` when nothing was.
    pub before: Option<Backup>,
}

/// An apply that is under way: its steps in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    version: u32,
    /// In the order in which they are carried out.
    pub steps: Vec<Step>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Cut short or damaged.
    #[error("it is damaged ({0})")]
    Json(#[from] serde_json::Error),
    /// Written by another version of the agent.
    #[error("it has format version {0}, and this agent knows {VERSION}")]
    Version(u32),
}

impl Journal {
    /// The journal of these steps.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        Self {
            version: VERSION,
            steps,
        }
    }

    /// Reads a journal.
    pub fn from_json(bytes: &[u8]) -> Result<Self, JournalError> {
        let journal: Self = serde_json::from_slice(bytes)?;
        if journal.version == VERSION {
            Ok(journal)
        } else {
            Err(JournalError::Version(journal.version))
        }
    }

    /// The journal as it stands on disk.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let file = Change::File {
            staged: "etc/.a.nodeseal-tmp".to_owned(),
            sha256: Digest::of(b"new"),
            mode: 0o644,
            owner: None,
            xattrs: Xattrs::default(),
        };
        let before = Backup {
            copy: "var/lib/nodeseal/backup/rollback/etc+a".to_owned(),
            sha256: Digest::of(b"old"),
            mode: 0o600,
            uid: 0,
            gid: 0,
            xattrs: Xattrs::default(),
            lasting: false,
        };
        Journal::new(vec![
            Step {
                path: "etc/a".to_owned(),
                change: file,
                before: Some(before),
            },
            Step {
                path: "etc/b".to_owned(),
                change: Change::Remove,
                before: None,
            },
        ])
    }

    #[test]
    fn a_journal_reads_back_as_it_was_written() {
        let bytes = journal().to_json().unwrap();
        assert_eq!(Journal::from_json(&bytes).unwrap(), journal());
    }

    #[test]
    fn a_journal_cut_anywhere_is_an_error_and_never_a_shorter_journal() {
        let bytes = journal().to_json().unwrap();
        for end in 0..bytes.len() {
            assert!(Journal::from_json(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
