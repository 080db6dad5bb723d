//! When something was last seen to live.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A sign of life that one thread gives and others look at. By the monotonic clock: a clock that is
/// set changes nothing.
#[derive(Debug)]
pub struct Pulse {
    started: Instant,
    /// The last sign, in milliseconds since the start.
    beat: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// One that lives now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            beat: AtomicU64::new(0),
        }
    }

    /// When it was made.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// It lives.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    /// It lived at `now`.
    pub fn beat_at(&self, now: Instant) {
        self.beat.store(self.millis(now), Ordering::Relaxed);
    }

    /// How long it has been silent, where that is longer than `patience`.
    #[must_use]
    pub fn silent_for(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let beat = self.beat.load(Ordering::Relaxed);
        let age = Duration::from_millis(self.millis(now).saturating_sub(beat));
        (age > patience).then_some(age)
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_no_sign_in_time_is_silent_until_it_does() {
        let (pulse, patience) = (Pulse::new(), Duration::from_mins(1));
        let at = |seconds| pulse.started() + Duration::from_secs(seconds);
        assert_eq!(pulse.silent_for(at(60), patience), None);
        let silent = Some(Duration::from_secs(61));
        assert_eq!(pulse.silent_for(at(61), patience), silent);
        pulse.beat_at(at(61));
        assert_eq!(pulse.silent_for(at(121), patience), None);
        assert_eq!(pulse.silent_for(at(122), patience), silent);
        // A look that began before the beat.
        assert_eq!(pulse.silent_for(at(0), patience), None);
    }
}
