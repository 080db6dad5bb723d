//! Writes the log of verdicts, whose format stands in [`policy::verdicts`]; the agent reads it.
//!
//! A line is one write of at most 4 KiB to a file that was opened for appending, so that lines of
//! concurrent pulls never mix. A pull neither fails nor waits for the log: what cannot be written in
//! good time is lost.

mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use policy::verdicts::{CURRENT, MAX_FILE, PREVIOUS, Record};
use rustix::fs::OFlags;

pub use self::record::records;
use crate::state::{Folder, StateError};

/// The most lines of one pull: its verdict, and those of policies in audit mode.
const MAX_RECORDS: usize = 32;
/// The folder below the state folder.
const FOLDER: &str = "verdicts";
/// How long the lock is waited for: it is held for the time of a write.
const LOCK_PATIENCE: Duration = Duration::from_millis(20);

/// Appends `records` to the log of the node whose files are under `root`. Nobody is to wait for a slow
/// disk: whoever calls this sees to it that the process ends in good time.
pub fn append(root: &Path, records: &[Record]) -> Result<(), StateError> {
    let folder = Folder::state(root)?.child_or_new(FOLDER)?;
    let lines = records.iter().take(MAX_RECORDS).map(Record::to_line);
    let lines: Vec<Vec<u8>> = lines.collect();
    let length = lines.iter().map(|line| line.len() as u64).sum();
    let Some(mut file) = with_room(&folder, length)? else {
        return Ok(());
    };
    if is_torn(&file) {
        let _ = file.write(b"\n");
    }
    for line in lines {
        // One write each. The rest of a line that did not fit on the disk is not tried again: it
        // would stand behind what others have written meanwhile.
        if !file.write(&line).is_ok_and(|written| written == line.len()) {
            break;
        }
    }
    Ok(())
}

/// The file to append `length` bytes to; none if nobody can make room.
fn with_room(folder: &Folder, length: u64) -> Result<Option<File>, StateError> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    // Whoever is not locked out may rename. Who is can still append.
    let locked = folder.lock(LOCK_PATIENCE).is_ok();
    let file = folder.file(CURRENT, flags)?;
    let size = |file: &File| file.metadata().map_or(u64::MAX, |metadata| metadata.len());
    if size(&file).saturating_add(length) <= MAX_FILE {
        return Ok(Some(file));
    }
    if !locked {
        return Ok(None);
    }
    folder.rename(CURRENT, PREVIOUS)?;
    folder.file(CURRENT, flags).map(Some)
}

/// Whether the last line has no end, because the disk was full: it should spoil no other.
fn is_torn(file: &File) -> bool {
    let mut last = [b'\n'];
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let read = length
        .checked_sub(1)
        .map(|at| file.read_exact_at(&mut last, at));
    matches!(read, Some(Ok(()))) && last != [b'\n']
}
