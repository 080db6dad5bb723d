//! What `/proc/<pid>` says of a process.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Error, Found, Process, Start};

/// How much of a file is read; the command line of a runtime has a few hundred bytes.
const MAX_FILE: u64 = 256 * 1024;

/// Clock ticks in a second, as the kernel counts for programs (`USER_HZ`): 100 on every
/// architecture that is built for.
const TICKS: u64 = 100;

/// What the kernel adds to the name of a file that is gone; `proc_pid_exe(5)`.
const DELETED: &str = " (deleted)";

/// Why a file of `/proc` is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is longer than what is read.
    #[error("it has more than {MAX_FILE} bytes")]
    TooLong,
    /// Its text is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// It has no command line, as a process that has ended but was not waited for, or a part of
    /// the kernel.
    #[error("the process has no command line")]
    NoCommandLine,
    /// A value is not where it should be.
    #[error("it has no {0}")]
    Field(&'static str),
}

/// The part of `/proc/<pid>/stat` that is used; `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Field 3: `R`, `S`, `Z` for one that ended but was not waited for, and others.
    pub state: char,
    /// Field 4: the process id of its parent.
    pub parent: u32,
    /// Field 22: when it started, in clock ticks since boot.
    pub started: u64,
}

/// Reads the text of `/proc/<pid>/stat`.
///
/// Field 2 is the program's name in parentheses, and may itself hold spaces, parentheses and line
/// ends: it goes up to the last closing one.
pub fn parse_stat(text: &[u8]) -> Result<Stat, Malformed> {
    let name = "name in parentheses";
    let end = text.iter().rposition(|byte| *byte == b')');
    let rest = &text[end.ok_or(Malformed::Field(name))? + 1..];
    let rest = str::from_utf8(rest).map_err(|_| Malformed::NotUtf8)?;
    // The first of these is field 3.
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let state = field(3).and_then(|state| state.chars().next());
    let parent = field(4).and_then(|parent| parent.parse().ok());
    let started = field(22).and_then(|ticks| ticks.parse().ok());
    Ok(Stat {
        state: state.ok_or(Malformed::Field("state"))?,
        parent: parent.ok_or(Malformed::Field("parent"))?,
        started: started.ok_or(Malformed::Field("start time"))?,
    })
}

/// Reads the text of `/proc/<pid>/cmdline`: arguments that each end with a zero byte. Empty ones
/// are arguments as well.
pub fn parse_cmdline(text: &[u8]) -> Result<Vec<String>, Malformed> {
    if text.is_empty() {
        return Err(Malformed::NoCommandLine);
    }
    let text = str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?;
    // A process that writes over its command line may leave the last end out.
    let text = text.strip_suffix('\0').unwrap_or(text);
    Ok(text.split('\0').map(str::to_owned).collect())
}

/// The time of the boot in seconds since 1970, from `/proc/stat`.
fn parse_boot_time(text: &[u8]) -> Result<u64, Malformed> {
    let line = |line: &[u8]| {
        str::from_utf8(line.strip_prefix(b"btime ")?)
            .ok()?
            .parse()
            .ok()
    };
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(line).ok_or(Malformed::Field("btime"))
}

/// Reads a process by its id in the PID namespace of `proc`.
pub fn read(proc: &Path, pid: u32) -> Result<Process, Error> {
    let folder = proc.join(pid.to_string());
    let before = stat(&folder, pid)?;
    let argv = file(&folder.join("cmdline"), parse_cmdline);
    let argv = argv.map_err(|error| gone(error, pid))?;
    let exe = fs::read_link(folder.join("exe")).ok();
    let cwd = fs::read_link(folder.join("cwd")).ok();
    let root = fs::read_link(folder.join("root")).ok();
    let boot_id = file(&proc.join("sys/kernel/random/boot_id"), parse_boot_id)?;
    let boot_time = file(&proc.join("stat"), parse_boot_time)?;
    // Otherwise some of it may be of a process that had the id before.
    if stat(&folder, pid)?.started != before.started {
        return Err(Error::Gone { pid });
    }
    let (exe, exe_replaced) = match exe {
        Some(path) => {
            let kept = path.to_str().and_then(|path| path.strip_suffix(DELETED));
            let kept = kept.map(PathBuf::from);
            let replaced = kept.is_some();
            (Some(kept.unwrap_or(path)), replaced)
        }
        None => (None, false),
    };
    let since_boot = Duration::from_millis(before.started.saturating_mul(1000 / TICKS));
    let booted = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(boot_time));
    let started_at = booted.and_then(|booted| booted.checked_add(since_boot));
    Ok(Process {
        start: Start {
            boot_id,
            pid,
            ticks: before.started,
        },
        started_at: started_at.ok_or_else(|| Error::Malformed {
            path: proc.join("stat"),
            source: Malformed::Field("btime"),
        })?,
        argv,
        exe,
        exe_replaced,
        cwd,
        root,
        found: Found::Listener,
    })
}

/// Whether this very process still runs: not ended, and no other with its id.
pub fn runs(proc: &Path, start: &Start) -> Result<bool, Error> {
    let boot_id = file(&proc.join("sys/kernel/random/boot_id"), parse_boot_id)?;
    match stat(&proc.join(start.pid.to_string()), start.pid) {
        Ok(now) => Ok(boot_id == start.boot_id && now.started == start.ticks),
        Err(Error::Gone { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The state of a process that has not ended.
pub(super) fn stat(folder: &Path, pid: u32) -> Result<Stat, Error> {
    let stat = file(&folder.join("stat"), parse_stat).map_err(|error| gone(error, pid))?;
    // Z and X: ended, and only its id is still taken.
    match stat.state {
        'Z' | 'X' => Err(Error::Gone { pid }),
        _ => Ok(stat),
    }
}

fn parse_boot_id(text: &[u8]) -> Result<String, Malformed> {
    let text = str::from_utf8(text).map_err(|_| Malformed::NotUtf8)?.trim();
    if text.is_empty() {
        return Err(Malformed::Field("boot id"));
    }
    Ok(text.to_owned())
}

/// Of a process that ends, files vanish (ENOENT), or are there and cannot be read (ESRCH).
fn gone(error: Error, pid: u32) -> Error {
    const ESRCH: i32 = 3;
    match error {
        Error::Read { source, .. }
            if source.kind() == io::ErrorKind::NotFound || source.raw_os_error() == Some(ESRCH) =>
        {
            Error::Gone { pid }
        }
        error => error,
    }
}

/// Reads a file of `/proc`.
pub(super) fn file<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let read = || {
        let mut bytes = Vec::new();
        let mut file = File::open(path)?.take(MAX_FILE + 1);
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let parsed = if bytes.len() as u64 > MAX_FILE {
        Err(Malformed::TooLong)
    } else {
        parse(&bytes)
    };
    parsed.map_err(|source| Error::Malformed {
        path: path.to_owned(),
        source,
    })
}
