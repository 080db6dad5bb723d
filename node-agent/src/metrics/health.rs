//! Whether the agent is at work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use telemetry::Pulse;

/// What `/healthz` and `/readyz` answer by.
#[derive(Debug)]
pub struct Health {
    /// How long the loop may take for one turn.
    patience: Duration,
    pulse: Pulse,
    applied: AtomicBool,
}

impl Health {
    /// An agent whose loop turns over at least every `patience`, from now on.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            pulse: Pulse::new(),
            applied: AtomicBool::new(false),
        }
    }

    /// The loop has turned over.
    pub fn beat(&self) {
        self.pulse.beat();
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
        self.pulse.silent_for(now, self.patience)
    }
}
