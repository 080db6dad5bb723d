//! Carries out a plan: copies, staged files, journal, renames; on any failure back to before.

use crate::backup;
use crate::journal::{Backup, Change, Journal, Step};
use crate::layout::{self, VerifierPlace};
use crate::plan::{Plan, Source};
use crate::root::{Attributes, FileError, Root, split, temporary};
use crate::transaction::{self, StepError};
use crate::verifier::{self, VerifierError};

/// Why a plan was not carried out. The node is as it was, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Before anything was changed.
    #[error(transparent)]
    Write(#[from] FileError),
    /// The verifier could not be read.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// Somebody changed a file between looking at it and keeping its copy.
    #[error("{path} is being changed by someone else; it is tried again at the next check")]
    Busy {
        /// The file.
        path: String,
    },
    /// The journal cannot be put into JSON.
    #[error("the journal cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// While changing; every file is back to what it was.
    #[error("{0}; every file is back to what it was")]
    RolledBack(#[source] StepError),
    /// While changing, and going back failed too. The journal stays for the next start.
    #[error("{cause}; and putting the files back failed: {rollback}; it is tried again")]
    Stuck {
        /// What failed first.
        cause: StepError,
        /// What failed when going back.
        #[source]
        rollback: StepError,
    },
}

/// Carries out the steps of a plan.
pub fn apply(root: &Root, place: Option<&VerifierPlace>, plan: &Plan) -> Result<(), ApplyError> {
    let steps = &plan.steps;
    if steps.is_empty() {
        return Ok(());
    }
    if let Err(error) = prepare(root, plan) {
        // Nothing was changed; what was staged goes. The first error is the one to tell.
        let _ = transaction::sweep(root, place, steps.iter().map(|step| step.path.as_str()));
        return Err(error);
    }
    let journal = Journal::new(steps.clone()).to_json()?;
    root.replace(layout::JOURNAL, &journal, &Attributes::mode(0o600))?;
    let Err(cause) = transaction::forward(root, steps) else {
        return Ok(transaction::finish(root, steps)?);
    };
    let paths = steps.iter().map(|step| step.path.as_str());
    let back = transaction::back(root, steps)
        .and_then(|()| Ok(transaction::finish(root, steps)?))
        .and_then(|()| Ok(transaction::sweep(root, place, paths)?));
    match back {
        Ok(()) => Err(ApplyError::RolledBack(cause)),
        Err(rollback) => Err(ApplyError::Stuck { cause, rollback }),
    }
}

/// Copies of everything old and staged files of everything new, all synced.
fn prepare(root: &Root, plan: &Plan) -> Result<(), ApplyError> {
    for step in &plan.steps {
        if let Some(backup) = &step.before {
            keep(root, &step.path, backup)?;
        }
    }
    for step in &plan.steps {
        match &step.change {
            Change::Remove => {}
            Change::File { staged, .. } => {
                root.create_dirs(split(&step.path).0, 0o755)?;
                root.create_dirs(split(staged).0, 0o755)?;
                stage(root, step, plan)?;
                root.sync(split(staged).0)?;
            }
            Change::Folder { folder, staged, .. } => {
                root.create_dirs(split(folder).0, 0o755)?;
                root.create_dirs(staged, 0o755)?;
                stage(root, step, plan)?;
                root.sync(staged)?;
            }
        }
    }
    Ok(())
}

fn stage(root: &Root, step: &Step, plan: &Plan) -> Result<(), ApplyError> {
    let Some(staged) = step.change.staged(&step.path) else {
        return Ok(());
    };
    let attributes = &staged.attributes;
    let (digest, from) = match plan.contents.get(&step.path) {
        Some(Source::Bytes(bytes)) => return Ok(root.stage(&staged.at, bytes, attributes)?),
        Some(Source::Program(program)) => {
            let (mut file, size) = verifier::open(program)?;
            let digest = root.stage_from(&staged.at, &mut file, size, attributes)?;
            (Some(digest), program.display().to_string())
        }
        Some(Source::Copy(copy)) => (
            root.stage_copy(copy, &staged.at, attributes)?,
            root.show(copy),
        ),
        None => (None, root.show(&step.path)),
    };
    if digest.as_ref() == Some(staged.sha256) {
        Ok(())
    } else {
        Err(ApplyError::Busy { path: from })
    }
}

/// Keeps a copy of what is at `path`.
fn keep(root: &Root, path: &str, backup: &Backup) -> Result<(), ApplyError> {
    let staged = temporary(&backup.copy);
    let copied = root.stage_copy(path, &staged, &Attributes::mode(0o600))?;
    if copied.as_ref() != Some(&backup.sha256) {
        root.remove(&staged)?;
        return Err(ApplyError::Busy {
            path: root.show(path),
        });
    }
    root.rename(&staged, &backup.copy)?;
    if backup.lasting {
        backup::write_note(root, path, backup)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
