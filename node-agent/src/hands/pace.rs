//! How often things are tried: later and later while they are asked for, and anew when the question
//! changes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use node_runtime::probe::Proof;
use tokio::time::Instant;

use crate::agent::Prove;

/// The first wait after a try.
const FIRST: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST: Duration = Duration::from_mins(10);

/// What is tried, as far as it has to be told from something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    pub(super) fn of(question: &(impl std::fmt::Debug + ?Sized)) -> Self {
        let mut hasher = DefaultHasher::new();
        format!("{question:?}").hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Tries of one kind.
#[derive(Debug, Default)]
pub(super) struct Tries {
    last: Option<(Key, u32, Instant)>,
}

impl Tries {
    pub(super) fn is_due(&self, key: &Key, now: Instant) -> bool {
        self.due(key).is_none_or(|due| due <= now)
    }

    /// When it is tried again; nothing for at once.
    pub(super) fn due(&self, key: &Key) -> Option<Instant> {
        let (last, tries, at) = self.last.as_ref()?;
        (last == key).then(|| *at + wait(*tries))
    }

    /// One that went well counts as well: what is wanted again all the same did not come of it.
    pub(super) fn tried(&mut self, key: &Key, now: Instant) {
        let tries = match &self.last {
            Some((last, tries, _)) if last == key => tries.saturating_add(1),
            _ => 1,
        };
        self.last = Some((key.clone(), tries, now));
    }
}

/// Twice as long each time, and not the same on all nodes.
pub(super) fn wait(tries: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10));
    let wait = doubled.min(LONGEST);
    // A process id is as good a jitter as any: up to a quarter more.
    wait + wait / 4 * (std::process::id() % 100) / 100
}

/// Proofs.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    last: Option<(Prove, bool, u32, Instant)>,
}

impl Proofs {
    pub(super) fn is_due(&self, prove: &Prove, now: Instant) -> bool {
        self.due(prove).is_none_or(|due| due <= now)
    }

    /// When it is made again; nothing for at once, because something changed since the last one.
    pub(super) fn due(&self, prove: &Prove) -> Option<Instant> {
        let (last, holds, failures, at) = self.last.as_ref()?;
        if last != prove {
            return None;
        }
        let interval = Duration::from_secs(prove.interval.into());
        let after = if *holds {
            interval
        } else {
            wait(*failures).min(interval)
        };
        Some(*at + after)
    }

    pub(super) fn made(&mut self, prove: &Prove, proof: &Proof, now: Instant) {
        let holds = *proof == Proof::Enforcing;
        let failures = match &self.last {
            Some((last, false, failures, _)) if last == prove => failures.saturating_add(1),
            _ => 1,
        };
        self.last = Some((prove.clone(), holds, failures, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_again_is_tried_later_and_later_and_another_question_at_once() {
        let start = Instant::now();
        let (one, other) = (Key::of("one"), Key::of("other"));
        let mut tries = Tries::default();
        assert!(tries.is_due(&one, start));
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            tries.tried(&one, start);
            let due = tries.due(&one).unwrap() - start;
            assert!(due >= last && due >= FIRST && due <= LONGEST + LONGEST / 4);
            last = due;
            assert!(!tries.is_due(&one, start));
        }
        assert!(tries.is_due(&other, start));
        tries.tried(&other, start);
        assert!(!tries.is_due(&other, start));
        // What was asked for between is forgotten.
        assert!(tries.is_due(&one, start));
    }
}
