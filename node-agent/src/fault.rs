//! Fault points: named places at which a test ends the process without warning, or stops it to
//! change the world around it.
//!
//! Every system call that changes the disk stands between two points. Without the cargo feature
//! `fault-points` a point is nothing at all. With it:
//!
//! - `NODESEAL_FAULT_AT=<n>` ends the process with SIGKILL at the n-th point it reaches;
//! - `NODESEAL_FAULT_STOP=<n>` stops it there with SIGSTOP, until somebody sends SIGCONT: a disk that
//!   fills up or becomes read-only at that very moment is a real one;
//! - `NODESEAL_FAULT_TRACE=<file>` appends the name of every point reached, one on a line.

/// Marks one place: `step` says what is done there, `path` to which file.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_step: &'static str, _path: &str) {}

/// Marks one place: `step` says what is done there, `path` to which file.
#[cfg(feature = "fault-points")]
pub fn point(step: &'static str, path: &str) {
    armed::point(step, path);
}

#[cfg(feature = "fault-points")]
mod armed {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    static REACHED: AtomicU64 = AtomicU64::new(0);

    pub(super) fn point(step: &str, path: &str) {
        let number = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(file) = std::env::var("NODESEAL_FAULT_TRACE")
            && let Ok(mut file) = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
        {
            // A trace that cannot be written shows in the test that reads it.
            let _ = writeln!(file, "{number} {step} {path}");
        }
        let is_at = |variable: &str| {
            let at = std::env::var(variable).ok();
            at.and_then(|n| n.parse::<u64>().ok()) == Some(number)
        };
        let send = |signal| rustix::process::kill_process(rustix::process::getpid(), signal);
        if is_at("NODESEAL_FAULT_STOP") {
            // It is back from the call when it goes on. Where it cannot be stopped, its test waits
            // for that in vain.
            let _ = send(rustix::process::Signal::STOP);
        }
        if is_at("NODESEAL_FAULT_AT") {
            let _ = send(rustix::process::Signal::KILL);
            // The signal is on its way; nothing more may happen to the disk.
            loop {
                std::thread::park();
            }
        }
    }
}
