//! What the agent leaves outside of its own folder before any journal or record of files says so:
//! folders that it makes, and temporary files beside paths that are new to it.
//!
//! Both are recorded before they are made. Folders go when none of the agent's files needs them and
//! they are empty; what was there before is never in the record, and so is never removed. A record
//! that names what was not made after all costs nothing: it is forgotten at the next apply.

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

/// The record. All paths are relative to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Traces {
    version: u32,
    /// Folders that the agent made.
    folders: BTreeSet<String>,
    /// Temporary files and folders that it was about to make.
    staged: BTreeSet<String>,
}

/// What is about to be made.
#[derive(Debug, Default)]
pub struct Coming<'a> {
    /// Folders to make, with all that is missing above them.
    pub folders: Vec<&'a str>,
    /// Folders that come by a rename.
    pub renamed: Vec<&'a str>,
    /// Temporary files and folders beside paths that are new.
    pub staged: Vec<&'a str>,
}

/// Reads the record. One that cannot be read costs no more than empty folders that stay.
fn read(root: &Root) -> Result<Traces, FileError> {
    let nothing = Traces {
        version: VERSION,
        folders: BTreeSet::new(),
        staged: BTreeSet::new(),
    };
    let Some(content) = root.read(layout::TRACES, READ_LIMIT)? else {
        return Ok(nothing);
    };
    let traces = serde_json::from_slice::<Traces>(&content.bytes);
    let known = traces
        .map_err(|error| error.to_string())
        .and_then(|traces| match traces.version {
            VERSION => Ok(traces),
            other => Err(format!("it has format version {other}")),
        });
    Ok(known.unwrap_or_else(|why| {
        let path = root.show(layout::TRACES);
        tracing::warn!("empty folders of nodeseal's may stay behind: {path} cannot be used: {why}");
        nothing
    }))
}

fn write(root: &Root, traces: &Traces) -> Result<(), FileError> {
    if traces.folders.is_empty() && traces.staged.is_empty() {
        return root.remove(layout::TRACES);
    }
    // Strings and numbers always become JSON.
    let bytes = serde_json::to_vec_pretty(traces).unwrap_or_default();
    root.replace(layout::TRACES, &bytes, &Attributes::mode(MODE))
}

/// The folders that the agent made.
pub fn folders(root: &Root) -> Result<BTreeSet<String>, FileError> {
    Ok(read(root)?.folders)
}

/// Makes the folders, after all that is coming is recorded.
pub fn announce(root: &Root, coming: &Coming<'_>) -> Result<(), FileError> {
    let mut missing = Vec::new();
    for folder in coming.folders.iter().chain(&coming.renamed) {
        missing.extend(root.missing_dirs(folder)?);
    }
    let is_others = |path: &&str| {
        let rest = path.strip_prefix(STATE_DIR);
        !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let owned = |paths: Vec<&str>| {
        let paths = paths.into_iter().filter(is_others);
        paths.map(str::to_owned).collect::<Vec<String>>()
    };
    let mut traces = read(root)?;
    let before = traces.clone();
    traces.folders.extend(owned(missing));
    traces.staged.extend(owned(coming.staged.clone()));
    if traces != before {
        write(root, &traces)?;
    }
    for folder in &coming.folders {
        root.create_dirs(folder, FOLDER_MODE)?;
    }
    Ok(())
}

/// Removes folders that the agent made, that are not `needed` and are empty; forgets what is not
/// there any more. Returns what stays because something of others' is in it. Only without a journal.
pub fn settle(root: &Root, needed: &BTreeSet<String>) -> Result<Vec<String>, FileError> {
    let before = read(root)?;
    let mut left = before.clone();
    for path in std::mem::take(&mut left.staged) {
        discard(root, &path)?;
    }
    let mut in_use = Vec::new();
    let not_needed = before.folders.iter().filter(|path| !needed.contains(*path));
    // What is in a folder comes after it, and so goes before it.
    for folder in not_needed.rev() {
        match root.remove_empty(folder)? {
            Emptied::Gone => {
                left.folders.remove(folder);
            }
            Emptied::InUse => in_use.push(folder.clone()),
        }
    }
    if left != before {
        write(root, &left)?;
    }
    in_use.reverse();
    Ok(in_use)
}

/// Removes temporary files of the agent: those of the record, and all in the folders that it made.
/// Only without a journal.
pub fn sweep(root: &Root) -> Result<(), FileError> {
    let traces = read(root)?;
    for path in &traces.staged {
        discard(root, path)?;
    }
    for folder in &traces.folders {
        let entries = match root.entries(folder) {
            // Something else stands there by now.
            Err(error) if error.is_foreign() => None,
            entries => entries?,
        };
        for (name, kind) in entries.unwrap_or_default() {
            let is_ours = name.starts_with('.') && name.ends_with(TEMPORARY_SUFFIX);
            if is_ours && matches!(kind, EntryKind::File | EntryKind::Directory) {
                discard(root, &format!("{folder}/{name}"))?;
            }
        }
    }
    Ok(())
}

/// Removes a temporary file, or a folder with the one file that it may hold.
fn discard(root: &Root, path: &str) -> Result<(), FileError> {
    match root.entries(path) {
        Ok(Some(_)) => {
            root.remove(&format!("{path}/{VERIFIER_NAME}"))?;
            root.remove_empty(path)?;
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) if error.is_foreign() => root.remove(path),
        Err(error) => Err(error),
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

    fn make(root: &Root, folders: &[&str], renamed: &[&str]) {
        let coming = Coming {
            folders: folders.to_vec(),
            renamed: renamed.to_vec(),
            staged: Vec::new(),
        };
        announce(root, &coming).unwrap();
    }

    fn set(folders: &[&str]) -> BTreeSet<String> {
        folders.iter().map(|&folder| folder.to_owned()).collect()
    }

    #[test]
    fn only_what_was_missing_is_recorded_and_removed_again() {
        let (dir, root) = root();
        make(&root, &["etc/a/b", "etc"], &["opt/x"]);
        assert_eq!(
            folders(&root).unwrap(),
            set(&["etc/a", "etc/a/b", "opt", "opt/x"])
        );
        let mode = std::fs::metadata(dir.path().join("etc/a/b")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o755);
        // It comes by a rename.
        assert!(!dir.path().join("opt").exists());
        assert_eq!(settle(&root, &set(&["etc", "etc/a"])).unwrap(), [""; 0]);
        assert!(dir.path().join("etc/a").is_dir() && !dir.path().join("etc/a/b").exists());
        assert_eq!(folders(&root).unwrap(), set(&["etc/a"]));
        settle(&root, &BTreeSet::new()).unwrap();
        assert!(dir.path().join("etc").is_dir() && !dir.path().join("etc/a").exists());
        assert!(!dir.path().join(layout::TRACES).exists());
    }

    #[test]
    fn a_folder_with_files_of_others_stays_and_is_told_and_goes_once_they_do() {
        let (dir, root) = root();
        make(&root, &["etc/a/b"], &[]);
        std::fs::write(dir.path().join("etc/a/theirs"), "x").unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), ["etc/a"]);
        std::fs::remove_file(dir.path().join("etc/a/theirs")).unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
        assert!(!dir.path().join("etc/a").exists());
    }

    #[test]
    fn what_others_put_in_the_place_of_a_folder_is_theirs() {
        let (dir, root) = root();
        make(&root, &["etc/a", "etc/b"], &[]);
        std::fs::remove_dir(dir.path().join("etc/a")).unwrap();
        std::fs::create_dir(dir.path().join("theirs")).unwrap();
        symlink("/theirs", dir.path().join("etc/a")).unwrap();
        std::fs::remove_dir(dir.path().join("etc/b")).unwrap();
        std::fs::write(dir.path().join("etc/b"), "x").unwrap();
        sweep(&root).unwrap();
        assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
        assert!(dir.path().join("theirs").is_dir());
        assert!(dir.path().join("etc/a").is_symlink() && dir.path().join("etc/b").is_file());
        assert_eq!(folders(&root).unwrap(), set(&[]));
    }

    #[test]
    fn temporary_files_of_ours_go_and_nothing_else() {
        let (dir, root) = root();
        make(&root, &["etc/a"], &[]);
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
        make(&root, &["etc/a"], &[]);
        for text in ["{", "{\"version\":2,\"folders\":[\"etc/a\"],\"staged\":[]}"] {
            std::fs::write(dir.path().join(layout::TRACES), text).unwrap();
            assert_eq!(settle(&root, &BTreeSet::new()).unwrap(), [""; 0]);
            assert!(dir.path().join("etc/a").is_dir());
        }
    }

    #[test]
    fn what_was_about_to_be_staged_goes_and_is_forgotten() {
        for by_sweep in [true, false] {
            let (dir, root) = root();
            let coming = Coming {
                staged: vec![
                    "etc/.f.nodeseal-tmp",
                    "etc/.d.nodeseal-tmp",
                    "etc/.no.nodeseal-tmp",
                ],
                ..Coming::default()
            };
            announce(&root, &coming).unwrap();
            std::fs::write(dir.path().join("etc/.f.nodeseal-tmp"), "x").unwrap();
            let folder = dir.path().join("etc/.d.nodeseal-tmp");
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join(VERIFIER_NAME), "x").unwrap();
            if by_sweep {
                sweep(&root).unwrap();
            } else {
                settle(&root, &set(&["etc"])).unwrap();
                assert!(!dir.path().join(layout::TRACES).exists());
            }
            assert!(root.entries("etc").unwrap().unwrap().is_empty());
        }
    }
}
