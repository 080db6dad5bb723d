//! One snapshot of a cluster.

use std::fmt::Debug;

use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::objects::{self, Snapshot};
use crate::cluster::{Trouble, list};

const OWN: &str = "imagesignaturepolicies.nodeseal.dev";

/// Which policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// Of this namespace besides those of the cluster; of all where there is none.
    pub(super) namespace: Option<String>,
}

impl Scope {
    /// The namespaced policies that are looked at.
    pub(super) fn namespaced<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }
}

/// Reads everything. Who asks about one namespace may have rights there only: what they may not see
/// of the cluster is named and left out.
pub(super) async fn fetch(client: &Client, scope: &Scope) -> Result<Snapshot, Trouble> {
    let namespaced = scope.namespaced(client);
    let (policies, own, nodes, roots, configs) = futures::join!(
        whole(client, objects::cluster_policy),
        list(&namespaced, OWN, objects::namespaced_policy),
        whole(client, objects::node),
        whole(client, objects::root),
        whole(client, objects::config),
    );
    let mut unseen = Vec::new();
    let policies = some(policies, scope, &mut unseen)?;
    let mut snapshot = Snapshot {
        policies: policies.into_iter().chain(own?).collect(),
        nodes: some(nodes, scope, &mut unseen)?.into_iter().collect(),
        roots: some(roots, scope, &mut unseen)?.into_iter().collect(),
        ..Snapshot::default()
    };
    let configs = some(configs, scope, &mut unseen)?;
    snapshot.config = configs.into_iter().map(|(_, config)| config).next();
    snapshot.unseen = unseen;
    Ok(snapshot)
}

async fn whole<K, T>(
    client: &Client,
    read: impl Fn(DeserializeGuard<K>) -> T,
) -> Result<Vec<T>, Trouble>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let what = format!("{}.{}", K::plural(&()), K::group(&()));
    let api = Api::<DeserializeGuard<K>>::all(client.clone());
    list(&api, &what, read).await
}

fn some<T>(
    answer: Result<Vec<T>, Trouble>,
    scope: &Scope,
    unseen: &mut Vec<String>,
) -> Result<Vec<T>, Trouble> {
    match answer {
        Err(Trouble::Forbidden(why)) if scope.namespace.is_some() => {
            unseen.push(format!("left out: {why}"));
            Ok(Vec::new())
        }
        answer => answer,
    }
}
