//! Where the workflow keeps what it has verified.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{MetadataStore, Repository};

/// Files by the name that the workflow gives them: `timestamp.json`, `root_history/2.root.json`, and
/// `targets/` with the name of a target. All of them are JSON.
pub(crate) type Files = BTreeMap<String, String>;

/// What names of targets begin with.
pub(crate) const TARGETS: &str = "targets/";
/// What names of roots begin with.
pub(crate) const ROOTS: &str = "root_history/";

/// What is there in every repository.
const TOP: [&str; 3] = ["timestamp.json", "snapshot.json", "targets.json"];

/// The files of one refresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: Files,
    /// What was verified in this refresh.
    verified: BTreeSet<String>,
}

impl Store {
    pub(crate) fn new(files: Files) -> Self {
        let verified = BTreeSet::new();
        Self(Arc::new(Mutex::new(Inner { files, verified })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All files as they are now.
    pub(crate) fn files(&self) -> Files {
        self.inner().files.clone()
    }

    /// The same without what is left of targets and of roles that are not used any more: those
    /// below the top ones are always fetched anew.
    pub(crate) fn used(&self) -> Files {
        let mut inner = self.inner();
        let Inner { files, verified } = &mut *inner;
        files.retain(|name, _| {
            TOP.contains(&name.as_str()) || name.starts_with(ROOTS) || verified.contains(name)
        });
        files.clone()
    }

    /// Puts files back to what they were.
    pub(crate) fn put_back(&self, before: &Files, names: &[&str]) {
        let mut inner = self.inner();
        for name in names {
            match before.get(*name) {
                Some(text) => inner.files.insert((*name).to_owned(), text.clone()),
                None => inner.files.remove(*name),
            };
        }
    }
}

impl MetadataStore for Store {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        let found = self.inner().files.get(name).cloned();
        Ok(found.map(String::into_bytes))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        // A target is kept once it was read as a trusted root, the last root is in the history as
        // well, and what carries its version in its name is there without it.
        let left_out =
            name.starts_with(TARGETS) || name == "root.json" || name.ends_with(".snapshot.json");
        if let Ok(text) = std::str::from_utf8(bytes)
            && !left_out
        {
            let mut inner = self.inner();
            inner.verified.insert(name.to_owned());
            inner.files.insert(name.to_owned(), text.to_owned());
        }
        Ok(())
    }
}

/// Files that were kept, as the repository that they came from.
#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Files);

impl Repository for Kept {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        // A repository with consistent snapshots has versions in its names.
        let versioned = name.split_once('.').filter(|(version, _)| {
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
        });
        let name = match versioned {
            Some((_, "root.json")) => format!("{ROOTS}{name}"),
            Some((_, rest)) => rest.to_owned(),
            None => name.to_owned(),
        };
        let found = self.0.get(&name);
        let found = found.filter(|text| text.len() as u64 <= max_length);
        let found = found.map(|text| text.as_bytes().to_vec());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn fetch_target<'a>(&'a self, _path: &'a str, max_length: u64) -> FetchFuture<'a> {
        let mut targets = self.0.iter();
        let found = targets
            .find(|(name, text)| name.starts_with(TARGETS) && text.len() as u64 <= max_length);
        let found = found.map(|(_, text)| text.as_bytes().to_vec());
        Box::pin(std::future::ready(Ok(found)))
    }
}
