//! Several pulls of one image at once.

use std::future::{pending, poll_fn, ready};

use futures::poll;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(60)
}

fn never() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

impl World {
    async fn through(
        &self,
        deadline: Instant,
        verify: impl Future<Output = Verdict>,
    ) -> (Verdict, bool) {
        let (cache, decision) = (self.cache(), self.decision());
        // A deadline of the test: nothing in here waits that long.
        let limit = Duration::from_secs(20);
        let through = cache.through(&self.subject, &decision, deadline, verify);
        timeout(limit, through).await.unwrap()
    }
}

fn looked_up() -> impl Future<Output = Verdict> {
    ready(passed())
}

fn not_looked_up() -> impl Future<Output = Verdict> {
    poll_fn(|_| panic!("this is not looked up"))
}

#[tokio::test]
async fn the_second_pull_looks_nothing_up() {
    let world = World::new();
    assert!(!world.through(soon(), looked_up()).await.1);
    let (verdict, cached) = world.through(soon(), not_looked_up()).await;
    assert!(cached);
    assert_eq!(verdict.enforced[0].signed_by, ["a"]);
}

#[tokio::test]
async fn a_refusal_is_looked_up_each_time() {
    let world = World::new();
    for _ in 0..2 {
        let (verdict, cached) = world.through(soon(), async { refused() }).await;
        assert_eq!((verdict.refusal.is_some(), cached), (true, false));
    }
}

#[tokio::test]
async fn where_nothing_is_to_be_kept_nobody_waits() {
    let world = World::new();
    let cache = Cache::open(world.root.path(), Duration::ZERO).unwrap();
    let decision = world.decision();
    let mut first = Box::pin(cache.through(&world.subject, &decision, never(), pending()));
    assert!(poll!(&mut first).is_pending());
    let second = cache.through(&world.subject, &decision, never(), looked_up());
    let limit = Duration::from_secs(20);
    assert!(!timeout(limit, second).await.unwrap().1);
    assert_eq!(world.get(), None);
}

#[tokio::test]
async fn who_comes_second_waits_for_the_first() {
    let world = World::new();
    let (answer, asked) = oneshot::channel();
    let mut first = Box::pin(world.through(never(), async { asked.await.unwrap() }));
    assert!(poll!(&mut first).is_pending());
    let mut others: Vec<_> = (0..5)
        .map(|_| Box::pin(world.through(never(), not_looked_up())))
        .collect();
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    answer.send(passed()).unwrap();
    assert!(!first.await.1);
    for other in others {
        assert!(other.await.1);
    }
}

#[tokio::test]
async fn a_refusal_of_the_first_is_nobody_elses() {
    let world = World::new();
    let (answer, asked) = oneshot::channel();
    let mut first = Box::pin(world.through(never(), async { asked.await.unwrap() }));
    assert!(poll!(&mut first).is_pending());
    let mut others: Vec<_> = (0..5)
        .map(|_| Box::pin(world.through(never(), looked_up())))
        .collect();
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    answer.send(refused()).unwrap();
    assert!(first.await.0.refusal.is_some());
    for other in others {
        assert_eq!(other.await.0.refusal, None);
    }
}

#[tokio::test]
async fn who_waits_for_one_that_hangs_goes_on_alone() {
    let world = World::new();
    let mut first = Box::pin(world.through(never(), pending()));
    assert!(poll!(&mut first).is_pending());
    assert!(!world.through(soon(), looked_up()).await.1);
    // The first one still has the lock, and what was found without it is kept all the same.
    assert!(world.through(soon(), not_looked_up()).await.1);
}

#[tokio::test]
async fn a_lookup_that_is_given_up_leaves_the_turn_to_the_next() {
    let world = World::new();
    let mut first = Box::pin(world.through(never(), pending()));
    assert!(poll!(&mut first).is_pending());
    drop(first);
    assert!(!world.through(never(), looked_up()).await.1);
}

#[tokio::test]
async fn nobody_waits_for_another_image_with_the_same_lock() {
    let world = World::new();
    let mut first = Box::pin(world.through(never(), pending()));
    assert!(poll!(&mut first).is_pending());
    // Somebody else has it by now.
    let locks = world
        .root
        .path()
        .join(STATE_DIR)
        .join(FOLDER)
        .join(flight::FOLDER);
    fs::write(
        locks.join(world.key().bucket()),
        "f".repeat(world.key().name().len()),
    )
    .unwrap();
    assert!(!world.through(never(), looked_up()).await.1);
}

#[tokio::test]
async fn where_there_are_no_locks_everybody_looks() {
    let world = World::new();
    let cache = world.root.path().join(STATE_DIR).join(FOLDER);
    fs::create_dir_all(&cache).unwrap();
    symlink("/", cache.join(flight::FOLDER)).unwrap();
    assert!(!world.through(soon(), looked_up()).await.1);
    assert!(world.through(soon(), not_looked_up()).await.1);
}
