//! Agents that write no files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::bundle::{self, digest_of};
use crds::{PolicyBundleSpec, bundle::BundleError};
use kube::Client;
use node_agent::cluster::{self, Calls, Decode, Order, Said};
use node_agent::status::{Detected, Failure, Proven, Report, Runtime, Status};
use node_runtime::probe::Proof;
use policy::bundle::Bundle;
use policy::digest::Digest;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What a node does with a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// It runs it after this time.
    Applies(Duration),
    /// It goes back to what it had after this time, and says why.
    Fails(Duration, String),
    /// It never says anything about it.
    IsSilent,
}

/// What each node does with each bundle.
pub type Does = Arc<dyn Fn(&str, &Bundle) -> Deed + Send + Sync>;

/// Bundles that were decoded, by name: the same bytes under the same name come to the same bundle, and
/// thousands of nodes in one process cannot each have a copy.
#[derive(Debug, Clone, Default)]
struct Decoded {
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

#[derive(Debug)]
struct Known {
    data: String,
    bundle: Arc<Bundle>,
}

impl Decoded {
    fn decode(&self, name: &str, spec: &PolicyBundleSpec) -> Result<Arc<Bundle>, BundleError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some(known) if known.data == spec.data && spec.format == bundle::FORMAT => {
                return Ok(Arc::clone(&known.bundle));
            }
            _ => {}
        }
        let bundle = Arc::new(bundle::decode(name, spec)?);
        let data = spec.data.clone();
        let new = Arc::clone(&bundle);
        known.insert(name.to_owned(), Known { data, bundle: new });
        Ok(bundle)
    }

    /// The digest of a bundle that came from here.
    fn digest(&self, bundle: &Arc<Bundle>) -> Digest {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &Known| Arc::ptr_eq(&known.bundle, bundle);
        let found = known.iter().find(|(_, known)| is_it(known));
        let named = found.and_then(|(name, _)| digest_of(name));
        named.unwrap_or_else(|| bundle.digest())
    }
}

/// The agents of many nodes. They end when this is dropped.
pub struct Agents {
    tasks: JoinSet<()>,
    by_node: BTreeMap<String, AbortHandle>,
    decoded: Decoded,
    does: Does,
}

impl Agents {
    /// None yet; all of them do with bundles what `does` says.
    pub fn new(does: impl Fn(&str, &Bundle) -> Deed + Send + Sync + 'static) -> Self {
        Self {
            tasks: JoinSet::new(),
            by_node: BTreeMap::new(),
            decoded: Decoded::default(),
            does: Arc::new(does),
        }
    }

    /// Starts the agent of a node, which holds nothing yet; an earlier one of that node ends.
    pub fn start(&mut self, client: Client, node: &str) {
        self.stop(node);
        let decoded = self.decoded.clone();
        let decode: Decode = {
            let decoded = decoded.clone();
            Arc::new(move |name: &str, spec: &PolicyBundleSpec| decoded.decode(name, spec))
        };
        let calls = Calls::with(client, node, decode);
        let (orders, taken) = watch::channel(Order::default());
        let (says, said) = watch::channel(None);
        let files = files(
            node.to_owned(),
            taken,
            says,
            Arc::clone(&self.does),
            decoded,
        );
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = cluster::follow(calls, None, orders, said) => {}
                () = files => {}
            }
        });
        self.by_node.insert(node.to_owned(), task);
    }

    /// Ends the agent of a node, as with the node.
    pub fn stop(&mut self, node: &str) {
        if let Some(task) = self.by_node.remove(node) {
            task.abort();
        }
    }

    /// How many run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_node.len()
    }
}

/// Stands where the agent looks at files: takes orders, and says what came of them.
async fn files(
    node: String,
    mut orders: watch::Receiver<Order>,
    says: watch::Sender<Option<Said>>,
    does: Does,
    decoded: Decoded,
) {
    let mut in_force: Option<(Digest, usize)> = None;
    let mut status: Option<Status> = None;
    loop {
        let order = orders.borrow_and_update().clone();
        let mut report = Report {
            runtime: Runtime {
                name: "containerd".to_owned(),
                version: Some("2.2.1".to_owned()),
            },
            detected: Detected::Read("simulated".to_owned()),
            ..Report::default()
        };
        let mut is_silent = false;
        match &order.bundle {
            None => {
                let why = "the cluster has not said which yet".to_owned();
                report.failure = Some((Failure::Pending, why));
            }
            Some(bundle) => {
                let digest = decoded.digest(bundle);
                let has = in_force.as_ref().is_some_and(|(has, _)| *has == digest);
                let deed = if has {
                    Deed::Applies(Duration::ZERO)
                } else {
                    does(&node, bundle)
                };
                match deed {
                    Deed::Applies(_) if has => {}
                    Deed::Applies(after) => {
                        tokio::time::sleep(after).await;
                        in_force = Some((digest, bundle.policies().count()));
                        report.applied = Some(Vec::new());
                    }
                    Deed::Fails(after, why) => {
                        tokio::time::sleep(after).await;
                        report.failure = Some((Failure::RolledBack, why));
                    }
                    Deed::IsSilent => is_silent = true,
                }
            }
        }
        report.failure = order.trouble.clone().or(report.failure);
        report.warnings.extend(order.warning.clone());
        if let Some((bundle, policies)) = &in_force {
            report.bundle = Some(bundle.clone());
            report.policies = *policies;
            report.proven = Some(Proven {
                bundle: bundle.clone(),
                process: None,
                proof: Proof::Enforcing,
            });
        }
        if !is_silent {
            let new = Status::new(report, status.as_ref(), jiff::Timestamp::now());
            status = Some(new.clone());
            says.send_replace(Some(Said {
                status: new,
                generation: order.generation,
            }));
        }
        if orders.changed().await.is_err() {
            return;
        }
    }
}
