//! From what is on disk and what should be there to the steps between, in the safe order.
//!
//! - Files that are as they should be are no step: steady state writes nothing.
//! - The order is that of the runtime's targets; files that are no longer wanted are given back
//!   after that.
//! - The agent's own record comes last. It is part of the same journal, so an interrupted apply
//!   never leaves a file that the agent takes for another's.

mod model;

use policy::digest::Digest;

use crate::journal::{Backup, Change, Step};
use crate::layout::{self, VerifierPlace, flat_name};
use crate::root::temporary;
use crate::state::{Record, Role, State};

pub use self::model::{Current, Desired, Note, Plan, Refusal, Seen, Source, Target};

/// The mode of the verifier.
pub const VERIFIER_MODE: u32 = 0o755;
/// The mode of the agent's own files.
pub const STATE_MODE: u32 = 0o600;

/// Decides what to do, and in which order.
pub fn plan(current: &Current, state: &State, desired: &Desired) -> Result<Plan, Refusal> {
    if let Some(place) = &desired.place {
        current.refuse_unexpected(place)?;
    }
    let mut draft = Draft {
        current,
        old: state,
        uid: desired.uid,
        next: State::default(),
        plan: Plan::default(),
    };
    for target in &desired.targets {
        match target {
            Target::Write { path, file, own } => {
                let wanted = Wanted {
                    sha256: Digest::of(&file.bytes),
                    mode: file.mode,
                    source: Source::Bytes(file.bytes.clone()),
                };
                let place = Place {
                    path,
                    staged: temporary(path),
                    own: *own,
                };
                draft.file(place, wanted, Role::Config);
            }
            Target::Restore { path } => draft.restore(path),
            Target::Verifier { program, sha256 } => {
                let wanted = Wanted {
                    sha256: sha256.clone(),
                    mode: VERIFIER_MODE,
                    source: Source::Program(program.clone()),
                };
                if let Some(place) = &desired.place {
                    draft.verifier(place, wanted);
                }
            }
        }
    }
    draft.unwanted(&desired.targets);

    let bytes = draft.next.to_json()?;
    draft.own(layout::BUNDLE, &desired.bundle);
    draft.own(layout::STATE, &bytes);
    draft.plan.state = bytes;
    Ok(draft.plan)
}

/// A file as it should be.
struct Wanted {
    sha256: Digest,
    mode: u32,
    source: Source,
}

/// Where a file goes; see [`Target::Write`].
struct Place<'a> {
    path: &'a str,
    staged: String,
    own: bool,
}

struct Draft<'a> {
    current: &'a Current,
    old: &'a State,
    uid: u32,
    next: State,
    plan: Plan,
}

impl Draft<'_> {
    fn verifier(&mut self, place: &VerifierPlace, wanted: Wanted) {
        let path = place.file();
        if self.current.verifier_folder.is_some() {
            let place = Place {
                path: &path,
                staged: place.staged_file(),
                own: true,
            };
            self.file(place, wanted, Role::Verifier);
            return;
        }
        let recorded = self.old.files.get(&path);
        if recorded.is_some() {
            self.plan.notes.push(Note::PutBack { path: path.clone() });
        }
        let original = recorded.and_then(|record| record.original.clone());
        let change = Change::Folder {
            folder: place.folder.clone(),
            staged: place.staged_folder(),
            sha256: wanted.sha256.clone(),
            mode: wanted.mode,
        };
        self.record(&path, Role::Verifier, &wanted, original);
        self.step(path, change, None, Some(wanted.source));
    }

    fn file(&mut self, place: Place<'_>, wanted: Wanted, role: Role) {
        let Place { path, staged, own } = place;
        let recorded = self.old.files.get(path);
        let seen = self.current.files.get(path);
        let as_wanted = seen.is_some_and(|seen| self.is(seen, &wanted));
        let theirs = recorded.is_none() && !own;
        if as_wanted && theirs {
            return;
        }
        let mut original = recorded.and_then(|record| record.original.clone());
        let adopted = (!theirs).then_some(&wanted.sha256);
        let before = seen.map(|seen| self.backup(path, seen, adopted));
        let path = path.to_owned();
        match (&before, recorded) {
            (Some(backup), None) if backup.lasting => {
                let copy = backup.copy.clone();
                original = Some(copy.clone());
                let path = path.clone();
                self.plan.notes.push(Note::Foreign { path, copy });
            }
            (Some(backup), Some(_)) if backup.lasting => {
                let (path, copy) = (path.clone(), backup.copy.clone());
                self.plan.notes.push(Note::Changed { path, copy });
            }
            (None, Some(_)) => self.plan.notes.push(Note::PutBack { path: path.clone() }),
            (Some(backup), Some(record))
                if backup.mode != record.mode || backup.uid != self.uid =>
            {
                self.plan.notes.push(Note::PutBack { path: path.clone() });
            }
            _ => {}
        }
        self.record(&path, role, &wanted, original);
        if as_wanted {
            return;
        }
        let change = Change::File {
            staged,
            sha256: wanted.sha256,
            mode: wanted.mode,
            owner: None,
        };
        self.step(path, change, before, Some(wanted.source));
    }

    /// Gives a path back. What someone else put in the place of a file of ours is theirs.
    fn restore(&mut self, path: &str) {
        let Some(record) = self.old.files.get(path) else {
            return;
        };
        let seen = self.current.files.get(path);
        if seen.is_some_and(|seen| seen.sha256 != record.sha256) {
            return;
        }
        let before = seen.map(|seen| self.backup(path, seen, Some(&seen.sha256)));
        let Some(copy) = &record.original else {
            if seen.is_some() {
                self.step(path.to_owned(), Change::Remove, before, None);
            }
            return;
        };
        let Some(original) = self.current.originals.get(copy) else {
            let (path, copy) = (path.to_owned(), copy.clone());
            self.next.files.insert(path.clone(), record.clone());
            self.plan.notes.push(Note::Lost { path, copy });
            return;
        };
        let change = Change::File {
            staged: temporary(path),
            sha256: original.sha256.clone(),
            mode: original.mode,
            owner: Some((original.uid, original.gid)),
        };
        let source = Source::Copy(copy.clone());
        self.step(path.to_owned(), change, before, Some(source));
    }

    /// Files that were written once and are not wanted any more. A verifier stays.
    fn unwanted(&mut self, targets: &[Target]) {
        for (path, record) in &self.old.files {
            let named = |target: &Target| target.path() == Some(path);
            if self.next.files.contains_key(path) || targets.iter().any(named) {
                continue;
            }
            if record.role == Role::Verifier {
                self.next.files.insert(path.clone(), record.clone());
            } else {
                self.restore(path);
            }
        }
    }

    /// The agent's own state: nobody else writes there.
    fn own(&mut self, path: &str, bytes: &[u8]) {
        let wanted = Wanted {
            sha256: Digest::of(bytes),
            mode: STATE_MODE,
            source: Source::Bytes(bytes.to_vec()),
        };
        let seen = self.current.files.get(path);
        if seen.is_some_and(|seen| self.is(seen, &wanted)) {
            return;
        }
        let before = seen.map(|seen| self.backup(path, seen, Some(&seen.sha256)));
        let change = Change::File {
            staged: temporary(path),
            sha256: wanted.sha256,
            mode: wanted.mode,
            owner: None,
        };
        self.step(path.to_owned(), change, before, Some(wanted.source));
    }

    fn step(
        &mut self,
        path: String,
        change: Change,
        before: Option<Backup>,
        source: Option<Source>,
    ) {
        if let Some(source) = source {
            self.plan.contents.insert(path.clone(), source);
        }
        self.plan.steps.push(Step {
            path,
            change,
            before,
        });
    }

    fn record(&mut self, path: &str, role: Role, wanted: &Wanted, original: Option<String>) {
        let record = Record {
            role,
            sha256: wanted.sha256.clone(),
            mode: wanted.mode,
            original,
        };
        self.next.files.insert(path.to_owned(), record);
    }

    fn is(&self, seen: &Seen, wanted: &Wanted) -> bool {
        seen.sha256 == wanted.sha256 && seen.mode == wanted.mode && seen.uid == self.uid
    }

    /// A file is ours when we wrote these bytes, or when they are those to be `adopted`.
    fn backup(&self, path: &str, seen: &Seen, adopted: Option<&Digest>) -> Backup {
        let lasting = !self.old.wrote(path, &seen.sha256) && adopted != Some(&seen.sha256);
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

#[cfg(test)]
mod tests;
