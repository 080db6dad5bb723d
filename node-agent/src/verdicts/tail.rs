//! The files of the log, below the root: opened anew each time, never through a link.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use policy::digest::Digest;
use policy::verdicts::{Batch, CURRENT, DIR, FileId, Follower, HEAD, LogFile, PREVIOUS, Position};

use crate::root::{FileError, Root};

/// The most bytes of the file that keeps the place.
pub(super) const MAX_PLACE: u64 = 4096;

/// The end of the log.
#[derive(Debug)]
pub(super) struct Tail {
    follower: Follower,
}

impl Tail {
    /// A log of which nothing was counted yet.
    pub(super) fn new() -> Self {
        let follower = Follower::new();
        Self { follower }
    }

    /// A log that was counted up to the place in `bytes`.
    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let position: Position = serde_json::from_slice(bytes)?;
        let follower = Follower::resume(position);
        Ok(Self { follower })
    }

    /// The place up to which it was given out; nothing before the first line.
    pub(super) fn to_json(&self) -> Result<Option<Vec<u8>>, serde_json::Error> {
        let position = self.follower.position();
        position.map(serde_json::to_vec).transpose()
    }

    /// Some of what was added. A log that is not there yet is empty.
    pub(super) fn next(&mut self, root: &Root) -> Result<Batch, FileError> {
        // In this order, as the follower wants it.
        let current = Log::open(root, CURRENT)?;
        let previous = Log::open(root, PREVIOUS)?;
        self.follower.next(current, previous)
    }
}

/// One file of the log.
struct Log {
    file: File,
    id: FileId,
    length: u64,
    /// For messages.
    path: String,
}

impl Log {
    /// Opens a file of the log; none if it is not there, or has no line yet.
    fn open(root: &Root, name: &str) -> Result<Option<Self>, FileError> {
        let path = format!("{DIR}/{name}");
        let Some(file) = root.regular(&path)? else {
            return Ok(None);
        };
        let path = root.show(&path);
        let metadata = file.metadata().map_err(|error| failed(&path, error))?;
        let mut head = [0; HEAD];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|error| failed(&path, error))?,
        }
        let id = FileId {
            inode: metadata.ino(),
            head: Digest::of(&head),
        };
        let length = metadata.len();
        Ok(Some(Self {
            file,
            id,
            length,
            path,
        }))
    }
}

impl LogFile for Log {
    type Error = FileError;

    fn id(&self) -> &FileId {
        &self.id
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, limit: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; limit];
        let mut read = 0;
        while read < limit {
            match self.file.read_at(&mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path, error)),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }
}

fn failed(path: &str, source: io::Error) -> FileError {
    let (action, path) = ("read", path.to_owned());
    FileError::Io {
        action,
        path,
        source,
    }
}
