//! The loop: look when something changes, look now and then anyway, stop when asked to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::agent::{Agent, Look, Source};
use crate::cluster::Order;
use crate::root::split;
use crate::runtime::Watched;

/// How long nothing may happen before the folder is read: a change in Git or in a `ConfigMap` is
/// many changes of files.
const QUIET: Duration = Duration::from_millis(300);
/// After this long it is read anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the loop cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The signals that end the agent cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Looks until SIGTERM or SIGINT, which change nothing on the node; `tell` gets every look.
///
/// `recheck` is the time between looks when nothing happens: for changes that no event tells, and
/// for drift of the agent's own files.
pub async fn run(
    mut agent: Agent,
    recheck: Duration,
    mut orders: Option<watch::Receiver<Order>>,
    mut tell: impl FnMut(&Look),
) -> Result<(), WatchError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(WatchError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchError::Signals)?;
    loop {
        // Before the look, so that nothing that happens during it is missed; and anew each time,
        // because folders that are swapped or made again have to be watched again.
        let dirs = own_dirs(&agent);
        let absent: Vec<&PathBuf> = dirs.iter().filter(|dir| !dir.is_dir()).collect();
        let (watcher, mut changes) = watch_files(&agent, &dirs);
        if let Some(orders) = &mut orders {
            agent.take(orders.borrow_and_update().clone());
        }
        tell(&agent.look(Timestamp::now()));
        if absent.iter().any(|dir| dir.is_dir()) {
            // The look made folders that could not be watched before it.
            continue;
        }
        tokio::select! {
            biased;
            () = stop(&mut terminate, &mut interrupt) => return Ok(()),
            Some(()) = changes.recv() => {}
            // It is there as a whole: nothing to wait for.
            () = ordered(&mut orders) => continue,
            () = sleep(recheck) => {}
        }
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            tokio::select! {
                biased;
                () = stop(&mut terminate, &mut interrupt) => return Ok(()),
                quiet = timeout(QUIET, changes.recv()) => if quiet.is_err() { break },
            }
        }
        drop(watcher);
    }
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

/// The folders that matter, and those of the files that matter.
fn own_dirs(agent: &Agent) -> Vec<PathBuf> {
    let Watched { files, folders } = agent.options().runtime.watched(agent.root());
    let of_files = files.iter().map(|file| split(file).0);
    let all = of_files.chain(folders.iter().map(String::as_str));
    let mut dirs: Vec<PathBuf> = all.map(|dir| agent.root().path().join(dir)).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// What of the node's matters.
fn own_paths(agent: &Agent) -> Vec<PathBuf> {
    let Watched { files, folders } = agent.options().runtime.watched(agent.root());
    let all = files.iter().chain(&folders);
    all.map(|path| agent.root().path().join(path)).collect()
}

/// Watches `dirs` and the policy folder (also from above: it may be a link that is swapped). What
/// cannot be watched is looked at on the interval.
fn watch_files(
    agent: &Agent,
    dirs: &[PathBuf],
) -> (Option<RecommendedWatcher>, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel(1);
    let policies = match &agent.options().source {
        Source::Folder(dir) => Some(dir.clone()),
        Source::Cluster => None,
    };

    let mut relevant = own_paths(agent);
    relevant.extend(policies.clone());
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_change(&event, &relevant)) {
            // A change is already waiting when the channel is full.
            let _ = sender.try_send(());
        }
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
