//! The last line of defence for the deadline.
//!
//! Timers of the runtime fire only while it is polled: a blocked read of stdin or of a file, or a
//! long computation, would pass them by. This thread needs nobody. It answers for the process a
//! little after the inner deadline, so that the better answer from there wins where there is one.
//!
//! It refuses, unless it was told that the pull passes whatever is still found: what only reports must
//! not refuse by taking long.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::reason::{Reason, Refusal};
use crate::run::{Answer, Watch};

/// Stops the process when time is up.
#[derive(Debug)]
pub struct Watchdog {
    started: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    task: Mutex<Task>,
    changed: Condvar,
}

/// What is to be seen to.
#[derive(Debug, Clone)]
enum Task {
    /// That there is an answer by then: else it is this one, or a refusal.
    Answer(Instant, Option<Late>),
    /// Nothing: the answer is being given.
    Nothing,
    /// That the process ends by then, with the exit code of the answer that was given.
    End(Instant, u8),
}

/// What is said of a pull that passes, should nobody get round to say more.
#[derive(Debug, Clone)]
struct Late {
    line: String,
    diagnostics: Vec<String>,
}

impl Watchdog {
    /// Watches that the process ends within `time` of `started`, give or take the grace.
    pub fn start(started: Instant, time: Duration) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            task: Mutex::new(Task::Answer(started + with_grace(time), None)),
            changed: Condvar::new(),
        });
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("watchdog".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || watch(&watched))?;
        Ok(Self { started, shared })
    }

    /// Changes how much time there is.
    pub fn set(&self, started: Instant, time: Duration) {
        let end = started + with_grace(time);
        self.change(|task| {
            if let Task::Answer(by, _) = task {
                *by = end;
            }
        });
    }

    /// There is an answer: from here on the process is left alone.
    pub fn disarm(&self) {
        self.change(|task| *task = Task::Nothing);
    }

    /// The answer is given: what is left to do may take `time`, and then the process ends with `code`.
    pub fn end_within(&self, time: Duration, code: u8) {
        self.change(|task| *task = Task::End(Instant::now() + time, code));
    }

    fn change(&self, change: impl FnOnce(&mut Task)) {
        change(&mut lock(&self.shared));
        self.shared.changed.notify_all();
    }
}

impl Watch for &Watchdog {
    fn time(&self, time: Duration) {
        self.set(self.started, time);
    }

    fn passes(&self, answer: &Answer) {
        // What refuses is no answer to fall back to: without one it is refused anyway.
        if answer.refusal.is_some() {
            return;
        }
        let late = Late {
            line: answer.line.clone(),
            diagnostics: answer.diagnostics.clone(),
        };
        self.change(|task| {
            if let Task::Answer(_, known) = task {
                *known = Some(late);
            }
        });
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Task> {
    shared.task.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A sixteenth more: at 80 % of containerd's time-out that is 85 % of it.
fn with_grace(time: Duration) -> Duration {
    time + time / 16
}

fn watch(shared: &Shared) {
    let mut task = lock(shared);
    loop {
        let (Task::Answer(at, _) | Task::End(at, _)) = *task else {
            task = shared
                .changed
                .wait(task)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The lock is kept: nobody else answers any more.
            end(&task);
        }
        task = shared
            .changed
            .wait_timeout(task, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}

fn end(task: &Task) -> ! {
    let code = match task {
        Task::End(_, code) => *code,
        Task::Answer(_, Some(Late { line, diagnostics })) => {
            for line in diagnostics {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            let _ = writeln!(std::io::stdout(), "{line}");
            0
        }
        Task::Answer(_, None) | Task::Nothing => {
            let message =
                "time was up, and the verifier was still busy. The pull will be tried again";
            let line = Refusal::new(Reason::TimedOut, message).line();
            let _ = writeln!(std::io::stdout(), "{line}");
            1
        }
    };
    std::process::exit(code.into());
}
