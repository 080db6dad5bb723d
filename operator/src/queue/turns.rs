//! Whose turn it is in [`Lane::Rest`](super::Lane::Rest).
//!
//! What is urgent goes first. Among what is as urgent, all that is about one namespace's policies takes
//! turns with everything else: a tenant who has thousands of policies, or one that changes all
//! the time, waits for himself. And every fourth write goes to whom none went to for longest, however
//! urgent the rest: bundles are deleted and events told even while somebody keeps the operator busy.

use std::collections::BTreeMap;

use policy::model::PolicyId;

use crate::index::{Write, WriteKey};

/// Every so many writes one goes by turn alone.
const BY_TURN: u64 = 4;
/// How many are remembered at least, before those of long ago are forgotten.
const REMEMBERED: usize = 10_000;

/// Who takes turns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    /// All policies of a namespace.
    Namespace(String),
    /// What the write is about.
    Object(WriteKey),
}

impl Party {
    fn of(key: &WriteKey) -> Self {
        match key {
            WriteKey::PolicyStatus(PolicyId::Namespaced { namespace, .. }) => {
                Self::Namespace(namespace.clone())
            }
            other => Self::Object(other.clone()),
        }
    }
}

/// Who was written last, and when.
#[derive(Debug, Default)]
pub(super) struct Turns {
    count: u64,
    last: BTreeMap<Party, u64>,
}

impl Turns {
    /// Which of these goes next.
    pub(super) fn next<'a>(
        &self,
        writes: impl Iterator<Item = (&'a WriteKey, &'a Write)>,
    ) -> Option<&'a WriteKey> {
        let by_turn = self.count % BY_TURN == BY_TURN - 1;
        let place = |(key, write): &(&WriteKey, &Write)| {
            let rank = if by_turn { 0 } else { write.rank() };
            let last = self.last.get(&Party::of(key)).copied();
            // Who was never written comes by rank all the same.
            (rank, last.unwrap_or_default(), write.rank())
        };
        writes.min_by_key(place).map(|(key, _)| key)
    }

    /// It is written now.
    pub(super) fn took(&mut self, key: &WriteKey) {
        self.count += 1;
        self.last.insert(Party::of(key), self.count);
        if self.last.len() > 2 * REMEMBERED {
            let since = self.count.saturating_sub(REMEMBERED as u64);
            self.last.retain(|_, last| *last > since);
        }
    }
}

#[cfg(test)]
mod tests {
    use crds::types::{EnforcementConfigStatus, PolicyStatus};

    use super::*;

    fn status(namespace: &str, name: &str) -> Write {
        Write::PolicyStatus {
            id: PolicyId::Namespaced {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
            status: PolicyStatus::default(),
            counts_only: false,
        }
    }

    fn delete(name: &str) -> Write {
        Write::DeleteBundle {
            name: name.to_owned(),
            uid: "u".to_owned(),
        }
    }

    /// Writes so often, of what is always there again.
    fn written(turns: &mut Turns, writes: &[Write], count: usize) -> Vec<WriteKey> {
        let queue: BTreeMap<WriteKey, &Write> = writes.iter().map(|w| (w.key(), w)).collect();
        let mut all = Vec::new();
        for _ in 0..count {
            let next = turns.next(queue.iter().map(|(key, write)| (key, *write)));
            let next = next.unwrap().clone();
            turns.took(&next);
            all.push(next);
        }
        all
    }

    #[test]
    fn a_namespace_that_is_never_done_does_not_keep_the_others_waiting() {
        let mut writes: Vec<Write> = (0..1000)
            .map(|number| status("a-busy-one", &number.to_string()))
            .collect();
        writes.push(status("other", "p"));
        let first = written(&mut Turns::default(), &writes, 2);
        assert!(first.contains(&status("other", "p").key()), "{first:?}");
    }

    #[test]
    fn what_is_less_urgent_has_its_turn() {
        let writes = [status("busy", "p"), status("busy", "q"), delete("b")];
        let first = written(&mut Turns::default(), &writes, 4);
        assert!(first.contains(&delete("b").key()), "{first:?}");
        // And no more than that.
        let all = written(&mut Turns::default(), &writes, 100);
        let deleted = all.iter().filter(|key| **key == delete("b").key());
        assert!(deleted.count() <= 25);
    }

    #[test]
    fn what_is_urgent_goes_first() {
        let config = Write::ConfigStatus {
            status: EnforcementConfigStatus::default(),
        };
        let writes = [status("busy", "p"), delete("b"), config.clone()];
        assert_eq!(written(&mut Turns::default(), &writes, 1), [config.key()]);
        let many = written(&mut Turns::default(), &writes, 400);
        let count = many.iter().filter(|key| **key == config.key()).count();
        assert!(count >= 300, "{count}");
    }

    #[test]
    fn not_everybody_is_remembered_for_good() {
        let mut turns = Turns::default();
        for number in 0..50_000 {
            turns.took(&WriteKey::Notice(number.to_string()));
        }
        assert!(turns.last.len() <= 2 * REMEMBERED);
    }
}
