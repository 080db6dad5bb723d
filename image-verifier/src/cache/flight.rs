//! One lookup per question across processes: who comes first looks, the others wait for the entry.
//!
//! The first one holds a lock on one of a fixed number of files and writes its key into it, so that
//! nobody waits for the lookup of another image that happens to share the file. Nobody depends on
//! it, either: the kernel releases the lock of a process that dies, and who has waited for long
//! enough looks for itself. So does everybody when the first one comes back without an entry,
//! because a refusal is never handed on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::key::Key;
use crate::state::Folder;

/// The folder of the locks.
pub(super) const FOLDER: &str = "flights";
/// The pauses between two looks: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(16));
/// What came of joining.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// Another process has found the answer.
    Landed(T),
    /// It has to be looked up. Where there is a lock, others wait for it until it is dropped.
    Own(Option<Lock>),
}

/// A lock, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    fn new(file: File, key: &Key) -> Self {
        // Where it cannot be written, nobody waits for long.
        let _ = file.write_all_at(key.name().as_bytes(), 0);
        Self { file }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
    }
}

/// For whom a lock is held.
enum Holder {
    Same,
    Other,
    Unknown,
}

impl Holder {
    fn of(file: &File, key: &Key) -> Self {
        let mut holder = vec![0; key.name().len()];
        match file.read_exact_at(&mut holder, 0) {
            Ok(()) if holder == key.name().as_bytes() => Self::Same,
            Ok(()) => Self::Other,
            Err(_) => Self::Unknown,
        }
    }
}

/// How much doubt there is whether the lock is held for the same key. Another key weighs more than none:
/// whoever has just got the lock has yet to write its own, but only a process that was killed leaves
/// one behind.
#[derive(Debug, Default)]
struct Doubt {
    weight: u32,
}

impl Doubt {
    /// From more than this on one stops waiting.
    const MOST: u32 = 10;
    /// The weight of a look that found another key.
    const OTHER: u32 = 4;
    /// The weight of a look that found none.
    const UNKNOWN: u32 = 1;

    fn saw(&mut self, holder: &Holder) {
        self.weight = match holder {
            Holder::Same => 0,
            Holder::Other => self.weight + Self::OTHER,
            Holder::Unknown => self.weight + Self::UNKNOWN,
        };
    }

    fn is_too_much(&self) -> bool {
        self.weight > Self::MOST
    }
}

/// Takes the turn to look up `key`, or waits for what another process finds, which `look` sees. Waits
/// for a third of the time until `deadline` at the most.
pub(super) async fn join<T>(
    cache: &Folder,
    key: &Key,
    deadline: Instant,
    look: impl Fn() -> Option<T>,
) -> Turn<T> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    let folder = cache.child_or_new(FOLDER);
    let Ok(file) = folder.and_then(|folder| folder.file(&key.bucket(), flags)) else {
        return Turn::Own(None);
    };
    let started = Instant::now();
    let until = started + deadline.saturating_duration_since(started) / 3;
    let mut pause = PAUSES.0;
    let (mut waited, mut doubt) = (false, Doubt::default());
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Before anything else, so that the others know.
                let held = Lock::new(file, key);
                return match look() {
                    Some(found) => Turn::Landed(found),
                    // Who had it found nothing to hand on: the others need not wait for each other.
                    None if waited => Turn::Own(None),
                    None => Turn::Own(Some(held)),
                };
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(_) => return Turn::Own(None),
        }
        if let Some(found) = look() {
            return Turn::Landed(found);
        }
        let holder = Holder::of(&file, key);
        waited |= matches!(holder, Holder::Same);
        doubt.saw(&holder);
        if doubt.is_too_much() || Instant::now() >= until {
            return Turn::Own(None);
        }
        sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
