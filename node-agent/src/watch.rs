//! The loop: take a turn when something changes, and now and then anyway; stop when asked to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::Instrument as _;

use crate::agent::{Agent, Look, Source, Wants};
use crate::books::Books;
use crate::cluster::Order;
use crate::hands::Hands;
use crate::root::split;
use crate::runtime::Watched;
use crate::turn::turn;

/// How long nothing may happen before the policy folder is read: a change in Git or in a `ConfigMap`
/// is many changes of files.
const QUIET: Duration = Duration::from_millis(300);
/// After this long it is read anyway.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a change of one of the node's files is gathered: it is to be put back within a second.
const DRIFT_QUIET: Duration = Duration::from_millis(50);
/// After this long it is put back anyway.
const DRIFT_PATIENCE: Duration = Duration::from_millis(300);

/// How often the verifier's log is read.
const VERDICTS: Duration = Duration::from_secs(5);

/// Why the loop cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The signals that end the agent cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// What ends the wait for the next turn.
enum Woken {
    /// The agent was asked to end.
    End,
    /// It is time.
    Again,
    /// Something changed.
    By(Change),
}

/// The changes that were seen.
pub type Changes = mpsc::Receiver<Change>;

/// Whose change was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A policy, in a folder that others write to.
    Policies,
    /// A file of the node.
    Node,
}

/// Takes turns until SIGTERM or SIGINT, which change nothing on the node; `tell` gets what came of
/// each.
///
/// `recheck` is the time between turns when nothing happens: for changes that no event tells, and
/// for drift of the agent's own files.
pub async fn run(
    mut agent: Agent,
    mut hands: Option<Hands>,
    mut books: Option<Books>,
    recheck: Duration,
    mut orders: Option<watch::Receiver<Order>>,
    mut tell: impl FnMut(&Agent, &Look),
) -> Result<(), WatchError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(WatchError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchError::Signals)?;
    let mut id = 0_u64;
    'turns: loop {
        id += 1;
        // Before the look, so that nothing that happens during it is missed; and anew each time,
        // because folders that are swapped or made again have to be watched again.
        let socket = hands.as_ref().and_then(Hands::socket);
        let dirs = own_dirs(&agent, socket.as_deref());
        let there: Vec<bool> = dirs.iter().map(|dir| dir.is_dir()).collect();
        let paths = own_paths(&agent);
        let (watcher, mut changes) = watch_files(&agent, &dirs, socket.as_deref());
        if let Some(orders) = &mut orders {
            agent.take(orders.borrow_and_update().clone());
        }
        let (look, wants) = tokio::select! {
            biased;
            // What a turn does to files it does at one go; what it waits for goes on without it.
            () = stop(&mut terminate, &mut interrupt) => break,
            turned = turn(&mut agent, hands.as_mut(), books.as_mut(), Some(&mut changes))
                .instrument(tracing::info_span!("look", id)) => turned,
        };
        tell(&agent, &look);
        let is_watched = |dir: &PathBuf| {
            let at = dirs.iter().position(|watched| watched == dir);
            at.is_some_and(|at| there[at])
        };
        let now = own_dirs(&agent, socket.as_deref());
        let is_blind = now.iter().any(|dir| dir.is_dir() && !is_watched(dir));
        if is_blind || own_paths(&agent) != paths {
            // The turn made files or folders, or learned of some, that nothing watched before it.
            continue;
        }
        let due = next(hands.as_ref(), &wants, recheck);
        let seen = loop {
            tokio::select! {
                biased;
                () = stop(&mut terminate, &mut interrupt) => break Woken::End,
                Some(change) = changes.recv() => break Woken::By(change),
                // It is there as a whole: nothing to wait for.
                () = ordered(&mut orders) => break Woken::Again,
                () = sleep_until(due) => break Woken::Again,
                () = sleep(VERDICTS), if books.is_some() => {}
            }
            if books.as_mut().is_some_and(|books| books.read(&mut agent)) {
                let look = agent.conclude(Timestamp::now());
                tell(&agent, &look);
            }
        };
        let seen = match seen {
            Woken::End => break,
            Woken::Again => continue,
            Woken::By(change) => change,
        };
        let (quiet, patience) = match seen {
            Change::Policies => (QUIET, PATIENCE),
            Change::Node => (DRIFT_QUIET, DRIFT_PATIENCE),
        };
        let begin = Instant::now();
        while begin.elapsed() < patience {
            tokio::select! {
                biased;
                () = stop(&mut terminate, &mut interrupt) => break 'turns,
                more = timeout(quiet, changes.recv()) => match more {
                    Ok(Some(Change::Node)) if seen == Change::Policies => break,
                    Ok(_) => {}
                    Err(_) => break,
                },
            }
        }
        drop(watcher);
    }
    if let Some(books) = &mut books {
        books.close(&agent);
    }
    Ok(())
}

/// When the next turn is taken if nothing happens.
fn next(hands: Option<&Hands>, wants: &Wants, recheck: Duration) -> Instant {
    let recheck = Instant::now() + recheck;
    let due = hands.and_then(|hands| hands.due(wants));
    due.map_or(recheck, |due| due.min(recheck))
}

/// Waits for another order of the cluster.
async fn ordered(orders: &mut Option<watch::Receiver<Order>>) {
    if let Some(orders) = orders
        && orders.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; the node keeps enforcing what it has");
}

fn watched(agent: &Agent) -> Watched {
    let none = Watched {
        files: Vec::new(),
        folders: Vec::new(),
    };
    let mut watched = agent
        .runtime()
        .map_or(none, |runtime| runtime.watched(agent.root()));
    watched.files.extend(agent.managed());
    watched
}

/// The folders that matter, and those of the files that matter.
fn own_dirs(agent: &Agent, socket: Option<&Path>) -> Vec<PathBuf> {
    let Watched { files, folders } = watched(agent);
    let of_files = files.iter().map(|file| split(file).0);
    let all = of_files.chain(folders.iter().map(String::as_str));
    let mut dirs: Vec<PathBuf> = all.map(|dir| agent.root().path().join(dir)).collect();
    dirs.extend(socket.and_then(Path::parent).map(Path::to_owned));
    dirs.sort();
    dirs.dedup();
    dirs
}

/// What of the node's matters.
fn own_paths(agent: &Agent) -> Vec<PathBuf> {
    let Watched { files, folders } = watched(agent);
    let all = files.iter().chain(&folders);
    all.map(|path| agent.root().path().join(path)).collect()
}

/// Watches `dirs` and the policy folder (also from above: it may be a link that is swapped). What
/// cannot be watched is looked at on the interval.
fn watch_files(
    agent: &Agent,
    dirs: &[PathBuf],
    socket: Option<&Path>,
) -> (Option<RecommendedWatcher>, Changes) {
    let (sender, receiver) = mpsc::channel(2);
    let policies = match &agent.options().source {
        Source::Folder(dir) => Some(dir.clone()),
        Source::Cluster => None,
    };

    let mut node = own_paths(agent);
    node.extend(socket.map(Path::to_owned));
    let folder = policies.clone();
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let change = if is_change(&event, &node) {
            Change::Node
        } else if folder
            .as_ref()
            .is_some_and(|folder| is_change(&event, std::slice::from_ref(folder)))
        {
            Change::Policies
        } else {
            return;
        };
        // A change is already waiting when the channel is full.
        let _ = sender.try_send(change);
    };
    let mut watcher = match notify::recommended_watcher(handler) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!("changes are seen on the interval only: {error}");
            return (None, receiver);
        }
    };
    let above = policies.as_deref().and_then(Path::parent);
    for dir in dirs.iter().map(PathBuf::as_path).chain(above) {
        if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
            tracing::debug!(
                "{} is looked at on the interval only: {error}",
                dir.display()
            );
        }
    }
    if let Some(policies) = policies
        && let Err(error) = watcher.watch(&policies, RecursiveMode::Recursive)
    {
        tracing::debug!(
            "{} is looked at on the interval only: {error}",
            policies.display()
        );
    }
    (Some(watcher), receiver)
}

/// Reading is no change, and neither is what happens elsewhere in a folder that is watched for one
/// file in it.
fn is_change(event: &notify::Event, relevant: &[PathBuf]) -> bool {
    if let EventKind::Access(kind) = event.kind
        && kind != AccessKind::Close(AccessMode::Write)
    {
        return false;
    }
    event.need_rescan()
        || event.paths.is_empty()
        || event
            .paths
            .iter()
            .any(|path| relevant.iter().any(|whole| path.starts_with(whole)))
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, ModifyKind};

    use super::*;

    fn event(kind: EventKind, path: &str) -> notify::Event {
        notify::Event::new(kind).add_path(PathBuf::from(path))
    }

    #[test]
    fn reading_and_neighbours_are_no_change() {
        let relevant = [PathBuf::from("/p"), PathBuf::from("/etc/c/z.toml")];
        let made = EventKind::Create(CreateKind::Any);
        assert!(is_change(&event(made, "/p/..data"), &relevant));
        assert!(is_change(
            &event(EventKind::Modify(ModifyKind::Any), "/etc/c/z.toml"),
            &relevant
        ));
        assert!(!is_change(&event(made, "/etc/c/other.toml"), &relevant));
        assert!(!is_change(&event(made, "/policies"), &relevant));
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        assert!(!is_change(&event(opened, "/p/a.yaml"), &relevant));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert!(is_change(&event(written, "/p/a.yaml"), &relevant));
    }
}
