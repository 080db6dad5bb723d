//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use operator::Settings;
use operator::index::Options;
use policy::scope::Scope;
use telemetry::Address;
use telemetry::log::LogFormat;

/// Turn the image-signature policies of a cluster into bundles for its nodes, and sum up what the
/// nodes report.
#[derive(Debug, Parser)]
#[command(name = "nodeseal-operator", version)]
pub(crate) struct Args {
    /// The cluster [default: the one that this process runs in]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the operator: of its lease, and of what it keeps of TUF repositories
    #[arg(long, value_name = "NAMESPACE", default_value = "nodeseal-system")]
    namespace: String,
    /// Port of /healthz and /readyz
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    health_port: u16,
    /// Where metrics are served, with health beside them, over plain HTTP: an address and port such
    /// as 0.0.0.0:8080, or `off`
    #[arg(long, value_name = "ADDRESS", default_value = telemetry::OFF)]
    metrics_address: Address,
    /// Images that every node accepts whatever the policies say, such as this product's own; a
    /// scope without tag, and may be given several times
    #[arg(long, value_name = "SCOPE", value_parser = exempt)]
    exempt_image: Vec<Scope>,
    /// Seconds between two reads of a Secret with keys
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    secret_refresh: u64,
    /// Certificate authorities as PEM that mirrors of TUF repositories may have besides those of the
    /// system
    #[arg(long, value_name = "FILE")]
    tuf_ca_file: Option<PathBuf>,
    /// Writes a second at most that nodes wait for: new bundles, and which one each node shall run.
    /// Everything else goes at 20 a second at most
    #[arg(long, value_name = "NUMBER", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=2000))]
    node_writes_per_second: u32,
    /// How log lines are written, to stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

fn exempt(text: &str) -> Result<Scope, String> {
    let scope = Scope::parse(text).map_err(|error| error.to_string())?;
    match scope.version() {
        None => Ok(scope),
        Some(_) => Err("give the repository, without tag and digest".to_owned()),
    }
}

impl Args {
    pub(crate) fn into_settings(self) -> Settings {
        Settings {
            kubeconfig: self.kubeconfig,
            identity: identity(),
            health_port: self.health_port,
            metrics: self.metrics_address.0,
            secret_refresh: Duration::from_secs(self.secret_refresh),
            tuf_ca_file: self.tuf_ca_file,
            node_writes: self.node_writes_per_second,
            options: Options {
                namespace: self.namespace,
                exempt: self.exempt_image.into_iter().collect(),
                ..Options::default()
            },
        }
    }
}

/// A pod's host name is its own, and its first process starts again under the same id: then it
/// takes its own lease up at once.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}
