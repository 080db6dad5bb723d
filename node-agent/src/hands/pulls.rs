//! Which images are pulled again next, so that registries that do not answer keep none from its turn.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::wait;
use crate::refresh::Stale;

/// The least time between two rounds: meanwhile everything else of a turn is done.
const REST: Duration = Duration::from_secs(5);

/// What was tried of the images that are to be pulled again.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    /// How often, and when last.
    tried: BTreeMap<Stale, (u32, Instant)>,
    /// When the last round ended.
    round: Option<Instant>,
}

impl Pulls {
    /// What a round begun now pulls: what was never tried first, then what was tried longest ago.
    pub(super) fn next(&self, stale: &[Stale], now: Instant) -> Vec<Stale> {
        if self.rest().is_some_and(|rest| rest > now) {
            return Vec::new();
        }
        let last = |stale: &Stale| self.tried.get(stale).map(|(_, at)| *at);
        let is_due = |stale: &&Stale| self.due_of(stale).is_none_or(|due| due <= now);
        let mut next: Vec<Stale> = stale.iter().filter(is_due).cloned().collect();
        next.sort_by_key(last);
        next
    }

    /// When the next round is due; nothing for at once.
    pub(super) fn due(&self, stale: &[Stale]) -> Option<Instant> {
        // An image that was not tried yet is due before all others.
        let first = stale.iter().map(|stale| self.due_of(stale)).min()?;
        first.max(self.rest())
    }

    /// One was tried, whatever came of it.
    pub(super) fn tried(&mut self, stale: Stale, now: Instant) {
        let (tries, at) = self.tried.entry(stale).or_insert((0, now));
        *tries = tries.saturating_add(1);
        *at = now;
    }

    /// A round for these ended. True when every one of them was tried, in this round or before.
    pub(super) fn ended(&mut self, stale: &[Stale], now: Instant) -> bool {
        self.round = Some(now);
        self.tried.retain(|tried, _| stale.contains(tried));
        stale.iter().all(|stale| self.tried.contains_key(stale))
    }

    fn due_of(&self, stale: &Stale) -> Option<Instant> {
        let (tries, at) = self.tried.get(stale)?;
        Some(*at + wait(*tries))
    }

    fn rest(&self) -> Option<Instant> {
        Some(self.round? + REST)
    }
}

#[cfg(test)]
mod tests {
    use policy::digest::Digest;

    use super::*;

    fn stale(names: &[&str]) -> Vec<Stale> {
        let stale = |name: &&str| Stale {
            reference: (*name).to_owned(),
            demand: Digest::of(b"demand"),
            holds: true,
        };
        names.iter().map(stale).collect()
    }

    #[test]
    fn a_round_that_ran_out_of_time_goes_on_with_those_that_were_not_tried() {
        let all = stale(&["a", "b", "c", "d", "e"]);
        let mut pulls = Pulls::default();
        let mut now = Instant::now();
        assert_eq!(pulls.due(&all), None);
        assert_eq!(pulls.next(&all, now), all);
        for stale in &all[..4] {
            pulls.tried(stale.clone(), now);
        }
        assert!(!pulls.ended(&all, now), "one was not tried");
        // No second round in the same turn.
        assert_eq!(pulls.next(&all, now), []);
        assert_eq!(pulls.due(&all), Some(now + REST));
        now += REST;
        assert_eq!(pulls.next(&all, now), all[4..]);
        now += Duration::from_hours(1);
        let next = pulls.next(&all, now);
        assert_eq!((next.len(), &next[0]), (5, &all[4]));
        pulls.tried(all[4].clone(), now);
        assert!(pulls.ended(&all, now), "each was tried once");
        now += REST;
        assert_eq!(pulls.next(&all, now), all[..4], "longest ago");
    }

    #[test]
    fn each_is_tried_later_and_later_and_another_demand_at_once() {
        let one = stale(&["a"]);
        let mut pulls = Pulls::default();
        let now = Instant::now();
        let mut last = None;
        for tries in 1..10 {
            pulls.tried(one[0].clone(), now);
            assert!(pulls.ended(&one, now));
            let due = pulls.due(&one);
            assert_eq!(due, Some((now + wait(tries)).max(now + REST)));
            assert!(due >= last);
            last = due;
        }
        let other = vec![Stale {
            demand: Digest::of(b"other"),
            ..one[0].clone()
        }];
        assert_eq!(pulls.next(&other, now + REST), other);
        // What is not stale any more is forgotten.
        assert!(!pulls.ended(&other, now));
        assert!(pulls.tried.is_empty());
    }
}
