//! Names of units, and which unit a process belongs to.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes: `UNIT_NAME_MAX` without its final NUL.
const LONGEST: usize = 255;
/// Types a unit may have in a path of control groups, beside slices.
const IN_CGROUP: [&str; 5] = ["scope", "socket", "mount", "swap", "service"];

/// Name of a service, valid by systemd.unit(5): `containerd.service`, `crio@one.service`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnitName(String);

/// Why a text names no service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitNameError {
    /// Too long.
    #[error("{0:?} is no unit: a name has at most {LONGEST} bytes")]
    Long(String),
    /// Another type, or none.
    #[error("{0:?} is no service: give the unit with its suffix, such as containerd.service")]
    NoService(String),
    /// A character no name has.
    #[error(
        "{0:?} is no unit: {1:?} cannot stand in a name (letters, digits and : - _ . \\ @ can)"
    )]
    Character(String, char),
    /// Nothing before the suffix or the `@`.
    #[error("{0:?} is no unit: it has no name before the suffix")]
    Empty(String),
    /// A template.
    #[error("{0:?} is a template and cannot run: give an instance, such as name@one.service")]
    Template(String),
}

impl UnitName {
    /// The name as systemd writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UnitName {
    type Err = UnitNameError;

    fn from_str(text: &str) -> Result<Self, UnitNameError> {
        let owned = || text.to_owned();
        if text.len() > LONGEST {
            return Err(UnitNameError::Long(text.chars().take(40).collect()));
        }
        let stem = text
            .strip_suffix(".service")
            .ok_or_else(|| UnitNameError::NoService(owned()))?;
        let odd = |c: &char| !(c.is_ascii_alphanumeric() || ":-_.\\@".contains(*c));
        if let Some(c) = stem.chars().find(odd) {
            return Err(UnitNameError::Character(owned(), c));
        }
        match stem.split_once('@') {
            Some(("", _)) => Err(UnitNameError::Empty(owned())),
            Some((_, "")) => Err(UnitNameError::Template(owned())),
            None if stem.is_empty() => Err(UnitNameError::Empty(owned())),
            _ => Ok(Self(owned())),
        }
    }
}

/// The unit that runs a container runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeUnit {
    /// Its name.
    pub name: UnitName,
    /// The unit is not the runtime's own: k3s and RKE2 start containerd as a child of the very
    /// process that is the kubelet, dockerd does so too, and a restart of the unit restarts all of
    /// it.
    pub shared_unit: bool,
}

/// Why no unit was found for a process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CgroupError {
    /// systemd keeps no track of it.
    #[error(
        "the process is in no unit of systemd (control group {0:?}): something else supervises it"
    )]
    NoUnit(String),
    /// Another kind of unit.
    #[error(
        "the process is in {0}, which is no service and cannot be restarted; run the runtime as a \
         service, or set restart to Never"
    )]
    NoService(String),
    /// The service manager of a user.
    #[error(
        "the process is run by the service manager of a user ({0}); rootless runtimes are not \
         restarted"
    )]
    UserManager(String),
    /// The control group is gone.
    #[error("the process has ended: its control group {0:?} is deleted")]
    Deleted(String),
    /// No line names a control group.
    #[error("this is no /proc/<pid>/cgroup: it has no line of systemd's or of version 2")]
    Malformed,
    /// What stands there is no name.
    #[error(transparent)]
    Name(#[from] UnitNameError),
}

/// The service of the system's systemd that a process is in, by the text of its
/// `/proc/<pid>/cgroup` (cgroups(7)), version 1, 2 or both.
///
/// systemd puts a unit's processes below `<slices>/<unit>`; what stands below the unit is the
/// service's own affair. A reader in a control-group namespace of its own sees `/../..` in front;
/// it is passed over. A name that the kernel could take for one of its own files has a `_` in
/// front.
pub fn of_cgroup(text: &str) -> Result<UnitName, CgroupError> {
    let path_of = |wanted: fn(&str, &str) -> bool| {
        text.lines().find_map(|line| {
            let (id, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(id, controllers).then_some(path)
        })
    };
    let named = path_of(|_, controllers| controllers.split(',').any(|c| c == "name=systemd"));
    let unified = path_of(|id, controllers| id == "0" && controllers.is_empty());
    // Where both are mounted, systemd tracks processes in one of them, and in version 1 always.
    match (named, unified) {
        (Some(path), Some(other)) => match of_path(path) {
            Err(CgroupError::NoUnit(_)) => of_path(other),
            found => found,
        },
        (Some(path), None) | (None, Some(path)) => of_path(path),
        (None, None) => Err(CgroupError::Malformed),
    }
}

fn of_path(path: &str) -> Result<UnitName, CgroupError> {
    if path.ends_with(" (deleted)") {
        return Err(CgroupError::Deleted(path.to_owned()));
    }
    let none = || CgroupError::NoUnit(path.to_owned());
    let (part, kind) = path
        .split('/')
        .filter(|part| !matches!(*part, "" | ".."))
        .map(|part| part.strip_prefix('_').unwrap_or(part))
        .map(|part| (part, part.rsplit_once('.').map_or("", |(_, kind)| kind)))
        .find(|(_, kind)| *kind != "slice")
        .ok_or_else(none)?;
    if !IN_CGROUP.contains(&kind) {
        return Err(none());
    }
    if kind != "service" {
        return Err(CgroupError::NoService(part.to_owned()));
    }
    if part.starts_with("user@") {
        return Err(CgroupError::UserManager(part.to_owned()));
    }
    Ok(part.parse()?)
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
