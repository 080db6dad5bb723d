//! The node's files as the analysis of containerd's configuration wants them.

use std::io;

use node_runtime::containerd::{Files, Markers, Text};

use crate::root::Root;

/// The node's files below its root; links in them lead nowhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host<'a>(pub(super) &'a Root);

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

impl Files for Host<'_> {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Text>> {
        let path = relative(path);
        let content = self
            .0
            .read_following(path, limit as u64)
            .map_err(io::Error::other)?;
        Ok(content.map(|content| Text {
            bytes: content.bytes,
            modified: content.modified,
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let entries = self
            .0
            .entries_following(relative(dir))
            .map_err(io::Error::other)?;
        Ok(entries.map(|entries| entries.into_iter().map(|(name, _)| name).collect()))
    }
}

impl Markers for Host<'_> {
    fn exists(&self, path: &str) -> bool {
        self.0.exists(relative(path)).unwrap_or(false)
    }
}

/// The same files without one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Without<'a, F> {
    pub(super) below: &'a F,
    /// Absolute.
    pub(super) path: Option<&'a str>,
}

impl<F: Files> Files for Without<'_, F> {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Text>> {
        if self.path == Some(path) {
            return Ok(None);
        }
        self.below.read(path, limit)
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let hidden = self
            .path
            .and_then(|path| path.rsplit_once('/'))
            .filter(|(folder, _)| *folder == dir.trim_end_matches('/'));
        let names = self.below.list(dir)?;
        Ok(names.map(|mut names| {
            if let Some((_, name)) = hidden {
                names.retain(|other| other != name);
            }
            names
        }))
    }
}
