//! The rollout of bundles in a cluster: what [`crate::rollout`] is asked, and what its answer means.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use policy::aggregate::{Finding, Spec, reason};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::model::{Mode, PolicyId};

use self::words::{first, halted_words, said};
use super::Index;
use super::objects::{NodeObject, NodePolicyObject};
use super::plan::Plan;
use super::select::Classes;
use super::write::Write;
use crate::rollout::{
    self, Bundles, CONFIRM_REMOVAL, Node, Outcome, Record, Said, Settings, Vanished,
};

/// The reason of `Stalled` where most policies vanished.
pub(crate) const VANISHED: &str = "PoliciesVanished";

/// What is known of a bundle besides its policies' digests.
#[derive(Debug)]
pub(crate) struct Core {
    /// Tells what administrators wrote of it.
    name: String,
    /// The cluster policies that it enforces.
    enforced: BTreeSet<String>,
}

impl Core {
    pub(crate) fn new(bundle: &Bundle, digests: &BTreeMap<PolicyId, Digest>) -> Self {
        let mut text = serde_json::to_string(bundle.settings()).unwrap_or_default();
        for (id, digest) in digests.iter().filter(|(id, _)| id.namespace().is_none()) {
            text.extend(["\n", &id.to_string(), " ", digest.as_str()]);
        }
        let enforced = bundle.policies().filter(|policy| {
            policy.id().namespace().is_none() && policy.requirement().mode() == Mode::Enforce
        });
        Self {
            name: format!("core-{}", Digest::of(text.as_bytes()).hex()),
            enforced: enforced.map(|p| p.id().name().to_owned()).collect(),
        }
    }
}

/// A write that was handed out: until it is done or has failed, the node counts as moved.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handed {
    bundle: String,
    record: Option<Record>,
    /// Whether it goes out even where everything stands still.
    stands: bool,
}

/// Where all rollouts stand.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    handed: BTreeMap<String, Handed>,
    /// A value of the annotation, and the names whose removal it confirmed.
    confirmed: Option<(String, BTreeSet<String>)>,
    /// Policies whose removal is to be confirmed.
    pub(crate) vanished: Option<Vanished>,
    /// Failed nodes with their reasons, by what they halt.
    pub(crate) failed: BTreeMap<String, BTreeMap<String, String>>,
    /// Why everything stands still, or why policies do.
    stalled: Option<Finding>,
    halted: Option<Finding>,
    of_policies: BTreeMap<PolicyId, Finding>,
    /// Why nodes are not given everything at once.
    holds: Option<String>,
    paused: bool,
    next: Option<Timestamp>,
}

impl Moves {
    /// Adds to what is known of a policy what its rollout makes of it.
    pub(crate) fn tell(&self, id: &PolicyId, spec: &mut Spec) {
        if spec.halted.is_none() {
            spec.halted = self.of_policies.get(id).cloned();
        }
        if spec.stalled.is_none() {
            spec.stalled.clone_from(&self.stalled);
        }
        spec.holds.clone_from(&self.holds);
    }

    /// What the configuration has to say: why it needs a person.
    pub(crate) fn needs(&self) -> Option<&Finding> {
        self.stalled.as_ref().or(self.halted.as_ref())
    }

    /// Whether rollouts stand still because the administrator wants that.
    pub(crate) fn paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.next.filter(|time| *time > now)
    }

    /// Bundles that writes under way refer to.
    pub(crate) fn used(&self) -> impl Iterator<Item = &String> {
        self.handed.values().flat_map(|handed| {
            let record = handed.record.as_ref();
            let from = record.and_then(|record| record.from.as_ref());
            std::iter::once(&handed.bundle).chain(from)
        })
    }

    /// A write came to an end, well or not.
    pub(crate) fn ended(&mut self, write: &Write) {
        if let Write::SetBundle {
            node,
            bundle,
            record,
            ..
        } = write
            && self
                .handed
                .get(node)
                .is_some_and(|handed| handed.bundle == *bundle && handed.record == *record)
        {
            self.handed.remove(node);
        }
    }

    /// Whether a write that was handed out is still to be begun: not where everything has come to
    /// stand still meanwhile.
    pub(crate) fn wants(&self, write: &Write) -> bool {
        let Write::SetBundle { node, .. } = write else {
            return true;
        };
        let still = self.paused || self.vanished.is_some();
        !still || self.handed.get(node).is_none_or(|handed| handed.stands)
    }

    /// Another process goes on.
    pub(crate) fn resign(&mut self) {
        *self = Self::default();
    }
}

/// A node that is to be given a bundle, or only its owner.
#[derive(Debug)]
pub(crate) struct Given {
    bundle: String,
    record: Option<Record>,
    stands: bool,
}

impl Index {
    fn rollout_settings(&self) -> Settings {
        let rollout = &self.config.in_force.rollout;
        Settings {
            max_unavailable: rollout.max_unavailable.clone(),
            max_failures: rollout.max_failures.clone(),
            deadline: SignedDuration::from_secs(i64::from(rollout.progress_deadline_seconds)),
            grace: self.options.joining,
            paused: rollout.paused,
            frozen: self.moves.vanished.is_some(),
            disabled: self.config.disabled,
            retry: self.config.retry.clone(),
        }
    }

    /// What a node has, as far as it is about this machine and not about one of that name before.
    fn own(&self, node: &NodeObject) -> Option<&NodePolicyObject> {
        let own = self.node_policies.get(&node.name)?;
        let same = own
            .owner
            .as_ref()
            .is_none_or(|owner| *owner == node.meta.uid);
        same.then_some(own)
    }

    /// Works out who is given what next. What is found is kept for what has to be said.
    pub(super) fn moves(
        &mut self,
        plan: &Plan,
        classes: &Classes,
        now: Timestamp,
    ) -> BTreeMap<String, Given> {
        let nodes = &self.nodes;
        self.moves
            .handed
            .retain(|node, _| nodes.get(node).is_some());
        self.look_for_vanished();
        let settings = self.rollout_settings();
        let canary = self.config.in_force.rollout.canary.as_ref();
        let canaries = canary.map_or_else(Vec::new, |selector| classes.matching(Some(selector)));
        let bundles: Bundles<'_> = self
            .bundles
            .iter()
            .filter(|object| !self.doomed.contains_key(&object.name))
            .filter_map(|object| {
                let core = self.cores.get(&object.name)?;
                Some((object.name.as_str(), core.name.as_str()))
            })
            .collect();
        let views: Vec<Node<'_>> = self
            .nodes
            .iter()
            .map(|node| {
                let canary = canaries.get(classes.of(&node.name)).copied();
                let desired = plan.desired.get(&node.name).map(String::as_str);
                let young = now < self.joined(node);
                let view = Node {
                    name: &node.name,
                    canary: canary.unwrap_or(false),
                    reachable: node.reachable,
                    young,
                    desired,
                    assigned: None,
                    record: None,
                    said: Said::Never,
                    broke: None,
                };
                let own = self.own(node);
                if let Some(handed) = self.moves.handed.get(&node.name) {
                    let spoke = own.is_some_and(|own| own.report.is_some());
                    let same = own.is_some_and(|own| own.bundle.as_ref() == Some(&handed.bundle));
                    return Node {
                        assigned: Some(&handed.bundle),
                        record: handed.record.as_ref(),
                        said: match own {
                            Some(own) if same => said(own),
                            _ if spoke => Said::Nothing,
                            _ => Said::Never,
                        },
                        broke: own.filter(|_| same).and_then(|own| own.broke),
                        ..view
                    };
                }
                match own {
                    None => view,
                    Some(own) => Node {
                        assigned: own.bundle.as_deref(),
                        record: own.record.as_deref(),
                        said: said(own),
                        broke: own.broke,
                        ..view
                    },
                }
            })
            .collect();
        let outcome = rollout::step(&views, &bundles, &settings, now);
        let told = self.told(&outcome, &settings);
        let mut given: BTreeMap<String, Given> = outcome
            .assignments
            .into_iter()
            .map(|assignment| {
                let stands = settings.disabled || settings.paused || settings.frozen;
                let given = Given {
                    bundle: assignment.bundle.to_owned(),
                    record: Some(assignment.record),
                    stands,
                };
                (assignment.node.to_owned(), given)
            })
            .collect();
        for (view, node) in views.iter().zip(self.nodes.iter()) {
            let own = self.own(node);
            let Some(own) = own.filter(|own| own.owner.is_none()) else {
                continue;
            };
            if let (Some(bundle), None) = (&own.bundle, self.moves.handed.get(&node.name))
                && view.assigned.is_some()
            {
                // Only its owner is missing: all else stays as it is.
                given.entry(node.name.clone()).or_insert_with(|| Given {
                    bundle: bundle.clone(),
                    record: own.record.as_deref().cloned(),
                    stands: true,
                });
            }
        }
        self.keep(told);
        given
    }

    /// As writes. What was handed out before is still wanted.
    pub(super) fn set_writes(
        &mut self,
        given: &BTreeMap<String, Given>,
        now: Timestamp,
    ) -> Vec<Write> {
        let mut due = Vec::new();
        for node in self.nodes.iter() {
            let own = self.node_policies.get(&node.name);
            if let Some(given) = given.get(&node.name) {
                // A node is never pointed at a bundle that is not there.
                let there = own.and_then(|own| own.bundle.as_ref()) == Some(&given.bundle)
                    || self.bundles.get(&given.bundle).is_some();
                let version = own.map_or(0, |own| own.meta.version);
                let write = Write::SetBundle {
                    node: node.name.clone(),
                    uid: node.meta.uid.clone(),
                    bundle: given.bundle.clone(),
                    record: given.record.clone(),
                    version,
                };
                if there {
                    due.push((write, version, given.stands));
                }
            }
        }
        let mut writes = Vec::new();
        for (write, version, stands) in due {
            if self.outbox.offer(&write, version, now) {
                if let Write::SetBundle {
                    node,
                    bundle,
                    record,
                    ..
                } = &write
                {
                    let handed = Handed {
                        bundle: bundle.clone(),
                        record: record.clone(),
                        stands,
                    };
                    self.moves.handed.insert(node.clone(), handed);
                }
                writes.push(write);
            }
        }
        writes
    }

    /// The breaker.
    fn look_for_vanished(&mut self) {
        let mut assigned: BTreeSet<&String> = BTreeSet::new();
        for node in self.nodes.iter().filter(|node| node.reachable) {
            let handed = self.moves.handed.get(&node.name);
            let own = || self.own(node).and_then(|own| own.bundle.as_ref());
            assigned.extend(handed.map(|handed| &handed.bundle).or_else(own));
        }
        let cores: Vec<(&String, &Core)> = assigned
            .into_iter()
            .filter_map(|bundle| Some((bundle, self.cores.get(bundle)?)))
            .collect();
        let enforced: BTreeSet<&str> = cores
            .iter()
            .flat_map(|(_, core)| core.enforced.iter().map(String::as_str))
            .collect();
        let is_there = |name: &str| {
            let name = name.to_owned();
            self.cluster_policies
                .get(&PolicyId::Cluster { name })
                .is_some()
        };
        // Bundles that are made anew are confirmed anew.
        let holders = cores
            .iter()
            .filter(|(_, core)| !core.enforced.iter().all(|p| is_there(p)));
        let holders: BTreeSet<&str> = holders
            .filter_map(|(bundle, _)| Some(self.bundles.get(bundle)?.meta.uid.as_str()))
            .collect();
        let found = rollout::vanished(&enforced, is_there, &holders);
        let found = found.filter(|_| !self.config.disabled);
        let annotation = self
            .configs
            .get(&())
            .and_then(|object| object.confirm.clone());
        let moves = &mut self.moves;
        if let (Some(found), Some(value)) = (&found, &annotation)
            && found.token == *value
        {
            moves.confirmed = Some((value.clone(), found.names.clone()));
        }
        // Once it is confirmed nodes are moved, and fewer and fewer have those policies.
        moves.confirmed = moves
            .confirmed
            .take()
            .filter(|(value, _)| found.is_some() && annotation.as_ref() == Some(value));
        let is_confirmed = |found: &Vanished| {
            let confirmed = moves.confirmed.as_ref();
            confirmed.is_some_and(|(_, names)| found.names.is_subset(names))
        };
        moves.vanished = found.filter(|found| !is_confirmed(found));
    }

    /// What an answer means in words.
    fn told(&self, outcome: &Outcome<'_>, settings: &Settings) -> Moves {
        let mut told = Moves {
            paused: settings.paused && !settings.disabled,
            next: outcome.next,
            ..Moves::default()
        };
        let hint = if self.configs.get(&()).is_some() {
            ""
        } else {
            " (create that EnforcementConfig first, there is none)"
        };
        told.stalled = self.moves.vanished.as_ref().map(|vanished| {
            let message = format!(
                "{} of {} enforcing cluster policies that nodes have do not exist any more ({}), so nodes keep what they have: create them again, or if they shall go, `kubectl annotate enforcementconfig default {CONFIRM_REMOVAL}={} --overwrite`{hint}",
                vanished.names.len(),
                vanished.of,
                first(vanished.names.iter().map(String::as_str)),
                vanished.token
            );
            Finding::new(VANISHED, message)
        });
        for halted in &outcome.halted {
            let finding = Finding::new(reason::ROLLOUT_HALTED, halted_words(halted, hint));
            for (from, to) in &halted.held {
                let none = BTreeMap::new();
                let from = from
                    .and_then(|from| self.digests.get(from))
                    .unwrap_or(&none);
                let to = self.digests.get(*to).unwrap_or(&none);
                for (id, digest) in to {
                    if from.get(id) != Some(digest) {
                        let known = told.of_policies.entry(id.clone());
                        known.or_insert_with(|| finding.clone());
                    }
                }
            }
            let nodes = halted.failed.iter();
            let nodes = nodes.map(|(node, why)| ((*node).to_owned(), (*why).to_owned()));
            told.failed
                .insert(halted.target.to_owned(), nodes.collect());
            told.halted.get_or_insert(finding);
        }
        told.holds = (outcome.remaining > 0 && !settings.disabled).then(|| {
            if told.paused {
                "rollouts are paused: set spec.rollout.paused of the EnforcementConfig to false to go on".to_owned()
            } else if outcome.canary {
                "the canary nodes go first, the others follow once these are ready".to_owned()
            } else {
                format!("at most {} at a time change", outcome.limit)
            }
        });
        told
    }

    fn keep(&mut self, told: Moves) {
        let moves = &mut self.moves;
        if told.failed != moves.failed || told.stalled != moves.stalled {
            self.notices.look_again();
        }
        let before = std::mem::take(moves);
        *moves = Moves {
            handed: before.handed,
            confirmed: before.confirmed,
            vanished: before.vanished,
            ..told
        };
    }
}
