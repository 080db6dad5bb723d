//! The main loop: one task owns the index, everything else talks to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::fetch::Fetchers;
use crate::health::Health;
use crate::index::{Event, Index, Options, Write, WriteKey};
use crate::lease::Leads;
use crate::metrics::Metrics;
use crate::record::About;
use crate::tuf::Refresher;
use crate::turns::Turns;
use crate::writer::{self, WriteError};

/// Twenty writes a second, whatever happens.
const PER_WRITE: Duration = Duration::from_millis(50);
/// How many writes may wait for an answer at once.
const UNDER_WAY: usize = 8;
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
    /// Nobody watches the cluster any more, or nobody stands for election.
    Alone,
}

/// What the loop works with.
pub(crate) struct Parts {
    pub(crate) client: Client,
    /// What tells this process from other replicas.
    pub(crate) identity: String,
    pub(crate) options: Options,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) fetchers: Fetchers,
    pub(crate) refresher: Refresher,
    /// Whether this process leads.
    pub(crate) leads: Leads,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

type Answer = (Queued, Duration, Result<Option<Event>, WriteError>);

/// A write with the turn that asked for it.
struct Queued {
    turn: u64,
    write: Write,
}

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
    /// Handed out by the index and not begun; the newest about each object.
    queue: BTreeMap<WriteKey, Queued>,
    busy: BTreeSet<WriteKey>,
    turns: Turns,
    answers: JoinSet<Answer>,
    /// When to ask the index again.
    wake: Instant,
    /// How long the index took to answer last time.
    took: Duration,
}

/// Runs until `shutdown` comes, the events end, or nobody can lead any more.
pub(crate) async fn run(parts: Parts, shutdown: impl Future<Output = ()>) -> End {
    let Parts {
        client,
        identity,
        options,
        mut events,
        fetchers,
        refresher,
        mut leads,
        health,
        metrics,
    } = parts;
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
        queue: BTreeMap::new(),
        busy: BTreeSet::new(),
        turns: Turns::default(),
        answers: JoinSet::new(),
        wake: Instant::now(),
        took: Duration::ZERO,
    };
    let mut limiter: Interval = tokio::time::interval(PER_WRITE);
    limiter.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Vec::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let may_write = state.next().is_some();
        tokio::select! {
            () = &mut shutdown => {
                state.finish(FINISH).await;
                return End::Shutdown;
            }
            count = events.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return End::Alone;
                }
                for event in batch.drain(..) {
                    state.index.apply(event);
                }
                state.soon();
            }
            Some(answer) = state.answers.join_next() => {
                // A task that was ended by hand, or that has panicked, has no answer; what it was
                // about is asked for again by whoever leads next.
                if let Ok((queued, took, answer)) = answer {
                    state.answered(&queued, took, answer);
                }
            }
            _ = limiter.tick(), if may_write => state.begin(),
            () = tokio::time::sleep_until(state.wake) => state.reconcile(),
            changed = leads.changed() => {
                if !changed {
                    return End::Alone;
                }
                state.lead(leads.holds());
            }
        }
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
            self.queue.clear();
            self.busy.clear();
            self.answers.abort_all();
            self.refresher.stop();
            self.index.resign();
        }
        self.soon();
    }

    /// Begins nothing any more and lets end what is under way.
    async fn finish(&mut self, limit: Duration) {
        self.queue.clear();
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
        let (now, began) = (Timestamp::now(), Instant::now());
        if self.leader {
            for write in self.index.reconcile(now) {
                let turn = self.turn;
                self.queue.insert(write.key(), Queued { turn, write });
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
        let deadline = self.index.deadline(now).filter(|_| self.leader);
        let pause = deadline.map_or(BEAT, |deadline| {
            let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
            left.clamp(GATHER, BEAT)
        });
        self.wake = Instant::now() + pause;
    }

    /// The next write about an object that no other write is under way for. The lease is asked each
    /// time: this process may have been stopped for longer than it holds.
    fn next(&self) -> Option<&WriteKey> {
        if !self.leader || !self.leads.holds() || self.answers.len() >= UNDER_WAY {
            return None;
        }
        let free = self
            .queue
            .iter()
            .filter(|(key, _)| !self.busy.contains(*key));
        self.turns
            .next(free.map(|(key, queued)| (key, &queued.write)))
    }

    fn begin(&mut self) {
        let Some(key) = self.next().cloned() else {
            return;
        };
        let Some(queued) = self.queue.remove(&key) else {
            return;
        };
        self.turns.took(&key);
        self.busy.insert(key);
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
        self.busy.remove(&write.key());
        self.metrics.set_queue(self.queue.len());
        let about = About::of(write);
        let outcome = about.log(*turn, took, answer.as_ref().err());
        self.metrics.written(about.kind, outcome);
        match answer {
            Ok(answer) => self.index.done(write, answer),
            Err(_) => self.index.failed(write, Timestamp::now()),
        }
        self.soon();
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
