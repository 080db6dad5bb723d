//! Why a restart or a reload did not take place, or is not known to have.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::state::{JobResult, UnitState, Vanishing};
use super::unit::UnitNameError;

/// Why a restart or a reload did not take place, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// Nobody may.
    #[error(
        "the runtime may not be restarted or reloaded: restart is Never; restart it by hand, or \
         set restart to Allowed"
    )]
    Never,

    // The bus.
    /// No bus answers there.
    #[error(
        "cannot reach the system bus at {}: {source}; mount the host's socket into the agent, or \
         set restart to Never", .bus.display()
    )]
    Bus {
        /// The socket.
        bus: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The bus does not let this process in.
    #[error(
        "the system bus at {} does not accept this process: {source}; it must run as root of the \
         host, outside a user namespace", .bus.display()
    )]
    Handshake {
        /// The socket.
        bus: PathBuf,
        /// What it said.
        source: zbus::Error,
    },
    /// The bus is there, systemd is not.
    #[error(
        "nobody on the bus at {} is systemd (org.freedesktop.systemd1): the host has another init \
         system, or this is not the host's bus; set restart to Never, or mount the host's", .bus.display()
    )]
    NoManager {
        /// The socket.
        bus: PathBuf,
    },

    // systemd's answers.
    /// systemd, the bus or a security module refuses.
    #[error(
        "not allowed to {action} {unit}: {detail}; run the agent as root of the host, and let its \
         AppArmor or SELinux profile talk to systemd over D-Bus"
    )]
    AccessDenied {
        /// What was asked.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// What the bus or systemd said.
        detail: String,
    },
    /// No such unit.
    #[error(
        "systemd has no unit {unit}; name the unit that runs the runtime \
         (`systemctl status <pid of the runtime>` shows it)"
    )]
    UnitNotFound {
        /// The unit.
        unit: String,
    },
    /// Masked.
    #[error("the unit {unit} is masked and cannot run; `systemctl unmask {unit}`")]
    Masked {
        /// The unit.
        unit: String,
    },
    /// systemd could not read it.
    #[error(
        "systemd cannot use the file of {unit} ({load_state}); `systemd-analyze verify {unit}` \
         says why"
    )]
    BadUnit {
        /// The unit.
        unit: String,
        /// Its `LoadState`.
        load_state: String,
    },
    /// Its file says no way to reload it, so nothing was sent.
    #[error(
        "{unit} cannot be reloaded: it has no ExecReload=; add `ExecReload=/bin/kill -s HUP \
         $MAINPID` as CRI-O's own unit has it, or restart it"
    )]
    NotReloadable {
        /// The unit.
        unit: String,
    },
    /// systemd refuses for a reason of its own, such as `OnlyByDependency` or `ShuttingDown`.
    #[error("systemd refuses to {action} {unit}: {detail} ({name})")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// Name of the D-Bus error.
        name: String,
        /// Its text.
        detail: String,
    },
    /// No process is in a unit by that pid.
    #[error("systemd has no unit for process {pid}: it ended, or something else supervises it")]
    NoUnitForPid {
        /// The process.
        pid: u32,
    },
    /// The unit of the process is not one that can be restarted.
    #[error("systemd runs process {pid} as no service: {source}")]
    NoService {
        /// The process.
        pid: u32,
        /// Why not.
        source: UnitNameError,
    },
    /// An answer that the interface does not allow.
    #[error("systemd's answer while {doing} cannot be used: {source}; please report this")]
    Reply {
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        source: zbus::Error,
    },

    /// systemd or the bus went away before anything was asked of the unit.
    #[error("{doing}: {how}; nothing was asked for, so it can be tried again")]
    Gone {
        /// What was being done.
        doing: String,
        /// Who went away.
        how: Vanishing,
    },

    // The job.
    /// The job ended otherwise than `done`.
    #[error("the {action} of {unit} {result}; now {state}; `journalctl -u {unit}` says why")]
    Job {
        /// What was asked.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// How the job ended.
        result: JobResult,
        /// The unit afterwards.
        state: Box<UnitState>,
    },
    /// How the job ends will never be known.
    #[error(
        "the {action} of {unit} was asked for, but how it ended is not known: {how}; look at \
         `systemctl status {unit}`"
    )]
    Vanished {
        /// What was asked.
        action: &'static str,
        /// Of which unit.
        unit: String,
        /// Who went away.
        how: Vanishing,
    },
    /// The deadline passed; the job, where there is one, goes on.
    #[error(
        "{doing} did not end within {after:?}{}; nothing was taken back: look at the runtime \
         before the next try",
        .job.as_deref().map(|state| format!(" (systemd's job is {state})")).unwrap_or_default()
    )]
    Deadline {
        /// What was waited for.
        doing: String,
        /// How long.
        after: Duration,
        /// State of systemd's job, where there is one.
        job: Option<String>,
    },
    /// The job is done and the unit does not run.
    #[error("{unit} was restarted and is not running: {state}; `journalctl -u {unit}` says why")]
    NotActive {
        /// The unit.
        unit: String,
        /// Its state.
        state: Box<UnitState>,
    },
    /// The unit is active, and its main process is not there.
    #[error(
        "{unit} is said to be active, but its main process {} is not there ({state}); \
         `journalctl -u {unit}` says why",
        if .state.main_pid == 0 { "(none)".to_owned() } else { .state.main_pid.to_string() }
    )]
    NoMainProcess {
        /// The unit.
        unit: String,
        /// Its state.
        state: Box<UnitState>,
    },
    /// The job is done, and still the old process runs.
    #[error(
        "the job is done, but {unit} was not started again (process {pid} is still the old one)"
    )]
    NotRestarted {
        /// The unit.
        unit: String,
        /// The process.
        pid: u32,
    },

    // The process behind a socket.
    /// Nothing answers on the socket.
    #[error("no runtime answers on {}: {source}", .socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The process is in another PID namespace.
    #[error(
        "the process behind {} is not visible from here; the agent needs the host's processes \
         (hostPID: true)", .socket.display()
    )]
    NotVisible {
        /// The socket.
        socket: PathBuf,
    },
    /// Who listens is no runtime.
    #[error(
        "process {pid} listens on {} and is {what}; no signal is sent to it", .socket.display()
    )]
    WrongProcess {
        /// The socket.
        socket: PathBuf,
        /// The process.
        pid: u32,
        /// What it is.
        what: &'static str,
    },
    /// The process cannot be looked at.
    #[error("cannot look at process {pid}: {source}")]
    Process {
        /// The process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refuses the signal.
    #[error(
        "cannot send {signal} to process {pid}: {source}; the agent needs to run as root, or \
         CAP_KILL"
    )]
    Signal {
        /// The signal.
        signal: &'static str,
        /// The process.
        pid: u32,
        /// Why not.
        source: io::Error,
    },
    /// SIGTERM did not end it.
    #[error(
        "process {pid} has not ended {after:?} after SIGTERM; it is not killed, since containers \
         may be in its hands: look at it and restart it by hand"
    )]
    IgnoresTerm {
        /// The process.
        pid: u32,
        /// How long was waited.
        after: Duration,
    },
    /// Nobody started it again.
    #[error(
        "process {pid} ended, and {after:?} after SIGTERM none other answers on {}: {last}; \
         is its supervisor running?", .socket.display()
    )]
    NotStartedAgain {
        /// The process that ended.
        pid: u32,
        /// The socket.
        socket: PathBuf,
        /// How long was waited.
        after: Duration,
        /// What the last look showed.
        last: String,
    },

    // Reload.
    /// SIGHUP would end it.
    #[error(
        "process {pid} is {comm}, not crio: SIGHUP makes CRI-O alone read its files again and ends \
         containerd; nothing was sent"
    )]
    NotCrio {
        /// The process.
        pid: u32,
        /// Its name.
        comm: String,
    },
    /// It did not survive.
    #[error("CRI-O did not survive the reload: process {old} is gone, {now}")]
    EndedByReload {
        /// The process before.
        old: u32,
        /// What is there now.
        now: String,
    },
}
