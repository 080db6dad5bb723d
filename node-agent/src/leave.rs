//! The last part of leaving a node: the agent's own files and folders.
//!
//! Before it, everything that the agent wrote elsewhere is given back
//! ([`crate::runtime::leaving`]). Only what is known to be nodeseal's is removed, and cut off
//! anywhere it can be done again. What cannot be given back keeps its record and the copies of what
//! others wrote, so that leaving can be tried again.

use std::io;

use policy::paths::STATE_DIR;

use crate::apply::traces;
use crate::backup;
use crate::layout::{self, VerifierPlace};
use crate::recover;
use crate::root::{Emptied, EntryKind, FileError, Root, TEMPORARY_SUFFIX, split, temporary};
use crate::state::State;
use crate::transaction::{self, READ_LIMIT};

/// Folders of the verifier's in the agent's own one, with at most one level of folders in each.
const VERIFIERS: [&str; 2] = ["cache", "verdicts"];

/// What is left of nodeseal after it was cleared away. Paths are relative to the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Files of nodeseal's whose place was not given back. The record of them stays, and so do the
    /// copies of what others wrote.
    pub not_given_back: Vec<String>,
    /// What others put into folders of nodeseal's, and folders that stay for it.
    pub others: Vec<String>,
}

impl Cleared {
    /// True when nothing of nodeseal is left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.not_given_back.is_empty()
    }

    /// What to tell the administrator, one line each.
    #[must_use]
    pub fn messages(&self, root: &Root) -> Vec<String> {
        let copies = root.show(layout::BACKUP_DIR);
        let not_given_back = self.not_given_back.iter().map(|path| {
            format!(
                "{} is still nodeseal's, because what was there before could not be given back: \
                 put back what belongs there, or remove it. The copies of what others wrote stay \
                 in {copies}",
                root.show(path)
            )
        });
        let others = self.others.iter().map(|path| {
            format!(
                "{} was not written by nodeseal, or holds what was not, and stays",
                root.show(path)
            )
        });
        not_given_back.chain(others).collect()
    }
}

/// Removes everything of the agent's own, the lock last. For who holds that lock, and writes nothing
/// afterwards.
pub fn clear(root: &Root) -> Result<Cleared, FileError> {
    if root.entries(STATE_DIR)?.is_none() {
        return Ok(Cleared::default());
    }
    recover::recover(root)?;
    let state = recorded(root)?;
    let is_back = state.files.is_empty();
    let mut cleared = Cleared {
        not_given_back: state.files.keys().cloned().collect(),
        others: Vec::new(),
    };
    let staging = VerifierPlace::default();
    let files = state.files.keys().map(String::as_str);
    transaction::sweep(root, Some(&staging), files)?;
    traces::sweep(root)?;
    cleared
        .others
        .extend(traces::settle(root, &state.folders())?);
    if is_back {
        clear_backups(root, &mut cleared.others)?;
    }
    for name in VERIFIERS {
        clear_folder(root, &format!("{STATE_DIR}/{name}"), 1, &mut cleared.others)?;
    }
    clear_own(root, is_back, &mut cleared.others)?;
    if is_back {
        root.remove(layout::LOCK)?;
        // What is in it was told already.
        root.remove_empty(STATE_DIR)?;
    }
    Ok(cleared)
}

/// What the agent wrote. Without knowing that, nothing is known to be given back.
fn recorded(root: &Root) -> Result<State, FileError> {
    let Some(content) = root.read(layout::STATE, READ_LIMIT)? else {
        return Ok(State::default());
    };
    State::from_json(&content.bytes).map_err(|error| FileError::Io {
        action: "tell from its record what nodeseal wrote, so nothing of it is removed: use",
        path: root.show(layout::STATE),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

/// The copies of what others wrote: all of it is back where it belongs.
fn clear_backups(root: &Root, others: &mut Vec<String>) -> Result<(), FileError> {
    for (name, kind) in root.entries(layout::BACKUP_DIR)?.unwrap_or_default() {
        let path = format!("{}/{name}", layout::BACKUP_DIR);
        let is_file = kind == EntryKind::File;
        if is_file && (backup::is_ours(&name) || name.ends_with(TEMPORARY_SUFFIX)) {
            root.remove(&path)?;
        } else if path != layout::ROLLBACK_DIR {
            others.push(path);
        }
    }
    clear_folder(root, layout::ROLLBACK_DIR, 0, others)?;
    root.remove_empty(layout::BACKUP_DIR)?;
    Ok(())
}

/// Removes a folder of nodeseal's with the files in it, and folders down to `depth` below it.
fn clear_folder(
    root: &Root,
    folder: &str,
    depth: usize,
    others: &mut Vec<String>,
) -> Result<(), FileError> {
    let entries = match root.entries(folder) {
        Err(error) if error.is_foreign() => {
            others.push(folder.to_owned());
            return Ok(());
        }
        entries => entries?,
    };
    let before = others.len();
    for (name, kind) in entries.unwrap_or_default() {
        let path = format!("{folder}/{name}");
        match kind {
            EntryKind::File => root.remove(&path)?,
            EntryKind::Directory if depth > 0 => clear_folder(root, &path, depth - 1, others)?,
            _ => others.push(path),
        }
    }
    if root.remove_empty(folder)? == Emptied::InUse && others.len() == before {
        // A verifier that still runs wrote into it meanwhile.
        others.push(folder.to_owned());
    }
    Ok(())
}

/// The files right in the agent's own folder, but for the lock. What is recorded stays until it is
/// given back.
fn clear_own(root: &Root, is_back: bool, others: &mut Vec<String>) -> Result<(), FileError> {
    let kept = |path: &str| !is_back && [layout::STATE, layout::TRACES].contains(&path);
    let handled = |path: &str| {
        let backups = [layout::BACKUP_DIR, layout::LOCK].contains(&path);
        backups || VERIFIERS.contains(&split(path).1)
    };
    for (name, kind) in root.entries(STATE_DIR)?.unwrap_or_default() {
        let path = format!("{STATE_DIR}/{name}");
        let own = layout::OWN_FILES
            .iter()
            .find(|own| **own == path || temporary(own) == path);
        match own {
            Some(own) if kept(own) => {}
            Some(_) if kind == EntryKind::File => root.remove(&path)?,
            None if handled(&path) => {}
            _ => others.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
