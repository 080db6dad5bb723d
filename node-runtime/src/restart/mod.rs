//! Reload and restart of what runs the containers: by systemd, by its supervisor, or not at all.
//!
//! ```text
//!  pid ─unit::of_cgroup / Systemd::unit_of─▶ unit (its own, or shared with the kubelet)
//!  Restarter ─restart─▶ Outcome          systemd: RestartUnit, the job's result, the unit's state
//!      │                                 supervised: SIGTERM, its end, another process answers
//!      └─reloader─▶ Reloader ─reload─▶   CRI-O alone: ReloadUnit, or SIGHUP
//! ```
//!
//! A restart is done when systemd says so or another process answers on the socket; whether the
//! runtime is healthy afterwards, only its CRI can say, and asking it is the caller's part.
//! Nothing here starts a program or a shell, and nothing ever sends SIGKILL.

mod bus;
mod deadline;
mod error;
mod manager;
mod peer;
mod refusal;
mod reload;
mod state;
mod supervised;
mod systemd;
mod target;
mod unit;

use std::time::Duration;

pub use error::RestartError;
pub use reload::Reloader;
pub use state::{JobResult, UnitState, Vanishing};
pub use supervised::Supervised;
pub use systemd::Systemd;
pub use unit::{CgroupError, RuntimeUnit, UnitName, UnitNameError, of_cgroup};

/// The system bus below the root of a host: what every client of systemd talks to. systemd's
/// private socket is not used; it is no interface.
pub const SYSTEM_BUS: &str = "run/dbus/system_bus_socket";

/// How a node's container runtime is started again.
#[derive(Debug, Clone)]
pub enum Restarter {
    /// systemd runs it as a service.
    Systemd(Systemd),
    /// Something else starts it again whenever it ends.
    Supervised(Supervised),
    /// Nobody may.
    Never,
}

/// A restart that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Pid of the main process before, where it ran.
    pub old: Option<u32>,
    /// Pid of the main process now.
    pub new: u32,
    /// From the request until the new process was there.
    pub took: Duration,
}

impl Restarter {
    /// Restarts the runtime and waits until the new one is there, `budget` at most.
    ///
    /// Containers go on meanwhile: their shims are not the runtime's main process, to which both
    /// SIGTERM and, with `KillMode=process`, systemd's stop go alone.
    pub async fn restart(&self, budget: Duration) -> Result<Outcome, RestartError> {
        match self {
            Self::Systemd(systemd) => systemd.restart(budget).await,
            Self::Supervised(supervised) => supervised.restart(budget).await,
            Self::Never => Err(RestartError::Never),
        }
    }

    /// What asks CRI-O to read its files again; there is none for containerd, which SIGHUP ends.
    #[must_use]
    pub fn crio_reloader(&self) -> Reloader {
        Reloader::new(self.clone())
    }
}
