//! From what is on disk and what should be there to the steps between, in the safe order.
//!
//! - Files that are as they should be are no step: steady state writes nothing.
//! - The verifier comes before its policy, because version N of it reads policies of N-1 and N,
//!   but an old one does not read a newer policy. On the first installation it is the other way
//!   round: a verifier without a policy refuses every pull, on a node whose containerd already
//!   looks in that folder.
//! - The drop-in comes after both, and files that are no longer wanted go after that.
//! - The agent's own record comes last. It is part of the same journal, so an interrupted apply
//!   never leaves a file that the agent takes for another's.

mod model;

use policy::digest::Digest;
use policy::paths::{VERIFIER_NAME, VERIFIER_POLICY};

use crate::journal::{Backup, Change, Step};
use crate::layout::{self, VerifierPlace, flat_name};
use crate::root::temporary;
use crate::state::{Record, Role, State};

pub use self::model::{Current, Desired, Note, Plan, Refusal, Seen, Wanted};

/// The mode of the verifier.
pub const VERIFIER_MODE: u32 = 0o755;
/// The mode of the agent's own files.
pub const STATE_MODE: u32 = 0o600;

/// Decides what to do, and in which order.
pub fn plan(current: &Current, state: &State, desired: &Desired) -> Result<Plan, Refusal> {
    refuse_unexpected(current, &desired.place)?;
    let mut draft = Draft {
        current,
        old: state,
        uid: desired.uid,
        plan: Plan::default(),
    };
    let mut next = State::default();

    let verifier = Wanted {
        sha256: desired.verifier.clone(),
        mode: VERIFIER_MODE,
    };
    let policies = desired
        .files
        .iter()
        .filter(|(path, _)| *path == VERIFIER_POLICY);
    let others = desired
        .files
        .iter()
        .filter(|(path, _)| *path != VERIFIER_POLICY);

    let first = !current.files.contains_key(VERIFIER_POLICY);
    if !first {
        draft.verifier(&desired.place, &verifier, &mut next);
    }
    for (path, wanted) in policies {
        draft.file(path, wanted, Role::Config, temporary(path), &mut next);
    }
    if first {
        draft.verifier(&desired.place, &verifier, &mut next);
    }
    for (path, wanted) in others {
        draft.file(path, wanted, Role::Config, temporary(path), &mut next);
    }
    draft.unwanted(&mut next);

    let bytes = next.to_json()?;
    draft.own(layout::BUNDLE, &desired.bundle);
    draft.own(layout::STATE, &bytes);
    draft.plan.state = bytes;
    Ok(draft.plan)
}

fn refuse_unexpected(current: &Current, place: &VerifierPlace) -> Result<(), Refusal> {
    let entries: Vec<String> = current
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

struct Draft<'a> {
    current: &'a Current,
    old: &'a State,
    uid: u32,
    plan: Plan,
}

impl Draft<'_> {
    fn verifier(&mut self, place: &VerifierPlace, wanted: &Wanted, next: &mut State) {
        let path = place.file();
        if self.current.verifier_folder.is_some() {
            self.file(&path, wanted, Role::Verifier, place.staged_file(), next);
            return;
        }
        if self.old.files.contains_key(&path) {
            self.plan.notes.push(Note::PutBack { path: path.clone() });
        }
        let original = self
            .old
            .files
            .get(&path)
            .and_then(|record| record.original.clone());
        next.files
            .insert(path.clone(), record(Role::Verifier, wanted, original));
        let change = Change::Folder {
            folder: place.folder.clone(),
            staged: place.staged_folder(),
            sha256: wanted.sha256.clone(),
            mode: wanted.mode,
        };
        self.plan.steps.push(Step {
            path,
            change,
            before: None,
        });
    }

    fn file(&mut self, path: &str, wanted: &Wanted, role: Role, staged: String, next: &mut State) {
        let recorded = self.old.files.get(path);
        let mut original = recorded.and_then(|record| record.original.clone());
        let seen = self.current.files.get(path);
        let before = seen.map(|seen| self.backup(path, seen, &wanted.sha256));
        match (&before, recorded) {
            (Some(backup), None) if backup.lasting => {
                let copy = backup.copy.clone();
                original = Some(copy.clone());
                self.plan.notes.push(Note::Foreign {
                    path: path.to_owned(),
                    copy,
                });
            }
            (Some(backup), Some(_)) if backup.lasting => {
                let copy = backup.copy.clone();
                self.plan.notes.push(Note::Changed {
                    path: path.to_owned(),
                    copy,
                });
            }
            (None, Some(_)) => self.plan.notes.push(Note::PutBack {
                path: path.to_owned(),
            }),
            (Some(backup), Some(record))
                if backup.mode != record.mode || backup.uid != self.uid =>
            {
                self.plan.notes.push(Note::PutBack {
                    path: path.to_owned(),
                });
            }
            _ => {}
        }
        next.files
            .insert(path.to_owned(), record(role, wanted, original));
        if seen.is_some_and(|seen| self.is(seen, wanted)) {
            return;
        }
        let change = Change::File {
            staged,
            sha256: wanted.sha256.clone(),
            mode: wanted.mode,
        };
        self.plan.steps.push(Step {
            path: path.to_owned(),
            change,
            before,
        });
    }

    /// Files that were written once and are not wanted any more.
    fn unwanted(&mut self, next: &mut State) {
        for (path, record) in &self.old.files {
            if next.files.contains_key(path) {
                continue;
            }
            if record.role == Role::Verifier {
                next.files.insert(path.clone(), record.clone());
                continue;
            }
            // What someone else put there since is theirs.
            let Some(seen) = self.current.files.get(path) else {
                continue;
            };
            if seen.sha256 == record.sha256 {
                let before = Some(self.backup(path, seen, &seen.sha256));
                self.plan.steps.push(Step {
                    path: path.clone(),
                    change: Change::Remove,
                    before,
                });
            }
        }
    }

    /// The agent's own state: nobody else writes there.
    fn own(&mut self, path: &str, bytes: &[u8]) {
        let wanted = Wanted {
            sha256: Digest::of(bytes),
            mode: STATE_MODE,
        };
        let seen = self.current.files.get(path);
        if seen.is_some_and(|seen| self.is(seen, &wanted)) {
            return;
        }
        let before = seen.map(|seen| self.backup(path, seen, &seen.sha256));
        let change = Change::File {
            staged: temporary(path),
            sha256: wanted.sha256,
            mode: wanted.mode,
        };
        self.plan.steps.push(Step {
            path: path.to_owned(),
            change,
            before,
        });
    }

    fn is(&self, seen: &Seen, wanted: &Wanted) -> bool {
        seen.sha256 == wanted.sha256 && seen.mode == wanted.mode && seen.uid == self.uid
    }

    /// A file is ours when we wrote these bytes, or are about to.
    fn backup(&self, path: &str, seen: &Seen, wanted: &Digest) -> Backup {
        let lasting = !self.old.wrote(path, &seen.sha256) && seen.sha256 != *wanted;
        let copy = if lasting {
            let digest = &seen.sha256.hex()[..16];
            format!("{}/{}.{digest}", layout::BACKUP_DIR, flat_name(path))
        } else {
            format!("{}/{}", layout::ROLLBACK_DIR, flat_name(path))
        };
        let sha256 = seen.sha256.clone();
        Backup {
            copy,
            sha256,
            mode: seen.mode,
            uid: seen.uid,
            gid: seen.gid,
            lasting,
        }
    }
}

fn record(role: Role, wanted: &Wanted, original: Option<String>) -> Record {
    Record {
        role,
        sha256: wanted.sha256.clone(),
        mode: wanted.mode,
        original,
    }
}

#[cfg(test)]
mod tests;
