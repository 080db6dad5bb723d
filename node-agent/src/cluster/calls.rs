//! The calls of the API server: each with a deadline, and only these.

use std::sync::Arc;
use std::time::Duration;

use crds::bundle::{self, BundleError};
use crds::types::NodeImagePolicyStatus;
use crds::{NodeImagePolicy, PolicyBundle, PolicyBundleSpec};
use kube::api::{Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Resource as _};
use policy::bundle::Bundle;
use serde_json::json;
use tokio::time::timeout;

use super::{Cluster, SILENCE};

/// Who writes the status.
const FIELD_MANAGER: &str = "nodeseal-agent";
/// The longest that one call may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// Why the cluster cannot be followed at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig.
    #[error("the kubeconfig {path} cannot be used: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why not.
        source: kube::config::KubeconfigError,
    },
    /// The service account.
    #[error(
        "there is no service account of a pod here: {0}; outside of a cluster give --kubeconfig"
    )]
    InCluster(#[from] kube::config::InClusterError),
    /// The client.
    #[error("cannot make a client of the API server: {0}")]
    Client(#[source] kube::Error),
}

/// Why a bundle is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// There is no such object. It may come; that is never "no policies".
    #[error("the PolicyBundle {0} is not there")]
    Missing(String),
    /// It is there and cannot be used.
    #[error("the PolicyBundle {name} cannot be used: {source}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why not.
        source: BundleError,
    },
    /// No answer, or a refusal.
    #[error("the PolicyBundle {name} cannot be fetched: {why}")]
    Failed {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
}

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
#[error("the status of the NodeImagePolicy {node} cannot be written: {why}")]
pub(super) struct PatchError {
    node: String,
    why: String,
}

/// How the object of a bundle becomes the bundle: [`bundle::decode`], or what comes to the same.
pub type Decode =
    Arc<dyn Fn(&str, &PolicyBundleSpec) -> Result<Arc<Bundle>, BundleError> + Send + Sync>;

/// A client that may do what the agent may do.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    node: String,
    decode: Decode,
}

impl Calls {
    /// Makes the client. The API server is not called yet, so it may be gone.
    pub async fn new(cluster: &Cluster) -> Result<Self, ConnectError> {
        let mut config = match &cluster.kubeconfig {
            None => Config::incluster()?,
            Some(path) => {
                let failed = |source| ConnectError::Kubeconfig {
                    path: path.display().to_string(),
                    source,
                };
                let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(failed)?
            }
        };
        config.connect_timeout = Some(DEADLINE);
        config.write_timeout = Some(DEADLINE);
        config.read_timeout = Some(SILENCE);
        let client = Client::try_from(config).map_err(ConnectError::Client)?;
        let decode = |name: &str, spec: &PolicyBundleSpec| bundle::decode(name, spec).map(Arc::new);
        Ok(Self::with(client, &cluster.node, Arc::new(decode)))
    }

    /// The same with a client that is there: where many agents are one process.
    #[must_use]
    pub fn with(client: Client, node: &str, decode: Decode) -> Self {
        let node = node.to_owned();
        Self {
            client,
            node,
            decode,
        }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn objects(&self) -> Api<NodeImagePolicy> {
        Api::all(self.client.clone())
    }

    /// Fetches a bundle by its name, and checks that it is what the name promises.
    pub(super) async fn fetch(&self, name: &str) -> Result<Arc<Bundle>, FetchError> {
        let failed = |why: String| FetchError::Failed {
            name: name.to_owned(),
            why,
        };
        let bundles: Api<PolicyBundle> = Api::all(self.client.clone());
        let object = timeout(DEADLINE, bundles.get_opt(name))
            .await
            .map_err(|_| failed(no_answer()))?
            .map_err(|error| failed(error.to_string()))?
            .ok_or_else(|| FetchError::Missing(name.to_owned()))?;
        (self.decode)(name, &object.spec).map_err(|source| FetchError::Unusable {
            name: name.to_owned(),
            source,
        })
    }

    /// Writes the status, all of it and nothing else.
    pub(super) async fn patch(&self, status: &NodeImagePolicyStatus) -> Result<(), PatchError> {
        let failed = |why: String| PatchError {
            node: self.node.clone(),
            why,
        };
        let body = json!({
            "apiVersion": NodeImagePolicy::api_version(&()),
            "kind": NodeImagePolicy::kind(&()),
            "metadata": { "name": self.node },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let objects = self.objects();
        let patch = Patch::Apply(&body);
        let call = objects.patch_status(&self.node, &params, &patch);
        match timeout(DEADLINE, call).await {
            Err(_) => Err(failed(no_answer())),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", DEADLINE.as_secs())
}
