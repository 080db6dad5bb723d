//! The process behind a socket: which it is, when it started, and what it was told.
//!
//! A runtime is configured by its command line first, so that is read from the process that runs,
//! not from a unit file. Environments are not read: they hold secrets of others.
//!
//! `/proc` is a parameter, as a container may have the node's somewhere else; it has to be that of
//! a PID namespace in which the runtime is seen, which is what `hostPID` gives.

mod command_line;
mod proc;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::net::UnixStream;
use tokio::time::timeout;

pub use self::command_line::{
    ConfigPath, Containerd, Crio, DEFAULT_CONTAINERD_CONFIG, containerd_config_path,
};
pub use self::proc::{Malformed, Stat, parse_cmdline, parse_stat, read, runs};

/// How long a connection may take; the kernel makes it, unless the backlog is full.
const DEADLINE: Duration = Duration::from_secs(5);

/// The names of programs that serve the CRI and are known here.
const RUNTIMES: [&str; 2] = ["containerd", "crio"];

/// A socket as this process reaches it, and as the node's processes call it.
#[derive(Debug, Clone, Copy)]
pub struct Socket<'a> {
    /// Where it is for this process: below a folder in which the node's are mounted, maybe.
    pub path: &'a Path,
    /// What it is called on the node: `/run/containerd/containerd.sock`.
    pub on_node: &'a Path,
}

impl<'a> Socket<'a> {
    /// A socket that has the same path here and on the node.
    #[must_use]
    pub fn at(path: &'a Path) -> Self {
        Self {
            path,
            on_node: path,
        }
    }
}

/// Which process of all that a machine ever has: after a restart it differs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Start {
    /// The kernel's id of this boot, a UUID.
    pub boot_id: String,
    /// The process id, in this PID namespace.
    pub pid: u32,
    /// When it started, in clock ticks (1/100 s) since boot; see `proc_pid_stat(5)`, field 22.
    pub ticks: u64,
}

/// How a process was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It called listen(2) on the socket; the kernel says so.
    Listener,
    /// Another did that for it, as systemd's socket units do; it is the only process of a known
    /// runtime whose command line gives the socket. This is a conclusion, not a fact.
    CommandLine,
}

/// A process of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Which it is.
    pub start: Start,
    /// When it started, by the node's clock, to within a second or so: the kernel only keeps the
    /// time since boot. To be compared with the times of the files that it read then.
    pub started_at: SystemTime,
    /// Its command line, with the program's name first.
    pub argv: Vec<String>,
    /// Its program's file, as its mount namespace calls it. `None` where this process may not look
    /// (that takes `CAP_SYS_PTRACE` when the other has capabilities that this one lacks).
    pub exe: Option<PathBuf>,
    /// Whether that file was removed or replaced since, as a package upgrade does: the next start
    /// runs another program.
    pub exe_replaced: bool,
    /// Its working folder, if this process may look.
    pub cwd: Option<PathBuf>,
    /// Its root folder, if this process may look; `/` unless it was put into another.
    pub root: Option<PathBuf>,
    /// How it was found.
    pub found: Found,
}

impl Process {
    /// The runtime that it runs by the name of its program or of `argv[0]`: `containerd` or
    /// `crio`. k3s has the first as a link to itself.
    #[must_use]
    pub fn runtime(&self) -> Option<&'static str> {
        let exe = self.exe.as_deref().and_then(base_name);
        let argv0 = self.argv.first().map(Path::new).and_then(base_name);
        let is = |name: &&'static str| exe == Some(*name) || argv0 == Some(*name);
        RUNTIMES.into_iter().find(|name| is(name))
    }
}

fn base_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Why the process behind a socket is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: the runtime is down, or this is not its socket.
    #[error(
        "cannot connect to the socket {}: {source}; see that the runtime runs and that the \
         kubelet's configuration names this socket",
        socket.display()
    )]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The process is in a PID namespace that is not below this one's.
    #[error(
        "the process behind {} cannot be seen from this PID namespace; run the agent with \
         hostPID: true",
        socket.display()
    )]
    Invisible {
        /// The socket.
        socket: PathBuf,
    },
    /// It ended meanwhile, and another may have its id; asking again gives its successor.
    #[error("process {pid} has ended; ask again")]
    Gone {
        /// Its id.
        pid: u32,
    },
    /// A file of `/proc` cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of `/proc` is not what the kernel writes there.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Malformed,
    },
    /// Who listens is no runtime, and no process's command line says that it serves the socket.
    #[error(
        "process {listener} listens on {} for another one, and no containerd or crio is found \
         whose command line gives this socket; start the runtime with it (containerd --address, \
         crio --listen), or without socket activation",
        socket.display()
    )]
    NotFound {
        /// The socket, as the node calls it.
        socket: PathBuf,
        /// Who called listen(2).
        listener: u32,
    },
    /// Several runtimes say that they serve the socket.
    #[error(
        "process {listener} listens on {} for another one, which may be any of {pids:?}; start \
         the runtime with this socket on its command line (containerd --address, crio --listen), \
         or without socket activation",
        socket.display()
    )]
    Ambiguous {
        /// The socket, as the node calls it.
        socket: PathBuf,
        /// Who called listen(2).
        listener: u32,
        /// The processes.
        pids: Vec<u32>,
    },
}

/// Finds the process behind a socket.
///
/// The kernel tells who called listen(2) on it (`SO_PEERCRED`, unix(7)). With a socket unit of
/// systemd that is process 1, and the caller may have ended since; then the processes are searched
/// for a runtime that says it serves this socket ([`Found::CommandLine`]).
pub async fn behind(proc: &Path, socket: Socket<'_>) -> Result<Process, Error> {
    let listener = listener(socket.path).await?;
    served(proc, socket, listener)
}

/// The process that serves a socket on which this one called listen(2).
fn served(proc: &Path, socket: Socket<'_>, listener: u32) -> Result<Process, Error> {
    match read(proc, listener) {
        Ok(process) if listener != 1 || process.runtime().is_some() => Ok(process),
        Ok(_) | Err(Error::Gone { .. }) => scan::serving(proc, socket.on_node, listener),
        Err(error) => Err(error),
    }
}

/// The process that called listen(2) on a socket.
async fn listener(socket: &Path) -> Result<u32, Error> {
    let failed = |source| Error::Connect {
        socket: socket.to_owned(),
        source,
    };
    let connected = timeout(DEADLINE, UnixStream::connect(socket)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let peer = connected
        .and_then(|stream| stream.peer_cred())
        .map_err(failed)?;
    visible(peer.pid()).ok_or_else(|| Error::Invisible {
        socket: socket.to_owned(),
    })
}

/// A process id of the kernel, which writes 0 where this PID namespace has none for the process.
fn visible(pid: Option<i32>) -> Option<u32> {
    u32::try_from(pid?).ok().filter(|pid| *pid != 0)
}
