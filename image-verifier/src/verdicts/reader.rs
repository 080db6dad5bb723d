//! Reading the log while it is being written.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{CURRENT, FOLDER, MAX_FILE, MAX_RECORD, PREVIOUS, Record};
use crate::state::{Folder, StateError};

/// The most bytes that are read of a file at a time. Who writes without the lock may get past the
/// limit of a file by a little.
const MAX_READ: u64 = 2 * MAX_FILE;
/// How many bytes of its beginning tell a file from another one that got its inode: they hold the
/// time of its first line, to the nanosecond. No line is shorter.
const HEAD: usize = 64;

/// Follows the log of a node: each call gives what was added since the one before.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    /// How far it has got, and in which file.
    place: Option<Place>,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: FileId,
    offset: u64,
}

/// Which file it is, under whatever name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    inode: u64,
    head: [u8; HEAD],
}

/// What was added to the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The lines in order.
    pub records: Vec<Record>,
    /// How many lines do not parse: cut off by a full disk, or by another version.
    pub skipped: u64,
    /// Whether lines may be missing in between, because the log was renamed more than once since.
    pub gap: bool,
}

impl Reader {
    /// Follows the log of the node whose files are under `root`, from the oldest line there is.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            place: None,
        }
    }

    /// What was added since the last call. A log that is not there yet is empty.
    pub fn read(&mut self) -> Result<Batch, StateError> {
        let mut batch = Batch::default();
        let folder = match Folder::state(&self.root).and_then(|state| state.child(FOLDER)) {
            Err(StateError::Absent(_)) => return Ok(batch),
            folder => folder?,
        };
        // The current file first: should it be renamed now, the next call finds the rest of it.
        let current = Log::open(&folder, CURRENT)?;
        let previous = Log::open(&folder, PREVIOUS)?;
        let known = self.place.map(|place| place.file);
        let is_known = |log: &Option<Log>| log.as_ref().map(|log| log.id) == known;
        if known.is_none() || !is_known(&current) {
            batch.gap = known.is_some() && !is_known(&previous);
            // Opened before the renaming and after it: one file under both names.
            let same = |log: &Log| current.as_ref().is_some_and(|current| current.id == log.id);
            if let Some(previous) = previous.filter(|previous| !same(previous)) {
                self.follow(&previous, &mut batch)?;
            }
        }
        if let Some(current) = current {
            self.follow(&current, &mut batch)?;
        }
        Ok(batch)
    }

    /// Reads a file from where it was left, up to its last whole line.
    fn follow(&mut self, log: &Log, batch: &mut Batch) -> Result<(), StateError> {
        let place = self.place.filter(|place| place.file == log.id);
        let mut offset = place.map_or(0, |place| place.offset);
        let bytes = log.from(offset)?;
        let whole = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            // No line is that long.
            None if bytes.len() > MAX_RECORD => bytes.len(),
            None => 0,
        };
        offset += whole as u64;
        let lines = bytes.get(..whole).unwrap_or_default();
        for line in lines.split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(record) => batch.records.push(record),
                Err(_) => batch.skipped += 1,
            }
        }
        let file = log.id;
        self.place = Some(Place { file, offset });
        Ok(())
    }
}

/// One file of the log.
struct Log {
    file: File,
    id: FileId,
    path: &'static str,
}

impl Log {
    /// Opens a file of the log; none if it is not there, or has nothing in it yet.
    fn open(folder: &Folder, path: &'static str) -> Result<Option<Self>, StateError> {
        let file = match folder.file(path, OFlags::RDONLY) {
            Err(StateError::Absent(_)) => return Ok(None),
            file => file?,
        };
        let mut head = [0; HEAD];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|source| failed(path, source))?,
        }
        let metadata = file.metadata().map_err(|source| failed(path, source))?;
        let inode = metadata.ino();
        let id = FileId { inode, head };
        Ok(Some(Self { file, id, path }))
    }

    /// What stands from `offset` on, as far as a bound.
    fn from(&self, offset: u64) -> Result<Vec<u8>, StateError> {
        let metadata = self.file.metadata();
        let length = metadata
            .map_err(|source| failed(self.path, source))?
            .len()
            .saturating_sub(offset)
            .min(MAX_READ);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| failed(self.path, source))?;
        Ok(bytes)
    }
}

fn failed(path: &str, source: io::Error) -> StateError {
    let path = PathBuf::from(path);
    StateError::Io { path, source }
}
