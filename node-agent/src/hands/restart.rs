//! The restart of the runtime, and whether it came back.

use std::time::Duration;

use node_runtime::restart::{Outcome, Restarter, Supervised, Systemd};
use tokio::time::{Instant, interval, timeout_at};

use super::{Reach, bus};
use crate::agent::Restarted;
use crate::live::{self, Endpoint};

/// How long systemd may take for a restart.
const RESTART: Duration = Duration::from_mins(1);
/// How long a supervisor may take to start what has ended. Meanwhile no pod starts, and what is taken
/// back only then may be the cause.
const SUPERVISED: Duration = Duration::from_secs(30);
/// How long the runtime may take to answer after it.
const ANSWER: Duration = Duration::from_mins(1);
/// How long it is asked whether it goes on, where the restart itself failed.
const STILL: Duration = Duration::from_secs(2);
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(200);
/// How long systemd may take to say which unit a process is in.
const UNIT: Duration = Duration::from_secs(10);

/// How the runtime is restarted, by what the command line says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// By systemd, over its D-Bus API.
    #[default]
    Systemd,
    /// By ending it, where something starts it again.
    Signal,
    /// Not by the agent.
    Never,
}

/// How a runtime that was seen is restarted.
#[derive(Debug)]
pub(super) enum Way {
    By(Restarter),
    /// Not, and why.
    None(String),
}

impl Way {
    /// An error says why there is none.
    pub(super) fn is_there(&self) -> Result<(), String> {
        match self {
            Self::By(_) => Ok(()),
            Self::None(why) => Err(why.clone()),
        }
    }
}

impl By {
    pub(super) async fn way(self, reach: &Reach, endpoint: &Endpoint, pid: u32) -> Way {
        match self {
            Self::Never => Way::None("the agent was started with --restart-by never".to_owned()),
            Self::Signal => Way::By(Restarter::Supervised(Supervised {
                socket: endpoint.here.clone(),
                proc: reach.proc.clone(),
            })),
            Self::Systemd => match Systemd::unit_of(&bus(&reach.root), pid, UNIT).await {
                Err(error) => Way::None(error.to_string()),
                Ok(unit) if unit.shared_unit => Way::None(format!(
                    "the runtime is a part of {}, whose restart takes the kubelet with it: restart \
                     it yourself",
                    unit.name
                )),
                Ok(unit) => Way::By(Restarter::Systemd(Systemd {
                    proc: reach.proc.clone(),
                    ..Systemd::on_host(unit.name, &reach.root)
                })),
            },
        }
    }
}

pub(super) async fn restart(
    way: Option<&Way>,
    reach: &Reach,
    endpoint: Result<Endpoint, String>,
) -> Restarted {
    let restarter = match way {
        Some(Way::By(restarter)) => restarter,
        Some(Way::None(why)) => return Restarted::Refused(why.clone()),
        None => {
            let why = "it is not known how the runtime is run, because it was never seen to answer";
            return Restarted::Refused(why.to_owned());
        }
    };
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(why) => return Restarted::Refused(why),
    };
    let budget = match restarter {
        Restarter::Supervised(_) => SUPERVISED,
        Restarter::Systemd(_) | Restarter::Never => RESTART,
    };
    let outcome = restarter.restart(budget).await;
    if let Ok(Outcome { took, new, .. }) = &outcome {
        tracing::info!("the runtime was restarted in {took:?}, its process is {new} now");
    }
    let patience = if outcome.is_ok() { ANSWER } else { STILL };
    match (answers(&endpoint, reach, patience).await, outcome) {
        (Ok(process), Ok(_)) => Restarted::Done(process),
        (Ok(_), Err(error)) => Restarted::Refused(error.to_string()),
        (Err(silent), Ok(_)) => Restarted::Down(silent),
        (Err(silent), Err(error)) => Restarted::Down(format!("{error}; {silent}")),
    }
}

/// Waits until the runtime answers and says that it is ready.
async fn answers(
    endpoint: &Endpoint,
    reach: &Reach,
    patience: Duration,
) -> Result<Option<node_runtime::process::Start>, String> {
    let until = Instant::now() + patience;
    let mut last = "it was not asked yet".to_owned();
    let waiting = async {
        let client = live::client(endpoint);
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            match client.status(false).await {
                Ok(status) if status.ready() => break,
                Ok(_) => "it says that it is not ready".clone_into(&mut last),
                Err(error) => last = error.to_string(),
            }
        }
        let live = live::look(endpoint, &reach.proc).await;
        live.ok()
            .and_then(|live| live.process.ok())
            .map(|process| process.start)
    };
    timeout_at(until, waiting).await.map_err(|_| {
        let seconds = patience.as_secs();
        format!("the runtime does not answer {seconds} s after its restart: {last}")
    })
}
