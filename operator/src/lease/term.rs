//! Whose turn it is: what a candidate does about the lease as it finds it. Pure; the time is passed
//! in.
//!
//! A candidate never compares the lease's times with a clock of its own: replicas' clocks differ. It
//! takes the lease from another holder when it has seen no renewal for the lease's whole duration by
//! its own monotonic clock. The holder counts from before it asked for its last renewal, and stops a
//! third earlier. So at no time do two hold it, whatever their clocks say, as long as they run equally
//! fast.

use std::time::Duration;

use tokio::time::Instant;

/// For how long a lease is nobody else's after a renewal.
pub(super) const DURATION: Duration = Duration::from_secs(15);
/// For how long its holder acts upon a renewal, counted from before it was asked for.
pub(super) const VALID: Duration = Duration::from_secs(10);
/// The longest duration of another holder that is respected: a lease is no way to lock everybody out.
const LONGEST: Duration = Duration::from_mins(1);

/// The lease as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Nothing where it was given back.
    pub(super) holder: Option<String>,
    /// The last renewal by the holder's clock: only ever compared with itself.
    pub(super) renewed: String,
    pub(super) duration: Duration,
    pub(super) transitions: i32,
    /// The version that a write must still find.
    pub(super) version: String,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// There is no lease.
    Create,
    /// It is nobody's, or its holder is gone.
    Take { version: String, transitions: i32 },
    /// It is ours.
    Renew { version: String },
    /// It is somebody else's.
    Follow { holder: String },
}

/// What one candidate has seen.
#[derive(Debug)]
pub(super) struct Term {
    me: String,
    /// Holder, renewal and transitions, and when they were first seen.
    seen: Option<((String, String, i32), Instant)>,
}

impl Term {
    pub(super) fn new(me: &str) -> Self {
        let me = me.to_owned();
        Self { me, seen: None }
    }

    /// What to do about the lease as it is at `now`; nothing where there is none.
    pub(super) fn step(&mut self, found: Option<Record>, now: Instant) -> Step {
        let Some(record) = found else {
            self.seen = None;
            return Step::Create;
        };
        let version = record.version;
        let transitions = record.transitions.saturating_add(1);
        let Some(holder) = record.holder.filter(|holder| !holder.is_empty()) else {
            self.seen = None;
            return Step::Take {
                version,
                transitions,
            };
        };
        if holder == self.me {
            return Step::Renew { version };
        }
        let key = (holder.clone(), record.renewed, record.transitions);
        let since = match &self.seen {
            Some((seen, since)) if *seen == key => *since,
            _ => {
                self.seen = Some((key, now));
                now
            }
        };
        let duration = record.duration.clamp(DURATION, LONGEST);
        if now.duration_since(since) < duration {
            return Step::Follow { holder };
        }
        Step::Take {
            version,
            transitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, renewed: &str) -> Record {
        Record {
            holder: Some(holder.to_owned()),
            renewed: renewed.to_owned(),
            duration: DURATION,
            transitions: 3,
            version: "7".to_owned(),
        }
    }

    fn take() -> Step {
        let version = "7".to_owned();
        Step::Take {
            version,
            transitions: 4,
        }
    }

    fn follow(holder: &str) -> Step {
        let holder = holder.to_owned();
        Step::Follow { holder }
    }

    #[test]
    fn a_lease_that_is_nobodys_is_taken_at_once() {
        let mut term = Term::new("me");
        let now = Instant::now();
        assert_eq!(term.step(None, now), Step::Create);
        assert_eq!(term.step(Some(record("", "1")), now), take());
        let mut given_back = record("other", "1");
        given_back.holder = None;
        assert_eq!(term.step(Some(given_back), now), take());
        let version = "7".to_owned();
        let ours = Some(record("me", "1"));
        assert_eq!(term.step(ours, now), Step::Renew { version });
    }

    #[test]
    fn another_holder_is_waited_for_by_our_own_clock_whatever_its_times_say() {
        let mut term = Term::new("me");
        let start = Instant::now();
        // Long ago by the calendar, and first seen now.
        let old = || Some(record("other", "1970-01-01T00:00:00Z"));
        let second = Duration::from_secs(1);
        assert_eq!(term.step(old(), start), follow("other"));
        let almost = start + DURATION - second;
        assert_eq!(term.step(old(), almost), follow("other"));
        // A renewal begins it anew, and so does another holder.
        let renewed = || Some(record("other", "1970-01-01T00:00:02Z"));
        assert_eq!(term.step(renewed(), almost), follow("other"));
        let at = almost + DURATION - second;
        assert_eq!(term.step(renewed(), at), follow("other"));
        assert_eq!(term.step(renewed(), at + second), take());
        let third = || Some(record("third", "1970-01-01T00:00:02Z"));
        assert_eq!(term.step(third(), at + second), follow("third"));
    }

    #[test]
    fn a_duration_of_nothing_or_of_years_is_none() {
        for (duration, waits) in [
            (Duration::ZERO, DURATION),
            (Duration::from_secs(20), Duration::from_secs(20)),
            (Duration::from_hours(9000), LONGEST),
        ] {
            let mut term = Term::new("me");
            let start = Instant::now();
            let mut record = record("other", "1");
            record.duration = duration;
            let mut step = |after| term.step(Some(record.clone()), start + after);
            assert_eq!(step(Duration::ZERO), follow("other"));
            assert_eq!(
                step(waits.checked_sub(Duration::from_millis(1)).unwrap()),
                follow("other")
            );
            assert_eq!(step(waits), take(), "{duration:?}");
        }
    }

    #[test]
    fn a_holder_stops_before_anybody_else_may_take_the_lease() {
        assert!(VALID < DURATION);
    }
}
