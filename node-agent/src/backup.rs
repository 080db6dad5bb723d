//! Copies of files that others wrote, kept beside a note about their mode, owner and extended
//! attributes.

use std::collections::{BTreeMap, BTreeSet};

use policy::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::journal::Backup;
use crate::layout;
use crate::root::{Attributes, FileError, Root, Seen, Xattrs};
use crate::state::State;
use crate::transaction::READ_LIMIT;

/// How many copies of changes to one file are kept, besides the original.
const CHANGES: usize = 5;
/// The most bytes of a note: extended attributes are in it, in hexadecimal.
const NOTE_LIMIT: u64 = 256 * 1024;

/// The note beside a copy, so that the file can be put back as it was.
#[derive(Serialize, Deserialize)]
struct Note {
    path: String,
    sha256: Digest,
    /// Octal, as chmod(1) takes it.
    mode: String,
    uid: u32,
    gid: u32,
    #[serde(default, skip_serializing_if = "Xattrs::is_empty")]
    xattrs: Xattrs,
}

/// Writes the note of a lasting copy.
pub fn write_note(root: &Root, path: &str, backup: &Backup) -> Result<(), FileError> {
    let note = Note {
        path: path.to_owned(),
        sha256: backup.sha256.clone(),
        mode: format!("{:04o}", backup.mode),
        uid: backup.uid,
        gid: backup.gid,
        xattrs: backup.xattrs.clone(),
    };
    // Strings and numbers always become JSON.
    let bytes = serde_json::to_vec(&note).unwrap_or_default();
    root.replace(&note_of(&backup.copy), &bytes, &Attributes::mode(0o600))
}

/// The path that a copy is of, as one name, by the name of the copy: `<path>.<digest>`, as the plan
/// names copies. The notes beside them end otherwise.
fn copied(name: &str) -> Option<&str> {
    let (path, digest) = name.rsplit_once('.')?;
    let is_digest = digest.len() == 16 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then_some(path)
}

/// Whether this is the name of a copy or of its note.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    copied(name.strip_suffix(".json").unwrap_or(name)).is_some()
}

fn note_of(copy: &str) -> String {
    format!("{copy}.json")
}

/// What a kept file looked like; `None` when the copy or its note is lost or damaged.
pub fn original(root: &Root, copy: &str) -> Result<Option<Seen>, FileError> {
    let Some(note) = root.read(&note_of(copy), NOTE_LIMIT)? else {
        return Ok(None);
    };
    let Ok(note) = serde_json::from_slice::<Note>(&note.bytes) else {
        return Ok(None);
    };
    let Ok(mode) = u32::from_str_radix(&note.mode, 8) else {
        return Ok(None);
    };
    let there = root.seen(copy, READ_LIMIT)?;
    Ok(there
        .filter(|there| there.sha256 == note.sha256)
        .map(|_| Seen {
            sha256: note.sha256,
            mode,
            uid: note.uid,
            gid: note.gid,
            xattrs: note.xattrs,
        }))
}

/// Removes all but the newest copies of changes to each file. What was there before nodeseal is
/// kept for good.
pub fn prune(root: &Root, state: &State) -> Result<(), FileError> {
    let originals: BTreeSet<&String> = state
        .files
        .values()
        .filter_map(|record| record.original.as_ref())
        .collect();
    let mut copies: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, _) in root.entries(layout::BACKUP_DIR)?.unwrap_or_default() {
        let copy = format!("{}/{name}", layout::BACKUP_DIR);
        let Some(path) = copied(&name).filter(|_| !originals.contains(&copy)) else {
            continue;
        };
        if let Some(modified) = root.modified(&copy)? {
            let of_path = copies.entry(path.to_owned()).or_default();
            of_path.push((modified, copy));
        }
    }
    for mut of_path in copies.into_values() {
        of_path.sort();
        let excess = of_path.len().saturating_sub(CHANGES);
        for (_, copy) in of_path.drain(..excess) {
            root.remove(&note_of(&copy))?;
            root.remove(&copy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Record, Role};

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dirs(layout::BACKUP_DIR, 0o700).unwrap();
        (dir, root)
    }

    fn keep(root: &Root, bytes: &[u8]) -> String {
        let sha256 = Digest::of(bytes);
        let copy = format!("{}/etc+x.{}", layout::BACKUP_DIR, &sha256.hex()[..16]);
        let backup = Backup {
            copy: copy.clone(),
            sha256,
            mode: 0o640,
            uid: 7,
            gid: 8,
            xattrs: Xattrs::default(),
            lasting: true,
        };
        root.replace(&copy, bytes, &Attributes::mode(0o600))
            .unwrap();
        write_note(root, "etc/x", &backup).unwrap();
        copy
    }

    #[test]
    fn a_copy_tells_what_the_file_was_and_a_damaged_one_tells_nothing() {
        let (_dir, root) = root();
        let copy = keep(&root, b"theirs");
        let seen = original(&root, &copy).unwrap().unwrap();
        assert_eq!((seen.mode, seen.uid, seen.gid), (0o640, 7, 8));
        root.replace(&copy, b"other", &Attributes::mode(0o600))
            .unwrap();
        assert_eq!(original(&root, &copy).unwrap(), None);
    }

    #[test]
    fn the_original_and_the_newest_changes_are_kept() {
        let (dir, root) = root();
        let first = keep(&root, b"original");
        let changes: Vec<String> = (0..8_u8).map(|n| keep(&root, &[n])).collect();
        // Faster than the clock of a file system ticks.
        for (at, copy) in changes.iter().enumerate() {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + at as u64);
            let file = std::fs::File::options()
                .write(true)
                .open(dir.path().join(copy))
                .unwrap();
            file.set_modified(time).unwrap();
        }
        let mut state = State::default();
        let record = Record {
            role: Role::Config,
            sha256: Digest::of(b"ours"),
            mode: 0o644,
            original: Some(first.clone()),
        };
        state.files.insert("etc/x".to_owned(), record);
        prune(&root, &state).unwrap();
        for (at, copy) in changes.iter().enumerate() {
            for path in [copy.clone(), note_of(copy)] {
                assert_eq!(root.read(&path, 999).unwrap().is_some(), at >= 3, "{path}");
            }
        }
        assert!(original(&root, &first).unwrap().is_some());
    }
}
