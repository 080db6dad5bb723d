//! Nodes that no policy can tell apart but by their names and the words of their reports.

use std::collections::BTreeMap;

use policy::aggregate::{Finding, Member, Report, Standing};
use policy::digest::Digest;
use policy::model::PolicyId;

use super::objects::{NodeObject, NodePolicyObject, Runtime};

/// A node with what does not depend on the policy.
pub(crate) struct View<'a> {
    pub(crate) node: &'a NodeObject,
    pub(crate) own: Option<&'a NodePolicyObject>,
    pub(crate) class: usize,
    pub(crate) joining: bool,
    pub(crate) runtime: Option<&'a Runtime>,
    /// As people call it; empty while its version is not known.
    pub(crate) runtime_name: String,
    /// The bundle that it shall run in the end.
    pub(crate) desired: Option<&'a str>,
    /// Digests of the policies that the node runs.
    pub(crate) applied: Option<&'a BTreeMap<PolicyId, Digest>>,
}

/// Everything about a node that a policy's status may depend on. A field of [`View`] that is looked at
/// there has to stand here.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    class: usize,
    reachable: bool,
    joining: bool,
    runtime: Option<&'a Runtime>,
    desired: Option<&'a str>,
    /// What it was given, which decides over policies that are kept.
    given: Option<&'a str>,
    applied: Option<&'a str>,
    standing: Option<Standing>,
    not_enforcing: Option<&'a Finding>,
    unsupported: Option<&'a BTreeMap<PolicyId, Finding>>,
}

/// Nodes of one key.
pub(crate) struct Alike<'a> {
    /// The first by name.
    pub(crate) like: View<'a>,
    /// All of them, by name.
    pub(crate) members: Vec<Member<'a>>,
}

impl<'a> View<'a> {
    /// What its agent says.
    pub(crate) fn report(&self) -> Option<&'a Report> {
        self.own.and_then(|own| own.report.as_ref())
    }

    fn key(&self) -> Key<'a> {
        let own = self.own;
        Key {
            class: self.class,
            reachable: self.node.reachable,
            joining: self.joining,
            runtime: self.runtime,
            desired: self.desired,
            given: own.and_then(|own| own.bundle.as_deref()),
            applied: own.and_then(|own| own.applied.as_deref()),
            standing: self.report().map(Report::standing),
            not_enforcing: own.and_then(|own| own.not_enforcing.as_ref()),
            unsupported: own.map(|own| &own.unsupported),
        }
    }
}

/// Puts nodes together, which come sorted by name.
pub(crate) fn groups(views: Vec<View<'_>>) -> Vec<Alike<'_>> {
    let mut groups: BTreeMap<Key<'_>, Alike<'_>> = BTreeMap::new();
    for view in views {
        let member = Member {
            name: &view.node.name,
            report: view.report(),
        };
        let alike = groups.entry(view.key()).or_insert_with(|| Alike {
            like: view,
            members: Vec::new(),
        });
        alike.members.push(member);
    }
    groups.into_values().collect()
}
