//! Carries out a plan: copies, staged files, journal, renames; on any failure back to before.

pub mod traces;

use self::traces::Coming;
use crate::backup;
use crate::journal::{Backup, Change, Journal, Staged, Step};
use crate::layout::{self, VerifierPlace};
use crate::plan::{Plan, Source};
use crate::root::{Attributes, FileError, Need, Root, split, temporary};
use crate::transaction::{self, StepError};
use crate::verifier::{self, VerifierError};

/// The most files that are changed at once: one for each namespace of a large cluster, and some.
const MAX_FILES: usize = 16 * 1024;
/// The most bytes that are staged at once. The files of CRI-O have 64 MiB together, the verifier
/// has its own bound, and what is given back was no larger when it was taken.
const MAX_BYTES: u64 = 1 << 30;

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
    /// More than can be sensible. Nothing was changed.
    #[error(
        "{files} files of {bytes} bytes together would be written at once, and {MAX_FILES} of \
         {MAX_BYTES} are the most: have fewer policies in fewer namespaces"
    )]
    TooMuch {
        /// How many files.
        files: usize,
        /// Their bytes.
        bytes: u64,
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
        settle(root, plan);
        return Ok(());
    }
    let journal = Journal::new(steps.clone()).to_json()?;
    refuse(root, plan, &journal)?;
    if let Err(error) = prepare(root, plan) {
        // Nothing was changed; what was staged goes. The first error is the one to tell.
        let _ = transaction::sweep(root, place, steps.iter().map(|step| step.path.as_str()));
        return Err(error);
    }
    root.replace(layout::JOURNAL, &journal, &Attributes::mode(0o600))?;
    let Err(cause) = transaction::forward(root, steps) else {
        transaction::finish(root, steps)?;
        settle(root, plan);
        return Ok(());
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

/// Removes folders that are not needed any more. The files are as they should be: what is left
/// over is tried again at the next look.
fn settle(root: &Root, plan: &Plan) {
    if let Err(error) = traces::settle(root, &plan.folders) {
        tracing::warn!("an empty folder of nodeseal's stays for now: {error}");
    }
}

/// Refuses what would fail on the way, as far as that can be told before anything is written.
fn refuse(root: &Root, plan: &Plan, journal: &[u8]) -> Result<(), ApplyError> {
    let mut needs = vec![Need {
        path: layout::JOURNAL,
        bytes: journal.len() as u64,
    }];
    let staged: Vec<Option<String>> = plan
        .steps
        .iter()
        .map(|step| step.change.staged(&step.path).map(|staged| staged.at))
        .collect();
    for (step, staged) in plan.steps.iter().zip(&staged) {
        root.refuse_protected(&step.path)?;
        if let Some(path) = staged {
            root.refuse_protected(path)?;
            let bytes = match plan.contents.get(&step.path) {
                Some(Source::Bytes(bytes)) => bytes.len() as u64,
                Some(Source::Program(program)) => verifier::open(program)?.1,
                Some(Source::Copy(copy)) => root.size(copy)?.unwrap_or_default(),
                None => 0,
            };
            needs.push(Need { path, bytes });
        }
        if let Some(backup) = &step.before {
            let bytes = root.size(&step.path)?.unwrap_or_default();
            let path = &backup.copy;
            needs.push(Need { path, bytes });
        }
    }
    let bytes = needs
        .iter()
        .fold(0_u64, |sum, need| sum.saturating_add(need.bytes));
    let files = plan.steps.len();
    if files > MAX_FILES || bytes > MAX_BYTES {
        return Err(ApplyError::TooMuch { files, bytes });
    }
    Ok(root.refuse_full(&needs)?)
}

/// What the steps make that no record says yet. A path that is recorded and there needs no more: its
/// temporary file is found by it.
fn coming(steps: &[Step]) -> Coming<'_> {
    let mut coming = Coming::default();
    for step in steps {
        let is_new = step.before.as_ref().is_none_or(|before| before.lasting);
        match &step.change {
            Change::Remove => {}
            Change::File { staged, .. } => {
                coming
                    .folders
                    .extend([split(&step.path).0, split(staged).0]);
                coming.staged.extend(is_new.then_some(staged.as_str()));
            }
            Change::Folder { folder, staged, .. } => {
                coming.folders.extend([split(folder).0, split(staged).0]);
                coming.renamed.push(folder);
                coming.staged.push(staged);
            }
        }
    }
    coming
}

/// Copies of everything old and staged files of everything new, all synced.
fn prepare(root: &Root, plan: &Plan) -> Result<(), ApplyError> {
    for step in &plan.steps {
        if let Some(backup) = &step.before {
            keep(root, &step.path, backup)?;
        }
    }
    traces::announce(root, &coming(&plan.steps))?;
    for step in &plan.steps {
        match &step.change {
            Change::Remove => {}
            Change::File { staged, .. } => {
                stage(root, step, plan)?;
                root.sync(split(staged).0)?;
            }
            Change::Folder { folder, staged, .. } => {
                root.create_dirs(staged, 0o755)?;
                root.label_folder(staged, root.folder_label(folder)?)?;
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
    let attributes = &attributes(root, step, &staged)?;
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

/// The attributes of a staged file: its label of `SELinux` is that of what it takes the place of, and
/// one that comes from another folder has that of the folder it goes to, as if it had been made there.
fn attributes(root: &Root, step: &Step, staged: &Staged<'_>) -> Result<Attributes, FileError> {
    let label = step
        .before
        .as_ref()
        .and_then(|before| before.xattrs.label());
    let folder = split(&step.path).0;
    let label = match label {
        None if split(&staged.at).0 != folder => root.folder_label(folder)?,
        label => label,
    };
    let attributes = staged.attributes.clone();
    Ok(Attributes {
        xattrs: attributes.xattrs.labelled(label),
        ..attributes
    })
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
