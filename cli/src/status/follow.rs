//! `--watch`: the cluster as it changes.

use std::fmt::Debug;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crds::types::{ClusterImageSignaturePolicy, EnforcementConfig, NodeImagePolicy, TrustRoot};
use futures::StreamExt as _;
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use policy::model::PolicyId;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::objects::{self, ConfigObject, NodeObject, PolicyObject, RootObject, Snapshot};
use super::screen::Screen;
use super::view::PolicyRow;
use super::{Question, Shown, text};
use crate::cluster::Trouble;
use crate::output::{self, Answer, Format, Paint};

/// How many changes may wait.
const CHANGES: usize = 1024;
/// The shortest time between two pictures on a terminal.
const PICTURE: Duration = Duration::from_millis(200);
/// The same between lines.
const LINES: Duration = Duration::from_secs(1);
/// The longest pause before a lost connection is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// What a watch tells of one kind.
enum Change<K, T> {
    Reset(Vec<(K, T)>),
    Put(K, T),
    Remove(K),
    Lost(Trouble),
}

/// The same with its kind.
enum Event {
    ClusterPolicy(Change<PolicyId, PolicyObject>),
    Policy(Change<PolicyId, PolicyObject>),
    Node(Change<String, NodeObject>),
    Root(Change<String, RootObject>),
    Config(Change<String, ConfigObject>),
}

/// Which kinds are not heard of now, and why.
#[derive(Default)]
struct Connection {
    lost: [bool; 5],
    why: Option<(Timestamp, String)>,
}

/// Shows what there is and what becomes of it, until a signal comes or nobody reads any more.
pub(super) async fn follow(
    client: &Client,
    question: &Question,
    mut snapshot: Snapshot,
    format: Format,
) -> io::Result<Answer> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, mut events) = mpsc::channel(CHANGES);
    let _watches = start(client, question, &snapshot, &sender);
    let mut out = Out::new(format);
    let mut connection = Connection::default();
    let mut shown = question.ask(&snapshot);
    let mut due = Some(Instant::now());
    let mut batch = Vec::new();
    loop {
        let draw = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => return Ok(shown.answer()),
            _ = terminate.recv() => return Ok(shown.answer()),
            () = draw => {
                due = None;
                shown = question.ask(&snapshot);
                // Whoever has closed the pipe has seen enough.
                if out.show(&shown, &connection).is_err() {
                    return Ok(shown.answer());
                }
            }
            _ = events.recv_many(&mut batch, CHANGES) => {
                for event in batch.drain(..) {
                    apply(&mut snapshot, &mut connection, event);
                }
                due = due.or_else(|| Some(out.next()));
            }
        }
    }
}

fn start(
    client: &Client,
    question: &Question,
    snapshot: &Snapshot,
    events: &mpsc::Sender<Event>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let own = question.scope.namespaced(client);
    tasks.spawn(watch(
        own,
        events.clone(),
        objects::namespaced_policy,
        Event::Policy,
    ));
    // What may not be listed cannot be watched.
    let seen = |plural: &str| !snapshot.unseen.iter().any(|what| what.contains(plural));
    if seen("clusterimagesignaturepolicies") {
        let api = Api::<DeserializeGuard<ClusterImageSignaturePolicy>>::all(client.clone());
        tasks.spawn(watch(
            api,
            events.clone(),
            objects::cluster_policy,
            Event::ClusterPolicy,
        ));
    }
    if seen("nodeimagepolicies") {
        let api = Api::<DeserializeGuard<NodeImagePolicy>>::all(client.clone());
        tasks.spawn(watch(api, events.clone(), objects::node, Event::Node));
    }
    if seen("trustroots") {
        let api = Api::<DeserializeGuard<TrustRoot>>::all(client.clone());
        tasks.spawn(watch(api, events.clone(), objects::root, Event::Root));
    }
    if seen("enforcementconfigs") {
        let api = Api::<DeserializeGuard<EnforcementConfig>>::all(client.clone());
        tasks.spawn(watch(api, events.clone(), objects::config, Event::Config));
    }
    tasks
}

/// Watches a kind. After trouble it begins again with a list, so that nothing is missed, and so that it
/// is known when the trouble is over.
async fn watch<K, I, T>(
    api: Api<K>,
    events: mpsc::Sender<Event>,
    read: fn(K) -> (I, T),
    wrap: fn(Change<I, T>) -> Event,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let what = format!("{}.{}", K::plural(&()), K::group(&()));
    let mut pause = Duration::from_secs(1);
    loop {
        let mut stream = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
        let mut listed = Vec::new();
        while let Some(event) = stream.next().await {
            let change = match event {
                Ok(watcher::Event::Init) => None,
                Ok(watcher::Event::InitApply(object)) => {
                    listed.push(read(object));
                    None
                }
                Ok(watcher::Event::InitDone) => {
                    pause = Duration::from_secs(1);
                    Some(Change::Reset(std::mem::take(&mut listed)))
                }
                Ok(watcher::Event::Apply(object)) => {
                    let (id, object) = read(object);
                    Some(Change::Put(id, object))
                }
                Ok(watcher::Event::Delete(object)) => Some(Change::Remove(read(object).0)),
                Err(watcher::Error::WatchError(status)) if status.code == 410 => break,
                Err(error) => {
                    let lost = Change::Lost(trouble(&what, error));
                    if events.send(wrap(lost)).await.is_err() {
                        return;
                    }
                    break;
                }
            };
            if let Some(change) = change
                && events.send(wrap(change)).await.is_err()
            {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

fn trouble(what: &str, error: watcher::Error) -> Trouble {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Trouble::of(what, &error),
        watcher::Error::WatchError(status) => Trouble::of(what, &kube::Error::Api(status)),
        error @ watcher::Error::NoResourceVersion => Trouble::Other(error.to_string()),
    }
}

fn apply(snapshot: &mut Snapshot, connection: &mut Connection, event: Event) {
    let policies = &mut snapshot.policies;
    match event {
        Event::ClusterPolicy(change) => {
            if matches!(change, Change::Reset(_)) {
                policies.retain(|id, _| id.namespace().is_some());
            }
            put(policies, connection, 0, change, false);
        }
        Event::Policy(change) => {
            if matches!(change, Change::Reset(_)) {
                policies.retain(|id, _| id.namespace().is_none());
            }
            put(policies, connection, 1, change, false);
        }
        Event::Node(change) => put(&mut snapshot.nodes, connection, 2, change, true),
        Event::Root(change) => put(&mut snapshot.roots, connection, 3, change, true),
        Event::Config(change) => {
            // There is one at most.
            let mut one = std::collections::BTreeMap::new();
            let config = snapshot.config.take();
            one.extend(config.map(|config| ("default".to_owned(), config)));
            put(&mut one, connection, 4, change, true);
            snapshot.config = one.into_values().next();
        }
    }
}

/// Into the map of its kind; with `whole` a list is all that the map holds.
fn put<K: Ord, T>(
    map: &mut std::collections::BTreeMap<K, T>,
    connection: &mut Connection,
    kind: usize,
    change: Change<K, T>,
    whole: bool,
) {
    if let Some(lost) = connection.lost.get_mut(kind) {
        *lost = matches!(change, Change::Lost(_));
    }
    match change {
        Change::Reset(all) => {
            if whole {
                map.clear();
            }
            map.extend(all);
        }
        Change::Put(key, object) => drop(map.insert(key, object)),
        Change::Remove(key) => drop(map.remove(&key)),
        Change::Lost(trouble) => {
            let since = connection.why.take().map(|(since, _)| since);
            let since = since.unwrap_or_else(Timestamp::now);
            connection.why = Some((since, trouble.to_string()));
        }
    }
    if connection.lost == [false; 5] {
        connection.why = None;
    }
}

/// Where it is shown.
enum Out {
    Screen(Screen, Instant),
    Lines(Lines),
}

/// What was said last, so that only what is new is said.
#[derive(Default)]
struct Lines {
    json: bool,
    last: Option<Shown>,
    lost: bool,
    shown: Option<Instant>,
}

impl Out {
    fn new(format: Format) -> Self {
        let json = format == Format::Json;
        if !json && io::stdout().is_terminal() {
            return Self::Screen(Screen::new(), Instant::now());
        }
        let lines = Lines::default();
        Self::Lines(Lines { json, ..lines })
    }

    /// When the next picture may come.
    fn next(&self) -> Instant {
        let at = match self {
            Self::Screen(_, last) => *last + PICTURE,
            Self::Lines(lines) => lines.shown.map_or_else(Instant::now, |last| last + LINES),
        };
        at.max(Instant::now())
    }

    fn show(&mut self, shown: &Shown, connection: &Connection) -> io::Result<()> {
        match self {
            Self::Screen(screen, last) => {
                *last = Instant::now();
                let paint = Paint::stdout();
                let mut lines = Vec::new();
                if let Some((since, why)) = &connection.why {
                    let since = clock(*since);
                    let text =
                        format!("since {since} nothing is heard, and it is tried again: {why}");
                    lines.push(paint.apply(output::Style::Red, text));
                }
                lines.extend(shown.lines(paint));
                screen.draw(&lines)
            }
            Self::Lines(lines) => lines.show(shown, connection),
        }
    }
}

impl Lines {
    fn show(&mut self, shown: &Shown, connection: &Connection) -> io::Result<()> {
        self.shown = Some(Instant::now());
        let now = clock(Timestamp::now());
        let lost = connection.why.is_some();
        if lost != self.lost {
            self.lost = lost;
            match &connection.why {
                Some((_, why)) => output::warn_line(format_args!(
                    "{now} nothing is heard, and it is tried again: {why}"
                )),
                None => output::warn_line(format_args!("{now} connected again")),
            }
        }
        if self.last.as_ref() == Some(shown) {
            return Ok(());
        }
        let lines = if self.json {
            vec![serde_json::to_string(shown)?]
        } else {
            news(self.last.as_ref(), shown)
                .iter()
                .map(|line| format!("{now} {line}"))
                .collect()
        };
        self.last = Some(shown.clone());
        let mut out = io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

/// What differs between two pictures, in lines.
fn news(last: Option<&Shown>, shown: &Shown) -> Vec<String> {
    let rows = |shown: &Shown| -> Vec<PolicyRow> {
        match shown {
            Shown::View(view) => view.policies.items.clone(),
            Shown::Detail(detail) => vec![detail.row.clone()],
            Shown::Missing(_) => Vec::new(),
        }
    };
    let line = |row: &PolicyRow| text::row(row);
    let before: Vec<String> = last
        .map(rows)
        .unwrap_or_default()
        .iter()
        .map(line)
        .collect();
    let rows = rows(shown);
    let mut lines: Vec<String> = rows
        .iter()
        .map(line)
        .filter(|line| !before.contains(line))
        .collect();
    let total = |shown: &Shown| match shown {
        Shown::View(view) => Some(text::totals(view)),
        Shown::Missing(missing) => Some(missing.message.clone()),
        Shown::Detail(_) => None,
    };
    let now = total(shown);
    if now != last.and_then(total) {
        lines.extend(now);
    }
    lines
}

/// The time of day, UTC.
fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
