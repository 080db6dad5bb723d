//! Folders that the agent makes outside of its own: recorded before they are made, and removed
//! when none of its files needs them and they are empty.
//!
//! What was there before is never in the record, and so is never removed. A record that names a
//! folder which was not made after all costs nothing: it is forgotten at the next apply.

use std::collections::BTreeSet;

use policy::paths::{STATE_DIR, VERIFIER_NAME};
use serde::{Deserialize, Serialize};

use crate::layout;
use crate::root::{Attributes, Emptied, EntryKind, FileError, Root, TEMPORARY_SUFFIX};
use crate::transaction::READ_LIMIT;

/// The version of the record's format.
const VERSION: u32 = 1;
/// The mode of the record.
const MODE: u32 = 0o600;
/// The mode of the folders, whatever the umask is.
const FOLDER_MODE: u32 = 0o755;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    version: u32,
    folders: BTreeSet<String>,
}

/// The folders that the agent made, relative to the root. A record that cannot be read costs no
/// more than empty folders that stay.
pub fn made(root: &Root) -> Result<BTreeSet<String>, FileError> {
    let Some(content) = root.read(layout::FOLDERS, READ_LIMIT)? else {
        return Ok(BTreeSet::new());
    };
    let made = serde_json::from_slice::<Made>(&content.bytes).map_err(|error| error.to_string());
    let known = made.and_then(|made| match made.version {
        VERSION => Ok(made.folders),
        other => Err(format!("it has format version {other}")),
    });
    Ok(known.unwrap_or_else(|why| {
        let path = root.show(layout::FOLDERS);
        tracing::warn!("empty folders of nodeseal's may stay behind: {path} cannot be used: {why}");
        BTreeSet::new()
    }))
}

fn record(root: &Root, folders: BTreeSet<String>) -> Result<(), FileError> {
    if folders.is_empty() {
        return root.remove(layout::FOLDERS);
    }
    let made = Made {
        version: VERSION,
        folders,
    };
    // Strings and numbers always become JSON.
    let bytes = serde_json::to_vec_pretty(&made).unwrap_or_default();
    root.replace(layout::FOLDERS, &bytes, &Attributes::mode(MODE))
}

/// Makes `folders` with all that is missing above them, after what is missing is recorded; that
/// `coming` will be there as well.
pub fn make(root: &Root, folders: &[&str], coming: &[&str]) -> Result<(), FileError> {
    let mut missing = Vec::new();
    for folder in folders.iter().chain(coming) {
        missing.extend(root.missing_dirs(folder)?);
    }
    let is_own = |folder: &&str| {
        let rest = folder.strip_prefix(STATE_DIR);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    missing.retain(|folder| !is_own(folder));
    if !missing.is_empty() {
        let mut made = made(root)?;
        let before = made.len();
        made.extend(missing.into_iter().map(str::to_owned));
        if made.len() > before {
            record(root, made)?;
        }
    }
    for folder in folders {
        root.create_dirs(folder, FOLDER_MODE)?;
    }
    Ok(())
}

/// Removes what the agent made, is not `needed` and is empty; forgets what is not there any more.
/// Returns what stays because something of others' is in it.
pub fn settle(root: &Root, needed: &BTreeSet<String>) -> Result<Vec<String>, FileError> {
    let made = made(root)?;
    let mut left = made.clone();
    let mut in_use = Vec::new();
    // What is in a folder comes after it, and so goes before it.
    for folder in made.iter().rev().filter(|folder| !needed.contains(*folder)) {
        match root.remove_empty(folder)? {
            Emptied::Gone => {
                left.remove(folder);
            }
            Emptied::InUse => in_use.push(folder.clone()),
        }
    }
    if left != made {
        record(root, left)?;
    }
    in_use.reverse();
    Ok(in_use)
}

/// Removes temporary files of the agent from the folders that it made: leftovers of an agent that
/// was cut off before it could record which files it was about to write.
pub fn sweep(root: &Root) -> Result<(), FileError> {
    for folder in made(root)? {
        for (name, kind) in entries(root, &folder)? {
            let is_ours = name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX);
            let path = format!("{folder}/{name}");
            match kind {
                EntryKind::File if is_ours => root.remove(&path)?,
                // A folder on its way to where none is.
                EntryKind::Directory if is_ours => {
                    root.remove(&format!("{path}/{VERIFIER_NAME}"))?;
                    root.remove_empty(&path)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn entries(root: &Root, folder: &str) -> Result<Vec<(String, EntryKind)>, FileError> {
    match root.entries(folder) {
        // Something else stands there by now.
        Err(error) if error.is_foreign() => Ok(Vec::new()),
        entries => Ok(entries?.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        root.create_dirs(STATE_DIR, 0o700).unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        (dir, root)
    }

    fn set(folders: &[&str]) -> BTreeSet<String> {
        folders.iter().map(|&folder| folder.to_owned()).collect()
    }

    #[test]
    fn only_what_was_missing_is_recorded_and_removed_again() {
        let (dir, root) = root();
        make(&root, &["etc/a/b", "etc"], &["opt/x"]).unwrap();
        assert_eq!(made(&root).unwrap(), set(&["etc/a", "etc/a/b", "opt", "opt/x"]));
        let mode = std::fs::metadata(dir.path().join("etc/a/b")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o755);
        // It comes by a rename.
        assert!(!dir.path().join("opt").exists());
        assert_eq!(settle(&root, &set(&["etc", "etc/a"])).unwrap(), [""; 0]);
        assert!(dir.path().join("etc/a").is_dir() && !dir.path().join("etc/a/b").exists());
        assert_eq!(made(&root).unwrap(), set(&["etc/a"]));
        settle(&root, &BTreeSet::new()).unwrap();
        assert!(dir.path().join("etc").is_dir() && !dir.path().join("etc/a").exists());
        assert!(!dir.path().join(layout::FOLDERS).exists());
    }

    #[test]
    fn a_folder_with_files_of_others_stays_and_is_told_and_goes_once_they_do() {
        let (dir, root) = root();
        make(&root, &["etc/a/b"], &[]).unwrap();
        std::fs::write(dir.path().join("etc/a/theirs"), "x").unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), ["etc/a"]);
        std::fs::remove_file(dir.path().join("etc/a/theirs")).unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
        assert!(!dir.path().join("etc/a").exists());
    }

    #[test]
    fn what_others_put_in_the_place_of_a_folder_is_theirs() {
        let (dir, root) = root();
        make(&root, &["etc/a", "etc/b"], &[]).unwrap();
        std::fs::remove_dir(dir.path().join("etc/a")).unwrap();
        std::fs::create_dir(dir.path().join("theirs")).unwrap();
        symlink("/theirs", dir.path().join("etc/a")).unwrap();
        std::fs::remove_dir(dir.path().join("etc/b")).unwrap();
        std::fs::write(dir.path().join("etc/b"), "x").unwrap();
        sweep(&root).unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
        assert!(dir.path().join("theirs").is_dir());
        assert!(dir.path().join("etc/a").is_symlink() && dir.path().join("etc/b").is_file());
        assert_eq!(made(&root).unwrap(), set(&[]));
    }

    #[test]
    fn temporary_files_of_ours_go_and_nothing_else() {
        let (dir, root) = root();
        make(&root, &["etc/a"], &[]).unwrap();
        for name in [".x.nodeseal-tmp", "x.nodeseal-tmp", ".x"] {
            std::fs::write(dir.path().join("etc/a").join(name), "x").unwrap();
            std::fs::write(dir.path().join("etc").join(name), "x").unwrap();
        }
        sweep(&root).unwrap();
        let names = |dir: &str| root.entries(dir).unwrap().unwrap().len();
        assert_eq!((names("etc/a"), names("etc")), (2, 4));
    }

    #[test]
    fn a_damaged_record_removes_nothing() {
        let (dir, root) = root();
        make(&root, &["etc/a"], &[]).unwrap();
        for text in ["{", "{\"version\":2,\"folders\":[\"etc/a\"]}"] {
            std::fs::write(dir.path().join(layout::FOLDERS), text).unwrap();
            assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
            assert!(dir.path().join("etc/a").is_dir());
        }
    }
}
