//! Which of the product's two taints a node should have.
//!
//! | taint | a node has it |
//! |---|---|
//! | [`NOT_READY`] | from when it joins until it is ready under the bundle that it shall run |
//! | [`NOT_ENFORCING`] | while its runtime calls no verifier, or its proof has failed |
//!
//! A node that was ready once is not ready-tainted again: a change of its bundle would keep pods from
//! every node that a rollout touches, and while it changes the node goes on enforcing what it had. A
//! reboot is no new beginning either: what was applied is on the disk, and the runtime has it before
//! the kubelet starts a pod. What is known of a node's first readiness is the taint itself, so a new
//! process knows it too.

use crds::types::Taint;
use jiff::Timestamp;
use policy::aggregate::{Report, Truth};

use super::Index;
use super::objects::{NodeObject, NodePolicyObject};
use super::write::Write;

/// The key of the taint of a node that was not ready yet. Its effect is [`EFFECT`].
pub const NOT_READY: &str = "nodeseal.dev/not-ready";
/// The key of the taint of a node that cannot enforce. Its effect is [`EFFECT`].
pub const NOT_ENFORCING: &str = "nodeseal.dev/not-enforcing";
/// The effect of both: pods that run stay. A taint of one of these keys with another effect is
/// somebody else's.
pub const EFFECT: &str = "NoSchedule";

/// The label that says what a node's operating system is.
const OS: &str = "kubernetes.io/os";
/// The reason of `Enforcing` of a node that enforces what it had before.
const STALE: &str = "StaleBundle";

/// Which of the two taints there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taints {
    /// [`NOT_READY`].
    pub not_ready: bool,
    /// [`NOT_ENFORCING`].
    pub not_enforcing: bool,
}

/// The taints that a node should have. `settings` is nothing while nobody knows what the
/// administrator wants: then they stay as they are.
pub(crate) fn wanted(
    node: &NodeObject,
    own: Option<&NodePolicyObject>,
    settings: Option<&Taint>,
) -> Taints {
    let Some(settings) = settings else {
        return node.taints;
    };
    if !may_have_agent(node) {
        return Taints::default();
    }
    // What is about a node that had the name before says nothing about this one.
    let own = own.filter(|own| own.owner.as_ref() == Some(&node.meta.uid));
    Taints {
        not_ready: settings.not_ready && not_ready(node, own),
        not_enforcing: settings.not_enforcing && not_enforcing(node, own),
    }
}

/// Agents are for Linux nodes: another one would never be ready.
fn may_have_agent(node: &NodeObject) -> bool {
    node.labels.get(OS).is_none_or(|os| os == "linux")
}

fn not_ready(node: &NodeObject, own: Option<&NodePolicyObject>) -> bool {
    let Some(own) = own else {
        return true;
    };
    let applied_nothing = own.applied.is_none();
    // What a node says that is not heard of any more is old.
    let ready = node.reachable && own.is_ready();
    applied_nothing || (node.taints.not_ready && !ready)
}

fn not_enforcing(node: &NodeObject, own: Option<&NodePolicyObject>) -> bool {
    if !node.reachable {
        return node.taints.not_enforcing;
    }
    own.is_some_and(|own| {
        own.not_enforcing.is_some() || own.report.as_ref().is_some_and(does_not_enforce)
    })
}

/// Whether pulls pass by the policies: not where the administrator wants it so, and not where a node
/// that waits for its new bundle enforces the one before.
fn does_not_enforce(report: &Report) -> bool {
    let enforces_old = report.waits().is_some() && report.enforcing_finding.reason == STALE;
    report.enforcing == Truth::False && !report.is_disabled() && !enforces_old
}

impl Index {
    /// Nodes whose taints are not as they should be.
    pub(super) fn taint_writes(&mut self, now: Timestamp) -> Vec<Write> {
        let settings = self.config.taint();
        let due = self.nodes.iter().filter_map(|node| {
            let own = self.node_policies.get(&node.name);
            let taints = wanted(node, own, settings.as_ref());
            let write = Write::Taint {
                node: node.name.clone(),
                uid: node.meta.uid.clone(),
                taints,
            };
            (taints != node.taints).then_some(write)
        });
        let due: Vec<Write> = due.collect();
        let offered = |write: &Write| self.outbox.offer(write, 0, now);
        due.into_iter().filter(offered).collect()
    }
}
