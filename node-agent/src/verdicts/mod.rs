//! What the verifier decided on this node: its log, read while it grows, and what of it the status
//! and the metrics say.
//!
//! ```text
//! verdicts/{current,previous}.jsonl ─tail─▶ Record ─┬─▶ the caller's counters (each line once)
//!                                                   ├─▶ Recent: refused in the last hour, ten
//!                                                   └─▶ Seen:   images that passed a policy
//! images on the node (CRI), the table ── unverified(Seen) ─▶ covered images without a verdict, ten
//! ```
//!
//! How far the log was **counted** is kept on disk: counters that begin at 0 when the agent starts
//! then count what was written since, also while no agent ran, and never what an earlier agent
//! counted. An agent that is killed counts the lines of its last ten seconds again. What stands
//! before that place is read once more at the start, for [`Recent`] and [`Seen`] alone.

mod recent;
mod seen;
mod tail;
mod unverified;

use jiff::{SignedDuration, Timestamp};
use policy::flatten::Flat;
use policy::verdicts::Record;

pub use self::recent::{MOST_SHOWN, Recent, Refused};
pub use self::seen::{MOST_SEEN, Seen};
pub use self::unverified::{OnNode, Unverified, unverified};

use self::tail::Tail;
use crate::plan::STATE_MODE;
use crate::root::{Attributes, FileError, Root};

/// How far the log was counted.
pub const PLACE: &str = "var/lib/nodeseal/verdicts-read.json";
/// The images that passed a policy.
pub const SEEN: &str = "var/lib/nodeseal/seen.json";
/// How often the two are written at the most.
const SAVE_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// What was decided on one node.
#[derive(Debug)]
pub struct Verdicts {
    tail: Tail,
    recent: Recent,
    seen: Seen,
    /// Something is not on disk yet.
    unsaved: bool,
    saved_at: Timestamp,
}

/// What a look at the log gave.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How many lines were counted.
    pub counted: u64,
    /// How many lines do not parse.
    pub skipped: u64,
    /// Whether lines are missing that nobody counted.
    pub gap: bool,
}

impl Verdicts {
    /// Goes on where an earlier agent stopped. A file of the agent's that cannot be read is named in
    /// the log and stands for nothing: then what the log of verdicts still holds is counted again,
    /// or images are unverified until they are pulled.
    #[must_use]
    pub fn open(root: &Root, now: Timestamp) -> Self {
        let kept = |path, limit| match root.read(path, limit) {
            Ok(content) => content.map(|content| content.bytes),
            Err(error) => {
                tracing::warn!("what was kept of the verdicts is not used: {error}");
                None
            }
        };
        let place = kept(PLACE, tail::MAX_PLACE);
        let seen = kept(SEEN, seen::MAX_BYTES);
        let damaged = |path, error: serde_json::Error| {
            let path = root.show(path);
            tracing::warn!("{path} cannot be read and begins anew: {error}");
        };
        let tail = place.map_or(Ok(Tail::new()), |bytes| Tail::from_json(&bytes));
        let seen = seen.map_or(Ok(Seen::default()), |bytes| Seen::from_json(&bytes));
        Self {
            tail: tail.unwrap_or_else(|error| {
                damaged(PLACE, error);
                Tail::new()
            }),
            recent: Recent::default(),
            seen: seen.unwrap_or_else(|error| {
                damaged(SEEN, error);
                Seen::default()
            }),
            unsaved: false,
            saved_at: now,
        }
    }

    /// Takes what was added to the log. `count` gets each line that no agent has counted, once.
    ///
    /// An error leaves everything up to it taken; the next call goes on there.
    pub fn read(
        &mut self,
        root: &Root,
        now: Timestamp,
        mut count: impl FnMut(&Record),
    ) -> Result<Progress, FileError> {
        let mut progress = Progress::default();
        loop {
            let batch = self.tail.next(root)?;
            for record in &batch.records {
                self.recent.take(record, now);
                self.unsaved |= self.seen.take(record);
                if !batch.again {
                    count(record);
                    progress.counted += 1;
                }
            }
            self.unsaved |= batch.more && !batch.again;
            progress.skipped += batch.skipped;
            progress.gap |= batch.gap;
            if !batch.more {
                break;
            }
        }
        // The clock may have gone back.
        let age = now.duration_since(self.saved_at);
        if self.unsaved && (age >= SAVE_EVERY || age.is_negative()) {
            self.save(root, now)?;
        }
        Ok(progress)
    }

    /// Puts on disk what is not there yet. To be called before the agent ends.
    pub fn save(&mut self, root: &Root, now: Timestamp) -> Result<(), FileError> {
        if !self.unsaved {
            return Ok(());
        }
        let private = Attributes::mode(STATE_MODE);
        // In this order: the log gives again what was seen after the place.
        for (path, json) in [(SEEN, self.seen.to_json()), (PLACE, self.tail.to_json())] {
            match json {
                Ok(Some(bytes)) => root.replace(path, &bytes, &private)?,
                Ok(None) => {}
                Err(error) => {
                    let path = root.show(path);
                    tracing::warn!("{path} could not be put into JSON: {error}");
                }
            }
        }
        self.unsaved = false;
        self.saved_at = now;
        Ok(())
    }

    /// What was refused in the last hour.
    pub fn refused(&mut self, now: Timestamp) -> Refused {
        self.recent.refused(now)
    }

    /// The covered images on the node that no verdict let in. For containerd only: CRI-O has no log
    /// of verdicts.
    pub fn unverified<'a>(
        &mut self,
        images: impl IntoIterator<Item = OnNode<'a>>,
        flat: &Flat,
    ) -> Unverified {
        unverified(images, flat, &mut self.seen)
    }
}

#[cfg(test)]
mod tests;
