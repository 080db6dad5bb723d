//! Whether the agent is at work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What `/healthz` and `/readyz` answer by. By the monotonic clock: a clock that is set changes
/// nothing.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    /// How long the loop may take for one turn.
    patience: Duration,
    /// When the loop last turned over, in milliseconds since the start.
    beat: AtomicU64,
    applied: AtomicBool,
}

impl Health {
    /// An agent whose loop turns over at least every `patience`, from now on.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            started: Instant::now(),
            patience,
            beat: AtomicU64::new(0),
            applied: AtomicBool::new(false),
        }
    }

    /// The loop has turned over.
    pub fn beat(&self) {
        self.beat_at(Instant::now());
    }

    fn beat_at(&self, now: Instant) {
        self.beat.store(self.millis(now), Ordering::Relaxed);
    }

    /// The node's files were brought to what some bundle asks at least once, by this agent.
    pub fn set_applied(&self) {
        self.applied.store(true, Ordering::Relaxed);
    }

    /// Whether the node's files were brought to what some bundle asks at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.applied.load(Ordering::Relaxed)
    }

    /// How long ago the loop turned over, where that is longer than it may take.
    #[must_use]
    pub fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let beat = self.beat.load(Ordering::Relaxed);
        let age = Duration::from_millis(self.millis(now).saturating_sub(beat));
        (age > self.patience).then_some(age)
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
    fn a_loop_that_does_not_turn_over_in_time_is_stuck_until_it_does() {
        let health = Health::new(Duration::from_mins(1));
        let at = |seconds| health.started + Duration::from_secs(seconds);
        assert_eq!(health.stuck_for(at(60)), None);
        assert_eq!(health.stuck_for(at(61)), Some(Duration::from_secs(61)));
        health.beat_at(at(61));
        assert_eq!(health.stuck_for(at(121)), None);
        assert_eq!(health.stuck_for(at(122)), Some(Duration::from_secs(61)));
        // A look that began before the beat.
        assert_eq!(health.stuck_for(at(0)), None);
    }

    #[test]
    fn it_is_ready_once_it_has_applied() {
        let health = Health::new(Duration::from_mins(1));
        assert!(!health.is_ready());
        health.set_applied();
        assert!(health.is_ready());
    }
}
