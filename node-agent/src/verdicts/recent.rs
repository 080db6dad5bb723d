//! What was refused lately. Pure: the clock is an argument.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use policy::verdicts::{Kind, Record};

/// The most pairs, or names, that the status shows.
pub const MOST_SHOWN: usize = 10;
/// How long a refusal is shown after it was last seen.
const SHOWN_FOR: SignedDuration = SignedDuration::from_hours(1);
/// How long a refusal keeps its place from others: twice the longest pause of the kubelet between
/// two tries, so that what is still tried stays. Without it, eleven images that are tried in turn
/// would change the status at every try.
const KEEPS_ITS_PLACE: SignedDuration = SignedDuration::from_mins(10);

/// The (image, reason) pairs that were refused in the last hour, as far as there is room.
#[derive(Debug, Default, Clone)]
pub struct Recent {
    /// When each was last refused. At most [`MOST_SHOWN`].
    pairs: BTreeMap<(String, String), Timestamp>,
    /// When one found no room.
    turned_away: Option<Timestamp>,
}

/// What the status says of it: the same for the same pairs, however often they are refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Image and reason, sorted. At most [`MOST_SHOWN`].
    pub pairs: Vec<(String, String)>,
    /// Whether there were more.
    pub is_cut: bool,
}

impl Recent {
    /// Takes one line of the log.
    pub fn take(&mut self, record: &Record, now: Timestamp) {
        let (Kind::Refused, Some(reason)) = (record.verdict, &record.reason) else {
            return;
        };
        // The clock may have gone back.
        let at = record.time.min(now);
        self.expire(now);
        if is_past(at, now) {
            return;
        }
        let pair = (record.image.clone(), reason.clone());
        if let Some(known) = self.pairs.get_mut(&pair) {
            *known = at.max(*known);
            return;
        }
        if self.pairs.len() < MOST_SHOWN {
            self.pairs.insert(pair, at);
            return;
        }
        self.turned_away = Some(self.turned_away.map_or(at, |known| known.max(at)));
        // The one that was refused longest ago; the first in order among equals.
        let oldest = self.pairs.iter().min_by_key(|(_, last)| **last);
        let oldest = oldest.map(|(pair, last)| (pair.clone(), *last));
        if let Some((oldest, last)) = oldest
            && at.duration_since(last) >= KEEPS_ITS_PLACE
        {
            self.pairs.remove(&oldest);
            self.pairs.insert(pair, at);
        }
    }

    /// What was refused in the hour before `now`.
    pub fn refused(&mut self, now: Timestamp) -> Refused {
        self.expire(now);
        Refused {
            pairs: self.pairs.keys().cloned().collect(),
            is_cut: self.turned_away.is_some(),
        }
    }

    fn expire(&mut self, now: Timestamp) {
        for last in self.pairs.values_mut().chain(&mut self.turned_away) {
            *last = now.min(*last);
        }
        self.pairs.retain(|_, last| !is_past(*last, now));
        self.turned_away = self.turned_away.filter(|last| !is_past(*last, now));
    }
}

fn is_past(last: Timestamp, now: Timestamp) -> bool {
    now.duration_since(last) > SHOWN_FOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdicts::tests::record;

    const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn at(minutes: i64) -> Timestamp {
        START + SignedDuration::from_mins(minutes)
    }

    fn refused(image: &str, minutes: i64) -> Record {
        Record {
            verdict: Kind::Refused,
            reason: Some("NoSignature".to_owned()),
            time: at(minutes),
            ..record(image)
        }
    }

    fn take(recent: &mut Recent, image: &str, minutes: i64) {
        recent.take(&refused(image, minutes), at(minutes));
    }

    fn images(recent: &mut Recent, minutes: i64) -> Vec<String> {
        let refused = recent.refused(at(minutes));
        refused.pairs.into_iter().map(|(image, _)| image).collect()
    }

    #[test]
    fn a_pair_is_shown_for_an_hour_after_it_was_last_refused() {
        let mut recent = Recent::default();
        take(&mut recent, "b", 0);
        take(&mut recent, "a", 30);
        take(&mut recent, "b", 40);
        assert_eq!(images(&mut recent, 90), ["a", "b"]);
        assert_eq!(images(&mut recent, 91), ["b"]);
        assert_eq!(images(&mut recent, 100), ["b"]);
        assert_eq!(recent.refused(at(101)), Refused::default());
    }

    #[test]
    fn only_refusals_count_and_each_reason_is_a_pair() {
        let mut recent = Recent::default();
        let audit = Record {
            verdict: Kind::Audit,
            ..refused("a", 0)
        };
        recent.take(&audit, at(0));
        recent.take(&record("a"), at(0));
        assert_eq!(recent.refused(at(0)), Refused::default());
        take(&mut recent, "a", 0);
        let other = Record {
            reason: Some("TimedOut".to_owned()),
            ..refused("a", 0)
        };
        recent.take(&other, at(0));
        let pair = |reason: &str| ("a".to_owned(), reason.to_owned());
        let pairs = recent.refused(at(0)).pairs;
        assert_eq!(pairs, [pair("NoSignature"), pair("TimedOut")]);
    }

    #[test]
    fn lines_of_long_ago_are_not_shown_when_the_log_is_read_again() {
        let mut recent = Recent::default();
        recent.take(&refused("old", 0), at(61));
        recent.take(&refused("new", 2), at(61));
        assert_eq!(images(&mut recent, 61), ["new"]);
    }

    #[test]
    fn however_many_are_refused_ten_are_kept_and_what_is_still_tried_stays() {
        let mut recent = Recent::default();
        for round in 0..6 {
            for number in 0..5000 {
                take(&mut recent, &format!("image-{number:04}"), round * 5);
            }
        }
        let kept: Vec<String> = (0..10).map(|number| format!("image-{number:04}")).collect();
        assert_eq!(images(&mut recent, 25), kept);
        assert!(recent.refused(at(25)).is_cut);
        assert_eq!(recent.pairs.len(), MOST_SHOWN);
        // What is tried no longer makes room for what is.
        for number in 0..20 {
            take(&mut recent, &format!("later-{number:02}"), 40);
        }
        let kept: Vec<String> = (0..10).map(|number| format!("later-{number:02}")).collect();
        assert_eq!(images(&mut recent, 40), kept);
        assert!(!recent.refused(at(101)).is_cut);
    }

    #[test]
    fn the_same_lines_in_the_same_order_give_the_same_pairs() {
        let run = || {
            let mut recent = Recent::default();
            for number in 0..300 {
                take(&mut recent, &format!("{}", number * 7919 % 101), number);
            }
            recent.refused(at(300))
        };
        assert_eq!(run(), run());
        assert_eq!(run().pairs.len(), MOST_SHOWN);
    }

    #[test]
    fn a_clock_that_goes_back_keeps_nothing_for_ever() {
        let mut recent = Recent::default();
        take(&mut recent, "future", 6000);
        assert_eq!(images(&mut recent, 0), ["future"]);
        assert_eq!(images(&mut recent, 60), ["future"]);
        assert_eq!(recent.refused(at(61)), Refused::default());
        recent.take(&refused("ahead", 6000), at(61));
        assert_eq!(images(&mut recent, 121), ["ahead"]);
        assert_eq!(images(&mut recent, 122), [""; 0]);
    }
}
