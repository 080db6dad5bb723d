//! Carrying out the steps of a journal, forward or back.
//!
//! Every function here may be cut off at any point and called again: each step looks at what is
//! on disk before it does anything.

use crate::journal::{Backup, Change, Step};
use crate::layout;
use crate::root::{Attributes, FileError, Root, Seen, TEMPORARY_SUFFIX, split};

/// The most that is read of one managed file. The verifier is the largest.
pub const READ_LIMIT: u64 = 256 << 20;

/// Why a step cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A file could not be read or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A staged file or a copy is not there, or not what the journal says.
    #[error("{path} is missing or is not what was written there")]
    Lost {
        /// The file.
        path: String,
    },
}

/// A regular file, or `None`: nothing, or something that the agent did not put there.
fn look(root: &Root, path: &str) -> Result<Option<Seen>, FileError> {
    match root.seen(path, READ_LIMIT) {
        Err(error) if error.is_foreign() => Ok(None),
        result => result,
    }
}

/// True when the path already is as the step wants it.
fn is_done(root: &Root, step: &Step) -> Result<bool, FileError> {
    let there = look(root, &step.path)?;
    Ok(match step.change.staged(&step.path) {
        Some(staged) => there.is_some_and(|seen| staged.is(&seen, root.uid())),
        None => there.is_none(),
    })
}

/// True when every step that is still to be done can be done.
pub fn can_go_forward(root: &Root, steps: &[Step]) -> Result<bool, FileError> {
    for step in steps {
        if is_done(root, step)? {
            continue;
        }
        match root.seen(&step.path, READ_LIMIT) {
            Err(error) if error.is_foreign() => return Ok(false),
            result => drop(result?),
        }
        if let Some(staged) = step.change.staged(&step.path)
            && !look(root, &staged.at)?.is_some_and(|seen| staged.is(&seen, root.uid()))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Renames everything that is staged into place, in the order of the steps.
pub fn forward(root: &Root, steps: &[Step]) -> Result<(), StepError> {
    for step in steps {
        if is_done(root, step)? {
            settle(root, step)?;
            continue;
        }
        match &step.change {
            Change::File { staged, .. } => root.rename(staged, &step.path)?,
            Change::Folder { folder, staged, .. } => root.rename(staged, folder)?,
            Change::Remove => root.remove(&step.path)?,
        }
    }
    Ok(())
}

/// A step that is done already may have been done by an agent that ended before it synced the
/// folder. The journal must not be gone before the change is on disk.
fn settle(root: &Root, step: &Step) -> Result<(), FileError> {
    let of_folder = match &step.change {
        Change::Folder { folder, .. } => Some(split(folder).0),
        _ => None,
    };
    for folder in [Some(split(&step.path).0), of_folder].into_iter().flatten() {
        root.sync_if_there(folder)?;
    }
    Ok(())
}

/// Puts every path back to what it was, last step first.
pub fn back(root: &Root, steps: &[Step]) -> Result<(), StepError> {
    for step in steps.iter().rev() {
        match (&step.before, &step.change) {
            (Some(backup), _) => restore(root, step, backup)?,
            (None, Change::Folder { folder, staged, .. }) => {
                if is_done(root, step)? {
                    // Away in one piece: the folder is never there without the verifier.
                    discard_folder(root, staged, &step.path)?;
                    root.rename(folder, staged)?;
                    discard_folder(root, staged, &step.path)?;
                } else {
                    settle(root, step)?;
                }
            }
            (None, _) => {
                if is_done(root, step)? {
                    root.remove(&step.path)?;
                } else {
                    settle(root, step)?;
                }
            }
        }
    }
    Ok(())
}

fn restore(root: &Root, step: &Step, backup: &Backup) -> Result<(), StepError> {
    let old = backup.seen();
    match root.seen(&step.path, READ_LIMIT) {
        // Somebody put a folder or a link there since. It is not the agent's to replace; the next
        // look tells about it.
        Err(error) if error.is_foreign() => return Ok(()),
        there => {
            if there? == Some(old.clone()) {
                return Ok(settle(root, step)?);
            }
        }
    }
    // The same temporary name as on the way forward. Should this be cut off, what is staged there
    // is not the new content, and so the next start goes back as well.
    let temporary = match &step.change {
        Change::File { staged, .. } => staged.clone(),
        _ => crate::root::temporary(&step.path),
    };
    let copied = root.stage_copy(&backup.copy, &temporary, &Attributes::of(&old))?;
    if copied.as_ref() != Some(&backup.sha256) {
        root.remove(&temporary)?;
        let path = root.show(&backup.copy);
        return Err(StepError::Lost { path });
    }
    root.rename(&temporary, &step.path)?;
    Ok(())
}

/// Removes the journal, then what was kept only for it.
pub fn finish(root: &Root, steps: &[Step]) -> Result<(), FileError> {
    root.remove(layout::JOURNAL)?;
    for step in steps {
        if let Some(backup) = step.before.as_ref().filter(|backup| !backup.lasting) {
            root.remove(&backup.copy)?;
        }
    }
    Ok(())
}

/// Removes temporary files of the agent: those beside `paths`, those in the verifier's staging
/// folder, and the copies that were kept for a journal.
///
/// Only for when no journal needs them. Names that are not the agent's stay.
pub fn sweep<'a>(
    root: &Root,
    place: Option<&layout::VerifierPlace>,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<(), FileError> {
    for path in layout::OWN_FILES.into_iter().chain(paths) {
        root.remove(&crate::root::temporary(path))?;
    }
    for (name, _) in root.entries(layout::ROLLBACK_DIR)?.unwrap_or_default() {
        root.remove(&format!("{}/{name}", layout::ROLLBACK_DIR))?;
    }
    for (name, _) in root.entries(layout::BACKUP_DIR)?.unwrap_or_default() {
        if name.ends_with(TEMPORARY_SUFFIX) {
            root.remove(&format!("{}/{name}", layout::BACKUP_DIR))?;
        }
    }
    let Some(place) = place else {
        return Ok(());
    };
    root.remove(&place.staged_file())?;
    discard_folder(root, &place.staged_folder(), &place.file())
}

/// Removes a staged folder with the one file that it may hold.
fn discard_folder(root: &Root, folder: &str, file: &str) -> Result<(), FileError> {
    if root.entries(folder)?.is_none() {
        return Ok(());
    }
    let inside = format!("{folder}/{}", split(file).1);
    root.remove(&inside)?;
    root.remove(folder)
}
