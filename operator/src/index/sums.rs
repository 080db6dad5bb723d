//! The status of every policy, from what all nodes report.
//!
//! Most nodes are alike: what every policy has to look at is the groups of [`super::group`], so that
//! the work grows with policies times groups, and not with policies times nodes.

use std::collections::{BTreeMap, BTreeSet};

use crds::types::PolicyStatus;
use jiff::{SignedDuration, Timestamp};
use policy::aggregate::{ConditionType, Finding, Group, Node, Truth, aggregate_groups, reason};
use policy::digest::Digest;
use policy::model::PolicyId;

use super::Index;
use super::capability::is_known;
use super::group::{self, Alike, View};
use super::objects::{NodeObject, PolicyObject, Runtime};
use super::plan::{Plan, Selection};
use super::select::Classes;
use super::status::status;

/// How much longer counts are gathered for each policy: joins and departures of nodes alone then never
/// take more than a part of the writes.
const PER_POLICY: SignedDuration = SignedDuration::from_millis(60);

impl Index {
    /// The runtime of a node: what its agent found, else what its kubelet says.
    fn runtime_of(&self, node: &NodeObject) -> Option<Runtime> {
        let own = self.node_policies.get(&node.name);
        let found = own.and_then(|own| own.runtime.as_ref());
        found
            .filter(|runtime| !runtime.version.is_empty())
            .or(node.runtime.as_ref())
            .or(found)
            .cloned()
    }

    /// What has to be said about every policy that is settled.
    pub(crate) fn statuses(
        &mut self,
        classes: &Classes,
        selections: &BTreeMap<PolicyId, Selection>,
        plan: &Plan,
        now: Timestamp,
    ) -> Vec<(PolicyId, PolicyStatus)> {
        self.statuses_of(classes, selections, plan, group::groups, now)
    }

    /// The same, of nodes that `put_together` has put together.
    pub(crate) fn statuses_of(
        &mut self,
        classes: &Classes,
        selections: &BTreeMap<PolicyId, Selection>,
        plan: &Plan,
        put_together: for<'a> fn(Vec<View<'a>>) -> Vec<Alike<'a>>,
        now: Timestamp,
    ) -> Vec<(PolicyId, PolicyStatus)> {
        let runtimes: BTreeMap<String, Runtime> = self
            .nodes
            .iter()
            .filter_map(|node| Some((node.name.clone(), self.runtime_of(node)?)))
            .collect();
        self.learn(&runtimes);
        let views: Vec<View<'_>> = self
            .nodes
            .iter()
            .map(|node| self.view(classes, node, runtimes.get(&node.name), plan, now))
            .collect();
        let groups = put_together(views);
        self.policies()
            .filter_map(|object| {
                let selection = selections.get(&object.id)?;
                let status = self.status_of(object, selection, &groups, plan, now)?;
                Some((object.id.clone(), status))
            })
            .collect()
    }

    /// For how long changes of mere counts are gathered: a node that joins changes those of all
    /// policies that select it, so the more there are, the longer.
    pub(crate) fn counts_window(&self) -> SignedDuration {
        let policies = i32::try_from(self.policies().count()).unwrap_or(i32::MAX);
        self.options.counts.max(PER_POLICY * policies)
    }

    fn learn(&mut self, runtimes: &BTreeMap<String, Runtime>) {
        let mut distinct: Vec<&Runtime> = runtimes.values().collect();
        distinct.sort();
        distinct.dedup();
        let mut capabilities = std::mem::take(&mut self.capabilities);
        let mut digests = BTreeSet::new();
        for object in self.policies() {
            let form = self.forms.get(&object.id).and_then(|e| e.form.as_ref());
            if let Some(form) = form {
                digests.insert(&form.digest);
                for runtime in &distinct {
                    capabilities.learn(runtime, &form.policy, &form.digest);
                }
            }
        }
        capabilities.retain(
            |runtime| distinct.binary_search(&runtime).is_ok(),
            |digest| digests.contains(digest),
        );
        self.capabilities = capabilities;
    }

    fn view<'a>(
        &'a self,
        classes: &Classes,
        node: &'a NodeObject,
        runtime: Option<&'a Runtime>,
        plan: &'a Plan,
        now: Timestamp,
    ) -> View<'a> {
        let own = self.node_policies.get(&node.name);
        let applied = own.and_then(|own| own.applied.as_ref());
        let known = runtime.filter(|runtime| is_known(runtime));
        let runtime_name = known.map_or_else(String::new, |runtime| {
            format!("{} {}", runtime.name, runtime.version)
                .trim_end()
                .to_owned()
        });
        View {
            node,
            own,
            class: classes.of(&node.name),
            joining: now < self.joined(node),
            runtime,
            runtime_name,
            desired: plan.desired.get(&node.name).map(String::as_str),
            applied: applied.and_then(|bundle| self.digests.get(bundle)),
        }
    }

    /// When a node has ceased to be new.
    pub(crate) fn joined(&self, node: &NodeObject) -> Timestamp {
        let end = node.meta.created.checked_add(self.options.joining);
        end.unwrap_or(Timestamp::MAX)
    }

    fn status_of(
        &self,
        object: &PolicyObject,
        selection: &Selection,
        groups: &[Alike<'_>],
        plan: &Plan,
        now: Timestamp,
    ) -> Option<PolicyStatus> {
        let entry = self.forms.get(&object.id)?;
        let mut spec = entry.spec(&self.config, plan.too_large.get(&object.id))?;
        self.moves.tell(&object.id, &mut spec);
        let in_force = spec.in_force.digest().cloned();
        let programmed = was_programmed(object, in_force.as_ref());
        let left_out = plan.left_out.get(&object.id);
        let groups = groups.iter().map(
            |Alike {
                 like: view,
                 members,
             }| {
                let selected = self.selects(&object.id, selection, view.node, view.class);
                let applied = view.applied.and_then(|digests| digests.get(&object.id));
                let digest = in_force.as_ref().filter(|_| selected);
                let answer = digest.zip(view.runtime).and_then(|(digest, runtime)| {
                    // What is known of its runtime's version.
                    self.capabilities.answer(runtime, digest)
                });
                let like = Node {
                    name: &view.node.name,
                    selected,
                    reachable: view.node.reachable,
                    joining: view.joining && programmed,
                    runtime: &view.runtime_name,
                    unsupported: answer
                        .and_then(|a| a.prevents.as_ref())
                        .or_else(|| no_room(left_out?, view))
                        .or_else(|| reported(&object.id, digest?, view, applied)),
                    warnings: answer.map_or(&[], |answer| &answer.warnings),
                    applied,
                    report: view.report(),
                };
                Group { like, members }
            },
        );
        let summary = aggregate_groups(&spec, groups).advised(self.advices.of(&object.id));
        Some(status(object, in_force.as_ref(), summary, now))
    }
}

/// Why the bundle of a node has no room for a policy, if so.
fn no_room<'a>(
    (finding, bundles): &'a (Finding, BTreeSet<String>),
    view: &View<'_>,
) -> Option<&'a Finding> {
    bundles.contains(view.desired?).then_some(finding)
}

/// Why a node cannot express a policy as its agent has it, as far as that is about the form in
/// force.
fn reported<'a>(
    id: &PolicyId,
    digest: &Digest,
    view: &View<'a>,
    applied: Option<&Digest>,
) -> Option<&'a Finding> {
    let own = view.own?;
    let about_it = applied == Some(digest);
    let not_enforcing = own.not_enforcing.as_ref();
    not_enforcing.or_else(|| own.unsupported.get(id).filter(|_| about_it))
}

/// Whether all nodes ran this very form before: a node that has just joined does not clear that,
/// but neither does it count as one that need not be waited for.
fn was_programmed(object: &PolicyObject, in_force: Option<&Digest>) -> bool {
    let status = &object.status;
    let now = Some(object.meta.generation);
    let same = status.digest.as_deref() == in_force.map(Digest::as_str);
    same && status.observed_generation == now
        && status.conditions.iter().any(|condition| {
            condition.type_ == ConditionType::Programmed.as_str()
                && condition.status == Truth::True.as_str()
                && condition.reason == reason::PROGRAMMED
        })
}
