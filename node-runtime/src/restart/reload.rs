//! Reload, which is CRI-O's alone.
//!
//! containerd does not handle SIGHUP: it ends. So nothing here sends SIGHUP, or asks systemd to
//! run an `ExecReload=` that does, unless the process it goes to was seen to be `crio`; and the
//! one function that sends it takes the process by a handle, so that it cannot become another's
//! pid in between.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::Restarter;
use super::error::RestartError;
use super::peer::{self, Peer};

/// Name of CRI-O's process.
const CRIO: &str = "crio";

/// Asks CRI-O to read its files again.
#[derive(Debug, Clone)]
pub struct Reloader(Restarter);

impl Reloader {
    pub(super) fn new(restarter: Restarter) -> Self {
        Self(restarter)
    }

    /// Asks, and waits until systemd's job is done, or the signal is sent. CRI-O confirms nothing:
    /// read the effective configuration back afterwards (`GET /config` on its socket).
    pub async fn reload(&self, budget: Duration) -> Result<(), RestartError> {
        match &self.0 {
            Restarter::Systemd(systemd) => systemd.reload(budget).await,
            Restarter::Supervised(supervised) => supervised.reload(budget).await,
            Restarter::Never => Err(RestartError::Never),
        }
    }
}

/// Refuses what is not CRI-O.
pub(super) fn require_crio(proc: &Path, pid: u32) -> Result<(), RestartError> {
    let comm = peer::comm(proc, pid)?;
    if comm == CRIO {
        Ok(())
    } else {
        Err(RestartError::NotCrio { pid, comm })
    }
}

/// SIGHUP to CRI-O: the only place it is sent from.
pub(super) fn hang_up(proc: &Path, peer: &Peer) -> Result<(), RestartError> {
    require_crio(proc, peer.id.pid)?;
    if peer.signal(Signal::HUP, "SIGHUP")? {
        Ok(())
    } else {
        Err(RestartError::EndedByReload {
            old: peer.id.pid,
            now: "it ended before the signal".to_owned(),
        })
    }
}
