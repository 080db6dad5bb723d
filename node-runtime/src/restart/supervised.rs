//! Restart of a process that a supervisor starts again whenever it ends.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::interval;

use super::deadline::{Deadline, Passed};
use super::error::RestartError;
use super::peer::{Identity, LOOK, Peer};
use super::{Outcome, reload};

/// A runtime that its supervisor starts again whenever it ends, such as k0s its containerd.
///
/// k3s and RKE2 end themselves when their containerd does, and are started again by systemd: for
/// them this restarts as much as the restart of their unit.
#[derive(Debug, Clone)]
pub struct Supervised {
    /// The socket the runtime answers on.
    pub socket: PathBuf,
    /// Where the host's processes show: `/proc`. A pid is the same here and there only with the
    /// host's PID namespace.
    pub proc: PathBuf,
}

impl Supervised {
    /// SIGTERM to the process behind the socket, its end, and another one behind it. Never
    /// SIGKILL: a runtime that does not end on its own may be at work on a container.
    pub(super) async fn restart(&self, budget: Duration) -> Result<Outcome, RestartError> {
        let deadline = Deadline::after(budget);
        let old = self.peer(deadline).await?;
        let asked = deadline.elapsed();
        old.signal(Signal::TERM, "SIGTERM")?;
        deadline
            .within(old.ended(&self.proc))
            .await
            .map_err(|Passed| RestartError::IgnoresTerm {
                pid: old.id.pid,
                after: deadline.budget(),
            })?;
        let new = self.successor(old.id, deadline).await?;
        Ok(Outcome {
            old: Some(old.id.pid),
            new: new.pid,
            took: deadline.elapsed().saturating_sub(asked),
        })
    }

    async fn successor(&self, old: Identity, deadline: Deadline) -> Result<Identity, RestartError> {
        let mut last = format!("process {} has not yet been replaced", old.pid);
        let waiting = async {
            let mut looks = interval(LOOK);
            loop {
                looks.tick().await;
                match Peer::behind(&self.socket, &self.proc).await {
                    Ok(new) if new.id != old => break new.id,
                    Ok(_) => {}
                    Err(error) => last = error.to_string(),
                }
            }
        };
        deadline
            .within(waiting)
            .await
            .map_err(|Passed| RestartError::NotStartedAgain {
                pid: old.pid,
                socket: self.socket.clone(),
                after: deadline.budget(),
                last,
            })
    }

    /// SIGHUP, for CRI-O alone.
    pub(super) async fn reload(&self, budget: Duration) -> Result<(), RestartError> {
        let deadline = Deadline::after(budget);
        let peer = self.peer(deadline).await?;
        reload::hang_up(&self.proc, &peer)
    }

    async fn peer(&self, deadline: Deadline) -> Result<Peer, RestartError> {
        let looking = Peer::behind(&self.socket, &self.proc);
        deadline
            .within(looking)
            .await
            .map_err(|Passed| RestartError::Deadline {
                doing: format!("connecting to {}", self.socket.display()),
                after: deadline.budget(),
                job: None,
            })?
    }
}
