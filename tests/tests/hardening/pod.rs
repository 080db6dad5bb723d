//! The agent as its pod has it: the node's folders one by one, a root file system that cannot be
//! written, and the capabilities of the manifest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::host::agent::Status;
use e2e::host::{Host, LIMIT};
use e2e::{Process, process};
use serde_json::Value;
use xtask::product::Product;

use crate::manifest::Manifest;

/// Makes the pod in a mount namespace of its own and becomes the agent. `$1` is a folder for the
/// pod's root file system, `$2` the node's root, `$3` the folder of policies, `$4` the agent, `$5` the
/// verifier, `$6` the mounts as lines of `rw|ro`, path on the node, path in the pod; `$7` the
/// capabilities as setpriv(1) has them; the others are the agent's arguments.
const POD: &str = r#"
set -eu
pod=$1 node=$2 policies=$3 agent=$4 verifier=$5 mounts=$6 capabilities=$7
shift 7
mount -t tmpfs -o mode=755 tmpfs "$pod"
# In place of an image: what a program that is not static needs, and setpriv.
for folder in /usr /lib /lib64 /bin; do
    if [ -L "$folder" ]; then
        cp -P "$folder" "$pod$folder"
    elif [ -d "$folder" ]; then
        mkdir "$pod$folder"
        mount --bind "$folder" "$pod$folder"
        mount -o remount,bind,ro "$pod$folder"
    fi
done
mkdir "$pod/proc" "$pod/policies"
mount --bind /proc "$pod/proc"
mount --bind "$policies" "$pod/policies"
for program in "$agent" "$verifier"; do
    place=$pod/$(basename "$program")
    touch "$place"
    mount --bind "$program" "$place"
done
echo "$mounts" | while read -r mode from to; do
    if [ -d "$node$from" ]; then
        mkdir -p "$pod$to"
    else
        mkdir -p "$(dirname "$pod$to")"
        touch "$pod$to"
    fi
    mount --rbind "$node$from" "$pod$to"
    [ "$mode" = rw ] || mount -o remount,bind,ro "$pod$to"
done
mount -o remount,ro "$pod"
exec chroot "$pod" /usr/bin/setpriv --bounding-set="$capabilities" --inh-caps=-all \
    --no-new-privs "/$(basename "$agent")" "$@"
"#;

/// Makes what has to be on a node before the pod starts, as the kubelet and its administrator do.
pub(crate) fn prepare(host: &Host, manifest: &Manifest) -> Result<()> {
    for mount in &manifest.mounts {
        let name = mount.on_node.trim_start_matches('/');
        match mount.kind.as_str() {
            "DirectoryOrCreate" | "Directory" => fs::create_dir_all(host.path(name))?,
            // As distributions have it: a link, which whoever makes the mount follows.
            "File" => {
                host.write("usr/lib/os-release", "ID=debian\n")?;
                symlink("../usr/lib/os-release", host.path(name))?;
            }
            other => anyhow::bail!("{} is of type {other:?}", mount.on_node),
        }
    }
    fs::create_dir_all(pod(host)).context("a folder for the pod")
}

/// The command that runs the agent in its pod, with these capabilities.
fn command(host: &Host, manifest: &Manifest, capabilities: &[String]) -> Result<Command> {
    let lines = manifest.mounts.iter().map(|mount| {
        let mode = if mount.read_only { "ro" } else { "rw" };
        format!("{mode} {} {}", mount.on_node, mount.in_pod)
    });
    let lines: Vec<_> = lines.collect();
    let mut bounds = vec!["-all".to_owned()];
    bounds.extend(
        capabilities
            .iter()
            .map(|name| format!("+{}", name.to_lowercase())),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", POD, "pod"])
        .arg(pod(host))
        .arg(host.root())
        .arg(host.policies())
        .arg(Product::Agent.locate()?)
        .arg(Product::Verifier.locate()?)
        .arg(lines.join("\n"))
        .arg(bounds.join(","))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Ok(command)
}

/// A running agent, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    process: Process,
    host: &'a Host,
}

impl<'a> Agent<'a> {
    /// Starts it with these capabilities. The cluster is a folder of policies, and what supervises
    /// containerd is no systemd; everything else is the manifest's.
    pub(crate) fn start(
        host: &'a Host,
        manifest: &Manifest,
        capabilities: &[String],
    ) -> Result<Self> {
        let mut command = command(host, manifest, capabilities)?;
        command
            .args(["--policy-dir", "/policies", "--restart-by", "signal"])
            .args(["--recheck", "1", "--output", "json"])
            .arg(format!("--root={}", manifest.option("root")?))
            .arg(format!("--verifier={}", manifest.option("verifier")?));
        let process = Process::start("nodeseal-agent", &mut command, &host.agent_log())?;
        Ok(Self { process, host })
    }

    /// What the kernel says of the running agent, by its `proc_pid_status(5)`.
    pub(crate) fn kernel(&self, field: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let mut lines = status.lines();
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
        value
            .map(|value| value.trim().to_owned())
            .with_context(|| format!("the kernel says {field}"))
    }

    /// Waits for a status.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&Status<'_>) -> bool,
    ) -> Result<Value> {
        let host = self.host;
        let last = || -> Option<Value> {
            serde_json::from_str(&host.read("var/lib/nodeseal/status.json")?).ok()
        };
        let said = async || Ok(last().filter(|status| holds(&Status(status))));
        let found = self.process.ready(limit, said).await;
        found.with_context(|| {
            format!(
                "waiting for {what}; the status is {:#}",
                last().unwrap_or_default()
            )
        })
    }

    /// Waits until pulls are proven to be held to the policies.
    pub(crate) async fn enforces(&mut self) -> Result<Value> {
        self.until("Enforcing=True", LIMIT, |status| {
            status.is("Enforcing", "True", "Enforcing") && status.is("Applied", "True", "Applied")
        })
        .await
    }
}

/// Runs `nodeseal-agent uninstall` in the pod.
pub(crate) async fn uninstall(host: &Host, manifest: &Manifest) -> Result<String> {
    let mut command = command(host, manifest, &manifest.capabilities)?;
    command
        .arg("uninstall")
        .arg(format!("--root={}", manifest.option("root")?));
    process::output(command).await
}

/// A folder for the pod's root file system.
fn pod(host: &Host) -> PathBuf {
    host.root().with_file_name("pod")
}
