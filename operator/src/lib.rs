//! The controller of a cluster: policies become bundles, what nodes report becomes status.
//!
//! ```text
//!              ┌─ watch ──events──▶┐
//!  API server ─┤                   ├─▶ index ──writes──▶ run ──▶ writer ──▶ API server
//!              └─ fetch ──events──▶┘   (pure)             ▲
//!                                                lease ───┘
//! ```
//!
//! [`index`] is a synchronous state machine that decides everything; the rest are thin edges
//! around it. At most one process writes: the one that holds the lease. The others watch, so that
//! they can take over at once.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc;

mod fetch;
mod health;
pub mod index;
mod lease;
mod read;
mod run;
mod tell;
mod watch;
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
    /// The namespace of the lease.
    pub namespace: String,
    /// What tells this process from other replicas.
    pub identity: String,
    /// The port of `/healthz` and `/readyz`.
    pub health_port: u16,
    /// Between two reads of a Secret.
    pub secret_refresh: Duration,
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
    /// Something else listens on the port.
    #[error("cannot listen on the health port {port}: {source}")]
    Health {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The election ended by itself.
    #[error("the election of a leader ended unexpectedly")]
    Election,
}

/// Runs the operator until `shutdown` comes; then gives the lease back.
pub async fn run(settings: Settings, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let client = client(settings.kubeconfig).await?;
    let port = settings.health_port;
    let listener = health::listen(port).await;
    let listener = listener.map_err(|source| Error::Health { port, source })?;
    let health = health::Health::new();
    let serving = tokio::spawn(health::serve(listener, health.clone()));
    let mut shutdown = std::pin::pin!(shutdown);

    let (sender, events) = mpsc::channel(EVENTS);
    let watches = watch::start(&client, &sender);
    let fetchers = fetch::Fetchers::new(client.clone(), sender, settings.secret_refresh);
    let election = tokio::select! {
        election = lease::Election::join(&client, &settings.namespace, &settings.identity) => election,
        () = &mut shutdown => return Ok(()),
    };
    let parts = run::Parts {
        client,
        identity: settings.identity,
        options: settings.options,
        events,
        fetchers,
        leads: election.leads(),
        health,
    };
    let result = tokio::select! {
        () = run::run(parts) => Err(Error::Election),
        () = &mut shutdown => Ok(()),
    };
    tracing::info!("shutting down");
    drop(watches);
    election.leave().await;
    serving.abort();
    result
}

async fn client(kubeconfig: Option<PathBuf>) -> Result<Client, Error> {
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
    Ok(Client::try_from(config)?)
}
