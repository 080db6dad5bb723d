//! A whole tree as it is: every file, folder and link with everything that belongs to it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    what: What,
    mode: u32,
    owner: (u32, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    File(Vec<u8>),
    Folder,
    Link(PathBuf),
    Other,
}

/// By path, relative to the folder that was looked at, which is itself among them.
pub(crate) type Tree = BTreeMap<PathBuf, Entry>;

pub(crate) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            paths.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let entry = entry(&path, &meta);
        tree.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
    }
    tree
}

fn entry(path: &Path, meta: &Metadata) -> Entry {
    let what = if meta.is_symlink() {
        What::Link(std::fs::read_link(path).unwrap())
    } else if meta.is_dir() {
        What::Folder
    } else if meta.is_file() {
        What::File(std::fs::read(path).unwrap())
    } else {
        What::Other
    };
    Entry {
        what,
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        xattrs: xattrs(path),
    }
}

/// All extended attributes that this process sees.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut buffer = vec![0_u8; 64 * 1024];
    let length = rustix::fs::llistxattr(path, buffer.as_mut_slice()).unwrap();
    let names = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let names = names.split_terminator('\0');
    names
        .map(|name| {
            let length = rustix::fs::lgetxattr(path, name, buffer.as_mut_slice()).unwrap();
            (name.to_owned(), buffer[..length].to_vec())
        })
        .collect()
}

/// Fails with what differs, and not with two whole trees.
#[track_caller]
pub(crate) fn assert_same(now: &Tree, before: &Tree, when: &str) {
    let text = |entry: Option<&Entry>| match entry {
        None => "nothing".to_owned(),
        Some(entry) => {
            let what = match &entry.what {
                What::File(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
                other => format!("{other:?}"),
            };
            let names: Vec<&String> = entry.xattrs.keys().collect();
            format!(
                "{what}, mode {:o}, {:?}, {names:?}",
                entry.mode, entry.owner
            )
        }
    };
    let paths: std::collections::BTreeSet<&PathBuf> = now.keys().chain(before.keys()).collect();
    let different: Vec<String> = paths
        .into_iter()
        .filter(|path| now.get(*path) != before.get(*path))
        .map(|path| {
            let (now, before) = (text(now.get(path)), text(before.get(path)));
            format!("{}: {now}\n  and before: {before}", path.display())
        })
        .collect();
    assert!(different.is_empty(), "{when}:\n{}", different.join("\n"));
}
