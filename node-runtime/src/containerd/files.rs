//! The files of a node, as far as containerd's configuration needs them.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// When it was last written; `None` where that cannot be told.
    pub modified: Option<SystemTime>,
}

/// Reads files and lists folders. Paths are absolute, as containerd sees them.
pub trait Files {
    /// The file at `path`, links followed; `None` is a missing one. Of a file that is larger than
    /// `limit` bytes no more than `limit + 1` need to be read.
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Text>>;

    /// The names of the entries of the folder `dir`, in any order; `None` where there is no such
    /// folder.
    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>>;
}

/// Files as they would be after a change, so that what it leads to is known before anything is
/// written.
#[derive(Debug)]
pub struct Overlay<'a, F: ?Sized> {
    below: &'a F,
    written: BTreeMap<String, Vec<u8>>,
}

impl<'a, F: Files + ?Sized> Overlay<'a, F> {
    /// Nothing changed yet.
    pub fn new(below: &'a F) -> Self {
        Self {
            below,
            written: BTreeMap::new(),
        }
    }

    /// With this file in place of what is there.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.written
            .insert(path.to_owned(), text.as_bytes().to_vec());
        self
    }
}

impl<F: Files + ?Sized> Files for Overlay<'_, F> {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Text>> {
        match self.written.get(path) {
            Some(bytes) => Ok(Some(Text {
                bytes: bytes.clone(),
                modified: None,
            })),
            None => self.below.read(path, limit),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let mut names = self.below.list(dir)?;
        let prefix = format!("{}/", dir.trim_end_matches('/'));
        for path in self.written.keys() {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let name = rest.split('/').next().unwrap_or(rest);
            let names = names.get_or_insert_default();
            if !names.iter().any(|there| there == name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}
