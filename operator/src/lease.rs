//! Who leads: at most one process holds the lease, and only that one writes.

use std::time::Duration;

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The name of the lease.
pub(crate) const NAME: &str = "nodeseal-operator";
/// For how many seconds the lease is held without being renewed.
const DURATION: u64 = 15;
/// How many seconds before its end it is renewed.
const GRACE: u64 = 5;
/// How long giving it back may take.
const RELEASE: Duration = Duration::from_secs(5);
/// Between attempts to begin.
const PAUSE: Duration = Duration::from_secs(2);

/// A share in the election.
pub(crate) struct Election {
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Election {
    /// Stands for election; waits for an API server that lets it.
    pub(crate) async fn join(client: &Client, namespace: &str, identity: &str) -> Self {
        loop {
            let manager = LeaseManagerBuilder::new(client.clone(), NAME)
                .with_namespace(namespace)
                .with_identity(identity)
                .with_field_manager(format!("{NAME}-{identity}"))
                .with_duration(DURATION)
                .with_grace(GRACE)
                .build()
                .await;
            match manager {
                Ok(manager) => {
                    let (leads, task) = manager.watch().await;
                    return Self { leads, task };
                }
                Err(error) => {
                    tracing::warn!(namespace, "cannot use the lease {NAME}: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Whether this process leads.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Gives the lease back, so that another process need not wait for its end. All receivers
    /// must be gone.
    pub(crate) async fn leave(self) {
        let Self { leads, task } = self;
        drop(leads);
        match tokio::time::timeout(RELEASE, task).await {
            Ok(Ok(Ok(_))) => tracing::info!("the lease was given back"),
            Ok(Ok(Err(error))) => tracing::warn!("the lease was not given back: {error}"),
            Ok(Err(error)) => tracing::warn!("the lease was not given back: {error}"),
            Err(_) => tracing::warn!("the lease was not given back in time"),
        }
    }
}
