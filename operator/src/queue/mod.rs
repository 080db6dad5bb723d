//! Writes that wait to be begun: of each lane the most urgent first, in the lane of what is only said by
//! turns, and at most one under way about each object.

mod turns;

use std::collections::{BTreeMap, BTreeSet};

use self::turns::Turns;
use crate::index::{Write, WriteKey};

/// Writes are begun at two paces: nodes do not wait behind what is only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What nodes wait for.
    Nodes,
    /// What is said, and tidying up.
    Rest,
}

impl Lane {
    /// The most urgent first.
    pub(crate) const ALL: [Self; 2] = [Self::Nodes, Self::Rest];

    pub(crate) const fn of(write: &Write) -> Self {
        match write {
            Write::CreateBundle { .. } | Write::SetBundle { .. } | Write::Taint { .. } => {
                Self::Nodes
            }
            Write::PolicyStatus { .. }
            | Write::TrustRootStatus { .. }
            | Write::ConfigStatus { .. }
            | Write::TufState { .. }
            | Write::DeleteBundle { .. }
            | Write::Notice(_) => Self::Rest,
        }
    }
}

/// A write with the turn that asked for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queued {
    pub(crate) turn: u64,
    pub(crate) write: Write,
}

/// The writes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The newest about each object.
    waiting: BTreeMap<WriteKey, Queued>,
    /// Those of them that may be begun, by lane.
    nodes: BTreeSet<(u8, WriteKey)>,
    rest: BTreeSet<(u8, WriteKey)>,
    turns: Turns,
    /// Objects that a write is under way about.
    busy: BTreeMap<WriteKey, Lane>,
}

impl Queue {
    /// Adds a write; it takes the place of one about the same object.
    pub(crate) fn push(&mut self, queued: Queued) {
        let write = &queued.write;
        let key = write.key();
        let (rank, lane) = (write.rank(), Lane::of(write));
        if let Some(Queued { write: old, .. }) = self.waiting.insert(key.clone(), queued) {
            let place = (old.rank(), key.clone());
            self.order(Lane::of(&old)).remove(&place);
        }
        if !self.busy.contains_key(&key) {
            self.order(lane).insert((rank, key));
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the next write of the lane; it is under way until [`Queue::done`].
    pub(crate) fn pop(&mut self, lane: Lane) -> Option<Queued> {
        let (_, key) = match lane {
            Lane::Nodes => self.nodes.pop_first()?,
            Lane::Rest => self.pop_by_turn()?,
        };
        let queued = self.waiting.remove(&key)?;
        self.busy.insert(key, lane);
        Some(queued)
    }

    /// Twenty times a second at most, so that looking at all of them costs little.
    fn pop_by_turn(&mut self) -> Option<(u8, WriteKey)> {
        let waiting = &self.waiting;
        let writes = self.rest.iter().filter_map(|(_, key)| {
            let queued = waiting.get(key)?;
            Some((key, &queued.write))
        });
        let key = self.turns.next(writes)?.clone();
        self.turns.took(&key);
        let place = (waiting.get(&key)?.write.rank(), key);
        self.rest.take(&place)
    }

    /// Whether [`Queue::pop`] has one.
    pub(crate) fn has(&self, lane: Lane) -> bool {
        match lane {
            Lane::Nodes => !self.nodes.is_empty(),
            Lane::Rest => !self.rest.is_empty(),
        }
    }

    /// How many of the lane are under way.
    pub(crate) fn under_way(&self, lane: Lane) -> usize {
        self.busy.values().filter(|busy| **busy == lane).count()
    }

    /// It is under way no more, whatever came of it.
    pub(crate) fn done(&mut self, key: &WriteKey) {
        if self.busy.remove(key).is_some()
            && let Some(Queued { write, .. }) = self.waiting.get(key)
        {
            let (rank, lane) = (write.rank(), Lane::of(write));
            self.order(lane).insert((rank, key.clone()));
        }
    }

    fn order(&mut self, lane: Lane) -> &mut BTreeSet<(u8, WriteKey)> {
        match lane {
            Lane::Nodes => &mut self.nodes,
            Lane::Rest => &mut self.rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use crds::types::PolicyStatus;
    use policy::model::PolicyId;

    use super::*;

    fn set(node: &str, bundle: &str) -> Write {
        Write::SetBundle {
            node: node.to_owned(),
            uid: "u".to_owned(),
            bundle: bundle.to_owned(),
            record: None,
            version: 1,
        }
    }

    fn status(name: &str, counts_only: bool) -> Write {
        Write::PolicyStatus {
            id: PolicyId::Cluster {
                name: name.to_owned(),
            },
            status: PolicyStatus::default(),
            counts_only,
        }
    }

    fn push(queue: &mut Queue, write: Write) {
        queue.push(Queued { turn: 0, write });
    }

    fn pop(queue: &mut Queue, lane: Lane) -> Option<Write> {
        queue.pop(lane).map(|queued| queued.write)
    }

    fn delete(name: &str) -> Write {
        let (name, uid) = (name.to_owned(), String::new());
        Write::DeleteBundle { name, uid }
    }

    #[test]
    fn each_lane_gives_the_most_urgent_first() {
        let mut queue = Queue::default();
        for write in [
            delete("x"),
            status("a", true),
            set("n", "x"),
            status("z", false),
        ] {
            push(&mut queue, write);
        }
        assert_eq!(pop(&mut queue, Lane::Nodes), Some(set("n", "x")));
        assert_eq!(pop(&mut queue, Lane::Nodes), None);
        let rest = std::iter::from_fn(|| pop(&mut queue, Lane::Rest));
        let expected = [status("z", false), status("a", true), delete("x")];
        assert_eq!(rest.collect::<Vec<_>>(), expected);
        assert_eq!(
            (queue.under_way(Lane::Nodes), queue.under_way(Lane::Rest)),
            (1, 3)
        );
    }

    #[test]
    fn one_write_is_under_way_about_each_object_and_the_newest_follows_it() {
        let mut queue = Queue::default();
        push(&mut queue, set("n", "a"));
        assert_eq!(pop(&mut queue, Lane::Nodes), Some(set("n", "a")));
        push(&mut queue, set("n", "b"));
        push(&mut queue, set("n", "c"));
        assert!(!queue.has(Lane::Nodes));
        queue.done(&set("n", "a").key());
        assert_eq!(queue.under_way(Lane::Nodes), 0);
        assert_eq!(pop(&mut queue, Lane::Nodes), Some(set("n", "c")));
        assert_eq!(pop(&mut queue, Lane::Nodes), None);
    }

    #[test]
    fn what_became_more_urgent_goes_by_its_new_rank_and_stands_there_once() {
        let mut queue = Queue::default();
        for write in [status("a", false), status("b", true), status("b", false)] {
            push(&mut queue, write);
        }
        push(&mut queue, status("a", true));
        assert_eq!(pop(&mut queue, Lane::Rest), Some(status("b", false)));
        assert_eq!(pop(&mut queue, Lane::Rest), Some(status("a", true)));
        assert!(!queue.has(Lane::Rest));
        // A bundle that is deleted and made again changes lanes.
        push(&mut queue, delete("x"));
        let create = Write::CreateBundle {
            name: "x".to_owned(),
            spec: crds::types::PolicyBundleSpec {
                format: 1,
                data: String::new(),
            },
        };
        push(&mut queue, create.clone());
        assert!(!queue.has(Lane::Rest));
        assert_eq!(pop(&mut queue, Lane::Nodes), Some(create));
    }
}
