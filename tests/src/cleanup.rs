//! What must not outlive the lab, also when it is interrupted: no destructor runs then.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::{env, fs, io, process, thread};

use anyhow::{Context as _, Result};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use tokio::signal::unix::{SignalKind, signal};

/// The running process groups and the folders in use, of the whole test program.
///
/// Whoever starts a process or makes a folder holds the lock meanwhile, and the thread that cleans
/// up after an interrupt never gives it back: nothing new appears behind its back.
static LEFT: Mutex<Left> = Mutex::new(Left {
    groups: BTreeSet::new(),
    folders: BTreeSet::new(),
});

struct Left {
    groups: BTreeSet<u32>,
    folders: BTreeSet<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    // A panicking test must not keep the others from cleaning up.
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether files are to stay for inspection.
#[must_use]
pub fn keep() -> bool {
    env::var_os("NODESEAL_KEEP").is_some_and(|value| !value.is_empty() && value != "0")
}

/// Starts a process as the leader of a group of its own.
pub(crate) fn start_group(command: &mut Command) -> io::Result<Child> {
    on_signals();
    let mut left = left();
    let child = command.process_group(0).spawn()?;
    left.groups.insert(child.id());
    Ok(child)
}

/// Ends the group of this process, at once.
pub(crate) fn end_group(child: &mut Child) {
    if left().groups.remove(&child.id()) {
        kill_group(child.id());
    }
    // After SIGKILL this takes no longer than the kernel does; it frees the process id.
    let _ = child.wait();
}

/// Makes a temporary folder.
pub(crate) fn make_folder(prefix: &str) -> io::Result<PathBuf> {
    on_signals();
    let mut left = left();
    let path = tempfile::Builder::new().prefix(prefix).tempdir()?.keep();
    left.folders.insert(path.clone());
    Ok(path)
}

/// Removes a folder of [`make_folder`], unless it is to stay.
pub(crate) fn end_folder(path: &Path) -> Result<()> {
    left().folders.remove(path);
    remove(path)
}

fn kill_group(leader: u32) -> Option<Pid> {
    let pid = Pid::from_raw(i32::try_from(leader).ok()?)?;
    // It fails only when everyone in the group is gone already.
    let _ = kill_process_group(pid, Signal::KILL);
    Some(pid)
}

fn remove(path: &Path) -> Result<()> {
    unmount_below(path)?;
    if keep() {
        eprintln!("kept {}", path.display());
        return Ok(());
    }
    fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))
}

/// Unmounts whatever is mounted below a folder, the innermost first.
pub fn unmount_below(path: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    // Mounts are listed in the order in which they were made.
    for line in table.lines().rev() {
        let Some(point) = line.split(' ').nth(4) else {
            continue;
        };
        let point = PathBuf::from(point.replace("\\040", " "));
        if point.starts_with(path) {
            unmount(&point, UnmountFlags::DETACH)
                .with_context(|| format!("unmount {}", point.display()))?;
        }
    }
    Ok(())
}

/// Starts, once, the thread that cleans up when the program is told to end.
fn on_signals() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        thread::spawn(|| {
            if let Err(error) = sweep_when_told() {
                eprintln!("an interrupt will leave processes behind: {error:#}");
            }
        });
    });
}

fn sweep_when_told() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let left = left();
        for pid in left.groups.iter().filter_map(|leader| kill_group(*leader)) {
            // What still writes would come between the removal of its folder.
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
        for folder in &left.folders {
            if let Err(error) = remove(folder) {
                eprintln!("{error:#}");
            }
        }
        process::exit(130)
    })
}
