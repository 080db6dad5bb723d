//! What systemd says of a job and of a unit.

use std::fmt;

/// How a job of systemd ended, `done` aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// Somebody took it back, or another job replaced it.
    Canceled,
    /// It ran into systemd's own limit.
    Timeout,
    /// The unit failed.
    Failed,
    /// A unit it needs failed.
    Dependency,
    /// It did not apply.
    Skipped,
    /// One of systemd's other words.
    Other(String),
}

impl JobResult {
    pub(super) fn of(text: &str) -> Option<Self> {
        Some(match text {
            "done" => return None,
            "canceled" => Self::Canceled,
            "timeout" => Self::Timeout,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            "skipped" => Self::Skipped,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl fmt::Display for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled => f.write_str("was canceled by another request to systemd"),
            Self::Timeout => f.write_str("ran into systemd's time limit for the job"),
            Self::Failed => f.write_str("failed"),
            Self::Dependency => f.write_str("failed since a unit it needs failed"),
            Self::Skipped => f.write_str("was skipped by systemd: it did not apply"),
            Self::Other(text) => write!(f, "ended as {text:?}"),
        }
    }
}

/// Who went away while a job ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vanishing {
    /// systemd left the bus.
    ManagerLeft,
    /// Another one took its name: systemd was executed again.
    ManagerChanged,
    /// The bus ended, or closed the connection.
    BusClosed,
    /// systemd is there and has no such job any more, and said no word of it.
    JobLost,
}

impl fmt::Display for Vanishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ManagerLeft => "systemd left the bus (it ended, or is being executed again)",
            Self::ManagerChanged => "systemd was executed again",
            Self::BusClosed => "the system bus closed the connection",
            Self::JobLost => "systemd has no such job any more and did not say how it ended",
        })
    }
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `ActiveState`: `active`, `failed`, `activating`, …
    pub active: String,
    /// `SubState`: `running`, `auto-restart`, `dead`, …
    pub sub: String,
    /// `Result`: `success`, `exit-code`, `timeout`, …
    pub result: String,
    /// `NRestarts`: how often systemd itself started it again.
    pub restarts: u32,
    /// `MainPID`, 0 when there is none.
    pub main_pid: u32,
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.active.is_empty() {
            return f.write_str("in a state that could not be read");
        }
        write!(f, "{} ({})", self.active, self.sub)?;
        if !self.result.is_empty() && self.result != "success" {
            write!(f, ", result {}", self.result)?;
        }
        if self.restarts > 0 {
            write!(f, ", started again {} times", self.restarts)?;
        }
        Ok(())
    }
}
