//! A stand-in for systemd's manager: the members of its interfaces that node-runtime uses, and
//! jobs that go as a test wants them.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use zbus::object_server::{ResponseDispatchNotifier, SignalEmitter};
use zbus::{Connection, ObjectServer, OwnedObjectPath, interface};

use crate::daemon::Daemon;
use crate::objects::{JobObject, ServiceObject, UnitObject};

pub(crate) const NAME: &str = "org.freedesktop.systemd1";
pub(crate) const ROOT: &str = "/org/freedesktop/systemd1";

/// What becomes of a job that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It ends so, after the answer.
    End(&'static str),
    /// It ends so, and the answer comes after the signal, and after those of other units.
    EndFirst(&'static str),
    /// It runs until the test ends it.
    Hold,
    /// It is gone at once, without a word.
    Lose,
    /// There is no job.
    Refuse(&'static str),
    /// There is no answer.
    Mute,
}

#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) load: &'static str,
    pub(crate) active: &'static str,
    pub(crate) sub: &'static str,
    pub(crate) result: &'static str,
    pub(crate) main_pid: u32,
    pub(crate) restarts: u32,
    pub(crate) invocation: u8,
    pub(crate) plan: Plan,
    /// What the end of a job makes of the unit.
    pub(crate) after: fn(&mut Unit),
}

impl Unit {
    pub(crate) fn running(main_pid: u32, plan: Plan, after: fn(&mut Unit)) -> Self {
        Self {
            load: "loaded",
            active: "active",
            sub: "running",
            result: "success",
            main_pid,
            restarts: 0,
            invocation: 1,
            plan,
            after,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    id: u32,
    unit: String,
    kind: &'static str,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) units: BTreeMap<String, Unit>,
    aliases: BTreeMap<&'static str, &'static str>,
    jobs: Vec<Job>,
    next: u32,
    subscribed: bool,
}

pub(crate) type Shared = Arc<Mutex<State>>;

/// The stand-in, on its own connection.
pub(crate) struct Systemd {
    state: Shared,
    connection: Connection,
    answered: watch::Receiver<u32>,
}

impl Systemd {
    pub(crate) async fn start(daemon: &Daemon, units: &[(&str, Unit)]) -> Self {
        let state: Shared = Arc::default();
        let units = units
            .iter()
            .map(|(name, unit)| ((*name).to_owned(), unit.clone()));
        state.lock().unwrap().units = units.collect();
        let (sender, answered) = watch::channel(0);
        let manager = Manager {
            state: state.clone(),
            answered: sender,
        };
        let connection = daemon
            .builder()
            .serve_at(ROOT, manager)
            .allow_name_replacements(true)
            .name(NAME)
            .build()
            .await
            .unwrap();
        Self {
            state,
            connection,
            answered,
        }
    }

    pub(crate) fn alias(&self, alias: &'static str, name: &'static str) {
        self.state.lock().unwrap().aliases.insert(alias, name);
    }

    /// Waits until so many requests for a job have their answer on the bus.
    pub(crate) async fn answered(&self, count: u32) {
        let mut answered = self.answered.clone();
        let waiting = answered.wait_for(|seen| *seen >= count);
        let limit = Duration::from_secs(20);
        let seen = tokio::time::timeout(limit, waiting).await;
        seen.expect("no job was asked for").unwrap();
    }

    /// Ends the one job there is.
    pub(crate) async fn end(&self, result: &str) {
        let job = self.state.lock().unwrap().jobs[0].clone();
        let emitter = SignalEmitter::new(&self.connection, ROOT).unwrap();
        finish(&self.state, &job, result, &emitter).await;
    }

    pub(crate) fn jobs(&self) -> usize {
        self.state.lock().unwrap().jobs.len()
    }

    /// Leaves the bus.
    pub(crate) async fn leave(self) {
        self.connection.close().await.unwrap();
    }
}

fn job_path(id: u32) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("{ROOT}/job/{id}")).unwrap()
}

/// systemd's `bus_path_encode`.
fn unit_path(name: &str) -> OwnedObjectPath {
    let escaped: String = name
        .bytes()
        .map(|b| match b {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("_{b:02x}"),
        })
        .collect();
    OwnedObjectPath::try_from(format!("{ROOT}/unit/{escaped}")).unwrap()
}

async fn finish(state: &Shared, job: &Job, result: &str, emitter: &SignalEmitter<'_>) {
    let subscribed = {
        let mut state = state.lock().unwrap();
        state.jobs.retain(|other| other != job);
        if let Some(unit) = state.units.get_mut(&job.unit) {
            (unit.after)(unit);
        }
        state.subscribed
    };
    let path = job_path(job.id);
    let server = emitter.connection().object_server();
    server.remove::<JobObject, _>(&path).await.unwrap();
    // As systemd does it: without a subscriber, nobody is told.
    if subscribed {
        Manager::job_removed(emitter, job.id, path, &job.unit, result)
            .await
            .unwrap();
    }
}

/// Errors of systemd's, by its own names.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
pub(crate) enum Refused {
    #[zbus(error)]
    ZBus(zbus::Error),
    NoSuchUnit(String),
    UnitMasked(String),
    JobTypeNotApplicable(String),
    ShuttingDown(String),
    #[zbus(name = "NoUnitForPID")]
    NoUnitForPid(String),
}

struct Manager {
    state: Shared,
    answered: watch::Sender<u32>,
}

impl Manager {
    async fn enqueue(
        &self,
        kind: &'static str,
        name: &str,
        mode: &str,
        emitter: SignalEmitter<'_>,
    ) -> Result<ResponseDispatchNotifier<OwnedObjectPath>, Refused> {
        assert_eq!(mode, "replace", "what systemctl asks for");
        let (plan, job) = {
            let mut state = self.state.lock().unwrap();
            let Some(unit) = state.units.get(name) else {
                return Err(Refused::NoSuchUnit(format!("Unit {name} not found.")));
            };
            let plan = unit.plan;
            // A job of the same kind takes the request in (systemd: job_install).
            let same = |job: &&Job| job.unit == name && job.kind == kind;
            let job = state.jobs.iter().find(same).cloned();
            let known = job.is_some();
            let job = job.unwrap_or_else(|| {
                state.next += 1;
                Job {
                    id: state.next,
                    unit: name.to_owned(),
                    kind,
                }
            });
            if !known && !matches!(plan, Plan::Refuse(_) | Plan::Mute) {
                state.jobs.push(job.clone());
            }
            (plan, job)
        };
        let emitter = emitter.to_owned();
        let server = emitter.connection().object_server();
        let path = job_path(job.id);
        match plan {
            Plan::Refuse(name) => return Err(refused(name)),
            Plan::Mute => {
                self.answered.send_modify(|count| *count += 1);
                pending::<()>().await;
            }
            Plan::EndFirst(result) => {
                server.at(&path, JobObject("running")).await?;
                for id in 1000..1200 {
                    Manager::job_removed(&emitter, id, job_path(id), "other.mount", "done").await?;
                }
                // Of the same unit, and of another job.
                Manager::job_removed(&emitter, 999, job_path(999), name, "failed").await?;
                finish(&self.state, &job, result, &emitter).await;
            }
            Plan::Lose => self.state.lock().unwrap().jobs.clear(),
            Plan::End(_) | Plan::Hold => {
                server.at(&path, JobObject("running")).await?;
            }
        }
        let (answer, sent) = ResponseDispatchNotifier::new(path);
        let (state, answered) = (self.state.clone(), self.answered.clone());
        tokio::spawn(async move {
            sent.await;
            if let Plan::End(result) = plan {
                finish(&state, &job, result, &emitter).await;
            }
            answered.send_modify(|count| *count += 1);
        });
        Ok(answer)
    }
}

fn refused(name: &str) -> Refused {
    let text = format!("as the test wants it: {name}");
    match name {
        "NoSuchUnit" => Refused::NoSuchUnit(text),
        "UnitMasked" => Refused::UnitMasked(text),
        "JobTypeNotApplicable" => Refused::JobTypeNotApplicable(text),
        "ShuttingDown" => Refused::ShuttingDown(text),
        other => panic!("no error {other} here"),
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {
        self.state.lock().unwrap().subscribed = true;
    }

    async fn load_unit(
        &self,
        name: String,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refused> {
        let name = {
            let state = self.state.lock().unwrap();
            let alias = state.aliases.get(name.as_str());
            alias.map_or(name, |name| (*name).to_owned())
        };
        let path = unit_path(&name);
        let state = || self.state.clone();
        server.at(&path, UnitObject(state(), name.clone())).await?;
        server.at(&path, ServiceObject(state(), name)).await?;
        Ok(path)
    }

    #[zbus(name = "GetUnitByPID")]
    async fn get_unit_by_pid(
        &self,
        pid: u32,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Refused> {
        // Like the test's own /proc: ten processes to a unit, the main one in front.
        let of_pid = |unit: &&(String, Unit)| pid / 10 == unit.1.main_pid / 10;
        let units: Vec<_> = self
            .state
            .lock()
            .unwrap()
            .units
            .clone()
            .into_iter()
            .collect();
        match units.iter().find(of_pid) {
            Some((name, _)) => self.load_unit(name.clone(), server).await,
            None => Err(Refused::NoUnitForPid(format!(
                "PID {pid} does not belong to any loaded unit."
            ))),
        }
    }

    async fn restart_unit(
        &self,
        name: String,
        mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<ResponseDispatchNotifier<OwnedObjectPath>, Refused> {
        self.enqueue("restart", &name, &mode, emitter).await
    }

    async fn reload_unit(
        &self,
        name: String,
        mode: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<ResponseDispatchNotifier<OwnedObjectPath>, Refused> {
        self.enqueue("reload", &name, &mode, emitter).await
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: OwnedObjectPath,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}
