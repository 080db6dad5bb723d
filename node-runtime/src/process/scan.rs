//! The search for a runtime that serves a socket on which another process listens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Containerd, Crio, Error, Found, Process, proc};

/// Where containerd serves unless it is told something else.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// Where CRI-O serves unless it is told something else.
const CRIO: &str = "/run/crio/crio.sock";

/// The one runtime whose command line gives this socket, or leaves it at its default and this is
/// it. A configuration file may say something else, which is why two of these are none.
pub(super) fn serving(proc: &Path, socket: &Path, listener: u32) -> Result<Process, Error> {
    let mut serving: Vec<_> = processes(proc)?
        .into_iter()
        // One that ends meanwhile, or is not for us to see, is not the one.
        .filter_map(|pid| proc::read(proc, pid).ok())
        .filter(|process| serves(process, socket))
        .collect();
    // A child between fork and exec still has the command line of its parent.
    let pids: BTreeSet<_> = serving.iter().map(|process| process.start.pid).collect();
    serving.retain(|process| !pids.contains(&parent(proc, process)));
    match serving.len() {
        0 => Err(Error::NotFound {
            socket: socket.to_owned(),
            listener,
        }),
        1 => Ok(Process {
            found: Found::CommandLine,
            ..serving.swap_remove(0)
        }),
        _ => Err(Error::Ambiguous {
            socket: socket.to_owned(),
            listener,
            pids: serving.iter().map(|process| process.start.pid).collect(),
        }),
    }
}

/// The ids of all processes, in order.
fn processes(proc: &Path) -> Result<BTreeSet<u32>, Error> {
    let failed = |source| Error::Read {
        path: proc.to_owned(),
        source,
    };
    let mut pids = BTreeSet::new();
    for entry in fs::read_dir(proc).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// 0 where it is not known: no process has that.
fn parent(proc: &Path, process: &Process) -> u32 {
    let pid = process.start.pid;
    let stat = proc::stat(&proc.join(pid.to_string()), pid);
    stat.map_or(0, |stat| stat.parent)
}

/// Whether the command line says that this process serves the socket.
fn serves(process: &Process, socket: &Path) -> bool {
    let (address, default, command) = match process.runtime() {
        Some("containerd") => {
            let flags = Containerd::parse(&process.argv);
            (flags.address, CONTAINERD, flags.command)
        }
        Some("crio") => {
            let flags = Crio::parse(&process.argv);
            (flags.listen, CRIO, flags.command)
        }
        _ => return false,
    };
    let address = address.filter(|address| !address.is_empty());
    let address = address.as_deref().unwrap_or(default);
    let address = address.strip_prefix("unix://").unwrap_or(address);
    !command && plain(Path::new(address)) == plain(socket)
}

/// `/var/run` is a link to `/run`, and both are written.
fn plain(path: &Path) -> PathBuf {
    match path.strip_prefix("/var/run") {
        Ok(rest) => Path::new("/run").join(rest),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
