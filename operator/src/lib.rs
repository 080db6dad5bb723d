//! The controller of a cluster: policies become bundles, what nodes report becomes status.
//!
//! ```text
//!              ┌─ watch ──events──▶┐
//!  API server ─┤                   ├─▶ index ──writes──▶ run ──▶ writer ──▶ API server
//!              ├─ fetch ──events──▶┤   (pure)             ▲
//!  TUF mirrors ┴─ tuf ────events──▶┘                      │
//!                                                lease ───┘
//! ```
//!
//! [`index`] is a synchronous state machine that decides everything; the rest are thin edges
//! around it. At most one process writes: the one that holds the lease. The others watch, so that
//! they can take over at once.

use std::future::Future;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc;

use crate::health::{Endpoints, Health};
use crate::metrics::{CountRequests, Metrics};

mod clock;
mod fetch;
mod health;
pub mod index;
mod lease;
mod metrics;
mod node_view;
mod pace;
mod queue;
mod read;
pub mod rollout;
mod run;
mod taint;
mod tell;
pub mod tuf;
mod watch;
mod write_log;
mod writer;

/// How many events may wait for the index.
const EVENTS: usize = 1024;
/// How long a connection to the API server may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How the operator is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster; nothing for the one that the process runs in.
    pub kubeconfig: Option<PathBuf>,
    /// What tells this process from other replicas.
    pub identity: String,
    /// The port of `/healthz` and `/readyz`.
    pub health_port: u16,
    /// Where `/metrics` is served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Between two reads of a Secret.
    pub secret_refresh: Duration,
    /// Certificate authorities as PEM that mirrors of TUF repositories may have besides those of the
    /// system.
    pub tuf_ca_file: Option<PathBuf>,
    /// How many writes a second at most that nodes wait for: bundles, and which one each node runs.
    pub node_writes: u32,
    /// What does not come from the cluster.
    pub options: index::Options,
}

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is of no use.
    #[error("kubeconfig {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: kube::config::KubeconfigError,
    },
    /// There is no cluster around the process.
    #[error("this is no pod of a cluster ({0}): give --kubeconfig")]
    InCluster(#[from] kube::config::InClusterError),
    /// No client can be made of the configuration.
    #[error("cannot make a client: {0}")]
    Client(#[from] kube::Error),
    /// Something else listens there.
    #[error(transparent)]
    Listen(#[from] telemetry::BindError),
    /// What is served has no thread.
    #[error("cannot serve health and metrics: {0}")]
    Serve(std::io::Error),
    /// The file with certificate authorities is of no use.
    #[error("--tuf-ca-file {path}: {why}")]
    TufCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The election ended by itself.
    #[error(
        "the election of a leader ended, which is a fault of this program: restart it, and report it with its log"
    )]
    Election,
}

/// Runs the operator until `shutdown` comes; then lets the writes under way end, for 5 s at most, and
/// gives the lease back, within another 9 s.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let authorities = settings.tuf_ca_file.as_deref().map(authorities);
    let authorities = authorities.transpose()?.unwrap_or_default();
    let (metrics, health) = (Metrics::new(), Arc::new(Health::new()));
    let requests = CountRequests {
        metrics: Arc::clone(&metrics),
        health: Arc::clone(&health),
    };
    let client = client(settings.kubeconfig, &requests).await?;
    serve(settings.health_port, settings.metrics, &health, &metrics)?;

    let (sender, events) = mpsc::channel(EVENTS);
    let watches = watch::start(&client, &sender, &metrics);
    let refresher = tuf::Refresher::new(sender.clone(), authorities);
    let (refresh, own) = (settings.secret_refresh, settings.options.namespace.clone());
    let fetchers = fetch::Fetchers::new(client.clone(), sender, refresh, own);
    let election = lease::Election::join(&client, &settings.options.namespace, &settings.identity);
    let parts = run::Parts {
        client,
        identity: settings.identity,
        options: settings.options,
        node_writes: settings.node_writes,
        events,
        fetchers,
        refresher,
        leads: election.leads(),
        health,
        metrics,
    };
    // The lease is kept while the last writes end.
    let end = run::run(parts, shutdown).await;
    tracing::info!("shutting down");
    drop(watches);
    election.leave().await;
    match end {
        run::End::Shutdown => Ok(()),
        run::End::NoElection => Err(Error::Election),
    }
}

/// The most bytes of a file with certificate authorities.
const MAX_CA: u64 = 1024 * 1024;

fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    let wrong = |why: String| Error::TufCa {
        path: path.to_owned(),
        why,
    };
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut pem = Vec::new();
    let read = file.take(MAX_CA + 1).read_to_end(&mut pem);
    read.map_err(|error| wrong(error.to_string()))?;
    if pem.len() as u64 > MAX_CA {
        return Err(wrong("it has more than 1 MiB".to_owned()));
    }
    tuf::certificates(&pem).map_err(wrong)
}

/// Serves health on all addresses, since the kubelet asks at the pod's, and metrics where they were
/// asked for.
fn serve(
    health_port: u16,
    metrics_address: Option<SocketAddr>,
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
) -> Result<(), Error> {
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, health_port));
    let listener = telemetry::listen(all, "health", "give another --health-port")?;
    let endpoints = |metrics| Endpoints {
        health: Arc::clone(health),
        metrics,
    };
    telemetry::spawn(listener, Arc::new(endpoints(None))).map_err(Error::Serve)?;
    if let Some(address) = metrics_address {
        let help = "give another --metrics-address, or `off`";
        let listener = telemetry::listen(address, "metrics", help)?;
        let endpoints = endpoints(Some(Arc::clone(metrics)));
        telemetry::spawn(listener, Arc::new(endpoints)).map_err(Error::Serve)?;
    }
    Ok(())
}

async fn client(kubeconfig: Option<PathBuf>, requests: &CountRequests) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        None => Config::incluster()?,
        Some(path) => {
            let read = Kubeconfig::read_from(&path);
            let error = |source| Error::Kubeconfig {
                path: path.clone(),
                source,
            };
            let kubeconfig = read.map_err(error)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(error)?
        }
    };
    config.connect_timeout = Some(CONNECT);
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(requests).build())
}
