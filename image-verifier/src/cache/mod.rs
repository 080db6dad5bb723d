//! Positive verdicts, kept on disk so that the next pull of the same image sends no packet.
//!
//! ```text
//! /var/lib/nodeseal/cache/<bucket>/<repository>-<question>  64 folders with at most 64 entries each
//! /var/lib/nodeseal/cache/flights/<bucket>                  64 files that are locked while an image is
//!                                                           looked up
//! ```
//!
//! An entry stands for one question: the image's name and digest, everything that the covering
//! policies demand (trust roots included), and the version of this program. All of it is in the
//! [`Key`], so that another policy or trust root is another question, and a change of a policy that
//! does not cover the image is none. An entry says who signed, and is believed only
//! - where nobody but root can have written it ([`crate::state`]),
//! - if it is whole, and holds its own key, image and digest,
//! - from when it was made (a clock that went back ends it) until anything that it rests on ends, and
//!   no longer than the maximum age, so that a signature that was taken from the registry does not
//!   count for ever,
//! - if who signed is what the policies demand.
//!
//! The tag is a part of the question, because a policy may demand that it is signed. Whoever may push to
//! one repository can therefore ask as many questions as there are tags, all of one signed image: where
//! room is needed, the repository makes it that has the most entries.
//!
//! Everything else is as if it were not there, and is removed. There are no entries for refusals, nor
//! for images that pass without a signature, nor where a policy in audit mode would have refused.
//! Trouble with the cache costs time and nothing else.

mod entry;
mod flight;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use policy::flatten::Decision;
use tokio::time::Instant;

use self::entry::Entry;
pub use self::key::Key;
use self::key::repository;
use crate::evaluate::Verdict;
use crate::run::Subject;
use crate::state::{Folder, Listed, StateError};

/// How long a verdict is believed at most, unless the policy says otherwise.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_hours(24);
/// How many folders the entries are spread over.
const BUCKETS: u8 = 64;
/// The most entries of one folder. With the bytes of an entry this bounds the cache to 4096 entries
/// and 32 MiB.
const MAX_ENTRIES: usize = 64;
/// The most bytes of an entry. Sixteen authorities with the longest names take 1 KiB.
const MAX_ENTRY: u64 = 8 * 1024;
/// The folder below the state folder.
const FOLDER: &str = "cache";
/// How long a folder's lock is waited for before an entry is given up.
const LOCK_PATIENCE: Duration = Duration::from_millis(50);

/// The cache of a node.
#[derive(Debug)]
pub struct Cache {
    folder: Folder,
    max_age: Duration,
}

impl Cache {
    /// Opens the cache of the node whose files are under `root`. An entry is believed for `max_age`
    /// at the most, whenever it was made; where that is zero, nothing is kept and nobody waits.
    pub fn open(root: &Path, max_age: Duration) -> Result<Self, StateError> {
        let folder = Folder::state(root)?.child_or_new(FOLDER)?;
        Ok(Self { folder, max_age })
    }

    /// The verdict on `subject`: the one that is kept, or else that of `verify`, which is kept then
    /// if the image passes. Says whether it was kept before.
    ///
    /// Where another process is about the same question, its answer is waited for, up to a third of
    /// the time until `deadline`.
    pub async fn through(
        &self,
        subject: &Subject,
        decision: &Decision<'_>,
        deadline: Instant,
        verify: impl Future<Output = Verdict>,
    ) -> (Verdict, bool) {
        let key = Key::of(subject, decision).filter(|_| !self.max_age.is_zero());
        let Some(key) = key else {
            return (verify.await, false);
        };
        let look = || self.get(&key, decision, Timestamp::now());
        if let Some(verdict) = look() {
            return (verdict, true);
        }
        let turn = match flight::join(&self.folder, &key, deadline, look).await {
            flight::Turn::Landed(verdict) => return (verdict, true),
            flight::Turn::Own(turn) => turn,
        };
        let verdict = verify.await;
        // Where it cannot be kept, the next pull takes as long as this one.
        let _ = self.put(&key, &verdict, Timestamp::now());
        drop(turn);
        (verdict, false)
    }

    /// The verdict that is kept for `key` and holds at `now`.
    #[must_use]
    pub fn get(&self, key: &Key, decision: &Decision<'_>, now: Timestamp) -> Option<Verdict> {
        let bucket = self.folder.child(&key.bucket()).ok()?;
        let found = match bucket.read(key.name(), MAX_ENTRY) {
            Ok(bytes) => Entry::from_bytes(&bytes, key)
                .filter(|entry| entry.holds(now, self.max_age))
                .and_then(|entry| entry.verdict(decision)),
            Err(StateError::Absent(_)) => return None,
            Err(_) => None,
        };
        if found.is_none() {
            bucket.remove(key.name());
        }
        found
    }

    /// Keeps a verdict that lets the image pass, if it holds beyond `now`. Says whether it did.
    pub fn put(&self, key: &Key, verdict: &Verdict, now: Timestamp) -> Result<bool, StateError> {
        let Some(entry) = Entry::new(key, verdict, now, self.max_age) else {
            return Ok(false);
        };
        let bytes = entry.to_bytes(key);
        if bytes.len() as u64 > MAX_ENTRY {
            return Ok(false);
        }
        let bucket = self.folder.child_or_new(&key.bucket())?;
        bucket.lock(LOCK_PATIENCE)?;
        make_room(&bucket, key, now)?;
        bucket.replace(key.name(), &bytes)?;
        Ok(true)
    }
}

/// Removes entries until there is room for one more: each time the oldest of the repository that would
/// have the most, and of the new entry's own where that has as many as any other.
fn make_room(bucket: &Folder, key: &Key, now: Timestamp) -> Result<(), StateError> {
    let mut files = bucket.files()?;
    files.retain(|file| file.name.to_bytes() != key.name().as_bytes());
    // From the future is not young, but from before the clock went back.
    let now = now.as_second();
    files.sort_by_key(|file| {
        if file.modified > now {
            i64::MIN
        } else {
            file.modified
        }
    });
    let of = |file: &Listed| repository(file.name.to_bytes()).to_vec();
    let own = repository(key.name().as_bytes());
    let mut held = BTreeMap::from([(own.to_vec(), 1_usize)]);
    for file in &files {
        *held.entry(of(file)).or_default() += 1;
    }
    while files.len() >= MAX_ENTRIES {
        let most = held.values().copied().max().unwrap_or_default();
        // Of one there is only the new entry.
        let pays = most > 1 && held.get(own) == Some(&most);
        let place = files.iter().position(|file| {
            let repository = of(file);
            if pays {
                repository == own
            } else {
                held.get(&repository) == Some(&most)
            }
        });
        let Some(place) = place else {
            break;
        };
        let file = files.remove(place);
        held.entry(of(&file)).and_modify(|count| *count -= 1);
        bucket.remove(file.name.as_c_str());
    }
    Ok(())
}
