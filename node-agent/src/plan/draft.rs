//! The steps of a plan, drafted one path after another.

use std::path::Path;

use policy::containerd::File;
use policy::digest::Digest;

use super::model::{Current, Note, Plan, Refusal, Seen, Source};
use super::{STATE_MODE, VERIFIER_MODE};
use crate::journal::{Backup, Change, Step};
use crate::layout::{self, VerifierPlace, flat_name};
use crate::root::{Xattrs, temporary};
use crate::state::{Record, Role, State};

/// A file as it should be.
pub(super) struct Wanted {
    pub(super) sha256: Digest,
    pub(super) mode: u32,
    /// User and group, where they are not the agent's own.
    pub(super) owner: Option<(u32, u32)>,
    /// Of a file that stays others'.
    pub(super) xattrs: Xattrs,
    pub(super) source: Source,
}

impl Wanted {
    /// A file of ours.
    fn ours(sha256: Digest, mode: u32, source: Source) -> Self {
        Self {
            sha256,
            mode,
            owner: None,
            xattrs: Xattrs::default(),
            source,
        }
    }
}

/// Where a file goes; see [`super::Target::Write`].
struct Place<'a> {
    path: &'a str,
    staged: String,
    own: bool,
}

/// A plan on its way.
pub(super) struct Draft<'a> {
    pub(super) current: &'a Current,
    pub(super) old: &'a State,
    uid: u32,
    pub(super) next: State,
    pub(super) plan: Plan,
}

impl<'a> Draft<'a> {
    /// Nothing is drafted yet. `uid` owns what the agent writes.
    pub(super) fn new(current: &'a Current, old: &'a State, uid: u32) -> Self {
        Self {
            current,
            old,
            uid,
            next: State::default(),
            plan: Plan::default(),
        }
    }

    /// The plan, with the agent's own records.
    pub(super) fn finish(mut self, bundle: Option<&[u8]>) -> Result<Plan, serde_json::Error> {
        let bytes = self.next.to_json()?;
        if let Some(bundle) = bundle {
            self.own(layout::BUNDLE, bundle);
        }
        self.own(layout::STATE, &bytes);
        self.plan.folders = self.next.folders();
        self.plan.state = bytes;
        Ok(self.plan)
    }

    /// A file of ours; see [`super::Target::Write`].
    pub(super) fn write(&mut self, path: &str, file: &File, own: bool) {
        let source = Source::Bytes(file.bytes.clone());
        let wanted = Wanted::ours(Digest::of(&file.bytes), file.mode, source);
        let place = Place {
            path,
            staged: temporary(path),
            own,
        };
        self.file(place, wanted, Role::Config);
    }

    /// What is recorded of a path stays recorded, and the file as it is.
    pub(super) fn keep_recorded(&mut self, path: &str) {
        if let Some(record) = self.old.files.get(path) {
            self.keep(path, record);
        }
    }

    /// The verifier in its folder.
    pub(super) fn verifier(&mut self, place: &VerifierPlace, program: &Path, sha256: &Digest) {
        let source = Source::Program(program.to_owned());
        let wanted = Wanted::ours(sha256.clone(), VERIFIER_MODE, source);
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
                if role == Role::Edited {
                    // Others may change it: what they made of it is what is given back.
                    original = Some(copy.clone());
                    self.plan.notes.push(Note::Foreign { path, copy });
                } else {
                    self.plan.notes.push(Note::Changed { path, copy });
                }
            }
            (None, Some(_)) => self.plan.notes.push(match self.current.links.get(&path) {
                Some(target) => Note::Linked {
                    path: path.clone(),
                    target: target.clone(),
                },
                None => Note::PutBack { path: path.clone() },
            }),
            (Some(backup), Some(record))
                if role != Role::Edited
                    && (backup.mode != record.mode || backup.uid != self.uid) =>
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
            owner: wanted.owner,
            xattrs: wanted.xattrs,
        };
        self.step(path, change, before, Some(wanted.source));
    }

    /// A file of the administrator's with a change of ours.
    pub(super) fn edit(
        &mut self,
        path: &str,
        from: Option<&Digest>,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let wanted = self.as_it_is(path, bytes);
        self.is_still(path, from, &wanted.sha256)?;
        let place = Place {
            path,
            staged: temporary(path),
            own: false,
        };
        self.file(place, wanted, Role::Edited);
        Ok(())
    }

    /// Whether the file is the one that a change was made to, or that with the change already. What
    /// a link in its place leads to is read through it.
    pub(super) fn is_still(
        &self,
        path: &str,
        from: Option<&Digest>,
        wanted: &Digest,
    ) -> Result<(), Refusal> {
        let seen = self.current.files.get(path).map(|seen| &seen.sha256);
        if seen == from || seen == Some(wanted) || self.current.links.contains_key(path) {
            return Ok(());
        }
        let path = path.to_owned();
        Err(Refusal::Changed { path })
    }

    /// These bytes in the mode, with the owner and the attributes that the file has.
    pub(super) fn as_it_is(&self, path: &str, bytes: &[u8]) -> Wanted {
        let seen = self.current.files.get(path);
        Wanted {
            sha256: Digest::of(bytes),
            mode: seen.map_or(0o644, |seen| seen.mode),
            owner: seen
                .map(|seen| (seen.uid, seen.gid))
                .filter(|(uid, gid)| (*uid, *gid) != (self.uid, 0)),
            xattrs: seen.map(|seen| seen.xattrs.clone()).unwrap_or_default(),
            source: Source::Bytes(bytes.to_vec()),
        }
    }

    /// The agent's own state: nobody else writes there.
    fn own(&mut self, path: &str, bytes: &[u8]) {
        let wanted = Wanted::ours(Digest::of(bytes), STATE_MODE, Source::Bytes(bytes.to_vec()));
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
            xattrs: Xattrs::default(),
        };
        self.step(path.to_owned(), change, before, Some(wanted.source));
    }

    pub(super) fn step(
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
        seen.sha256 == wanted.sha256
            && seen.mode == wanted.mode
            && match wanted.owner {
                Some(owner) => owner == (seen.uid, seen.gid),
                None => seen.uid == self.uid,
            }
    }

    /// A file is ours when we wrote these bytes, or when they are those to be `adopted`.
    pub(super) fn backup(&self, path: &str, seen: &Seen, adopted: Option<&Digest>) -> Backup {
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
            xattrs: seen.xattrs.clone(),
            lasting,
        }
    }
}
