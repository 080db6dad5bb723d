//! The members of systemd's D-Bus interfaces that are used, as org.freedesktop.systemd1(5) has
//! them.

use zbus::OwnedObjectPath;

/// The name systemd owns on the system bus.
pub(super) const NAME: &str = "org.freedesktop.systemd1";

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_path = "/org/freedesktop/systemd1",
    assume_defaults = false
)]
pub(super) trait Manager {
    /// From here on signals come to this connection.
    fn subscribe(&self) -> zbus::Result<()>;
    /// The unit, read from disk where it is not in memory; one that does not exist answers too.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    /// The unit that a process belongs to.
    #[zbus(name = "GetUnitByPID")]
    fn get_unit_by_pid(&self, pid: u32) -> zbus::Result<OwnedObjectPath>;
    /// Stops and starts; the answer is the job.
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// Runs `ExecReload=`; the answer is the job.
    fn reload_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    /// A job is over.
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: zbus::ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Unit", assume_defaults = false)]
pub(super) trait Unit {
    /// The name that is no alias.
    #[zbus(property(emits_changed_signal = "false"))]
    fn id(&self) -> zbus::Result<String>;
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`, …
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    /// Finer, by the type of the unit.
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> zbus::Result<String>;
    /// Another one with every start.
    #[zbus(property(emits_changed_signal = "false"), name = "InvocationID")]
    fn invocation_id(&self) -> zbus::Result<Vec<u8>>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Service",
    assume_defaults = false
)]
pub(super) trait Service {
    /// 0 when there is none.
    #[zbus(property(emits_changed_signal = "false"), name = "MainPID")]
    fn main_pid(&self) -> zbus::Result<u32>;
    /// `success`, or why the last run ended: `exit-code`, `signal`, `timeout`, `oom-kill`, …
    #[zbus(property(emits_changed_signal = "false"))]
    fn result(&self) -> zbus::Result<String>;
    /// How often `Restart=` started it again.
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn n_restarts(&self) -> zbus::Result<u32>;
}

#[zbus::proxy(interface = "org.freedesktop.systemd1.Job", assume_defaults = false)]
pub(super) trait Job {
    /// `waiting` or `running`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> zbus::Result<String>;
}
