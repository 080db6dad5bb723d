//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use node_agent::agent::Options;
use node_agent::containerd_config::DEFAULT_PATH;
use node_agent::facts::{Folder, sandbox_scope};
use node_agent::layout::VerifierPlace;
use tracing_subscriber::EnvFilter;

/// Keep a node's container runtime as a folder of image-signature policies asks.
///
/// Exit codes with --once: 0 applied and every policy valid; 1 something is invalid or was not
/// applied; 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "nodeseal-agent", version)]
pub(crate) struct Args {
    /// Folder with policies (.yaml, .yml, .json), read with its sub-folders and watched
    #[arg(long, value_name = "DIR")]
    policy_dir: PathBuf,
    /// Root of the node's file system; nothing outside of it is ever touched
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The node's container runtime
    #[arg(long, value_enum)]
    runtime: Runtime,
    /// The verifier's binary to install
    #[arg(long, value_name = "FILE")]
    verifier: PathBuf,
    /// containerd's configuration file, as containerd sees it
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/etc/containerd/config.toml"
    )]
    containerd_config: String,
    /// Install the verifier in this folder, as containerd sees it; containerd's configuration must
    /// already name it as `bin_dir`, so no drop-in is written
    #[arg(long, value_name = "DIR", value_parser = VerifierPlace::in_folder)]
    bin_dir: Option<VerifierPlace>,
    /// Image of the pod sandbox, always accepted, besides the one in containerd's configuration
    #[arg(long, value_name = "REF", value_parser = image)]
    sandbox_image: Vec<String>,
    /// Look once and exit, instead of watching
    #[arg(long)]
    pub(crate) once: bool,
    /// Seconds between looks when nothing seems to change
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    recheck: u64,
    /// How the status is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// How log lines are written, to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// The container runtimes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runtime {
    /// containerd 2.1 or later
    Containerd,
}

/// How the status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For scripts
    Json,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object on a line
    Json,
}

fn image(text: &str) -> Result<String, String> {
    sandbox_scope(text).map(|_| text.to_owned())
}

impl Args {
    pub(crate) fn recheck(&self) -> Duration {
        Duration::from_secs(self.recheck)
    }

    pub(crate) fn into_options(self) -> anyhow::Result<Options> {
        let Runtime::Containerd = self.runtime;
        let config = self.containerd_config.trim_start_matches('/');
        let containerd_config = if config.is_empty() {
            DEFAULT_PATH
        } else {
            config
        }
        .to_owned();
        // Absolute, so that what the folder is called does not depend on where the agent runs.
        let absolute = |path: PathBuf| {
            std::path::absolute(&path).with_context(|| format!("cannot use {}", path.display()))
        };
        Ok(Options {
            policy_dir: absolute(self.policy_dir)?,
            root: absolute(self.root)?,
            verifier: absolute(self.verifier)?,
            containerd_config,
            folder: Folder {
                chosen: self.bin_dir.is_some(),
                place: self.bin_dir.unwrap_or_default(),
            },
            sandbox_images: self.sandbox_image,
        })
    }
}

impl LogFormat {
    /// Log lines go to stderr; stdout is the status alone. `RUST_LOG` says how much.
    pub(crate) fn install(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_writer(std::io::stderr);
        match self {
            Self::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
            Self::Json => builder.json().init(),
        }
    }
}
