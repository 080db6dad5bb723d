//! Giving back: what becomes of files that are not wanted any more.

use policy::digest::Digest;

use super::draft::Draft;
use super::model::{Note, Others, Refusal, Source, Target};
use crate::journal::Change;
use crate::root::temporary;
use crate::state::{Record, Role};

impl Draft<'_> {
    /// The same without the change of ours, and no longer recorded.
    pub(super) fn unedit(
        &mut self,
        path: &str,
        from: &Digest,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let wanted = self.as_it_is(path, bytes);
        let Some(seen) = self.current.files.get(path) else {
            return Ok(());
        };
        self.is_still(path, Some(from), &wanted.sha256)?;
        if seen.sha256 == wanted.sha256 {
            return Ok(());
        }
        let before = self.backup(path, seen, None);
        let change = Change::File {
            staged: temporary(path),
            sha256: wanted.sha256,
            mode: wanted.mode,
            owner: wanted.owner,
            xattrs: wanted.xattrs,
        };
        self.step(path.to_owned(), change, Some(before), Some(wanted.source));
        Ok(())
    }

    /// Gives a path back. What someone else put in the place of a file of ours is theirs.
    pub(super) fn restore(&mut self, path: &str) {
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
            xattrs: original.xattrs.clone(),
        };
        let source = Source::Copy(copy.clone());
        self.step(path.to_owned(), change, before, Some(source));
    }

    /// Files that were written once and are not wanted any more.
    pub(super) fn unwanted(&mut self, targets: &[Target], others: Others) {
        let named = |path: &String| targets.iter().any(|target| target.path() == Some(path));
        let unnamed = self.old.files.iter().filter(|(path, _)| !named(path));
        let (verifiers, files): (Vec<_>, Vec<_>) =
            unnamed.partition(|(_, record)| record.role == Role::Verifier);
        for (path, record) in verifiers.into_iter().chain(files) {
            if self.next.files.contains_key(path) {
                continue;
            }
            match others {
                Others::GiveBack if record.role == Role::Verifier => self.keep(path, record),
                Others::Keep => self.keep(path, record),
                Others::GiveBack | Others::GiveBackAll => self.restore(path),
            }
        }
    }

    pub(super) fn keep(&mut self, path: &str, record: &Record) {
        self.next.files.insert(path.to_owned(), record.clone());
    }
}
