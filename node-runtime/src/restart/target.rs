//! A unit that a job is asked for.

use std::future::Future;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use zbus::OwnedObjectPath;
use zbus::proxy::CacheProperties;

use super::bus::{self, JobProxy, JobRemovedStream, ServiceProxy, UnitProxy};
use super::error::RestartError;
use super::manager::{Manager, Owners};
use super::refusal::{self, Action, refusal};
use super::state::{JobResult, UnitState, Vanishing};

/// Time for one more question after the deadline: what became of the job.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What systemd is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Job {
    /// Stop and start.
    Restart,
    /// Run `ExecReload=`.
    Reload,
}

/// A unit in memory, and what is asked of it.
pub(super) struct Target<'a> {
    pub(super) manager: &'a Manager,
    pub(super) action: Action,
    /// The name that is no alias.
    pub(super) id: String,
    pub(super) unit: UnitProxy<'static>,
    pub(super) service: ServiceProxy<'static>,
    /// Whether the job was asked for.
    pub(super) asked: bool,
}

impl Target<'_> {
    async fn read<T>(
        &self,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, RestartError> {
        let doing = || format!("reading the state of {}", self.id);
        let read = self.manager.call(doing, call).await?;
        read.map_err(|error| refusal(self.action, &self.id, self.asked, error))
    }

    /// The unit as it is now.
    pub(super) async fn state(&self) -> Result<UnitState, RestartError> {
        self.read(async {
            Ok(UnitState {
                active: self.unit.active_state().await?,
                sub: self.unit.sub_state().await?,
                result: self.service.result().await?,
                restarts: self.service.n_restarts().await?,
                main_pid: self.service.main_pid().await?,
            })
        })
        .await
    }

    /// What is another one with every start of the unit.
    pub(super) async fn invocation(&self) -> Result<Vec<u8>, RestartError> {
        self.read(self.unit.invocation_id()).await
    }

    /// Asks for the job and waits for its end.
    pub(super) async fn run(&mut self, kind: Job, owners: Owners) -> Result<(), RestartError> {
        let proxy = &self.manager.proxy;
        // Both before the job is asked for: it may be over before the answer is here. Signals of
        // other units are left at the bus; on a node there are many, and they would fill the
        // queue that the answer comes through.
        let listening = async {
            let removed = proxy
                .receive_job_removed_with_args(&[(2, &self.id)])
                .await?;
            proxy.subscribe().await?;
            Ok(removed)
        };
        let removed = self.read(listening).await?;
        self.asked = true;
        let doing = || format!("asking systemd to {} {}", self.action.name(), self.id);
        // `replace`: a waiting job that contradicts this one gives way (systemctl's default).
        let asking = async {
            match kind {
                Job::Restart => proxy.restart_unit(&self.id, "replace").await,
                Job::Reload => proxy.reload_unit(&self.id, "replace").await,
            }
        };
        let job = self.manager.call(doing, asking).await?;
        let job = job.map_err(|error| refusal(self.action, &self.id, true, error))?;
        match self.end_of(&job, removed, owners).await? {
            None => Ok(()),
            Some(result) => Err(RestartError::Job {
                action: self.action.name(),
                unit: self.id.clone(),
                result,
                // The result counts; the state only explains it.
                state: Box::new(self.state().await.unwrap_or_default()),
            }),
        }
    }

    async fn end_of(
        &self,
        job: &OwnedObjectPath,
        mut removed: JobRemovedStream,
        mut owners: Owners,
    ) -> Result<Option<JobResult>, RestartError> {
        loop {
            // In this order: a result that has come counts, whatever else happened since.
            tokio::select! {
                biased;
                signal = removed.next() => {
                    let signal = signal.ok_or_else(|| self.vanished(Vanishing::BusClosed))?;
                    if let Some(result) = self.result_for(job, &signal)? {
                        return Ok(JobResult::of(&result));
                    }
                }
                change = owners.next() => {
                    let change = change.ok_or_else(|| self.vanished(Vanishing::BusClosed))?;
                    let args = change.args().map_err(|error| self.unusable(error))?;
                    let how = match args.new_owner().as_ref() {
                        None => Vanishing::ManagerLeft,
                        Some(_) => Vanishing::ManagerChanged,
                    };
                    return Err(self.vanished(how));
                }
                () = self.manager.deadline.passed() => {
                    let state = self.state_of(job).await;
                    // Sent before systemd answered the last question, it is here by now.
                    while let Some(Some(signal)) = removed.next().now_or_never() {
                        if let Some(result) = self.result_for(job, &signal)? {
                            return Ok(JobResult::of(&result));
                        }
                    }
                    return Err(match state {
                        JobState::Lost => self.vanished(Vanishing::JobLost),
                        JobState::Unknown => self.late(None),
                        JobState::Is(state) => self.late(Some(state)),
                    });
                }
            }
        }
    }

    /// The result in a signal, if it is of our job.
    fn result_for(
        &self,
        job: &OwnedObjectPath,
        signal: &bus::JobRemoved,
    ) -> Result<Option<String>, RestartError> {
        let args = signal.args().map_err(|error| self.unusable(error))?;
        Ok((args.job().as_str() == job.as_str()).then(|| args.result().to_string()))
    }

    async fn state_of(&self, job: &OwnedObjectPath) -> JobState {
        let asking = async {
            JobProxy::builder(&self.manager.connection)
                .destination(self.manager.owner.clone())
                .path(job.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?
                .state()
                .await
        };
        match tokio::time::timeout(LAST_LOOK, asking).await {
            Ok(Ok(state)) => JobState::Is(state),
            Ok(Err(error)) if refusal::is_unknown_object(&error) => JobState::Lost,
            _ => JobState::Unknown,
        }
    }

    fn late(&self, job: Option<String>) -> RestartError {
        let doing = format!("the {} of {}", self.action.name(), self.id);
        refusal::late(doing, self.manager.deadline, job)
    }

    fn unusable(&self, source: zbus::Error) -> RestartError {
        let doing = format!("waiting for the {} of {}", self.action.name(), self.id);
        RestartError::Reply { doing, source }
    }

    fn vanished(&self, how: Vanishing) -> RestartError {
        RestartError::Vanished {
            action: self.action.name(),
            unit: self.id.clone(),
            how,
        }
    }
}

/// What is known of a job after the deadline.
enum JobState {
    Is(String),
    Lost,
    Unknown,
}
