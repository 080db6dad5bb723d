//! How seldom things are told. Pure: the clock is an argument.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use policy::model::PolicyId;

use super::matters::Matter;
use super::{Subject, Topic};

/// The pause between two notices of one topic. What comes up meanwhile is told together.
pub(crate) const PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// The most notices of all topics within [`MINUTE`].
pub(crate) const MOST: usize = 60;
/// Of those at most so many are not about nodes: a quarter is kept for them.
pub(crate) const MOST_OF_OTHERS: usize = 45;
/// And of those at most so many are about policies of namespaces: tenants, who may make up ever new
/// names, do not keep what the cluster's own have to tell.
pub(crate) const MOST_OF_TENANTS: usize = 30;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// What is older when a process begins to tell is no news: whoever told before it has told it, and
/// the API server keeps events for about as long.
const OLD: SignedDuration = SignedDuration::from_hours(1);

/// Whose notices they are; each may take up some of the room of those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Tenants,
    Cluster,
    Nodes,
}

impl Party {
    const ALL: [Self; 3] = [Self::Tenants, Self::Cluster, Self::Nodes];

    fn of(topic: &Topic) -> Self {
        match &topic.subject {
            Subject::Policy(PolicyId::Namespaced { .. }) => Self::Tenants,
            Subject::Policy(PolicyId::Cluster { .. }) | Subject::Config | Subject::TrustRoot(_) => {
                Self::Cluster
            }
            Subject::Node(_) => Self::Nodes,
        }
    }

    /// The most notices within [`MINUTE`] of it and those before it.
    fn most(self) -> usize {
        match self {
            Self::Tenants => MOST_OF_TENANTS,
            Self::Cluster => MOST_OF_OTHERS,
            Self::Nodes => MOST,
        }
    }
}

/// What was told. It is kept in memory: a process that begins anew tells what it finds by the names
/// that it had, so that what was told is found told.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// Whether it has looked before.
    begun: bool,
    /// Of what is still the case, what was told.
    told: BTreeMap<Topic, BTreeSet<String>>,
    /// When topics were told, for as long as that holds them back.
    last: BTreeMap<Topic, Timestamp>,
    /// Since when topics wait to be told.
    waiting: BTreeMap<Topic, Timestamp>,
    /// When notices of the last minute were told, the oldest first.
    recent: VecDeque<(Timestamp, Party)>,
}

impl Teller {
    /// Of all that is the case now, what is to be told now: each topic with what is new about it.
    /// All of a topic then counts as told.
    pub(crate) fn tell(
        &mut self,
        matters: &BTreeMap<Topic, Matter>,
        now: Timestamp,
    ) -> Vec<(Topic, Vec<String>)> {
        self.forget(matters, now);
        if !std::mem::replace(&mut self.begun, true) {
            self.begin(matters, now);
        }
        let mut news: BTreeMap<&Topic, Vec<String>> = BTreeMap::new();
        for (topic, matter) in matters {
            let told = self.told.get(topic);
            let is_new = |key: &&String| told.is_none_or(|told| !told.contains(*key));
            let new: Vec<String> = matter.items.keys().filter(is_new).cloned().collect();
            if !new.is_empty() {
                news.insert(topic, new);
            }
        }
        self.waiting.retain(|topic, _| news.contains_key(topic));
        for topic in news.keys() {
            self.waiting.entry((*topic).clone()).or_insert(now);
        }
        // Policies before nodes, of which many may have the same to tell; then who waits longest.
        let held = |topic: &&Topic| self.last.contains_key(*topic);
        let mut due: Vec<(bool, Timestamp, Topic)> = self
            .waiting
            .iter()
            .filter(|(topic, _)| !held(topic))
            .map(|(topic, since)| {
                let of_node = matches!(topic.subject, Subject::Node(_));
                (of_node, *since, topic.clone())
            })
            .collect();
        due.sort();
        due.into_iter()
            .filter_map(|(_, _, topic)| {
                let party = Party::of(&topic);
                if self.full(party).is_some() {
                    return None;
                }
                let new = news.remove(&topic)?;
                let keys = matters.get(&topic)?.items.keys().cloned();
                self.told.insert(topic.clone(), keys.collect());
                self.last.insert(topic.clone(), now);
                self.waiting.remove(&topic);
                self.recent.push_back((now, party));
                Some((topic, new))
            })
            .collect()
    }

    /// What is the case no more, and what holds nothing back any more. The clock may have gone back.
    fn forget(&mut self, matters: &BTreeMap<Topic, Matter>, now: Timestamp) {
        self.told.retain(|topic, told| {
            let items = matters.get(topic).map(|matter| &matter.items);
            told.retain(|key| items.is_some_and(|items| items.contains_key(key)));
            !told.is_empty()
        });
        let within = |then: Timestamp, span| then <= now && now.duration_since(then) < span;
        self.last.retain(|_, then| within(*then, PAUSE));
        self.recent.retain(|(then, _)| within(*then, MINUTE));
    }

    fn begin(&mut self, matters: &BTreeMap<Topic, Matter>, now: Timestamp) {
        for (topic, matter) in matters {
            let is_old = |since: Timestamp| now.duration_since(since) >= OLD;
            let old = matter.items.iter();
            let old = old.filter(|(_, item)| item.since.is_some_and(is_old));
            let old: BTreeSet<String> = old.map(|(key, _)| key.clone()).collect();
            if !old.is_empty() {
                self.told.insert(topic.clone(), old);
            }
        }
    }

    /// Until when there is no room for a notice of this party, if there is none.
    fn full(&self, party: Party) -> Option<Timestamp> {
        let limits = Party::ALL.into_iter().filter(|limit| *limit >= party);
        let full = limits.filter_map(|limit| {
            let mut within = self.recent.iter().filter(|(_, party)| *party <= limit);
            let first = within.next()?;
            (within.count() + 1 >= limit.most()).then(|| first.0.checked_add(MINUTE).ok())?
        });
        full.max()
    }

    /// When something that waits may be told.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let full = Party::ALL.map(|party| self.full(party));
        let free = |topic: &Topic| {
            let held = self.last.get(topic);
            let held = held.and_then(|last| last.checked_add(PAUSE).ok());
            held.max(full.get(Party::of(topic) as usize).copied().flatten())
        };
        self.waiting
            .iter()
            .map(|(topic, since)| free(topic).unwrap_or(*since))
            .min()
    }
}
