//! The process behind a socket, held so that its pid cannot become another's.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;
use tokio::time::interval;

use super::error::RestartError;

/// Between two looks at a process. That somebody listens is announced by nothing, and the end of
/// another's child only through a handle that the event loop cannot take without unsafe code.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Which process: a pid alone may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Clock ticks from boot to its start, field 22 of `proc_pid_stat(5)`.
    ticks: u64,
}

/// A process that listens on a socket.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: Identity,
    handle: OwnedFd,
}

impl Peer {
    /// The process that listens: its pid, a handle, its start, and its pid once more, so that
    /// handle and start are of the one that answers.
    pub(super) async fn behind(socket: &Path, proc: &Path) -> Result<Self, RestartError> {
        loop {
            let pid = pid_behind(socket).await?;
            let failed = |source| RestartError::Process { pid, source };
            let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let number = number.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
            let handle = pidfd_open(number, PidfdFlags::empty());
            let stat = Stat::read(proc, pid);
            // Between the looks another may have taken over.
            if pid_behind(socket).await? != pid {
                continue;
            }
            let handle = handle.map_err(|errno| match errno {
                Errno::SRCH => RestartError::WrongProcess {
                    socket: socket.to_owned(),
                    pid,
                    what: "gone (another process holds the socket it opened)",
                },
                _ => failed(errno.into()),
            })?;
            let ticks = stat.map_err(failed)?.ticks;
            let id = Identity { pid, ticks };
            return Ok(Self { id, handle });
        }
    }

    /// Sends a signal to this very process; `false` when it has ended.
    pub(super) fn signal(&self, signal: Signal, name: &'static str) -> Result<bool, RestartError> {
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(RestartError::Signal {
                signal: name,
                pid: self.id.pid,
                source: errno.into(),
            }),
        }
    }

    /// Waits until it has ended, reaped or not.
    pub(super) async fn ended(&self, proc: &Path) {
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            match Stat::read(proc, self.id.pid) {
                Ok(stat) if stat.ticks == self.id.ticks && stat.is_alive() => {}
                _ => return,
            }
        }
    }
}

/// Pid of the one that called listen(2), `SO_PEERCRED` of unix(7).
async fn pid_behind(socket: &Path) -> Result<u32, RestartError> {
    let failed = |source| RestartError::Socket {
        socket: socket.to_owned(),
        source,
    };
    let stream = UnixStream::connect(socket).await.map_err(failed)?;
    let pid = stream.peer_cred().map_err(failed)?.pid().unwrap_or(0);
    acceptable(pid, socket)
}

fn acceptable(pid: i32, socket: &Path) -> Result<u32, RestartError> {
    match u32::try_from(pid) {
        Ok(0) | Err(_) => Err(RestartError::NotVisible {
            socket: socket.to_owned(),
        }),
        // systemd listens for what it starts on demand, and takes SIGTERM for a wish of its own.
        Ok(1) => Err(RestartError::WrongProcess {
            socket: socket.to_owned(),
            pid: 1,
            what: "the init process (socket activation)",
        }),
        Ok(pid) => Ok(pid),
    }
}

/// Whether a process is there and no zombie.
pub(super) fn runs(proc: &Path, pid: u32) -> bool {
    Stat::read(proc, pid).is_ok_and(|stat| stat.is_alive())
}

/// Name of a process's program, 15 bytes at most: `proc_pid_comm(5)`.
pub(super) fn comm(proc: &Path, pid: u32) -> Result<String, RestartError> {
    fs::read_to_string(proc.join(pid.to_string()).join("comm"))
        .map(|text| text.trim_end_matches('\n').to_owned())
        .map_err(|source| RestartError::Process { pid, source })
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    ticks: u64,
}

impl Stat {
    /// A zombie has ended; only its parent has not looked yet.
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    fn read(proc: &Path, pid: u32) -> io::Result<Self> {
        let text = fs::read_to_string(proc.join(pid.to_string()).join("stat"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("/proc/<pid>/stat has another form"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name stands in parentheses and may hold both parentheses and spaces.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            // Field 22; the state is field 3.
            ticks: fields.nth(18)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_start_are_read_past_any_name() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.ticks), ('S', 4711));
    }

    #[test]
    fn a_stat_of_another_form_is_refused() {
        for text in ["", "7 (a S 1", "7 (a) S 1 2", "7 (a) "] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_runs_and_a_pid_nobody_has_does_not() {
        assert!(runs(Path::new("/proc"), std::process::id()));
        assert!(!runs(Path::new("/proc"), u32::MAX));
    }

    #[test]
    fn init_and_a_process_out_of_sight_are_refused() {
        let socket = Path::new("/run/a.sock");
        let error = acceptable(0, socket).unwrap_err();
        assert!(matches!(error, RestartError::NotVisible { .. }), "{error}");
        let error = acceptable(1, socket).unwrap_err();
        assert!(
            matches!(error, RestartError::WrongProcess { pid: 1, .. }),
            "{error}"
        );
        assert_eq!(acceptable(2, socket).unwrap(), 2);
    }

    #[test]
    fn a_zombie_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        let text = "7 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20\n";
        fs::write(dir.path().join("7/stat"), text).unwrap();
        assert!(!runs(dir.path(), 7));
    }
}
