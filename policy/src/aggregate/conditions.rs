//! The conditions of a policy.

use std::fmt;

use super::compatible::compatible;
use super::node::Tally;
use super::{Finding, InForce, Resolution, Spec};

/// The words that conditions of a policy have of their own; those for what is wrong with a spec
/// are [`crate::problem::Reason`]s, and those of a node come from its agent.
pub mod reason {
    /// `Accepted`: the spec is valid on its own.
    pub const VALID: &str = "Valid";
    /// `Resolved`: what the policy refers to was found and parsed.
    pub const RESOLVED: &str = "Resolved";
    /// `Resolved`: a trust root is there and holds nothing yet.
    pub const TRUST_ROOT_NOT_READY: &str = "TrustRootNotReady";
    /// `Resolved` is unknown: a reference could not be read just now.
    pub const NOT_READ: &str = "NotRead";
    /// `Compatible`: every selected node's runtime can express the policy.
    pub const COMPATIBLE: &str = "Compatible";
    /// `Compatible` is unknown: the runtime's version of some node is not known yet.
    pub const RUNTIME_UNKNOWN: &str = "RuntimeUnknown";
    /// `Programmed`: all nodes that could be waited for run the policy.
    pub const PROGRAMMED: &str = "Programmed";
    /// `Programmed`: there is no node to wait for.
    pub const NO_NODES: &str = "NoNodes";
    /// Not `Programmed`: nodes have yet to report the policy.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// Not `Programmed`: nodes failed.
    pub const NODES_FAILED: &str = "NodesFailed";
    /// Not `Programmed`: the rollout stands still.
    pub const ROLLOUT_HALTED: &str = "RolloutHalted";
    /// `Ready`.
    pub const READY: &str = "Ready";
    /// `Stalled`: the configuration was deleted.
    pub const CONFIG_DELETED: &str = "ConfigDeleted";
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

impl Truth {
    /// As it is written in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads what [`Truth::as_str`] writes; anything else is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Truth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The conditions that a policy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The spec is valid on its own.
    Accepted,
    /// What it refers to was found.
    Resolved,
    /// Every selected node's runtime can express it.
    Compatible,
    /// Every node that can run it does.
    Programmed,
    /// All of the above.
    Ready,
    /// Only while true: it is on its way, wait.
    Reconciling,
    /// Only while true: it needs a person.
    Stalled,
}

impl ConditionType {
    /// As it is written in a condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Resolved => "Resolved",
            Self::Compatible => "Compatible",
            Self::Programmed => "Programmed",
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }
}

/// A condition, without the times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Truth,
    /// Why.
    pub finding: Finding,
}

impl Condition {
    fn new(kind: ConditionType, status: Truth, finding: Finding) -> Self {
        Self {
            kind,
            status,
            finding,
        }
    }

    pub(super) fn of(
        kind: ConditionType,
        status: Truth,
        reason: &str,
        message: impl Into<String>,
    ) -> Self {
        Self::new(kind, status, Finding::new(reason, message))
    }
}

pub(super) fn conditions(spec: &Spec, tally: &Tally<'_>) -> Vec<Condition> {
    let mut all = vec![
        accepted(spec),
        resolved(spec),
        compatible(spec, tally),
        programmed(spec, tally),
    ];
    all.push(ready(&all));
    let stalled = stalled(spec, &all);
    let on_its_way = tally.counts.pending + tally.counts.failed > 0;
    let unknown = matches!(spec.resolution, Resolution::Unknown(_));
    if stalled.is_none() && (on_its_way || unknown) {
        let why = &all[if unknown { 1 } else { 3 }].finding;
        let kind = ConditionType::Reconciling;
        all.push(Condition::new(kind, Truth::True, why.clone()));
    }
    all.extend(stalled.map(|why| Condition::new(ConditionType::Stalled, Truth::True, why)));
    all
}

/// What is in force while the spec cannot be used.
pub(super) fn meanwhile(spec: &Spec) -> &'static str {
    match spec.in_force {
        InForce::Nothing => "; it was never valid, so it enforces nothing",
        InForce::Kept(_) => "; until then the last valid form stays in force",
        InForce::Current(_) => "",
    }
}

fn accepted(spec: &Spec) -> Condition {
    let kind = ConditionType::Accepted;
    match &spec.invalid {
        None => Condition::of(kind, Truth::True, reason::VALID, "the spec is valid"),
        Some(Finding { reason, message }) => {
            let message = format!("{message}{}", meanwhile(spec));
            Condition::of(kind, Truth::False, reason, message)
        }
    }
}

fn resolved(spec: &Spec) -> Condition {
    let kind = ConditionType::Resolved;
    let (status, Finding { reason, message }) = match &spec.resolution {
        Resolution::Resolved => {
            let message = "everything that the policy refers to was found";
            return Condition::of(kind, Truth::True, reason::RESOLVED, message);
        }
        Resolution::Failed(finding) => (Truth::False, finding),
        Resolution::Unknown(finding) => (Truth::Unknown, finding),
    };
    Condition::of(
        kind,
        status,
        reason,
        format!("{message}{}", meanwhile(spec)),
    )
}

/// Why the spec as it is now is not in force.
pub(super) fn blocked(spec: &Spec) -> Option<&Finding> {
    let unresolved = match &spec.resolution {
        Resolution::Resolved => None,
        Resolution::Failed(finding) | Resolution::Unknown(finding) => Some(finding),
    };
    spec.invalid
        .as_ref()
        .or(unresolved)
        .or(spec.inexpressible.as_ref())
}

fn programmed(spec: &Spec, tally: &Tally<'_>) -> Condition {
    let kind = ConditionType::Programmed;
    let counts = &tally.counts;
    let not_current = match spec.in_force {
        InForce::Current(_) => None,
        InForce::Nothing => Some("no node runs it: it was never valid".to_owned()),
        InForce::Kept(_) => Some(format!(
            "the spec as it is now is on no node; the last valid form is on {} nodes",
            counts.summary()
        )),
    };
    if let Some(message) = not_current {
        let reason = blocked(spec).map_or(reason::ROLLING_OUT, |why| why.reason.as_str());
        return Condition::of(kind, Truth::False, reason, message);
    }
    if let Some(halted) = &spec.halted {
        let message = format!("{}: {}", counts.summary(), halted.message);
        return Condition::of(kind, Truth::False, reason::ROLLOUT_HALTED, message);
    }
    if counts.failed > 0 {
        let named = tally
            .failing
            .iter()
            .map(|(node, finding)| format!("{node} ({})", finding.reason));
        let message = format!(
            "{} of {} nodes failed: {}. See status.failing, and `kubectl describe nodeimagepolicy` of a node",
            counts.failed,
            counts.selected,
            some_of(named, counts.failed)
        );
        return Condition::of(kind, Truth::False, reason::NODES_FAILED, message);
    }
    if counts.pending > 0 {
        let named = tally.pending.iter().map(|(node, why)| match why {
            Some(why) => format!("{node} ({why})"),
            None => (*node).to_owned(),
        });
        let holds = spec.holds.as_ref().map(|why| format!("; {why}"));
        let message = format!(
            "{} nodes run it, waiting for {}{}",
            counts.summary(),
            some_of(named, counts.pending),
            holds.unwrap_or_default()
        );
        return Condition::of(kind, Truth::False, reason::ROLLING_OUT, message);
    }
    if counts.updated == 0 {
        let message = match (counts.selected, counts.unreachable) {
            (0, _) => "the policy selects no node, so there is nothing to wait for".to_owned(),
            (selected, unreachable) => format!(
                "none of the {selected} selected nodes can be waited for: {unreachable} unreachable, {} unsupported",
                counts.unsupported
            ),
        };
        return Condition::of(kind, Truth::True, reason::NO_NODES, message);
    }
    let unreachable = match counts.unreachable {
        0 => String::new(),
        count => format!(" ({count} unreachable ones are not waited for)"),
    };
    let message = format!("{} nodes run it{unreachable}", counts.summary());
    Condition::of(kind, Truth::True, reason::PROGRAMMED, message)
}

/// The first three, and how many more.
fn some_of(names: impl Iterator<Item = String>, count: usize) -> String {
    let first: Vec<String> = names.take(3).collect();
    match count - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn ready(all: &[Condition]) -> Condition {
    let kind = ConditionType::Ready;
    let message = "the policy is in force on every node that it selects";
    all.iter()
        .find(|condition| condition.status != Truth::True)
        .map_or_else(
            || Condition::of(kind, Truth::True, reason::READY, message),
            |first| Condition::new(kind, first.status, first.finding.clone()),
        )
}

fn stalled(spec: &Spec, all: &[Condition]) -> Option<Finding> {
    let needs_a_person = |condition: &&Condition| {
        let kinds = [
            ConditionType::Accepted,
            ConditionType::Resolved,
            ConditionType::Compatible,
        ];
        kinds.contains(&condition.kind) && condition.status == Truth::False
    };
    let halted = spec
        .halted
        .as_ref()
        .map(|halted| Finding::new(reason::ROLLOUT_HALTED, halted.message.clone()));
    all.iter()
        .find(needs_a_person)
        .map(|condition| condition.finding.clone())
        .or(halted)
        .or_else(|| spec.stalled.clone())
}
