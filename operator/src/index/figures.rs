//! What can be counted of the cluster, for the metrics.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use policy::aggregate::{Truth, reason};

use super::Index;
use super::objects::{NodeObject, NodePolicyObject, TrustRootObject};

/// The most reasons of policies that are counted apart; all others are [`OTHER`].
pub(crate) const MOST_REASONS: usize = 32;
/// The longest reason that is counted apart, in bytes.
const LONGEST_REASON: usize = 64;
/// The most trust roots that are told of by name, the first ones.
pub(crate) const MOST_ROOTS: usize = 32;
/// Reasons that are not counted apart.
pub(crate) const OTHER: &str = "other";
/// The reason on the `EnforcementConfig` while the breaker is open.
const BREAKER: &str = "PoliciesVanished";

/// The figures. All of them are bounded, whatever the size of the cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Objects that were seen, by kind.
    pub objects: BTreeMap<&'static str, usize>,
    /// Policies of both kinds, by what their `Ready` says: its status and its reason.
    pub policies: BTreeMap<(Truth, String), usize>,
    /// Nodes by state; every state is there.
    pub nodes: BTreeMap<NodeState, usize>,
    /// Whether some policy says that its rollout was halted.
    pub rollout_halted: bool,
    /// Whether the `EnforcementConfig` pauses rollouts.
    pub rollout_paused: bool,
    /// Whether the `EnforcementConfig` says that the breaker is open.
    pub breaker_open: bool,
    /// Trust roots by name.
    pub trust_roots: BTreeMap<String, RootFigures>,
}

/// What is told of a trust root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RootFigures {
    /// When its content was last fetched; nothing where it does not come from elsewhere.
    pub last_refresh: Option<Timestamp>,
    /// When the next thing in it ends.
    pub earliest_expiry: Option<Timestamp>,
    /// Whether the last refresh went well; nothing where there is none.
    pub refreshed: Option<bool>,
}

/// How a node is. Each has exactly one, the first of these that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// The cluster does not hear of it.
    Unreachable,
    /// Its runtime enforces nothing.
    Unsupported,
    /// It could not apply its bundle, or does not enforce what it has applied.
    Failed,
    /// It runs the bundle that it was given.
    Ready,
    /// It is new and not there yet.
    Joining,
    /// It is on its way.
    Changing,
}

impl NodeState {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::Unsupported,
        Self::Failed,
        Self::Ready,
        Self::Joining,
        Self::Changing,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::Ready => "ready",
            Self::Joining => "joining",
            Self::Changing => "changing",
        }
    }
}

impl Index {
    /// The figures at `now`.
    #[must_use]
    pub fn figures(&self, now: Timestamp) -> Figures {
        let mut nodes: BTreeMap<NodeState, usize> =
            NodeState::ALL.into_iter().map(|state| (state, 0)).collect();
        for node in self.nodes.iter() {
            let own = self.node_policies.get(&node.name);
            let state = state(node, own, now < self.joined(node));
            *nodes.entry(state).or_default() += 1;
        }
        let conditions = |kind: &'static str| {
            let all = self.policies();
            all.filter_map(move |object| condition(&object.status.conditions, kind))
        };
        let halted = |found: &Condition| found.reason == reason::ROLLOUT_HALTED;
        let config = self.configs.get(&());
        let spec = config.and_then(|config| config.spec.as_ref().ok());
        let roots = self.trust_roots.iter().take(MOST_ROOTS);
        Figures {
            objects: self.objects(),
            policies: self.by_reason(),
            nodes,
            rollout_halted: conditions("Programmed").any(halted),
            rollout_paused: spec.is_some_and(|spec| spec.rollout.paused),
            breaker_open: config.is_some_and(|config| {
                let mut all = config.status.conditions.iter();
                all.any(|found| found.reason == BREAKER)
            }),
            trust_roots: roots
                .map(|root| (root.name.clone(), root_figures(root)))
                .collect(),
        }
    }

    fn objects(&self) -> BTreeMap<&'static str, usize> {
        BTreeMap::from([
            (
                "ClusterImageSignaturePolicy",
                self.cluster_policies.iter().count(),
            ),
            (
                "ImageSignaturePolicy",
                self.namespaced_policies.iter().count(),
            ),
            ("TrustRoot", self.trust_roots.iter().count()),
            ("EnforcementConfig", self.configs.iter().count()),
            ("Node", self.nodes.iter().count()),
            ("NodeImagePolicy", self.node_policies.iter().count()),
            ("PolicyBundle", self.bundles.iter().count()),
        ])
    }

    fn by_reason(&self) -> BTreeMap<(Truth, String), usize> {
        let mut counts: BTreeMap<(Truth, &str), usize> = BTreeMap::new();
        for object in self.policies() {
            let ready = condition(&object.status.conditions, "Ready");
            let key = ready.map_or((Truth::Unknown, "NotReported"), |ready| {
                (Truth::parse(&ready.status), ready.reason.as_str())
            });
            *counts.entry(key).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| Reverse(*count));
        let mut bounded: BTreeMap<(Truth, String), usize> = BTreeMap::new();
        for (place, ((truth, word), count)) in counts.into_iter().enumerate() {
            let own = place < MOST_REASONS && word.len() <= LONGEST_REASON;
            let word = if own { word } else { OTHER };
            *bounded.entry((truth, word.to_owned())).or_default() += count;
        }
        bounded
    }
}

fn state(node: &NodeObject, own: Option<&NodePolicyObject>, joining: bool) -> NodeState {
    if !node.reachable {
        return NodeState::Unreachable;
    }
    if let Some(own) = own {
        if own.not_enforcing.is_some() {
            return NodeState::Unsupported;
        }
        if let Some(report) = &own.report {
            let fails = report.applied == Truth::False && report.waits().is_none();
            if fails || report.unenforced().is_some() {
                return NodeState::Failed;
            }
        }
        if own.is_ready() {
            return NodeState::Ready;
        }
    }
    if joining {
        NodeState::Joining
    } else {
        NodeState::Changing
    }
}

fn root_figures(root: &TrustRootObject) -> RootFigures {
    let status = &root.status;
    let refreshed = condition(&status.conditions, "Refreshed");
    RootFigures {
        last_refresh: status.last_refresh.as_ref().map(|time| time.0),
        earliest_expiry: status.earliest_expiry.as_ref().map(|time| time.0),
        refreshed: refreshed.map(|found| Truth::parse(&found.status) == Truth::True),
    }
}

fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|found| found.type_ == kind)
}
