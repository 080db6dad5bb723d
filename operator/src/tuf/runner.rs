//! Refreshes that are under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::Certificate;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Answer, Failure, Http, Limits, Origin, State, client, refresh};
use crate::index::{Event, TufAnswer};

/// A refresh that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The `TrustRoot`.
    pub name: String,
    /// What to ask.
    pub origin: Arc<Origin>,
    /// What is known.
    pub state: Option<Arc<State>>,
}

/// One task for each `TrustRoot` that is being refreshed.
pub(crate) struct Refresher {
    events: mpsc::Sender<Event>,
    authorities: Arc<Vec<Certificate>>,
    tasks: BTreeMap<String, JoinHandle<()>>,
}

impl Refresher {
    /// Trusts these certificate authorities besides those of the system.
    pub(crate) fn new(events: mpsc::Sender<Event>, authorities: Vec<Certificate>) -> Self {
        Self {
            events,
            authorities: Arc::new(authorities),
            tasks: BTreeMap::new(),
        }
    }

    /// Begins; what is under way for the same `TrustRoot` is void.
    pub(crate) fn start(&mut self, job: Job) {
        self.tasks.retain(|_, task| !task.is_finished());
        let (name, events) = (job.name.clone(), self.events.clone());
        let authorities = Arc::clone(&self.authorities);
        let task = tokio::spawn(async move {
            let answer = run(&job, &authorities).await;
            let (name, origin) = (job.name, job.origin);
            match &answer.result {
                Ok(()) => tracing::info!(trust_root = name, "refreshed"),
                Err(failure) => tracing::warn!(
                    trust_root = name,
                    reason = failure.why.as_str(),
                    "a refresh failed: {}",
                    failure.message
                ),
            }
            let answer = TufAnswer {
                name,
                origin,
                answer,
            };
            // Nobody listens any more when the process ends.
            let _ = events.send(Event::Tuf(Box::new(answer))).await;
        });
        if let Some(before) = self.tasks.insert(name, task) {
            before.abort();
        }
    }

    /// Ends all of them.
    pub(crate) fn stop(&mut self) {
        for task in std::mem::take(&mut self.tasks).into_values() {
            task.abort();
        }
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(job: &Job, authorities: &[Certificate]) -> Answer {
    let (now, limits) = (Timestamp::now(), Limits::default());
    let made = client(authorities, limits).and_then(|client| Http::new(client, &job.origin.mirror));
    match made {
        Ok(http) => refresh(http, &job.origin, job.state.as_deref(), now, limits.refresh).await,
        Err(failure) => failed(job, failure, now),
    }
}

fn failed(job: &Job, failure: Failure, at: Timestamp) -> Answer {
    Answer {
        at,
        result: Err(failure),
        files: job.state.as_deref().map(State::files).unwrap_or_default(),
    }
}
