//! The main loop: one task owns the index, everything else talks to it.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::clock;
use crate::fetch::Fetchers;
use crate::health::Health;
use crate::index::{Event, Index, Options};
use crate::lease::Leads;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::queue::{Lane, Queue, Queued};
use crate::tuf::Refresher;
use crate::write_log::About;
use crate::writer::{self, Overload, WriteError};

/// How many writes that nodes wait for may wait for an answer at once.
const NODES_AT_ONCE: usize = 32;
/// Of what is said twenty a second are written, whatever happens.
const PER_SECOND: u32 = 20;
/// How many of those may wait for an answer at once.
const AT_ONCE: usize = 8;
/// How long events are gathered before they are acted upon.
const GATHER: Duration = Duration::from_millis(100);
/// A sign of life at least this often.
const BEAT: Duration = Duration::from_secs(10);
/// The most events that are taken in at once.
const BATCH: usize = 1000;
/// How long the writes under way may take when the process shall end.
const FINISH: Duration = Duration::from_secs(5);

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to.
    Shutdown,
    /// Nobody stands for election any more.
    NoElection,
}

/// What the loop works with.
pub(crate) struct Parts {
    pub(crate) client: Client,
    /// What tells this process from other replicas.
    pub(crate) identity: String,
    pub(crate) options: Options,
    /// How many writes a second that nodes wait for.
    pub(crate) node_writes: u32,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) fetchers: Fetchers,
    pub(crate) refresher: Refresher,
    /// Whether this process leads.
    pub(crate) leads: Leads,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

type Answer = (Queued, Duration, Result<Option<Event>, WriteError>);

struct Loop {
    client: Client,
    identity: Arc<str>,
    index: Index,
    fetchers: Fetchers,
    refresher: Refresher,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    /// How many turns were taken.
    turn: u64,
    leads: Leads,
    leader: bool,
    synced: bool,
    /// Handed out by the index and not answered.
    queue: Queue,
    nodes: Pace,
    rest: Pace,
    answers: JoinSet<Answer>,
    /// When to ask the index again.
    wake: Instant,
    /// How long the index took to answer last time.
    took: Duration,
}

/// Runs until `shutdown` comes, or the election has ended, so that nobody can lead any more.
pub(crate) async fn run(parts: Parts, shutdown: impl Future<Output = ()>) -> End {
    let Parts {
        client,
        identity,
        options,
        node_writes,
        mut events,
        fetchers,
        refresher,
        mut leads,
        health,
        metrics,
    } = parts;
    let now = Instant::now();
    let mut state = Loop {
        client,
        identity: identity.into(),
        index: Index::new(options),
        fetchers,
        refresher,
        health,
        metrics,
        turn: 0,
        leads: leads.clone(),
        leader: false,
        synced: false,
        queue: Queue::default(),
        // A tenth of a second's worth at one go: timers are no finer, and looks take their time.
        nodes: Pace::new(node_writes, node_writes / 10, NODES_AT_ONCE, now),
        rest: Pace::new(PER_SECOND, 1, AT_ONCE, now),
        answers: JoinSet::new(),
        wake: now,
        took: Duration::ZERO,
    };
    let mut batch = Vec::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = state.next();
        tokio::select! {
            () = &mut shutdown => {
                state.finish(FINISH).await;
                return End::Shutdown;
            }
            // The loop has senders of its own, so they never end.
            _ = events.recv_many(&mut batch, BATCH) => {
                for event in batch.drain(..) {
                    state.index.apply(event);
                }
                state.soon();
            }
            Some(answer) = state.answers.join_next() => {
                // A task that was ended by hand has no answer; what it was about is asked for again by
                // whoever leads next.
                if let Ok((queued, took, answer)) = answer {
                    state.answered(&queued, took, answer);
                }
            }
            () = begin_at(next) => state.begin(),
            () = tokio::time::sleep_until(state.wake) => state.reconcile(),
            changed = leads.changed() => {
                if !changed {
                    return End::NoElection;
                }
                state.lead(leads.holds());
            }
        }
    }
}

async fn begin_at(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

impl Loop {
    /// Asks the index soon; what happens until then is acted upon at once. In a large cluster, where
    /// an answer takes long, more is gathered: the index is busy a third of the time at most.
    fn soon(&mut self) {
        let gather = GATHER.max(self.took * 2);
        self.wake = self.wake.min(Instant::now() + gather);
    }

    fn lead(&mut self, leader: bool) {
        if leader == self.leader {
            return;
        }
        tracing::info!(leader, "the lease changed hands");
        self.leader = leader;
        self.metrics.set_leader(leader);
        if !leader {
            self.queue = Queue::default();
            self.answers.abort_all();
            self.refresher.stop();
            self.index.resign();
        }
        self.soon();
    }

    /// Begins nothing any more and lets end what is under way.
    async fn finish(&mut self, limit: Duration) {
        self.queue = Queue::default();
        let all = async { while self.answers.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("{} writes had no answer yet", self.answers.len());
        }
    }

    fn reconcile(&mut self) {
        self.turn += 1;
        let _span = tracing::info_span!("reconcile", id = self.turn).entered();
        self.fetchers.update(self.index.wanted());
        let synced = self.index.is_synced();
        if synced && !self.synced {
            tracing::info!("everything was listed");
        }
        self.synced |= synced;
        self.health.beat(self.synced);
        let (now, began) = (clock::now(), Instant::now());
        if self.leader {
            for write in self.index.reconcile(now) {
                let turn = self.turn;
                self.queue.push(Queued { turn, write });
            }
            for job in self.index.refreshes(now) {
                self.refresher.start(job);
            }
        } else {
            self.index.observe();
        }
        self.metrics.set_figures(&self.index.figures(now));
        self.metrics.set_queue(self.queue.len());
        self.took = began.elapsed();
        self.metrics.turned(self.synced, self.took);
        let took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(took_ms, queued = self.queue.len(), "turned over");
        let deadline = if self.leader {
            self.index.deadline(now)
        } else {
            self.index.is_behind().then_some(now)
        };
        let pause = deadline.map_or(BEAT, |deadline| {
            let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
            left.clamp(GATHER, BEAT)
        });
        self.wake = Instant::now() + pause;
    }

    /// When the next write may be begun, if there is one. The lease is asked each time: this process
    /// may have been stopped for longer than it holds.
    fn next(&self) -> Option<Instant> {
        let lanes = Lane::ALL.into_iter();
        lanes.filter_map(|lane| self.next_of(lane)).min()
    }

    fn next_of(&self, lane: Lane) -> Option<Instant> {
        let may = self.leader && self.leads.holds() && self.queue.has(lane);
        let pace = match lane {
            Lane::Nodes => &self.nodes,
            Lane::Rest => &self.rest,
        };
        pace.next(self.queue.under_way(lane)).filter(|_| may)
    }

    fn pace(&mut self, lane: Lane) -> &mut Pace {
        match lane {
            Lane::Nodes => &mut self.nodes,
            Lane::Rest => &mut self.rest,
        }
    }

    /// Begins what may be begun.
    fn begin(&mut self) {
        let now = Instant::now();
        for lane in Lane::ALL {
            while self.next_of(lane).is_some_and(|next| next <= now)
                && let Some(queued) = self.queue.pop(lane)
            {
                self.pace(lane).begun(now);
                self.begin_one(queued);
            }
        }
    }

    fn begin_one(&mut self, queued: Queued) {
        if !self.index.wants(&queued.write) {
            // Everything has come to stand still since.
            self.queue.done(&queued.write.key());
            self.index.failed(&queued.write, clock::now());
            return;
        }
        let (client, identity) = (self.client.clone(), Arc::clone(&self.identity));
        self.answers.spawn(async move {
            let began = Instant::now();
            let answer = writer::write(client, &identity, &queued.write).await;
            (queued, began.elapsed(), answer)
        });
    }

    fn answered(
        &mut self,
        Queued { turn, write }: &Queued,
        took: Duration,
        answer: Result<Option<Event>, WriteError>,
    ) {
        self.queue.done(&write.key());
        self.metrics.set_queue(self.queue.len());
        let about = About::of(write);
        let outcome = about.log(*turn, took, answer.as_ref().err());
        self.metrics.written(about.kind, outcome);
        match answer {
            Ok(answer) => {
                self.pace(Lane::of(write)).accepted();
                self.index.done(write, answer);
            }
            Err(error) => {
                if let Some(Overload { asked }) = error.overload() {
                    let now = Instant::now();
                    // What is said waits where nodes have to, and not the other way round: what is
                    // refused about objects of tenants must not hold up what nodes wait for.
                    self.rest.refused(asked, now);
                    if Lane::of(write) == Lane::Nodes {
                        self.nodes.refused(asked, now);
                    }
                }
                self.index.failed(write, clock::now());
            }
        }
        self.soon();
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
