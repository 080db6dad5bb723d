//! The record of what the agent wrote: by it, its own files are told from those of others.

use std::collections::{BTreeMap, BTreeSet};

use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::json;
use crate::layout::VerifierPlace;
use crate::root::split;

/// The version of the record's format.
const VERSION: u32 = 1;

/// What a recorded file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The verifier's binary. It stays where it is when it is no longer wanted there, because a
    /// running containerd may still look in that folder.
    Verifier,
    /// A configuration file; removed when the policies no longer ask for it.
    Config,
    /// A configuration file of the administrator's with a change of ours. Other changes of it are
    /// none of the agent's business.
    Edited,
}

/// One file that the agent wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What it is for.
    pub role: Role,
    /// Digest of the bytes that were written.
    pub sha256: Digest,
    /// Permission bits that were written.
    pub mode: u32,
    /// Copy of what was there before nodeseal first wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

/// All files that the agent wrote, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// By path, relative to the root.
    pub files: BTreeMap<String, Record>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            files: BTreeMap::new(),
        }
    }
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There are policies that were applied, and no record of what was written for them.
    #[error("it is gone")]
    Gone,
    /// Not the JSON that the agent writes.
    #[error("it cannot be read ({0})")]
    Json(#[from] serde_json::Error),
    /// Written by another version of the agent.
    #[error("it has format version {0}, and this agent knows {VERSION}")]
    Version(u32),
}

impl State {
    /// Reads the record.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StateError> {
        let state: Self = serde_json::from_slice(bytes)?;
        if state.version == VERSION {
            Ok(state)
        } else {
            Err(StateError::Version(state.version))
        }
    }

    /// The same bytes for the same record.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        json::lines(self)
    }

    /// The folders that the files need, each with all above it.
    #[must_use]
    pub fn folders(&self) -> BTreeSet<String> {
        let mut folders = BTreeSet::new();
        for (path, record) in &self.files {
            let folder = split(path).0;
            let staging = Some(record.role)
                .filter(|role| *role == Role::Verifier)
                .and_then(|_| VerifierPlace::in_folder(&format!("/{folder}")).ok())
                .map(|place| place.staging);
            for mut folder in [Some(folder), staging.as_deref()].into_iter().flatten() {
                while !folder.is_empty() && folders.insert(folder.to_owned()) {
                    folder = split(folder).0;
                }
            }
        }
        folders
    }

    /// True when `digest` is what the agent last wrote at `path`.
    #[must_use]
    pub fn wrote(&self, path: &str, digest: &Digest) -> bool {
        self.files
            .get(path)
            .is_some_and(|record| record.sha256 == *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let mut state = State::default();
        let record = Record {
            role: Role::Config,
            sha256: Digest::of(b"x"),
            mode: 0o644,
            original: Some("var/lib/nodeseal/backup/x".to_owned()),
        };
        state.files.insert("etc/x".to_owned(), record);
        let bytes = state.to_json().unwrap();
        assert_eq!(State::from_json(&bytes).unwrap(), state);
        assert!(state.wrote("etc/x", &Digest::of(b"x")));
        assert!(!state.wrote("etc/x", &Digest::of(b"y")));
    }

    #[test]
    fn a_damaged_or_newer_record_is_an_error_not_an_empty_one() {
        assert!(State::from_json(b"{\"version\":1,").is_err());
        assert!(State::from_json(b"{\"version\":2,\"files\":{}}").is_err());
        assert!(State::from_json(b"{\"version\":1,\"files\":{},\"more\":1}").is_err());
    }
}
