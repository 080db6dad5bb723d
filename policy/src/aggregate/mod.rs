//! What the nodes report, summed up into the status of one policy.
//!
//! ```text
//!  Spec (accepted? resolved? in force?) ─┐
//!                                        ├─▶ aggregate ─▶ Summary (counts, failing, conditions)
//!  Node, Node, Node … ───────────────────┘
//! ```
//!
//! Every selected node falls into exactly one [`Class`], so the counts add up to `selected`. The
//! conditions follow the API: `Ready` is true only if `Accepted`, `Resolved`, `Compatible` and
//! `Programmed` are, and otherwise has the reason and message of the first that is not;
//! `Reconciling` and `Stalled` are there only while true, which is how kstatus reads them. There is
//! no clock here: whoever writes the status keeps the transition times.

mod advised;
mod compatible;
mod conditions;
mod group;
mod node;

use crate::digest::Digest;
use crate::problem::Reason;

pub use self::advised::{MAX_ADVICE, warnings};
pub use self::compatible::severity;
pub use self::conditions::{Condition, ConditionType, Truth, reason};
pub use self::group::{Group, Member};
pub use self::node::{Class, Node, Report, Standing};

/// The most nodes that a summary names as failing.
pub const MAX_FAILING: usize = 10;
/// The most characters of a failing node's message.
pub const MAX_MESSAGE: usize = 1024;

/// A reason word with what it means here and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The stable word, an identifier in CamelCase.
    pub reason: String,
    /// What is the matter and what to do next.
    pub message: String,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
        }
    }
}

impl From<(Reason, String)> for Finding {
    fn from((reason, message): (Reason, String)) -> Self {
        Self::new(reason.as_str(), message)
    }
}

/// Which form of a policy nodes are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// None: the policy was never valid, so it enforces nothing.
    Nothing,
    /// The spec as it is now.
    Current(Digest),
    /// The last valid form, because the spec as it is now cannot be used.
    Kept(Digest),
}

impl InForce {
    /// The digest of the form in force.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Nothing => None,
            Self::Current(digest) | Self::Kept(digest) => Some(digest),
        }
    }
}

/// Whether what the policy refers to is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// All of it is, or it refers to nothing.
    Resolved,
    /// Something is missing, not permitted, or of no use.
    Failed(Finding),
    /// Something could not be read just now. That never counts as missing.
    Unknown(Finding),
}

/// What a policy is by itself, before any node is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What is wrong with the spec on its own, if anything.
    pub invalid: Option<Finding>,
    /// Whether its references are there.
    pub resolution: Resolution,
    /// Why no node of this version of the product can express it, if so.
    pub inexpressible: Option<Finding>,
    /// Which form nodes are given.
    pub in_force: InForce,
    /// Why a rollout stands still, if it does.
    pub halted: Option<Finding>,
    /// Why nodes that have yet to be given it are not given it at once, if so.
    pub holds: Option<String>,
    /// Something beside the policy that needs a person: the configuration was deleted, say.
    pub stalled: Option<Finding>,
}

/// How many of the selected nodes are how far. The parts add up with those that are on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nodes that the policy selects.
    pub selected: usize,
    /// Nodes that run the form in force and are ready.
    pub updated: usize,
    /// Nodes that could not apply it, or do not enforce what they have applied. One that waits for a
    /// restart or for images to be pulled again is on its way.
    pub failed: usize,
    /// Nodes whose runtime cannot express it.
    pub unsupported: usize,
    /// Nodes that have not been heard of for too long.
    pub unreachable: usize,
    /// Nodes that have yet to report it, those that have just joined left out.
    pub pending: usize,
}

impl Counts {
    /// `updated/selected`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!("{}/{}", self.updated, self.selected)
    }
}

/// A node that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Its name.
    pub node: String,
    /// What it reported; the message is cut to [`MAX_MESSAGE`] characters.
    pub finding: Finding,
}

/// The status of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many nodes are how far.
    pub counts: Counts,
    /// The first [`MAX_FAILING`] nodes that failed, by name.
    pub failing: Vec<Failing>,
    /// All conditions, in the order of [`ConditionType`].
    pub conditions: Vec<Condition>,
}

/// Sums up. The order of the nodes does not matter.
#[must_use]
pub fn aggregate<'a>(spec: &Spec, nodes: impl IntoIterator<Item = Node<'a>>) -> Summary {
    let nodes: Vec<Node<'a>> = nodes.into_iter().collect();
    let members: Vec<Member<'a>> = nodes.iter().map(Member::from).collect();
    let groups = nodes.into_iter().zip(members.chunks(1));
    aggregate_groups(spec, groups.map(|(like, members)| Group { like, members }))
}

/// The same of nodes that were put together with those that are like them. The order of the groups
/// does not matter.
#[must_use]
pub fn aggregate_groups<'a>(spec: &Spec, groups: impl IntoIterator<Item = Group<'a>>) -> Summary {
    let tally = node::tally(spec.in_force.digest(), groups);
    let conditions = conditions::conditions(spec, &tally);
    let failing = tally.failing.into_iter();
    Summary {
        counts: tally.counts,
        failing: failing
            .map(|(node, finding)| Failing {
                node: node.to_owned(),
                finding,
            })
            .collect(),
        conditions,
    }
}

#[cfg(test)]
mod tests;
