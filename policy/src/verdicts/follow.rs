//! Which lines of the log are new, while it is being written.

use serde::{Deserialize, Serialize};

use super::{MAX_FILE, MAX_RECORD, Record};
use crate::digest::Digest;

/// The most bytes of a file that are looked at. Who writes without the lock may get past the limit
/// of a file by a little; what is larger is no log.
const MAX_READ: u64 = 2 * MAX_FILE;
/// The most bytes of one [`Batch`], which bounds what is in memory. Longer than any line.
const CHUNK: usize = 128 * 1024;
/// How many bytes of its beginning tell a file from another one that got its inode: they hold the
/// time of its first line, to the nanosecond. No line is shorter, so a shorter file has none yet.
pub const HEAD: usize = 64;

/// Which file it is, under whatever name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileId {
    /// Its inode.
    pub inode: u64,
    /// Digest of its first [`HEAD`] bytes.
    pub head: Digest,
}

/// A place in the log: everything before it was given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The file.
    pub file: FileId,
    /// How many of its bytes.
    pub offset: u64,
}

/// An open file of the log.
pub trait LogFile {
    /// Why it cannot be read.
    type Error;

    /// Which file it is.
    fn id(&self) -> &FileId;

    /// How many bytes it had when it was opened.
    fn length(&self) -> u64;

    /// The bytes from `offset` on: `limit` of them, or as many as there are.
    fn read(&self, offset: u64, limit: usize) -> Result<Vec<u8>, Self::Error>;
}

/// What was added to the log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The lines in order.
    pub records: Vec<Record>,
    /// How many lines do not parse: cut off by a full disk, or of another version.
    pub skipped: u64,
    /// Whether lines may be missing before these: the log was renamed more than once since, was cut
    /// short, or is another one.
    pub gap: bool,
    /// Whether these lines stand before the position that was carried over ([`Follower::resume`]):
    /// they were given out once.
    pub again: bool,
    /// Whether there may be more at once.
    pub more: bool,
}

/// Follows a log from its oldest line on: each call gives some of what was added, never a line twice.
#[derive(Debug, Default, Clone)]
pub struct Follower {
    /// How far it has got.
    place: Option<Position>,
    /// Up to here the lines are known from an earlier run.
    until: Option<Position>,
}

impl Follower {
    /// Follows a log of which nothing was read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows a log that was read up to `position` by an earlier run: its older lines come first,
    /// marked [`again`](Batch::again).
    #[must_use]
    pub fn resume(position: Position) -> Self {
        Self {
            place: None,
            until: Some(position),
        }
    }

    /// What to carry over to the next run.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.until.as_ref().or(self.place.as_ref())
    }

    /// The next lines. `current` has to be opened before `previous`: should it be renamed meanwhile,
    /// it stands under both names, and the next call finds the new one.
    pub fn next<F: LogFile>(
        &mut self,
        current: Option<F>,
        previous: Option<F>,
    ) -> Result<Batch, F::Error> {
        let mut batch = Batch::default();
        let is = |file: &Option<F>, id: &FileId| file.as_ref().is_some_and(|file| file.id() == id);
        let previous = previous.filter(|previous| !is(&current, previous.id()));
        let (previous, place) = match self.place.take() {
            Some(place) if is(&current, &place.file) => (None, Some(place)),
            Some(place) if !is(&previous, &place.file) => {
                if current.is_none() && previous.is_none() {
                    // Nothing is there now. What comes is another log.
                    self.place = Some(place);
                    return Ok(batch);
                }
                batch.gap = true;
                (previous, None)
            }
            place => (previous, place),
        };
        let newest = current.as_ref().map(|current| current.id().clone());
        let mut place = place;
        for file in [previous, current].into_iter().flatten() {
            let known = place.take().filter(|place| place.file == *file.id());
            let offset = known.map_or(0, |place| place.offset);
            // On an error the file is tried again from there.
            self.place = Some(Position {
                file: file.id().clone(),
                offset,
            });
            let is_older = newest.as_ref().is_some_and(|newest| newest != file.id());
            let newest = newest.as_ref().filter(|_| is_older);
            let end = self.read(&file, offset, newest, &mut batch)?;
            self.place = Some(Position {
                file: file.id().clone(),
                offset: end,
            });
            if end > offset {
                batch.more = true;
                break;
            }
        }
        Ok(batch)
    }

    /// Reads some of a file from `offset` on, and says up to where. `newer` is the file that came
    /// after it.
    fn read<F: LogFile>(
        &mut self,
        file: &F,
        mut offset: u64,
        newer: Option<&FileId>,
        batch: &mut Batch,
    ) -> Result<u64, F::Error> {
        let length = file.length().min(MAX_READ);
        if offset > length {
            // It was cut short. What is left of it was given out.
            batch.gap = true;
            offset = length;
        }
        let known = self.known(file, offset, length, newer, batch);
        let end = match known {
            Known::All | Known::Nothing => length,
            Known::Until(end) => end,
        };
        let size = usize::try_from(end.saturating_sub(offset)).unwrap_or(CHUNK);
        // One byte more, to see that a line begins here.
        let before = usize::from(offset > 0);
        let bytes = file.read(offset - before as u64, size.min(CHUNK) + before)?;
        let bytes = match bytes.split_at_checked(before) {
            Some((before, bytes)) => {
                // It was cut short and has grown since.
                batch.gap |= before.iter().any(|&byte| byte != b'\n');
                bytes
            }
            None => &[],
        };
        let whole = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            // No line is that long.
            None if bytes.len() > MAX_RECORD => bytes.len(),
            None => 0,
        };
        if whole == 0 && matches!(known, Known::Until(_)) {
            // No line ends where one was read to: it is not what it was.
            self.until = None;
            batch.gap = true;
        }
        batch.again = whole > 0 && !matches!(known, Known::Nothing);
        let lines = bytes.get(..whole).unwrap_or_default();
        for line in lines.split(|&byte| byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            match Record::parse(line) {
                Some(record) => batch.records.push(record),
                None => batch.skipped += 1,
            }
        }
        Ok(offset + whole as u64)
    }

    /// How much of a file an earlier run has given out.
    fn known<F: LogFile>(
        &mut self,
        file: &F,
        offset: u64,
        length: u64,
        newer: Option<&FileId>,
        batch: &mut Batch,
    ) -> Known {
        let Some(until) = &mut self.until else {
            return Known::Nothing;
        };
        if until.file == *file.id() {
            if until.offset > length {
                batch.gap = true;
                until.offset = length;
            }
            if offset < until.offset {
                return Known::Until(until.offset);
            }
        } else if newer == Some(&until.file) {
            return Known::All;
        } else {
            // It was renamed more than once since, or is another log.
            batch.gap = true;
        }
        self.until = None;
        Known::Nothing
    }
}

/// How much of a file was given out by an earlier run.
#[derive(Clone, Copy)]
enum Known {
    Nothing,
    Until(u64),
    All,
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
