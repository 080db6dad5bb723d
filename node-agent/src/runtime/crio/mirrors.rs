//! registries.conf and its drop-ins on a node, as containers/image finds them.

use std::collections::BTreeMap;

use policy::crio::registries_conf::{MAX_BYTES, Registry, Source, merge};

use super::BaseError;
use crate::root::{EntryKind, FileError, Root};

/// registries.conf: the first that is there is read. Only newer versions of the library look at the
/// second.
pub(super) const FILES: [&str; 2] = [
    "etc/containers/registries.conf",
    "usr/share/containers/registries.conf",
];
/// Drop-ins: of files with one name the first counts. Older versions look at [`OLDER_FOLDER`] only.
pub(super) const FOLDERS: [&str; 4] = [
    "etc/containers/registries.rootful.conf.d",
    OLDER_FOLDER,
    "usr/share/containers/registries.rootful.conf.d",
    "usr/share/containers/registries.conf.d",
];
const OLDER_FOLDER: &str = "etc/containers/registries.conf.d";
/// The most drop-ins that are read.
const MAX_FILES: usize = 1_000;

/// What the node's CRI-O may read: as the versions of the library before 5.40 or so do, and as
/// those after it do where that is not the same. Which one a CRI-O was built with cannot be told,
/// so images may be pulled from what either gives.
pub(super) fn read(root: &Root) -> Result<Vec<Vec<Registry>>, BaseError> {
    let older = paths(root, &FILES[..1], &[OLDER_FOLDER])?;
    let newer = paths(root, &FILES, &FOLDERS)?;
    let mut readings = vec![registries(root, &older)?];
    if newer != older {
        readings.push(registries(root, &newer)?);
    }
    Ok(readings)
}

/// The files that are read, in their order; the first is registries.conf, if there is one.
#[derive(PartialEq, Eq)]
struct Paths {
    main: Option<String>,
    drop_ins: Vec<String>,
}

fn paths(root: &Root, files: &[&str], folders: &[&str]) -> Result<Paths, FileError> {
    let mut main = None;
    for file in files {
        if main.is_none() && root.exists(file)? {
            main = Some((*file).to_owned());
        }
    }
    let mut drop_ins = BTreeMap::new();
    for folder in folders.iter().rev() {
        for (name, kind) in root.entries_following(folder)?.unwrap_or_default() {
            if kind != EntryKind::Directory && name.as_bytes().ends_with(b".conf") {
                let path = format!("{folder}/{name}");
                drop_ins.insert(name, path);
            }
        }
    }
    if drop_ins.len() > MAX_FILES {
        return Err(FileError::Io {
            action: "read more than 1000 drop-ins of registries.conf in",
            path: root.show(OLDER_FOLDER),
            source: std::io::ErrorKind::QuotaExceeded.into(),
        });
    }
    Ok(Paths {
        main,
        drop_ins: drop_ins.into_values().collect(),
    })
}

fn registries(root: &Root, paths: &Paths) -> Result<Vec<Registry>, BaseError> {
    let main = match &paths.main {
        Some(path) => text(root, path)?,
        None => None,
    };
    let mut drop_ins = Vec::new();
    for path in &paths.drop_ins {
        drop_ins.extend(text(root, path)?);
    }
    let sources: Vec<Source<'_>> = drop_ins
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let main = main.as_ref().map(|(name, text)| Source { name, text });
    Ok(merge(main, &sources)?)
}

/// A file with the name that errors give it; nothing where it is gone, or a link to nowhere.
fn text(root: &Root, path: &str) -> Result<Option<(String, String)>, FileError> {
    let Some(content) = root.read_following(path, MAX_BYTES as u64)? else {
        return Ok(None);
    };
    let name = root.show(path);
    let text = String::from_utf8(content.bytes).map_err(|error| FileError::Io {
        action: "read as text",
        path: name.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
    })?;
    Ok(Some((name, text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    fn prefixes(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let (_dir, root) = root(files);
        let readings = read(&root).unwrap().into_iter();
        readings
            .map(|registries| registries.iter().map(|r| r.prefix().to_owned()).collect())
            .collect()
    }

    const A: &str = "[[registry]]\nlocation = 'a.example'\n";
    const B: &str = "[[registry]]\nlocation = 'b.example'\n";
    const C: &str = "[[registry]]\nlocation = 'c.example'\n";

    #[test]
    fn a_node_without_any_file_has_no_registries() {
        assert_eq!(prefixes(&[]), [[""; 0]]);
    }

    #[test]
    fn only_files_that_the_library_reads_are_read() {
        let files = [
            (FILES[0], A),
            ("etc/containers/registries.conf.d/10.conf", B),
            ("etc/containers/registries.conf.d/20.conf.bak", "{"),
            ("etc/containers/registries.conf.d/sub.conf/x.conf", "{"),
        ];
        assert_eq!(prefixes(&files), [["a.example", "b.example"]]);
    }

    #[test]
    fn what_only_newer_versions_read_is_a_second_reading() {
        let files = [
            (FILES[1], A),
            ("etc/containers/registries.conf.d/10.conf", B),
            ("usr/share/containers/registries.conf.d/10.conf", C),
        ];
        assert_eq!(
            prefixes(&files),
            [vec!["b.example"], vec!["a.example", "b.example"]]
        );
        let rootful = [
            ("etc/containers/registries.conf.d/10.conf", B),
            ("etc/containers/registries.rootful.conf.d/10.conf", C),
        ];
        assert_eq!(prefixes(&rootful), [["b.example"], ["c.example"]]);
    }

    #[test]
    fn a_link_to_nowhere_is_no_file() {
        let (dir, root) = root(&[(FILES[0], A)]);
        let folder = dir.path().join(OLDER_FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("/nowhere", folder.join("x.conf")).unwrap();
        assert_eq!(read(&root).unwrap()[0].len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let drop_in = "etc/containers/registries.conf.d/10.conf";
        let large = "#".repeat(MAX_BYTES + 1);
        for (text, words) in [
            ("[[registry]]\n", "10.conf: [[registry]] number 1"),
            (&large, "larger"),
        ] {
            let (_dir, root) = root(&[(drop_in, text)]);
            let error = read(&root).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let (dir, root) = root(&[(FILES[0], "")]);
        std::fs::write(dir.path().join(FILES[0]), b"\xff").unwrap();
        assert!(read(&root).unwrap_err().to_string().contains("as text"));
        std::fs::remove_file(dir.path().join(FILES[0])).unwrap();
        std::fs::create_dir(dir.path().join(FILES[0])).unwrap();
        assert!(
            read(&root)
                .unwrap_err()
                .to_string()
                .contains("is a directory")
        );
    }
}
