//! The last line of defence for the deadline.
//!
//! Timers of the runtime fire only while it is polled: a blocked read of stdin or of a file, or a
//! long computation, would pass them by. This thread needs nobody. It answers for the process a
//! little after the inner deadline, so that the better answer from there wins where there is one.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::reason::{Reason, Refusal};

/// Stops the process when time is up, unless it is dropped before.
#[derive(Debug)]
pub struct Watchdog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// When to stop; nothing once there is an answer.
    deadline: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Watchdog {
    /// Watches that the process ends within `time` of `started`, give or take the grace.
    pub fn start(started: Instant, time: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            deadline: Mutex::new(Some(started + with_grace(time))),
            changed: Condvar::new(),
        });
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || watch(&watched))?;
        Ok(Self { shared })
    }

    /// Changes how much time there is.
    pub fn set(&self, started: Instant, time: Duration) {
        *self.lock() = Some(started + with_grace(time));
        self.shared.changed.notify_all();
    }

    /// There is an answer: from here on the process is left alone.
    pub fn disarm(&self) {
        *self.lock() = None;
        self.shared.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.shared
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sixteenth more: at 80 % of containerd's time-out that is 85 % of it.
fn with_grace(time: Duration) -> Duration {
    time + time / 16
}

fn watch(shared: &Shared) {
    let mut deadline = shared
        .deadline
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    while let Some(at) = *deadline {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let message =
                "time was up, and the verifier was still busy. The pull will be tried again";
            let line = Refusal::new(Reason::TimedOut, message).line();
            let _ = writeln!(std::io::stdout(), "{line}");
            // The lock is kept: nobody else answers any more.
            std::process::exit(1);
        }
        deadline = shared
            .changed
            .wait_timeout(deadline, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}
