//! What lies below a folder, to be compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Mode and content of each file and link below a folder; nothing for folders. `None` as content
/// is a folder, so that one that is left behind shows.
pub type Tree = BTreeMap<PathBuf, (u32, Option<Vec<u8>>)>;

/// The node's files as far as they are somebody's configuration or programs, and not what
/// containerd and the agent keep for themselves.
pub fn tree(root: &Path) -> Result<Tree> {
    let mut found = Tree::new();
    for folder in ["etc", "opt", "usr"] {
        walk(root, &root.join(folder), &mut found)?;
    }
    Ok(found)
}

/// All that lies below a folder.
pub fn below(folder: &Path) -> Result<Tree> {
    let mut found = Tree::new();
    walk(folder, folder, &mut found)?;
    Ok(found)
}

fn walk(root: &Path, folder: &Path, found: &mut Tree) -> Result<()> {
    let context = || format!("read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let data = fs::symlink_metadata(&path).with_context(context)?;
        let name = path.strip_prefix(root)?.to_owned();
        let mode = data.permissions().mode();
        if data.is_dir() {
            found.insert(name, (mode, None));
            walk(root, &path, found)?;
        } else if data.is_symlink() {
            let target = fs::read_link(&path).with_context(context)?;
            let target = target.into_os_string().into_encoded_bytes();
            found.insert(name, (mode, Some(target)));
        } else {
            found.insert(name, (mode, Some(fs::read(&path).with_context(context)?)));
        }
    }
    Ok(())
}

/// The paths at which two trees differ.
#[must_use]
pub fn differences(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let names = before.keys().chain(after.keys());
    let mut names: Vec<_> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.dedup();
    names
}
