//! A temporary folder that goes away with everything in it, mounts included.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cleanup;

/// A folder of one peer or one test.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder; `name` shows in its path.
    ///
    /// Keep the name short: sockets lie in it, and their paths may have 107 bytes.
    pub fn new(name: &str) -> Result<Self> {
        let path = cleanup::make_folder(&format!("nodeseal-{name}-"))
            .context("create a temporary folder")?;
        Ok(Self(path))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = cleanup::end_folder(&self.0) {
            eprintln!("{error:#}");
        }
    }
}
