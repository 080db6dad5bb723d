//! Restart and reload by systemd's D-Bus API, org.freedesktop.systemd1(5).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::deadline::Deadline;
use super::error::RestartError;
use super::manager::Manager;
use super::refusal::{Action, refusal};
use super::state::UnitState;
use super::target::Job;
use super::unit::{RuntimeUnit, UnitName};
use super::{Outcome, SYSTEM_BUS, peer, reload};

/// A service of systemd.
#[derive(Debug, Clone)]
pub struct Systemd {
    /// The service.
    pub unit: UnitName,
    /// The socket of the system bus.
    pub bus: PathBuf,
    /// Where the host's processes show: `/proc`.
    pub proc: PathBuf,
}

impl Systemd {
    /// A service of the host whose root is mounted at `root` (`/` on the host itself), and whose
    /// processes show in `/proc`.
    #[must_use]
    pub fn on_host(unit: UnitName, root: &Path) -> Self {
        Self {
            unit,
            bus: root.join(SYSTEM_BUS),
            proc: PathBuf::from("/proc"),
        }
    }

    /// The service a process belongs to, by the manager's own books, and whether it is there for
    /// this process (its main process) or for another that started this one.
    pub async fn unit_of(
        bus: &Path,
        pid: u32,
        budget: Duration,
    ) -> Result<RuntimeUnit, RestartError> {
        let (manager, _) = Manager::connect(bus, Deadline::after(budget)).await?;
        let doing = || format!("looking up the unit of process {pid}");
        let found = manager.call(doing, manager.unit_of(pid)).await?;
        let (name, main_pid) = found.map_err(|error| match &error {
            zbus::Error::MethodError(name, ..)
                if name.as_str() == "org.freedesktop.systemd1.NoUnitForPID" =>
            {
                RestartError::NoUnitForPid { pid }
            }
            _ => refusal(Action::LookUp, &format!("process {pid}"), false, error),
        })?;
        let name = name
            .parse()
            .map_err(|source| RestartError::NoService { pid, source })?;
        Ok(RuntimeUnit {
            name,
            shared_unit: main_pid != pid,
        })
    }

    /// What systemd says of the unit.
    pub async fn state(&self, budget: Duration) -> Result<UnitState, RestartError> {
        let (manager, _) = Manager::connect(&self.bus, Deadline::after(budget)).await?;
        let target = manager.target(&self.unit, Action::LookUp).await?;
        target.state().await
    }

    pub(super) async fn restart(&self, budget: Duration) -> Result<Outcome, RestartError> {
        let deadline = Deadline::after(budget);
        let (manager, owners) = Manager::connect(&self.bus, deadline).await?;
        let mut target = manager.target(&self.unit, Action::Restart).await?;
        let old = target.state().await?;
        let old_run = target.invocation().await?;
        let asked = deadline.elapsed();
        target.run(Job::Restart, owners).await?;
        let took = deadline.elapsed().saturating_sub(asked);
        let state = target.state().await?;
        let unit = target.id.clone();
        if state.active != "active" {
            return Err(RestartError::NotActive {
                unit,
                state: Box::new(state),
            });
        }
        if state.main_pid == 0 || !peer::runs(&self.proc, state.main_pid) {
            return Err(RestartError::NoMainProcess {
                unit,
                state: Box::new(state),
            });
        }
        if target.invocation().await? == old_run {
            let pid = state.main_pid;
            return Err(RestartError::NotRestarted { unit, pid });
        }
        Ok(Outcome {
            old: (old.main_pid != 0).then_some(old.main_pid),
            new: state.main_pid,
            took,
        })
    }

    /// For CRI-O alone: the main process is looked at before anything is asked.
    pub(super) async fn reload(&self, budget: Duration) -> Result<(), RestartError> {
        let deadline = Deadline::after(budget);
        let (manager, owners) = Manager::connect(&self.bus, deadline).await?;
        let mut target = manager.target(&self.unit, Action::Reload).await?;
        let old = target.state().await?;
        if old.main_pid == 0 || !peer::runs(&self.proc, old.main_pid) {
            let unit = target.id.clone();
            return Err(RestartError::NoMainProcess {
                unit,
                state: Box::new(old),
            });
        }
        reload::require_crio(&self.proc, old.main_pid)?;
        target.run(Job::Reload, owners).await?;
        let state = target.state().await?;
        if state.main_pid != old.main_pid || !peer::runs(&self.proc, old.main_pid) {
            return Err(RestartError::EndedByReload {
                old: old.main_pid,
                now: format!("{} is {state}", target.id),
            });
        }
        Ok(())
    }
}
