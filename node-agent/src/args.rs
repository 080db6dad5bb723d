//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use node_agent::agent::{Options, Source};
use node_agent::cluster::Cluster;
use node_agent::hands::{By, PROC, Reach};
use node_agent::layout::{VerifierPlace, relative};
use node_agent::live::{Endpoint, Kind};
use node_agent::runtime::Told;
use node_agent::sandbox;
use policy::verifier::CredentialProvider;
use policy::version::Version;
use telemetry::Address;
use telemetry::log::LogFormat;

/// Keep a node's container runtime as image-signature policies ask, from the cluster or a folder.
///
/// Exit codes with --once: 0 applied and every policy valid; 1 something is invalid or was not
/// applied; 2 wrong usage.
#[derive(Debug, Parser)]
#[command(
    name = "nodeseal-agent",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) args: Option<Args>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take everything off the node, also when the API server is down: every file is as it was
    /// before nodeseal. End the agent first
    ///
    /// Exit codes: 0 everything was given back; 1 something is left, and says so.
    Uninstall {
        /// Root of the node's file system
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
    /// List the files that the agent keeps on the node
    Files {
        /// Root of the node's file system
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
    },
}

/// What the agent works with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with policies (.yaml, .yml, .json), read with its sub-folders and watched
    #[arg(long, value_name = "DIR", required_unless_present = "node_name")]
    policy_dir: Option<PathBuf>,
    /// Take the policies from the cluster instead: the name of this node
    #[arg(long, value_name = "NAME", value_parser = node_name,
          conflicts_with_all = ["policy_dir", "once"])]
    node_name: Option<String>,
    /// How to reach the cluster; without it, the pod's own service account
    #[arg(long, value_name = "FILE", conflicts_with = "policy_dir")]
    kubeconfig: Option<PathBuf>,
    /// Root of the node's file system; nothing outside of it is ever touched
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The container runtime of a node on which none runs yet, such as an image that is built;
    /// without it the one that runs is asked
    #[arg(long, value_enum, conflicts_with = "runtime_endpoint")]
    runtime: Option<RuntimeName>,
    /// The version of that runtime, as it prints it; needed for cri-o
    #[arg(
        long,
        value_name = "VERSION",
        required_if_eq("runtime", "cri-o"),
        requires = "runtime"
    )]
    runtime_version: Option<Version>,
    /// The socket of the runtime that runs, as the kubelet has it [default: the one that is there]
    #[arg(long, value_name = "ADDRESS")]
    runtime_endpoint: Option<String>,
    /// How the runtime is restarted where the `EnforcementConfig` allows it
    #[arg(long, value_enum, default_value_t = RestartBy::Systemd)]
    restart_by: RestartBy,
    /// The verifier's binary to install; needed for containerd, and cri-o has none
    #[arg(long, value_name = "FILE", required_if_eq("runtime", "containerd"))]
    verifier: Option<PathBuf>,
    /// containerd's configuration file, as containerd sees it [default: /etc/containerd/config.toml]
    #[arg(long, value_name = "PATH", value_parser = node_path)]
    containerd_config: Option<String>,
    /// Install the verifier in this folder, as containerd sees it; containerd's configuration must
    /// already name it as `bin_dir`, so no drop-in is written
    #[arg(long, value_name = "DIR", value_parser = VerifierPlace::in_folder)]
    bin_dir: Option<VerifierPlace>,
    /// The kubelet's --image-credential-provider-config, as the kubelet sees it: the verifier gets
    /// its credentials from the same providers
    #[arg(long, value_name = "PATH", value_parser = node_path, requires = "credential_provider_bin_dir")]
    credential_provider_config: Option<String>,
    /// The kubelet's --image-credential-provider-bin-dir, as the kubelet sees it
    #[arg(long, value_name = "DIR", value_parser = node_path, requires = "credential_provider_config")]
    credential_provider_bin_dir: Option<String>,
    /// CRI-O's policy file, as CRI-O sees it [default: what crio.conf names, else
    /// /etc/crio/policy.json]
    #[arg(long, value_name = "PATH", value_parser = plain_path)]
    crio_policy: Option<String>,
    /// The folder of CRI-O's namespace files, as CRI-O sees it [default: what crio.conf names, else
    /// /etc/crio/policies]
    #[arg(long, value_name = "DIR", value_parser = plain_path)]
    crio_namespace_dir: Option<String>,
    /// Image of the pod sandbox, always accepted, besides the one in the runtime's configuration
    #[arg(long, value_name = "REF", value_parser = image)]
    sandbox_image: Vec<String>,
    /// Look once and exit, instead of watching
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between looks when nothing seems to change
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    recheck: u64,
    /// Where metrics and health are served, over plain HTTP: an address and port, or `off`
    #[arg(long, value_name = "ADDRESS", default_value = telemetry::OFF)]
    metrics_address: Address,
    /// How the status is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// How log lines are written, to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// The container runtimes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuntimeName {
    /// containerd 2.1 or later
    Containerd,
    /// CRI-O 1.25 or later
    #[value(name = "cri-o")]
    Crio,
}

/// How the runtime is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RestartBy {
    /// systemd, over its D-Bus API
    Systemd,
    /// SIGTERM, where a supervisor starts it again
    Signal,
    /// Not by the agent
    Never,
}

/// How the status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For scripts
    Json,
}

fn image(text: &str) -> Result<String, String> {
    sandbox::scope(text).map(|_| text.to_owned())
}

fn plain_path(text: &str) -> Result<String, String> {
    relative(text).ok_or_else(|| "give an absolute path without `.` and `..`".to_owned())
}

fn node_path(text: &str) -> Result<String, String> {
    plain_path(text).map(|path| format!("/{path}"))
}

/// A DNS subdomain, as every name of a node is; it becomes part of a selector.
fn node_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if text.is_empty() || text.len() > 253 || !text.chars().all(is_name) {
        return Err("a node's name has lower-case letters, digits, `-` and `.` only".to_owned());
    }
    Ok(text.to_owned())
}

/// Absolute, so that what a file is called does not depend on where the agent runs.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))
}

impl Args {
    pub(crate) fn recheck(&self) -> Duration {
        Duration::from_secs(self.recheck)
    }

    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address.0
    }

    /// The cluster to follow, if one is.
    pub(crate) fn cluster(&self) -> Option<Cluster> {
        let node = self.node_name.clone()?;
        let kubeconfig = self.kubeconfig.clone();
        Some(Cluster { node, kubeconfig })
    }

    /// Says which options do not belong to the runtime that was given.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let of_crio = [
            ("--crio-policy", self.crio_policy.is_some()),
            ("--crio-namespace-dir", self.crio_namespace_dir.is_some()),
        ];
        let of_containerd = [
            ("--verifier", self.verifier.is_some()),
            ("--bin-dir", self.bin_dir.is_some()),
            ("--containerd-config", self.containerd_config.is_some()),
        ];
        let (name, foreign) = match self.runtime {
            None => return Ok(()),
            Some(RuntimeName::Containerd) => ("containerd", of_crio.as_slice()),
            Some(RuntimeName::Crio) => ("cri-o", of_containerd.as_slice()),
        };
        match foreign.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => Err(Cli::command().error(
                ErrorKind::ArgumentConflict,
                format!("{option} has no meaning with --runtime {name}"),
            )),
        }
    }

    /// How the runtime that runs is reached; nothing where one was only told of.
    pub(crate) fn reach(&self) -> anyhow::Result<Option<Reach>> {
        if self.runtime.is_some() {
            return Ok(None);
        }
        let root = absolute(&self.root)?;
        let endpoint = self.runtime_endpoint.as_deref();
        let endpoint = endpoint.map(|address| Endpoint::parse(address, &root));
        Ok(Some(Reach {
            endpoint: endpoint.transpose()?,
            root,
            proc: PathBuf::from(PROC),
            restart_by: match self.restart_by {
                RestartBy::Systemd => By::Systemd,
                RestartBy::Signal => By::Signal,
                RestartBy::Never => By::Never,
            },
        }))
    }

    pub(crate) fn into_options(self) -> anyhow::Result<Options> {
        let told = Told {
            kind: self.runtime.map(|runtime| match runtime {
                RuntimeName::Containerd => Kind::Containerd,
                RuntimeName::Crio => Kind::Crio,
            }),
            version: self.runtime_version,
            verifier: self.verifier.as_deref().map(absolute).transpose()?,
            containerd_config: self.containerd_config,
            bin_dir: self.bin_dir,
            credential_provider: self
                .credential_provider_config
                .zip(self.credential_provider_bin_dir)
                .map(|(config, bin_dir)| CredentialProvider { config, bin_dir }),
            crio_policy: self.crio_policy,
            crio_namespace_dir: self.crio_namespace_dir,
        };
        Ok(Options {
            source: match self.policy_dir {
                Some(dir) => Source::Folder(absolute(&dir)?),
                None => Source::Cluster,
            },
            root: absolute(&self.root)?,
            told,
            sandbox_images: self.sandbox_image,
        })
    }
}
