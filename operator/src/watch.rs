//! Watches of whole kinds.

use std::fmt::Debug;

use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::index::{Change, Event};
use crate::metrics::Metrics;
use crate::read;

/// Starts a watch of every kind that is watched whole. They end when nobody listens any more.
///
/// An object that cannot be read is handed on as such ([`kube::core::DeserializeGuard`]): one bad object never
/// stalls the watch of the others.
pub(crate) fn start(
    client: &Client,
    events: &mpsc::Sender<Event>,
    metrics: &Arc<Metrics>,
) -> JoinSet<()> {
    let mut watches = Watches {
        client: client.clone(),
        events: events.clone(),
        metrics: Arc::clone(metrics),
        tasks: JoinSet::new(),
    };
    let all = watcher::Config::default;
    // The rules of the API admit no other.
    let default = || all().fields("metadata.name=default");
    watches.add(
        "ClusterImageSignaturePolicy",
        all(),
        read::cluster_policy,
        Event::ClusterPolicy,
    );
    watches.add("ImageSignaturePolicy", all(), read::policy, Event::Policy);
    watches.add("TrustRoot", all(), read::trust_root, Event::TrustRoot);
    watches.add("EnforcementConfig", default(), read::config, Event::Config);
    watches.add("Node", all(), read::node, Event::Node);
    watches.add(
        "NodeImagePolicy",
        all(),
        read::node_policy,
        Event::NodePolicy,
    );
    watches.add("PolicyBundle", all(), read::bundle, Event::Bundle);
    watches.tasks
}

struct Watches {
    client: Client,
    events: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
    tasks: JoinSet<()>,
}

impl Watches {
    /// `kind` is its name in metrics.
    fn add<K, T>(
        &mut self,
        kind: &'static str,
        config: watcher::Config,
        read: fn(K) -> T,
        wrap: fn(Change<T>) -> Event,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
        T: Send + 'static,
    {
        let api = Api::<K>::all(self.client.clone());
        let metrics = Arc::clone(&self.metrics);
        metrics.watches(kind);
        let failed = move || metrics.watch_restarted(kind);
        let watch = watch(api, config, self.events.clone(), read, wrap, failed);
        self.tasks.spawn(watch);
    }
}

async fn watch<K, T>(
    api: Api<K>,
    config: watcher::Config,
    events: mpsc::Sender<Event>,
    read: fn(K) -> T,
    wrap: fn(Change<T>) -> Event,
    failed: impl Fn() + Send,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&());
    let stream = watcher(api, config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let mut listed = Vec::new();
    while let Some(event) = stream.next().await {
        let change = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                None
            }
            // What is read is small; what was listed may be large and is not kept.
            Ok(watcher::Event::InitApply(object)) => {
                listed.push(read(object));
                None
            }
            Ok(watcher::Event::InitDone) => Some(Change::Reset(std::mem::take(&mut listed))),
            Ok(watcher::Event::Apply(object)) => Some(Change::Apply(read(object))),
            Ok(watcher::Event::Delete(object)) => Some(Change::Delete(read(object))),
            Err(error) => {
                failed();
                tracing::warn!(%kind, "the watch was interrupted and begins again: {error}");
                None
            }
        };
        if let Some(change) = change
            && events.send(wrap(change)).await.is_err()
        {
            return;
        }
    }
}
