//! Who leads: at most one process holds the lease, and only that one writes.
//!
//! Every write to the lease names the version that it was decided upon, so of two candidates the API
//! server lets one through. Whoever leads knows until when ([`Leads::holds`]) and asks before each write:
//! a process that was stopped for longer than that begins no write until it has renewed the lease, and
//! gives up what it had begun. What it had sent halfway when it was stopped cannot be kept back. Such a
//! write is harmless: bundles are named by their content, which bundle a node runs is refused by the API
//! server where somebody has written since, and a status is applied whole from what the cluster looked
//! like, so that the new leader sees it and puts it right.

mod term;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock;
use term::{DURATION, Record, Step, Term, VALID};

/// The name of the lease.
pub(crate) const NAME: &str = "nodeseal-operator";
/// Between two looks at the lease. Its holder renews it as often.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one look with its write may take.
const LOOK: Duration = Duration::from_secs(4);
/// How long giving it back may take.
const RELEASE: Duration = Duration::from_secs(5);

/// Until when this process leads.
#[derive(Debug, Clone)]
pub(crate) struct Leads(watch::Receiver<Option<Instant>>);

impl Leads {
    /// Whether this process leads now.
    pub(crate) fn holds(&self) -> bool {
        let until = *self.0.borrow();
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Waits until the lease was taken, renewed or lost; false where nobody stands for election any
    /// more.
    pub(crate) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    #[cfg(test)]
    pub(crate) fn of(until: watch::Receiver<Option<Instant>>) -> Self {
        Self(until)
    }
}

/// A share in the election.
pub(crate) struct Election {
    leads: Leads,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Election {
    /// Stands for election, for as long as it takes.
    pub(crate) fn join(client: &Client, namespace: &str, identity: &str) -> Self {
        let candidate = Candidate {
            api: Api::namespaced(client.clone(), namespace),
            me: identity.to_owned(),
            term: Term::new(identity),
        };
        let (sender, leads) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(candidate.stand(sender, stopped));
        let leads = Leads(leads);
        Self { leads, stop, task }
    }

    /// Until when this process leads.
    pub(crate) fn leads(&self) -> Leads {
        self.leads.clone()
    }

    /// Gives the lease back, so that another process need not wait for its end.
    pub(crate) async fn leave(self) {
        // Nobody listens where the task has ended by itself.
        let _ = self.stop.send(());
        if tokio::time::timeout(LOOK + RELEASE, self.task)
            .await
            .is_err()
        {
            tracing::warn!("the lease was not given back in time");
        }
    }
}

struct Candidate {
    api: Api<Lease>,
    me: String,
    term: Term,
}

impl Candidate {
    async fn stand(
        mut self,
        leads: watch::Sender<Option<Instant>>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        loop {
            let begun = Instant::now();
            match self.look(&leads).await {
                Ok(true) => drop(leads.send_replace(Some(begun + VALID))),
                Ok(false) => lose(&leads),
                Err(error) => {
                    tracing::warn!("cannot use the lease {NAME}: {error}");
                    let until = *leads.borrow();
                    if until.is_some_and(|until| Instant::now() >= until) {
                        lose(&leads);
                    }
                }
            }
            tokio::select! {
                _ = &mut stopped => break,
                () = tokio::time::sleep_until(begun + PAUSE) => {}
            }
        }
        lose(&leads);
        match tokio::time::timeout(RELEASE, self.release()).await {
            Ok(Ok(true)) => tracing::info!("the lease was given back"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!("the lease was not given back: {error}"),
            Err(_) => tracing::warn!("the lease was not given back in time"),
        }
    }

    /// Looks once; says meanwhile when a lease that is held ends. A request is never dropped half-way:
    /// its write might still arrive, and nobody would give the lease back.
    async fn look(&mut self, leads: &watch::Sender<Option<Instant>>) -> Result<bool, String> {
        let until = *leads.borrow();
        let look = tokio::time::timeout(LOOK, self.attempt());
        let mut look = std::pin::pin!(look);
        let ends = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            answer = &mut look => answer,
            () = ends => {
                lose(leads);
                look.await
            }
        };
        match answer {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LOOK.as_secs())),
        }
    }

    /// Whether the lease is ours now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(NAME).await?;
        let step = self.term.step(found.map(record), Instant::now());
        let now = Some(MicroTime(clock::now()));
        let seconds = i32::try_from(DURATION.as_secs()).ok();
        let held = |transitions| LeaseSpec {
            holder_identity: Some(self.me.clone()),
            acquire_time: now.clone(),
            renew_time: now.clone(),
            lease_duration_seconds: seconds,
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        match step {
            Step::Create => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(NAME.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(held(1)),
                };
                lost_the_race(self.api.create(&PostParams::default(), &lease).await)
            }
            Step::Take {
                version,
                transitions,
            } => {
                let spec = json!(held(transitions));
                self.patch(&version, &spec).await
            }
            Step::Renew { version } => {
                let spec = json!({ "renewTime": now, "leaseDurationSeconds": seconds });
                self.patch(&version, &spec).await
            }
            Step::Follow { holder } => {
                tracing::trace!(holder, "the lease is another's");
                Ok(false)
            }
        }
    }

    /// Whether there was a lease to give back, and it was.
    async fn release(&self) -> Result<bool, kube::Error> {
        let Some(record) = self.api.get_opt(NAME).await?.map(record) else {
            return Ok(false);
        };
        if record.holder.as_ref() != Some(&self.me) {
            return Ok(false);
        }
        let spec = json!({ "holderIdentity": null, "acquireTime": null, "renewTime": null });
        self.patch(&record.version, &spec).await
    }

    /// Changes the lease if it still has this version.
    async fn patch(&self, version: &str, spec: &serde_json::Value) -> Result<bool, kube::Error> {
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": version },
            "spec": spec,
        }));
        let params = PatchParams {
            field_manager: Some(NAME.to_owned()),
            ..PatchParams::default()
        };
        lost_the_race(self.api.patch(NAME, &params, &patch).await)
    }
}

fn lose(leads: &watch::Sender<Option<Instant>>) {
    leads.send_if_modified(|until| until.take().is_some());
}

fn record(lease: Lease) -> Record {
    let spec = lease.spec.unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    let renewed = spec.renew_time.map(|time| time.0.to_string());
    Record {
        holder: spec.holder_identity,
        renewed: renewed.unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.unwrap_or_default(),
    }
}

/// Another candidate was faster: that is an answer.
fn lost_the_race(answer: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
