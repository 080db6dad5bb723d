//! Writing rendered files below a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use policy::crio::render::REGISTRIES_D_FILE;
use policy::files::{File, FileSet};
use policy::paths;

/// Writes each file whole or not at all, and removes what an earlier run wrote and this one does
/// not.
pub(super) fn files(dir: &Path, files: &FileSet) -> Result<(), String> {
    for stale in earlier(dir)? {
        if !files.keys().any(|path| dir.join(path) == stale) {
            fs::remove_file(&stale)
                .map_err(|error| format!("cannot remove {}: {error}", stale.display()))?;
        }
    }
    for (path, file) in files {
        let path = dir.join(path);
        write(&path, file).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

fn write(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let mut temporary = tempfile::NamedTempFile::new_in(parent)?;
    temporary.write_all(&file.bytes)?;
    temporary
        .as_file()
        .set_permissions(fs::Permissions::from_mode(file.mode))?;
    temporary.persist(path)?;
    Ok(())
}

/// Where an earlier run may have written, for either runtime.
fn earlier(dir: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let fixed = [
        paths::VERIFIER_POLICY,
        paths::CONTAINERD_DROP_IN,
        paths::CRIO_POLICY,
        REGISTRIES_D_FILE,
    ];
    let mut found: BTreeSet<PathBuf> = fixed.iter().map(|path| dir.join(path)).collect();
    found.retain(|path| path.exists());
    let namespaces = dir.join(paths::CRIO_NAMESPACES);
    if namespaces.is_dir() {
        let error = |error: io::Error| format!("cannot read {}: {error}", namespaces.display());
        for entry in fs::read_dir(&namespaces).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if path.extension().is_some_and(|it| it == "json") {
                found.insert(path);
            }
        }
    }
    Ok(found)
}
