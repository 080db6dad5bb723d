//! The agent's edges to the runtime: asks it, lets it pull, restarts it, puts it to the proof.
//!
//! Everything here has a deadline, and nothing decides: what came of it goes back to the agent.

mod pace;
mod prove;
mod pulls;
mod restart;
mod ways;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use node_runtime::probe::Proof;
use tokio::time::{Instant, timeout_at};

use self::pace::{Key, Proofs, Tries};
use self::pulls::Pulls;
pub use self::restart::By;
use self::ways::Ways;
use crate::agent::{Prove, Pulled, Restarted, Wants};
use crate::live::{self, Endpoint, Live, find_kubelet};
use crate::refresh::Stale;

/// Where processes show, unless a test has them elsewhere.
pub const PROC: &str = "/proc";
/// How long one image may take that is pulled again: its layers are there.
const PULL: Duration = Duration::from_secs(30);
/// How long a round of pulling again may take: longer than one image, so that each round gets on. What
/// is left follows after a status.
const PULLS: Duration = Duration::from_mins(2);
/// How many images are pulled again at once.
const AT_ONCE: usize = 2;

/// How the runtime is reached.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The socket; found where it is not given.
    pub endpoint: Option<Endpoint>,
    /// Where the node's files are.
    pub root: PathBuf,
    /// Where the node's processes show.
    pub proc: PathBuf,
    /// How the runtime is restarted, if it is.
    pub restart_by: By,
}

/// The edges.
#[derive(Debug)]
pub struct Hands {
    reach: Reach,
    /// The socket, as it was last found.
    endpoint: Option<Endpoint>,
    /// How the runtime was last seen to be run: not to be asked when it is down.
    ways: Ways,
    tries: Tries,
    pulls: Pulls,
    proofs: Proofs,
}

/// What was done.
#[derive(Debug)]
pub enum Done {
    /// Images were pulled again.
    Pulled(Pulled),
    /// The runtime was restarted, or not.
    Restarted(Restarted),
    /// A proof was made.
    Proven(Prove, Proof),
}

impl Hands {
    /// Nothing is touched yet.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self {
            endpoint: reach.endpoint.clone(),
            reach,
            ways: Ways::default(),
            tries: Tries::default(),
            pulls: Pulls::default(),
            proofs: Proofs::default(),
        }
    }

    /// Asks the runtime what it is.
    pub async fn look(&mut self) -> Result<Live, String> {
        let kubelet = find_kubelet(&self.reach.root, &self.reach.proc);
        let kubelet = kubelet.map_err(|error| error.to_string());
        if self.reach.endpoint.is_none() {
            let known = kubelet.as_ref().map(Option::as_ref).map_err(Clone::clone);
            let found = Endpoint::of_kubelet(&self.reach.root, known);
            self.endpoint = Some(found.map_err(|error| error.to_string())?);
        }
        let endpoint = self.endpoint()?;
        let live = live::look(&endpoint, &self.reach.proc).await;
        let mut live = live.map_err(|error| error.to_string())?;
        live.credential_provider = kubelet.ok().flatten().and_then(|k| k.credential_provider);
        if let Ok(process) = &live.process {
            let by = self.reach.restart_by;
            let way = Box::pin(by.way(&self.reach, &endpoint, process.start.pid));
            live.restartable = self.ways.of(&process.start, way).await;
        }
        Ok(live)
    }

    fn endpoint(&self) -> Result<Endpoint, String> {
        let endpoint = self.endpoint.clone();
        endpoint.ok_or_else(|| "the runtime's socket was not found yet".to_owned())
    }

    /// The socket, to be watched: another runtime may come to listen there.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.endpoint().ok().map(|endpoint| endpoint.here)
    }

    /// Does one of the things that are wanted, if it is due.
    pub async fn act(&mut self, wants: &Wants) -> Option<Done> {
        let now = Instant::now();
        let next = self.pulls.next(&wants.stale, now);
        if !next.is_empty() {
            let endpoint = self.endpoint().ok()?;
            let done = pull(&endpoint, next, &mut self.pulls).await;
            let all_tried = self.pulls.ended(&wants.stale, Instant::now());
            return Some(Done::Pulled(Pulled { done, all_tried }));
        }
        if let Some(why) = &wants.restart {
            let key = Key::of(why);
            if !self.tries.is_due(&key, now) {
                return None;
            }
            tracing::info!("the container runtime is restarted: {why}");
            let restarted = restart::restart(self.ways.last(), &self.reach, self.endpoint()).await;
            self.tries.tried(&key, Instant::now());
            return Some(Done::Restarted(restarted));
        }
        let prove = wants.proof.as_ref()?;
        if !self.proofs.is_due(prove, now) {
            return None;
        }
        let endpoint = self.endpoint().ok()?;
        let proof = prove::prove(&endpoint, prove).await;
        self.proofs.made(prove, &proof, Instant::now());
        Some(Done::Proven(prove.clone(), proof))
    }

    /// When something that was put off is due.
    #[must_use]
    pub fn due(&self, wants: &Wants) -> Option<Instant> {
        let restart = wants
            .restart
            .as_ref()
            .map(|why| self.tries.due(&Key::of(why)));
        let pulls = self.pulls.due(&wants.stale);
        let proof = wants.proof.as_ref().map(|prove| self.proofs.due(prove));
        let all = [restart.flatten(), pulls, proof.flatten()];
        all.into_iter().flatten().min()
    }
}

/// Pulls images again, some at once and in their order, until all were tried or the time is over. The
/// result are those that are fresh.
async fn pull(endpoint: &Endpoint, stale: Vec<Stale>, tries: &mut Pulls) -> Vec<Stale> {
    let client = live::client(endpoint);
    let until = Instant::now() + PULLS;
    let pulls = stream::iter(stale).map(|stale| {
        let client = client.clone();
        async move {
            let pulled = client.pull(&stale.reference, PULL).await;
            (stale, pulled)
        }
    });
    let mut pulls = pulls.buffer_unordered(AT_ONCE);
    let mut done = Vec::new();
    while let Ok(Some((stale, pulled))) = timeout_at(until, pulls.next()).await {
        tries.tried(stale.clone(), Instant::now());
        match pulled {
            Ok(_) => done.push(stale),
            Err(error) => {
                tracing::warn!("{} could not be pulled again: {error}", stale.reference);
            }
        }
    }
    done
}

/// Where the host's system bus is.
fn bus(root: &Path) -> PathBuf {
    root.join(node_runtime::restart::SYSTEM_BUS)
}
