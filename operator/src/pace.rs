//! How fast writes are begun: so many a second, few at once, and later where the API server asks for
//! that.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait after an answer that says "not now", where it does not say for how long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// The pace of one lane. The time is passed in.
#[derive(Debug)]
pub(crate) struct Pace {
    /// From one write to the next, on average.
    gap: Duration,
    /// How many may be begun at one go after a pause.
    burst: u32,
    /// How many may wait for an answer at once.
    at_once: usize,
    next: Instant,
    /// Answers in a row that said "not now".
    refusals: u32,
}

impl Pace {
    pub(crate) fn new(per_second: u32, burst: u32, at_once: usize, now: Instant) -> Self {
        Self {
            gap: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
            at_once,
            next: now,
            refusals: 0,
        }
    }

    /// When the next write may be begun, where so many are under way; nothing while those have to be
    /// waited for.
    pub(crate) fn next(&self, under_way: usize) -> Option<Instant> {
        (under_way < self.at_once).then_some(self.next)
    }

    /// One was begun.
    pub(crate) fn begun(&mut self, now: Instant) {
        // What was not used is kept for a burst, and no more.
        let earliest = now.checked_sub(self.gap * (self.burst - 1)).unwrap_or(now);
        self.next = self.next.max(earliest) + self.gap;
    }

    /// The API server has answered, as it should.
    pub(crate) fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// It has too much to do; it may have said for how long.
    pub(crate) fn refused(&mut self, asked: Option<Duration>, now: Instant) {
        let wait = FIRST * (1 << self.refusals.min(6));
        self.refusals += 1;
        let wait = wait.max(asked.unwrap_or_default()).min(LONGEST);
        self.next = self.next.max(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun_within(pace: &mut Pace, from: Instant, time: Duration) -> u32 {
        let (mut now, mut count) = (from, 0);
        while let Some(next) = pace.next(0) {
            now = now.max(next);
            if now >= from + time {
                break;
            }
            pace.begun(now);
            count += 1;
        }
        count
    }

    #[test]
    fn so_many_a_second_and_no_more() {
        let now = Instant::now();
        let mut slow = Pace::new(20, 1, 8, now);
        assert_eq!(begun_within(&mut slow, now, Duration::from_secs(10)), 200);
        let mut fast = Pace::new(200, 1, 8, now);
        assert_eq!(begun_within(&mut fast, now, Duration::from_secs(10)), 2000);
    }

    #[test]
    fn after_a_pause_a_burst_is_made_up_for_and_not_the_whole_pause() {
        let now = Instant::now();
        let mut pace = Pace::new(100, 10, 8, now);
        pace.begun(now);
        let later = now + Duration::from_mins(1);
        let at_one_go = begun_within(&mut pace, later, Duration::from_millis(1));
        assert_eq!(at_one_go, 10);
    }

    #[test]
    fn few_are_under_way_at_once() {
        let pace = Pace::new(200, 1, 2, Instant::now());
        assert!(pace.next(1).is_some());
        assert_eq!(pace.next(2), None);
    }

    #[test]
    fn an_api_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_asks_for() {
        let now = Instant::now();
        let mut pace = Pace::new(200, 20, 8, now);
        pace.refused(Some(Duration::from_secs(7)), now);
        assert_eq!(pace.next(0), Some(now + Duration::from_secs(7)));
        // Without that word later and later, up to a limit, and from the beginning once it is well.
        let mut pace = Pace::new(200, 20, 8, now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let before = pace.next;
            pace.refused(None, before);
            waits.push((pace.next - before).as_millis());
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        pace.accepted();
        let before = pace.next;
        pace.refused(None, before);
        assert_eq!((pace.next - before).as_millis(), 500);
        pace.refused(Some(Duration::from_hours(1)), before);
        assert_eq!(pace.next - before, LONGEST, "it is asked again at times");
    }
}
