//! One deadline over several steps.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// A point in time, and how far away it was at first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    started: Instant,
    at: Instant,
}

/// The deadline passed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed;

impl Deadline {
    pub(super) fn after(budget: Duration) -> Self {
        let started = Instant::now();
        // A budget beyond what the clock can hold is a month.
        let month = Duration::from_hours(30 * 24);
        let at = started.checked_add(budget).unwrap_or(started + month);
        Self { started, at }
    }

    pub(super) async fn within<T>(self, future: impl Future<Output = T>) -> Result<T, Passed> {
        tokio::time::timeout_at(self.at, future)
            .await
            .map_err(|_| Passed)
    }

    /// Ends when it passes.
    pub(super) async fn passed(self) {
        tokio::time::sleep_until(self.at).await;
    }

    /// How far away it was at first.
    pub(super) fn budget(self) -> Duration {
        self.at - self.started
    }

    pub(super) fn elapsed(self) -> Duration {
        self.started.elapsed()
    }
}
