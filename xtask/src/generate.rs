//! Files that are written by a program and kept in Git.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::cache;

/// Every generated file: its path in the workspace, and what it must hold.
///
/// This is the one place that knows them all: add what generates files here.
fn generated_files() -> Vec<(PathBuf, String)> {
    crds::generate()
        .into_iter()
        .map(|(name, text)| (PathBuf::from(name), text))
        .collect()
}

/// Writes the generated files that differ.
pub fn write() -> Result<()> {
    for (name, wanted) in drifted()? {
        let path = cache::workspace().join(&name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        fs::write(&path, wanted).with_context(|| format!("write {}", path.display()))?;
        println!("generate: wrote {}", name.display());
    }
    Ok(())
}

/// Fails when a generated file differs from what would be written.
pub fn check() -> Result<()> {
    let drifted = drifted()?;
    if drifted.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = drifted
        .iter()
        .map(|(name, _)| name.display().to_string())
        .collect();
    bail!(
        "not up to date: {}; run `cargo xtask generate`",
        names.join(", ")
    )
}

/// The generated files that differ from what is on disk.
fn drifted() -> Result<Vec<(PathBuf, String)>> {
    let mut drifted = Vec::new();
    for (name, wanted) in generated_files() {
        let path = cache::workspace().join(&name);
        match fs::read(&path) {
            Ok(found) if found == wanted.as_bytes() => {}
            Ok(_) => drifted.push((name, wanted)),
            Err(error) if error.kind() == ErrorKind::NotFound => drifted.push((name, wanted)),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
    }
    Ok(drifted)
}
