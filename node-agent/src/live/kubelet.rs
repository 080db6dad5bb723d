//! What the kubelet of this node was told: which runtime it uses, and who gives it credentials.
//!
//! Its command line is read from the process, and its configuration from the files that this
//! names. A flag wins over the files (kubelet v1.34, `cmd/kubelet/app/server.go`:
//! `kubeletConfigFlagPrecedence`), and of the files the last drop-in does
//! (`mergeKubeletConfigurations`). The two settings of credential providers are flags alone
//! (`pkg/kubelet/config/flags.go`).
//!
//! k3s and microk8s run the kubelet inside of another program, whose command line says none of this:
//! there, none is found.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use node_runtime::process;
use policy::verifier::CredentialProvider;
use serde::{Deserialize, Deserializer};
use serde_saphyr::DuplicateKeyPolicy;

use crate::layout::relative;
use crate::root::{EntryKind, Root};

/// The name of its program, as the kernel keeps it.
const NAME: &str = "kubelet";
/// The runtime that it uses where it is told of none (`pkg/kubelet/apis/config/v1beta1/defaults.go`).
const DEFAULT_ENDPOINT: &str = "unix:///run/containerd/containerd.sock";
/// How much of `/proc/<pid>/status` and `cgroup` is read; they have about 1,500 bytes.
const MAX_STATUS: u64 = 64 * 1024;
/// How much of a file of its configuration is read.
const MAX_CONFIG: u64 = 1024 * 1024;
/// How many drop-ins are read.
const MAX_DROP_INS: usize = 256;
/// How deep its folder of drop-ins is searched.
const MAX_DEPTH: usize = 8;

/// What the kubelet was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubelet {
    /// Its process id.
    pub pid: u32,
    /// The address of the runtime that it uses, such as `unix:///run/containerd/containerd.sock`;
    /// its default where it was told of none. An error says why that is not known: a file of its
    /// configuration cannot be read.
    pub endpoint: Result<String, String>,
    /// Where it has its credential providers, if it was told of both places. The paths are the
    /// node's. The configuration may be a folder of files (from v1.34 on).
    pub credential_provider: Option<CredentialProvider>,
}

/// Why it is not known what the kubelet was told.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The processes cannot be listed.
    #[error("cannot look for the kubelet in {}: {source}", path.display())]
    Proc {
        /// Where they show.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its command line cannot be read.
    #[error("cannot read what the kubelet was told: {0}")]
    Process(#[from] process::Error),
    /// Several.
    #[error("more than one kubelet runs on this node (processes {0:?})")]
    Many(Vec<u32>),
}

/// Finds the kubelet among the processes that show in `proc`, and reads what it was told. `root` is
/// where the node's files are. Nothing where there is none.
pub fn find(root: &Path, proc: &Path) -> Result<Option<Kubelet>, KubeletError> {
    let pids = kubelets(proc)?;
    let pid = match pids.as_slice() {
        [] => return Ok(None),
        [pid] => *pid,
        _ => return Err(KubeletError::Many(pids)),
    };
    match process::read(proc, pid) {
        Ok(process) => {
            let cwd = process.cwd.as_deref();
            Ok(Some(told(pid, &process.argv, cwd, root)))
        }
        // It has just ended.
        Err(process::Error::Gone { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The processes that are a kubelet of this node's.
///
/// Anybody may call a program so. What counts runs as root, in this very PID namespace, and in no
/// container's cgroup: those in a namespace below this one are containers, and a kubelet in one of
/// them is another node's (kind); those of a pod with `hostPID` are in this one.
fn kubelets(proc: &Path) -> Result<Vec<u32>, KubeletError> {
    let failed = |source| KubeletError::Proc {
        path: proc.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ends meanwhile is not the one.
        let process = proc.join(&name);
        let status = text(&process.join("status"));
        let Some(parent) = status.ok().as_deref().and_then(parent_of_kubelet) else {
            continue;
        };
        let cgroup = text(&process.join("cgroup"));
        if cgroup.is_ok_and(|cgroup| is_of_the_node(&cgroup)) {
            found.push((pid, parent));
        }
    }
    // A child between fork and exec still has the name of its parent.
    let pids: BTreeSet<u32> = found.iter().map(|(pid, _)| *pid).collect();
    found.retain(|(_, parent)| !pids.contains(parent));
    let mut pids: Vec<u32> = found.into_iter().map(|(pid, _)| pid).collect();
    pids.sort_unstable();
    Ok(pids)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_STATUS).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Whether a process is in no container, by its `/proc/PID/cgroup` (`cgroups(7)`:
/// `HIERARCHY:CONTROLLERS:PATH` lines).
///
/// The agent's own cgroup namespace hides what its cgroup has in common with the other, as in
/// `/../../podUID/ID`: so each name of a path is looked at by itself.
fn is_of_the_node(cgroup: &str) -> bool {
    let mut lines = cgroup.lines().peekable();
    lines.peek().is_some()
        && lines.all(|line| {
            let path = line.splitn(3, ':').nth(2);
            path.is_some_and(|path| !path.split('/').any(is_container))
        })
}

/// Whether a cgroup's name is one that the kubelet or a runtime gives to pods and containers.
fn is_container(name: &str) -> bool {
    let scopes = ["cri-containerd-", "crio-", "docker-", "libpod-"];
    let is_id = |id: &str, len: usize, more: &str| {
        id.len() == len
            && id
                .chars()
                .all(|c| c.is_ascii_hexdigit() || more.contains(c))
    };
    name.contains("kubepods")
        || scopes.iter().any(|scope| name.starts_with(scope))
        // The driver `cgroupfs`: the pod's UID, and the bare id of a container.
        || name.strip_prefix("pod").is_some_and(|uid| is_id(uid, 36, "-") || is_id(uid, 32, ""))
        || is_id(name, 64, "")
}

/// The parent of a process that is a kubelet of this node's, by its `proc_pid_status(5)`.
fn parent_of_kubelet(status: &str) -> Option<u32> {
    let field = |name: &str| {
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        value.map(|value| value.split_ascii_whitespace())
    };
    let is_named = field("Name")?.eq([NAME]);
    let runs = !matches!(field("State")?.next()?, "Z" | "X");
    // Real, effective, saved, and of the file system.
    let is_root = field("Uid")?.all(|uid| uid == "0");
    // One id in each namespace from this one down.
    let is_here = field("NSpid")?.count() == 1;
    let parent = field("PPid")?.next()?.parse().ok()?;
    (is_named && runs && is_root && is_here).then_some(parent)
}

/// What a command line says, with the files that it names.
fn told(pid: u32, argv: &[String], cwd: Option<&Path>, root: &Path) -> Kubelet {
    let flag = |name| flag(argv, name);
    let config = flag("image-credential-provider-config");
    let bin_dir = flag("image-credential-provider-bin-dir");
    let endpoint = match flag("container-runtime-endpoint") {
        Some(address) => Ok(Some(address)),
        None => configured(flag("config"), flag("config-dir"), cwd, root),
    };
    let credential_provider = config
        .zip(bin_dir)
        .map(|(config, bin_dir)| CredentialProvider { config, bin_dir });
    Kubelet {
        pid,
        endpoint: endpoint.map(|address| address.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())),
        credential_provider,
    }
}

/// The last value of a flag that is not empty, as pflag reads it: `--name value` or `--name=value`,
/// with `_` for `-` as well.
fn flag(argv: &[String], name: &str) -> Option<String> {
    let mut value = None;
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        let Some(flag) = word.strip_prefix("--") else {
            continue;
        };
        match flag.split_once('=') {
            Some((key, given)) if key.replace('_', "-") == name => value = Some(given.to_owned()),
            None if flag.replace('_', "-") == name => value = words.next().cloned(),
            _ => {}
        }
    }
    value.filter(|value| !value.is_empty())
}

/// The runtime that the files of the configuration name.
fn configured(
    file: Option<String>,
    folder: Option<String>,
    cwd: Option<&Path>,
    root: &Path,
) -> Result<Option<String>, String> {
    if file.is_none() && folder.is_none() {
        return Ok(None);
    }
    let root = Root::open(root).map_err(|error| error.to_string())?;
    let mut files = Vec::new();
    if let Some(file) = file {
        files.push(on_node(&file, cwd)?);
    }
    if let Some(folder) = folder {
        search(&root, &on_node(&folder, cwd)?, 0, &mut files)?;
    }
    let mut endpoint = None;
    for path in files {
        if let Said::This(said) = read(&root, &path)? {
            endpoint = said;
        }
    }
    Ok(endpoint.filter(|endpoint| !endpoint.is_empty()))
}

/// A path of the kubelet's, relative to the node's root.
fn on_node(path: &str, cwd: Option<&Path>) -> Result<String, String> {
    let whole = match cwd {
        Some(cwd) => cwd.join(path),
        None => PathBuf::from(path),
    };
    let whole = whole.to_str().and_then(relative);
    whole.ok_or_else(|| {
        format!("the kubelet has its configuration in `{path}`, which is no absolute, plain path")
    })
}

/// The drop-ins of a folder and those below it, in the order in which the kubelet reads them.
fn search(root: &Root, folder: &str, depth: usize, found: &mut Vec<String>) -> Result<(), String> {
    let entries = root.entries_following(folder);
    let entries = entries
        .map_err(|error| error.to_string())?
        .ok_or_else(|| hidden(folder))?;
    for (name, kind) in entries {
        let path = format!("{folder}/{name}");
        match kind {
            EntryKind::Directory if depth < MAX_DEPTH => search(root, &path, depth + 1, found)?,
            EntryKind::File | EntryKind::Symlink if name.as_bytes().ends_with(b".conf") => {
                found.push(path);
            }
            EntryKind::Directory => {
                return Err(format!(
                    "/{path} of the kubelet's lies more than {MAX_DEPTH} folders deep"
                ));
            }
            _ => {}
        }
        if found.len() > MAX_DROP_INS {
            return Err(format!(
                "the kubelet has more than {MAX_DROP_INS} files in /{folder}"
            ));
        }
    }
    Ok(())
}

fn hidden(path: &str) -> String {
    format!("/{path} of the kubelet's configuration is not to be seen here")
}

/// The part of its configuration that is asked for.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default, rename = "containerRuntimeEndpoint")]
    endpoint: Said,
}

/// What a file says of the runtime.
#[derive(Debug, Default)]
enum Said {
    /// Nothing, so what the files before it say counts.
    #[default]
    Nothing,
    /// An address; a null takes away what the files before it say (RFC 7386).
    This(Option<String>),
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Option::deserialize(value).map(Self::This)
    }
}

/// What a file says of the runtime.
fn read(root: &Root, path: &str) -> Result<Said, String> {
    let content = root.read_following(path, MAX_CONFIG);
    let content = content
        .map_err(|error| error.to_string())?
        .ok_or_else(|| hidden(path))?;
    parse(&content.bytes).map_err(|why| format!("/{path} is no configuration of a kubelet: {why}"))
}

fn parse(bytes: &[u8]) -> Result<Said, String> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_documents: 1,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 0,
            max_total_scalar_bytes: 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    };
    let file: Option<Configuration> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    Ok(file.unwrap_or_default().endpoint)
}

#[cfg(test)]
#[path = "kubelet_tests.rs"]
mod tests;
