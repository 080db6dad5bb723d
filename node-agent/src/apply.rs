//! Carries out a plan: copies, staged files, journal, renames; on any failure back to before.

use std::collections::BTreeMap;
use std::path::PathBuf;

use policy::digest::Digest;

use crate::journal::{Backup, Change, Journal, Step};
use crate::layout::{self, VerifierPlace};
use crate::root::{Attributes, FileError, Root, split};
use crate::transaction::{self, READ_LIMIT, StepError};
use crate::verifier::{self, VerifierError};

/// Where the new content of each path comes from.
#[derive(Debug)]
pub struct Contents {
    /// Bytes by path, for all but the verifier.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The verifier's binary, on the agent's own file system. It is read when it is needed: an
    /// agent at rest does not hold it in memory.
    pub verifier: PathBuf,
}

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

/// Carries out `steps`.
pub fn apply(
    root: &Root,
    place: &VerifierPlace,
    steps: &[Step],
    contents: &Contents,
) -> Result<(), ApplyError> {
    if steps.is_empty() {
        return Ok(());
    }
    if let Err(error) = prepare(root, place, steps, contents) {
        // Nothing was changed; what was staged goes. The first error is the one to tell.
        let _ = transaction::sweep(root, place, steps.iter().map(|step| step.path.as_str()));
        return Err(error);
    }
    let journal = Journal::new(steps.to_vec()).to_json()?;
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
fn prepare(
    root: &Root,
    place: &VerifierPlace,
    steps: &[Step],
    contents: &Contents,
) -> Result<(), ApplyError> {
    for step in steps {
        if let Some(backup) = &step.before {
            keep(root, &step.path, backup)?;
        }
    }
    for step in steps {
        match &step.change {
            Change::Remove => {}
            Change::File {
                staged,
                sha256,
                mode,
            } => {
                root.create_dirs(split(&step.path).0, 0o755)?;
                root.create_dirs(split(staged).0, 0o755)?;
                stage(root, place, step, staged, sha256, *mode, contents)?;
                root.sync(split(staged).0)?;
            }
            Change::Folder {
                folder,
                staged,
                sha256,
                mode,
            } => {
                root.create_dirs(split(folder).0, 0o755)?;
                root.create_dirs(staged, 0o755)?;
                let file = format!("{staged}/{}", split(&step.path).1);
                stage(root, place, step, &file, sha256, *mode, contents)?;
                root.sync(staged)?;
            }
        }
    }
    Ok(())
}

fn stage(
    root: &Root,
    place: &VerifierPlace,
    step: &Step,
    staged: &str,
    sha256: &Digest,
    mode: u32,
    contents: &Contents,
) -> Result<(), ApplyError> {
    let attributes = Attributes::mode(mode);
    if step.path == place.file() {
        let bytes = verifier::read(&contents.verifier)?;
        if Digest::of(&bytes) != *sha256 {
            return Err(ApplyError::Busy {
                path: contents.verifier.display().to_string(),
            });
        }
        root.stage(staged, &bytes, &attributes)?;
    } else {
        let bytes = contents
            .files
            .get(&step.path)
            .map(Vec::as_slice)
            .unwrap_or_default();
        root.stage(staged, bytes, &attributes)?;
    }
    Ok(())
}

/// Keeps a copy of what is at `path`.
fn keep(root: &Root, path: &str, backup: &Backup) -> Result<(), ApplyError> {
    let content = root
        .read(path, READ_LIMIT)?
        .filter(|content| Digest::of(&content.bytes) == backup.sha256)
        .ok_or_else(|| ApplyError::Busy {
            path: root.show(path),
        })?;
    let private = Attributes::mode(0o600);
    root.replace(&backup.copy, &content.bytes, &private)?;
    if backup.lasting {
        // Mode and owner stand beside the copy, so that the file can be put back as it was.
        let about = serde_json::json!({
            "path": path, "sha256": backup.sha256, "mode": format!("{:04o}", backup.mode),
            "uid": backup.uid, "gid": backup.gid,
        });
        root.replace(
            &format!("{}.json", backup.copy),
            &serde_json::to_vec(&about)?,
            &private,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
