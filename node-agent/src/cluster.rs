//! The cluster as the source of policies: this node's one `NodeImagePolicy` says which bundle to
//! run; its status says how that goes. Nothing else is read or written there.
//!
//! ```text
//!  watch ──events──▶ Follower (pure) ──▶ fetch a bundle, patch the status
//!                     │        ▲
//!                   Order     Said
//!                     ▼        │
//!                    the agent's looks
//! ```
//!
//! What looks at files stands behind the two channels of [`follow`]: in the measurements of large
//! clusters another one does, and thousands of agents are one process.
//!
//! Whatever the API server answers, or if it does not, the node keeps what it has until there is
//! another bundle that was read and checked as a whole.

mod backoff;
mod calls;
mod follower;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use policy::bundle::Bundle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::backoff::Backoff;
pub use self::calls::{Calls, ConnectError, Decode};
use self::follower::{Event, Follower};
use crate::status::{Failure, Status};

/// Which node this is, and how the cluster is reached.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The node's name, which its `NodeImagePolicy` has as well.
    pub node: String,
    /// A kubeconfig; the pod's own service account where there is none.
    pub kubeconfig: Option<PathBuf>,
}

/// What the cluster asks of this node, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Order {
    /// The bundle to run; `None` is what is on disk.
    pub bundle: Option<Arc<Bundle>>,
    /// The generation of the object that asked for it.
    pub generation: Option<i64>,
    /// Why that is not the bundle that is asked for.
    pub trouble: Option<(Failure, String)>,
    /// What the administrator should know.
    pub warning: Option<String>,
}

/// What a look said, and about which generation.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The status.
    pub status: Status,
    /// The generation of the object that it is about.
    pub generation: Option<i64>,
}

/// Follows the cluster for good; ends only when the other ends of the channels are gone.
///
/// `stored` is the name of the bundle on disk.
pub async fn follow(
    calls: Calls,
    stored: Option<String>,
    orders: watch::Sender<Order>,
    mut said: watch::Receiver<Option<Said>>,
) {
    let mut follower = Follower::new(calls.node(), stored);
    let (mut fetching, mut patching) = (Retry::default(), Retry::default());
    let mut events = Box::pin(calls.events());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => follower.heard(event),
                None => return,
            },
            changed = said.changed() => {
                if changed.is_err() {
                    return;
                }
                let said = said.borrow_and_update().clone();
                follower.said(said.as_ref());
            }
            () = wait(fetching.until) => fetching.until = None,
            () = wait(patching.until) => patching.until = None,
        }
        if let Some(name) = follower.to_fetch().filter(|_| fetching.is_due()) {
            let fetched = calls.fetch(&name).await;
            fetching.tried(fetched.as_ref().err());
            follower.fetched(&name, fetched);
        }
        let order = follower.order();
        orders.send_if_modified(|old| {
            let is_new = *old != order;
            *old = order;
            is_new
        });
        if let Some(status) = follower.to_patch().filter(|_| patching.is_due()) {
            let patched = calls.patch(&status).await;
            patching.tried(patched.as_ref().err());
            if patched.is_ok() {
                let bundle = status.applied_bundle.as_deref();
                let (kind, name) = ("NodeImagePolicy", calls.node());
                tracing::debug!(
                    kind,
                    name,
                    bundle,
                    outcome = "done",
                    "the status was written"
                );
                follower.patched(status);
            }
        }
    }
}

/// When something that failed is tried again.
#[derive(Default)]
struct Retry {
    backoff: Backoff,
    until: Option<Instant>,
}

impl Retry {
    fn is_due(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    fn tried(&mut self, error: Option<&impl std::fmt::Display>) {
        let Some(error) = error else {
            *self = Self::default();
            return;
        };
        let delay = self.backoff.next();
        tracing::warn!("{error}; tried again in {:.1} s", delay.as_secs_f32());
        self.until = Some(Instant::now() + delay);
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

impl Calls {
    /// What happens to the object. Failures are logged and tried again, later and later.
    fn events(&self) -> impl Stream<Item = Event> + use<> {
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.node()))
            .timeout(WATCH_SECONDS);
        // Between the beginning and the end of a list: whether it held the object.
        let mut listed = false;
        watcher::watcher(self.objects(), config)
            .default_backoff()
            .filter_map(move |event| {
                let event = match event {
                    Ok(watcher::Event::Init) => {
                        listed = false;
                        None
                    }
                    Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                        listed = true;
                        Some(Event::Object(Box::new(object)))
                    }
                    Ok(watcher::Event::InitDone) if listed => None,
                    Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) => Some(Event::Gone),
                    Err(error) => {
                        tracing::warn!(
                            "the cluster does not answer, the node keeps what it has: {error}"
                        );
                        None
                    }
                };
                std::future::ready(event)
            })
    }
}

/// How long the API server keeps a watch open, in seconds: in a cluster of thousands of nodes each
/// watch that begins again is felt.
const WATCH_SECONDS: u32 = 290;
/// The most time without a byte from the API server. In a watch where nothing happens it sends a
/// bookmark every minute.
const SILENCE: Duration = Duration::from_secs(75);
