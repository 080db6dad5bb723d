use std::convert::Infallible;

use kube::Config;
use tokio::sync::watch;

use super::*;
use crate::index::Write;

const HOUR: Duration = Duration::from_hours(1);

/// The loop of a process that leads until then, with one write to begin. Nobody answers its client.
fn leading(until: Instant) -> (watch::Sender<Option<Instant>>, Loop) {
    let config = Config::new("http://127.0.0.1:9".parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let (sender, _events) = mpsc::channel(1);
    let (leads, receiver) = watch::channel(Some(until));
    let write = Write::DeleteBundle {
        name: "sha256-0".to_owned(),
        uid: "u".to_owned(),
    };
    let mut queue = Queue::default();
    queue.push(Queued { turn: 0, write });
    let state = Loop {
        refresher: Refresher::new(sender.clone(), Vec::new()),
        fetchers: Fetchers::new(client.clone(), sender, HOUR, "own".to_owned()),
        client,
        identity: "me".into(),
        index: Index::new(Options::default()),
        health: Arc::new(Health::new()),
        metrics: Metrics::new(),
        turn: 0,
        leads: Leads::of(receiver),
        leader: true,
        synced: true,
        queue,
        nodes: Pace::new(200, 1, 1, Instant::now()),
        rest: Pace::new(20, 1, 1, Instant::now()),
        answers: JoinSet::new(),
        wake: Instant::now(),
        took: Duration::ZERO,
    };
    (leads, state)
}

#[tokio::test]
async fn a_leader_whose_lease_has_run_out_begins_no_write() {
    // It was stopped for a while: the time is over, and nobody has told it that the lease is lost.
    let (leads, mut state) = leading(Instant::now());
    assert!(state.leader && state.next().is_none());
    state.begin();
    assert!(state.answers.is_empty() && state.queue.len() == 1);
    // It has renewed the lease, and goes on.
    leads.send_replace(Some(Instant::now() + HOUR));
    assert!(state.next().is_some());
    leads.send_replace(None);
    assert!(state.next().is_none());
}

#[tokio::test]
async fn at_the_end_what_is_under_way_is_waited_for_and_nothing_is_begun() {
    let (_leads, mut state) = leading(Instant::now() + HOUR);
    let queued = state.queue.pop(Lane::Rest).unwrap();
    let (done, answer) = tokio::sync::oneshot::channel::<Infallible>();
    state.answers.spawn(async move {
        // Ends when the other end goes away.
        let _ = answer.await;
        (
            queued,
            Duration::ZERO,
            Ok::<Option<Event>, WriteError>(None),
        )
    });
    {
        let finish = state.finish(HOUR);
        let mut finish = std::pin::pin!(finish);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut finish).await;
        assert!(early.is_err(), "a write under way was not waited for");
        drop(done);
        finish.await;
    }
    assert!(state.answers.is_empty() && state.queue.len() == 0);

    // One that nobody answers is not waited for without end.
    let (_leads, mut state) = leading(Instant::now() + HOUR);
    state.answers.spawn(std::future::pending());
    state.finish(Duration::from_millis(1)).await;
    assert_eq!(state.answers.len(), 1);
}
