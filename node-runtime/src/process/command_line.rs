//! What the command lines of containerd and CRI-O say.
//!
//! Both read flags with Go's package flag: one dash or two, `-name value` or `-name=value`, up to
//! `--` or the first argument that is no flag; the last of a repeated flag counts. A flag always
//! wins over the configuration file.

use std::path::{Path, PathBuf};

/// What containerd reads when its command line names no configuration file. It need not exist.
pub const DEFAULT_CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";

/// The flags of containerd, from its `cmd/containerd/command/main.go`. A relative path is relative
/// to the folder in which it was started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Containerd {
    /// `--config`, `-c`: the configuration file.
    pub config: Option<String>,
    /// `--root`: the folder of images and snapshots, instead of `root` in the file.
    pub root: Option<String>,
    /// `--state`: the folder of running containers, instead of `state` in the file.
    pub state: Option<String>,
    /// `--address`, `-a`: the socket, instead of `grpc.address` in the file.
    pub address: Option<String>,
    /// Whether it is one of its other commands, such as `containerd config dump`, not the daemon.
    pub command: bool,
}

/// The flags of CRI-O that say where its configuration is, or that win over it; from its
/// `internal/criocli`. Each can also be set by an environment variable, which is not seen here:
/// what is in force is what [`crate::crio::config`] says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crio {
    /// `--config`, `-c`: the configuration file.
    pub config: Option<String>,
    /// `--config-dir`, `-d`: the folder of drop-ins.
    pub config_dir: Option<String>,
    /// `--listen`: the socket.
    pub listen: Option<String>,
    /// `--signature-policy`: a policy.json that no drop-in can change.
    pub signature_policy: Option<String>,
    /// `--signature-policy-dir`: a folder of namespaces' policies that no drop-in can change.
    pub signature_policy_dir: Option<String>,
    /// Whether it is one of its other commands, such as `crio wipe`, not the daemon.
    pub command: bool,
}

impl Containerd {
    /// Reads a command line, with the program's name first.
    #[must_use]
    pub fn parse(argv: &[String]) -> Self {
        let flags = Flags::parse(
            argv,
            &[
                "config",
                "c",
                "root",
                "state",
                "address",
                "a",
                "log-level",
                "l",
            ],
        );
        Self {
            config: flags.last(&["config", "c"]),
            root: flags.last(&["root"]),
            state: flags.last(&["state"]),
            address: flags.last(&["address", "a"]),
            command: flags.command,
        }
    }
}

impl Crio {
    /// Reads a command line, with the program's name first.
    #[must_use]
    pub fn parse(argv: &[String]) -> Self {
        let flags = Flags::parse(
            argv,
            &[
                "config",
                "c",
                "config-dir",
                "d",
                "listen",
                "signature-policy",
                "signature-policy-dir",
            ],
        );
        Self {
            config: flags.last(&["config", "c"]),
            config_dir: flags.last(&["config-dir", "d"]),
            listen: flags.last(&["listen"]),
            signature_policy: flags.last(&["signature-policy"]),
            signature_policy_dir: flags.last(&["signature-policy-dir"]),
            command: flags.command,
        }
    }
}

/// The main configuration file of a containerd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigPath {
    /// Where it is, in containerd's mount namespace; an absolute path.
    pub path: PathBuf,
    /// Whether the command line names it: then containerd does not start without it.
    pub given: bool,
}

/// The main configuration file of a containerd with this command line, started in the folder
/// `cwd`. `None`: the path is relative and the folder is not known.
#[must_use]
pub fn containerd_config_path(argv: &[String], cwd: Option<&Path>) -> Option<ConfigPath> {
    let Some(config) = Containerd::parse(argv).config else {
        return Some(ConfigPath {
            path: DEFAULT_CONTAINERD_CONFIG.into(),
            given: false,
        });
    };
    let path = match Path::new(&config) {
        path if path.is_absolute() => path.to_owned(),
        path => cwd?.join(path),
    };
    Some(ConfigPath { path, given: true })
}

/// The flags of a command line, in its order.
struct Flags<'a> {
    values: Vec<(&'a str, &'a str)>,
    /// Whether something comes after them.
    command: bool,
}

impl<'a> Flags<'a> {
    /// `valued` are those known to have a value, which then is the next argument in any case. Of
    /// another, the next is the value unless it looks like a flag itself: a daemon has no further
    /// arguments, so what does not look like one can be nothing else.
    fn parse(argv: &'a [String], valued: &[&str]) -> Self {
        let mut found = Vec::new();
        let mut rest = argv
            .get(1..)
            .unwrap_or_default()
            .iter()
            .map(String::as_str)
            .peekable();
        while let Some(argument) = rest.next_if(|next| flag(next).is_some()) {
            let Some(name) = flag(argument) else { break };
            if let Some((name, value)) = name.split_once('=') {
                found.push((name, value));
                continue;
            }
            let value = rest.next_if(|next| valued.contains(&name) || !next.starts_with('-'));
            found.push((name, value.unwrap_or_default()));
        }
        let command = match rest.next() {
            Some("--") => rest.next().is_some(),
            next => next.is_some(),
        };
        Self {
            values: found,
            command,
        }
    }

    fn last(&self, names: &[&str]) -> Option<String> {
        let mut from_end = self.values.iter().rev();
        let (_, value) = from_end.find(|(name, _)| names.contains(name))?;
        Some((*value).to_owned())
    }
}

/// The name of a flag, with its value if it is attached.
fn flag(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
#[path = "command_line_tests.rs"]
mod tests;
