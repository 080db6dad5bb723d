//! How long to wait after a failure: longer each time, and never for all nodes the same.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first wait, in milliseconds.
const FIRST: u64 = 500;
/// The longest, before jitter.
const LONGEST: u64 = 30_000;

/// The waits so far.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half and the whole of a time that doubles up to a limit.
    pub(super) fn next(&mut self) -> Duration {
        let whole = (FIRST << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // The standard library seeds each state with random numbers.
        let random = RandomState::new().hash_one(self.failures);
        Duration::from_millis(whole / 2 + random % (whole / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..40).map(|_| backoff.next().as_millis()).collect();
        assert!((250..=500).contains(&waits[0]), "{waits:?}");
        assert!((500..=1_000).contains(&waits[1]), "{waits:?}");
        let last = &waits[10..];
        assert!(
            last.iter().all(|wait| (15_000..=30_000).contains(wait)),
            "{waits:?}"
        );
        assert!(last.iter().any(|wait| wait != &last[0]), "{waits:?}");
    }
}
