//! Nodes for tests: files in memory.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use super::{Effective, Files, Text, effective, load};

/// Where the samples have their root file.
pub(super) const ROOT: &str = "/etc/containerd/config.toml";

/// A node's files.
#[derive(Debug, Default)]
pub(super) struct Node(pub(super) BTreeMap<String, Vec<u8>>);

impl Node {
    /// With these files.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
                .collect(),
        )
    }

    /// With this root file alone.
    pub(super) fn root(text: &str) -> Self {
        Self::new(&[(ROOT, text)])
    }

    /// What a containerd of this version makes of it.
    pub(super) fn effective(&self, version: &str) -> Effective {
        effective(&load(self, ROOT).unwrap(), Some(version.parse().unwrap()))
    }
}

impl Files for Node {
    fn read(&self, path: &str, _limit: usize) -> io::Result<Option<Text>> {
        let at = self.0.keys().position(|there| there == path);
        Ok(at.zip(self.0.get(path)).map(|(at, bytes)| Text {
            bytes: bytes.clone(),
            // One second apart, in the order of paths.
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(at as u64)),
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let prefix = format!("{}/", dir.trim_end_matches('/'));
        let mut names: Vec<String> = self
            .0
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('/').next().map(str::to_owned))
            .collect();
        names.dedup();
        // Unsorted, as folders are.
        names.reverse();
        Ok((!names.is_empty()).then_some(names))
    }
}
