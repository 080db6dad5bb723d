//! systemd's D-Bus API on a real bus, with a stand-in for systemd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it is how a test fails"
)]

mod daemon;
mod description;
mod interfaces;
mod jobs;
mod objects;
mod refusals;
mod standin;
mod vanishing;

use std::fs;
use std::time::Duration;

use node_runtime::restart::{Outcome, RestartError, Restarter, RuntimeUnit, Systemd};
use tempfile::TempDir;

use daemon::Daemon;
use standin::Unit;

/// For what is expected to happen; nothing waits that long.
const BUDGET: Duration = Duration::from_secs(30);
/// For what is expected not to happen.
const SHORT: Duration = Duration::from_millis(200);

/// A host: its bus, its systemd and its processes.
struct Node {
    systemd: standin::Systemd,
    daemon: Daemon,
    proc: TempDir,
}

impl Node {
    /// With processes 100 to 102 and 200 to 202 as they are in `/proc`.
    async fn with(units: &[(&str, Unit)]) -> Self {
        Self::on(Daemon::start(""), units).await
    }

    async fn on(daemon: Daemon, units: &[(&str, Unit)]) -> Self {
        let node = Self {
            systemd: standin::Systemd::start(&daemon, units).await,
            daemon,
            proc: tempfile::tempdir().unwrap(),
        };
        for pid in [100, 101, 102, 200, 201, 202] {
            node.process(pid, "containerd");
        }
        node
    }

    fn process(&self, pid: u32, comm: &str) {
        let dir = self.proc.path().join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let stat = format!("{pid} ({comm}) S 1{} 4711 20\n", " 0".repeat(17));
        fs::write(dir.join("stat"), stat).unwrap();
        fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
    }

    fn service(&self, unit: &str) -> Systemd {
        Systemd {
            unit: unit.parse().unwrap(),
            bus: self.daemon.socket(),
            proc: self.proc.path().to_owned(),
        }
    }

    fn restarter(&self, unit: &str) -> Restarter {
        Restarter::Systemd(self.service(unit))
    }

    async fn restart(&self, unit: &str) -> Result<Outcome, RestartError> {
        self.restarter(unit).restart(BUDGET).await
    }

    async fn unit_of(&self, pid: u32) -> Result<RuntimeUnit, RestartError> {
        Systemd::unit_of(&self.daemon.socket(), pid, BUDGET).await
    }
}

/// What a restart makes of a unit.
fn restarted(unit: &mut Unit) {
    unit.main_pid += 1;
    unit.invocation += 1;
}

/// What a start that fails makes of it.
fn failed(unit: &mut Unit) {
    unit.main_pid = 0;
    unit.invocation += 1;
    unit.restarts = 3;
    (unit.active, unit.sub, unit.result) = ("failed", "failed", "exit-code");
}
