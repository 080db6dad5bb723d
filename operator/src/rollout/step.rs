//! The next assignments.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::record::{Mark, Record, Weight};
use super::state::{State, forgiven, returned, state};
use super::{Assignment, Bundles, Halted, Node, Outcome, Said, Settings};

/// What to do next. It takes time in proportion to the nodes, and asked again with its assignments
/// made it has nothing to add.
#[must_use]
pub fn step<'a>(
    nodes: &[Node<'a>],
    bundles: &Bundles<'a>,
    settings: &Settings,
    now: Timestamp,
) -> Outcome<'a> {
    let states: Vec<State<'a>> = nodes
        .iter()
        .map(|node| state(node, bundles, settings, now))
        .collect();
    let reachable = nodes.iter().filter(|node| node.reachable).count();
    let limit = settings.max_unavailable.of(reachable).unwrap_or(1).max(1);
    let mut step = Step {
        bundles,
        settings,
        now,
        assigned: nodes.iter().map(|node| node.assigned).collect(),
        slots: limit,
        turns: limit,
        until: Vec::new(),
        halted: BTreeMap::new(),
        outcome: Outcome {
            limit,
            ..Outcome::default()
        },
        nodes,
        states,
    };
    if settings.disabled {
        step.stop();
        return step.outcome;
    }
    step.count();
    step.halt(reachable);
    if !step.stands_still() {
        step.give_back();
        step.advance();
    }
    step.mark();
    step.join();
    step.sum_up()
}

struct Step<'s, 'a> {
    nodes: &'s [Node<'a>],
    states: Vec<State<'a>>,
    bundles: &'s Bundles<'a>,
    settings: &'s Settings,
    now: Timestamp,
    /// What each node has, with what it is given now.
    assigned: Vec<Option<&'a str>>,
    /// How many more nodes may begin to change.
    slots: usize,
    /// How many nodes in change may be given another target: where there are too many, because they
    /// came back or an emergency stop ended, the others wait.
    turns: usize,
    /// When nodes in change are given up.
    until: Vec<Timestamp>,
    /// Halted targets with the nodes that failed.
    halted: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    outcome: Outcome<'a>,
}

/// A node that may be moved; they sort by who goes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate<'a> {
    /// What tenants changed comes after what administrators did.
    same_core: bool,
    /// Canaries are first.
    follows: bool,
    /// Who was not ready before is last.
    unready: bool,
    /// Who has waited longest is first, so that nobody is left behind while targets change.
    since: Option<Timestamp>,
    name: &'a str,
    place: usize,
}

impl<'a> Step<'_, 'a> {
    fn stands_still(&self) -> bool {
        self.settings.paused || self.settings.frozen
    }

    fn core(&self, bundle: &str) -> Option<&'a str> {
        self.bundles.get(bundle).copied()
    }

    /// Whether both are there and of one core.
    fn same_core(&self, a: Option<&str>, b: &str) -> bool {
        let core = self.core(b);
        core.is_some() && a.and_then(|a| self.core(a)) == core
    }

    /// What the node shall have in the end, if that is there.
    fn desired(&self, place: usize) -> Option<&'a str> {
        let desired = self.nodes.get(place)?.desired?;
        self.bundles.contains_key(desired).then_some(desired)
    }

    /// Whether a move is to a target that stands still.
    fn is_halted(&self, from: Option<&str>, to: &str) -> bool {
        let core = self.core(to).filter(|_| !self.same_core(from, to));
        self.halted.contains_key(to) || core.is_some_and(|core| self.halted.contains_key(core))
    }

    fn give(&mut self, place: usize, bundle: &'a str, record: Record) {
        let (Some(node), Some(assigned)) = (self.nodes.get(place), self.assigned.get_mut(place))
        else {
            return;
        };
        *assigned = Some(bundle);
        self.outcome.assignments.push(Assignment {
            node: node.name,
            bundle,
            record,
        });
    }

    /// The emergency stop is for everybody, and waits for nobody.
    fn stop(&mut self) {
        for (place, node) in self.nodes.iter().enumerate() {
            if let Some(desired) = self.desired(place)
                && node.assigned != Some(desired)
            {
                let from = self.from(node);
                let mut record = Record::new(desired, from, Weight::None, self.now);
                let state = self.states.get(place).copied();
                record.failed = state.and_then(|state| self.kept_mark(node, state, desired));
                self.give(place, desired, record);
            }
        }
    }

    /// The last bundle that a node was ready under, if it is there.
    fn from(&self, node: &Node<'a>) -> Option<&'a str> {
        if node.said == Said::Ready {
            return node.assigned;
        }
        let from = node.record?.from.as_deref()?;
        self.bundles.contains_key(from).then_some(from)
    }

    fn count(&mut self) {
        let changing = self.states.iter().filter_map(|state| match state {
            State::Changing(until) => Some(*until),
            _ => None,
        });
        self.until = changing.collect();
        self.slots = self.slots.saturating_sub(self.until.len());
        let there = self.nodes.iter().zip(&self.states);
        let there = there.filter(|(node, state)| {
            matches!(state, State::Changing(_)) && node.assigned == node.desired
        });
        self.turns = self.turns.saturating_sub(there.count());
    }

    fn halt(&mut self, reachable: usize) {
        let most = self.settings.max_failures.of(reachable).unwrap_or(1).max(1);
        let mut failed: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for (node, state) in self.nodes.iter().zip(&self.states) {
            let against = match state {
                State::Failed { target, reason, .. } => Some((*target, *reason)),
                _ => returned(node, self.bundles, self.settings),
            };
            if let Some((target, reason)) = against {
                let all = failed.entry(target).or_default();
                all.push((node.name, reason));
            }
        }
        failed.retain(|_, nodes| nodes.len() >= most);
        self.halted = failed;
    }

    fn mark_of(&self, state: State<'a>) -> Option<Mark> {
        match state {
            State::Failed { target, reason, .. } => Some(Mark {
                target: target.to_owned(),
                reason: reason.to_owned(),
                retry: self.settings.retry.clone(),
            }),
            _ => None,
        }
    }

    /// What a node that is moved on still speaks against: a failure is forgotten where it is tried
    /// again, not because the node is given something else meanwhile.
    fn kept_mark(&self, node: &Node<'a>, state: State<'a>, to: &str) -> Option<Mark> {
        let earlier = || {
            let mark = node.record?.failed.clone()?;
            // It was ready there after all, be it that it broke later.
            let healed = matches!(state, State::Ready | State::Broken)
                && node.assigned.is_some_and(|assigned| {
                    mark.target == assigned || self.core(assigned) == Some(&mark.target)
                });
            (!healed && !forgiven(&mark, self.settings)).then_some(mark)
        };
        self.mark_of(state)
            .or_else(earlier)
            .filter(|mark| mark.target != to && self.core(to) != Some(&mark.target))
    }

    /// Nodes that are not past a halted target go back to what they were ready under.
    fn give_back(&mut self) {
        if self.halted.is_empty() {
            return;
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let Some(state) = self.states.get(place).copied() else {
                continue;
            };
            let in_change = matches!(state, State::Changing(_));
            let stuck = matches!(state, State::Failed { .. } | State::Waiting);
            let (Some(assigned), Some(from)) = (node.assigned, self.from(node)) else {
                continue;
            };
            // What may be given something else yet needs not go back.
            let stays = |desired| self.is_halted(Some(from), desired);
            let back = assigned != from
                && self.is_halted(Some(from), assigned)
                && self.desired(place).is_none_or(stays);
            if !back || !(in_change || stuck) {
                continue;
            }
            if stuck {
                // It has not been in change any more.
                if self.slots == 0 {
                    continue;
                }
                self.slots -= 1;
                self.until.push(self.now);
            }
            let mut back = Record::new(from, Some(from), Weight::None, self.now);
            back.failed = self.kept_mark(node, state, from);
            self.give(place, from, back);
        }
    }

    /// Whether the canary nodes have shown what they are there for: each is ready under the core
    /// that it shall have, or has failed and is tolerated, and at least one is ready.
    fn proven(&self) -> bool {
        let (mut canaries, mut ready) = (0, 0);
        for (place, node) in self.nodes.iter().enumerate() {
            let (true, Some(desired)) = (node.canary, self.desired(place)) else {
                continue;
            };
            let assigned = self.assigned.get(place).copied().flatten();
            let right = self.same_core(assigned, desired);
            let had_it = self.same_core(self.from(node), desired);
            let good = match self.states.get(place) {
                None | Some(State::Unreachable | State::Joining) => continue,
                // It is moved just now.
                Some(_) if assigned != node.assigned => right && had_it,
                Some(State::Ready) => right,
                // What tenants changed is on its way there.
                Some(State::Failed { .. } | State::Broken) if right && !had_it => {
                    canaries += 1;
                    continue;
                }
                Some(State::Changing(_) | State::Failed { .. } | State::Broken) => right && had_it,
                Some(State::Waiting) if right && node.said == Said::Never => continue,
                Some(_) => false,
            };
            if !good {
                return false;
            }
            canaries += 1;
            ready += 1;
        }
        canaries == 0 || ready > 0
    }

    fn advance(&mut self) {
        let mut candidates: Vec<Candidate<'a>> = Vec::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let (Some(desired), Some(state)) = (self.desired(place), self.states.get(place)) else {
                continue;
            };
            let moves = match state {
                State::Unreachable | State::Joining => false,
                State::Forgiven => true,
                // What tenants changed does not undo what speaks against the core.
                State::Failed { target, .. } if self.core(desired) == Some(*target) => false,
                _ => node.assigned != Some(desired),
            };
            // What was just given back is done with.
            let untouched = self.assigned.get(place) == Some(&node.assigned);
            if moves && untouched && !self.is_halted(self.from(node), desired) {
                candidates.push(Candidate {
                    same_core: self.same_core(node.assigned, desired),
                    follows: !node.canary,
                    unready: !matches!(
                        state,
                        State::Ready | State::Bare | State::Changing(_) | State::Forgiven
                    ),
                    since: node.record.map(|record| record.since),
                    name: node.name,
                    place,
                });
            }
        }
        if candidates.is_empty() {
            return;
        }
        candidates.sort_unstable();
        // Asked once all canaries had their turn.
        let mut proven = None;
        for candidate in candidates {
            let waits = candidate.follows && !candidate.same_core;
            let gated = waits && !*proven.get_or_insert_with(|| self.proven());
            self.outcome.canary |= gated;
            if !gated {
                self.move_on(&candidate);
            }
        }
    }

    fn move_on(&mut self, candidate: &Candidate<'a>) {
        let place = candidate.place;
        let (Some(node), Some(desired)) = (self.nodes.get(place), self.desired(place)) else {
            return;
        };
        let state = self.states.get(place).copied();
        let changing = matches!(state, Some(State::Changing(_)));
        let from = self.from(node);
        let mut record = match (state, node.record) {
            (Some(State::Changing(_)), Some(before)) => {
                let gone = node
                    .assigned
                    .is_none_or(|bundle| self.core(bundle).is_none());
                if candidate.same_core && !gone {
                    // It is let finish: what tenants do must not keep it in change for ever.
                    return;
                }
                let mut record = Record::new(desired, from, before.weight, self.now);
                record.began = before.began;
                record
            }
            (Some(State::Forgiven), Some(before)) if node.assigned == Some(desired) => {
                Record::new(desired, from, before.weight, self.now)
            }
            (Some(State::Ready), _) => Record::new(desired, from, Weight::Full, self.now),
            (Some(State::Bare), _) => Record::new(desired, None, Weight::Reported, self.now),
            _ if node.said == Said::Never => Record::new(desired, from, Weight::Reported, self.now),
            _ => Record::new(desired, from, Weight::None, self.now),
        };
        if let Some(state) = state {
            record.failed = self.kept_mark(node, state, desired);
        }
        if self.turns == 0 || (!changing && self.slots == 0) {
            return;
        }
        self.turns -= 1;
        if !changing {
            self.slots -= 1;
            self.until.push(self.now);
        }
        self.give(place, desired, record);
    }

    /// Writes down failures that may have to be remembered: while there are nodes that they hold
    /// back, or would with others.
    fn mark(&mut self) {
        let mut ahead: BTreeSet<&str> = BTreeSet::new();
        for place in 0..self.nodes.len() {
            let assigned = self.assigned.get(place).copied().flatten();
            if let Some(desired) = self.desired(place).filter(|to| assigned != Some(*to)) {
                ahead.insert(desired);
                ahead.extend(self.core(desired));
            }
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let (Some(assigned), Some(record)) = (node.assigned, node.record) else {
                continue;
            };
            if let Some(state) = self.states.get(place).copied()
                && let State::Failed {
                    target,
                    marked: false,
                    ..
                } = state
                && ahead.contains(target)
                && self.assigned.get(place) == Some(&Some(assigned))
            {
                let mut record = record.clone();
                record.failed = self.mark_of(state);
                self.give(place, assigned, record);
            }
        }
    }

    /// Nodes that have just joined get a bundle at once: what the nodes that shall run the same in
    /// the end have now, until they all run it.
    fn join(&mut self) {
        if !self.states.contains(&State::Joining) {
            return;
        }
        // By what is desired, how many nodes have what.
        let mut have: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for place in 0..self.nodes.len() {
            let ordinary = !matches!(
                self.states.get(place),
                None | Some(State::Joining | State::Unreachable)
            );
            let assigned = self.assigned.get(place).copied().flatten();
            if let (true, Some(desired), Some(assigned)) = (ordinary, self.desired(place), assigned)
                && self.bundles.contains_key(assigned)
            {
                let count = have.entry(desired).or_default().entry(assigned);
                *count.or_default() += 1;
            }
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let (Some(State::Joining), Some(desired)) =
                (self.states.get(place), self.desired(place))
            else {
                continue;
            };
            let none = BTreeMap::new();
            let others = have.get(desired).unwrap_or(&none);
            let halted = self.halted.contains_key(desired);
            let old = |bundle: &str| {
                bundle != desired && (halted || !self.same_core(Some(bundle), desired))
            };
            let most = others.iter().filter(|(bundle, _)| old(bundle));
            let most = most
                .max_by_key(|(_, count)| **count)
                .map(|(bundle, _)| *bundle);
            let keeps = node.assigned.is_some_and(|assigned| {
                most.is_some() && old(assigned) && others.contains_key(assigned)
            });
            let given = most.unwrap_or(desired);
            if !keeps && node.assigned != Some(given) {
                let record = Record::new(given, None, Weight::None, self.now);
                self.give(place, given, record);
            }
        }
    }

    fn sum_up(mut self) -> Outcome<'a> {
        let mut held: BTreeMap<&str, BTreeSet<(Option<&str>, &str)>> = BTreeMap::new();
        for (place, node) in self.nodes.iter().enumerate() {
            let assigned = self.assigned.get(place).copied().flatten();
            if assigned == node.desired || node.desired.is_none() || !node.reachable {
                continue;
            }
            self.outcome.remaining += 1;
            let Some(desired) = self.desired(place) else {
                continue;
            };
            let core = self
                .core(desired)
                .filter(|_| !self.same_core(assigned, desired));
            for target in [Some(desired), core].into_iter().flatten() {
                if self.halted.contains_key(target) {
                    held.entry(target).or_default().insert((assigned, desired));
                }
            }
        }
        let halted = std::mem::take(&mut self.halted);
        let halted = halted.into_iter().filter_map(|(target, failed)| {
            Some(Halted {
                held: held.remove(target)?.into_iter().collect(),
                target,
                failed,
            })
        });
        self.outcome.halted = halted.collect();
        self.outcome.changing = self.until.len();
        let later = self.until.into_iter().filter(|until| *until > self.now);
        self.outcome.next = later.min();
        self.outcome
    }
}
