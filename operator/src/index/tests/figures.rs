//! What is counted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use policy::aggregate::{Finding, Report, Truth};

use super::*;
use crate::index::figures::{MOST_REASONS, MOST_ROOTS, OTHER};

fn saying(kind: &str, status: &str, reason: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}

/// The index of a world with these policies, each with one condition.
fn with_policies(conditions: impl IntoIterator<Item = Condition>) -> Index {
    let mut index = Index::default();
    for (number, said) in conditions.into_iter().enumerate() {
        let id = cluster(&format!("p{number}"));
        let status = crds::types::PolicyStatus {
            conditions: vec![said],
            ..Default::default()
        };
        index.apply(Event::ClusterPolicy(Change::Apply(PolicyObject {
            id,
            meta: Meta::default(),
            spec: Ok(spec("registry.example/team")),
            status,
        })));
    }
    index
}

#[test]
fn objects_are_counted_by_kind_and_policies_by_what_ready_says() {
    let (world, _) = running();
    let figures = world.index.figures(world.now);
    let count = |kind: &str| figures.objects[kind];
    assert_eq!(count("ClusterImageSignaturePolicy"), 1);
    assert_eq!((count("Node"), count("NodeImagePolicy")), (2, 2));
    assert_eq!(count("PolicyBundle"), world.bundles.len());
    assert_eq!((count("TrustRoot"), count("EnforcementConfig")), (0, 0));
    let ready = BTreeMap::from([((Truth::True, "Ready".to_owned()), 1)]);
    assert_eq!(figures.policies, ready);
    assert_eq!(figures.nodes[&NodeState::Ready], 2);
    assert_eq!(figures.nodes.len(), NodeState::ALL.len());
    assert!(!figures.rollout_halted && !figures.rollout_paused && !figures.breaker_open);
}

#[test]
fn every_node_is_in_one_state() {
    let (mut world, _) = running();
    let fails = |reason: &str| report(Truth::False, reason, Truth::False);
    let base = world.node_policies["a"].clone();
    let nodes = world.nodes["a"].clone();
    let state = |reachable, age: i64, own: Option<NodePolicyObject>| {
        let mut index = Index::default();
        let created = world.now - SignedDuration::from_secs(age);
        let meta = Meta {
            created,
            ..Meta::default()
        };
        let node = NodeObject {
            meta,
            reachable,
            ..nodes.clone()
        };
        index.apply(Event::Node(Change::Apply(node)));
        if let Some(own) = own {
            index.apply(Event::NodePolicy(Change::Apply(own)));
        }
        let figures = index.figures(world.now);
        let found: Vec<_> = figures
            .nodes
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(found.len(), 1);
        found[0].0
    };
    let own = |report: Option<Report>, applied: Option<&str>| {
        let applied = applied.map_or(base.bundle.clone(), |other| Some(other.to_owned()));
        Some(NodePolicyObject {
            applied,
            report,
            ..base.clone()
        })
    };
    let good = || Some(report(Truth::True, "Applied", Truth::True));
    let (old, new) = (100_000, 1);
    assert_eq!(state(true, old, own(good(), None)), NodeState::Ready);
    assert_eq!(state(true, new, own(good(), None)), NodeState::Ready);
    assert_eq!(state(false, old, own(good(), None)), NodeState::Unreachable);
    assert_eq!(
        state(true, old, own(good(), Some("other"))),
        NodeState::Changing
    );
    assert_eq!(
        state(true, new, own(good(), Some("other"))),
        NodeState::Joining
    );
    // What it says is about what it was given before.
    let mut early = own(good(), None).unwrap();
    early.observed = Some(early.meta.generation - 1);
    assert_eq!(state(true, old, Some(early)), NodeState::Changing);
    assert_eq!(state(true, new, None), NodeState::Joining);
    assert_eq!(state(true, old, None), NodeState::Changing);
    let failed = fails("WriteFailed");
    assert_eq!(state(true, new, own(Some(failed), None)), NodeState::Failed);
    let waits = fails("Pending");
    assert_eq!(
        state(true, old, own(Some(waits), None)),
        NodeState::Changing
    );
    let mut bypassed = report(Truth::True, "Applied", Truth::True);
    bypassed.enforcing = Truth::False;
    assert_eq!(
        state(true, old, own(Some(bypassed), None)),
        NodeState::Failed
    );
    let mut none = own(good(), None).unwrap();
    none.not_enforcing = Some(Finding::new("NotEnforcing", ""));
    assert_eq!(state(true, old, Some(none)), NodeState::Unsupported);
    world.later();
}

#[test]
fn a_halted_rollout_a_pause_and_an_open_breaker_are_told() {
    let index = with_policies([saying("Programmed", "False", "RolloutHalted")]);
    assert!(index.figures(Timestamp::UNIX_EPOCH).rollout_halted);
    let index = with_policies([saying("Programmed", "False", "RollingOut")]);
    assert!(!index.figures(Timestamp::UNIX_EPOCH).rollout_halted);

    let mut index = Index::default();
    let config = serde_json::json!({ "rollout": { "paused": true } });
    let status = crds::types::EnforcementConfigStatus {
        conditions: vec![saying("Ready", "False", "PoliciesVanished")],
        ..Default::default()
    };
    index.apply(Event::Config(Change::Apply(ConfigObject {
        meta: Meta::default(),
        spec: Ok(serde_json::from_value(config).unwrap()),
        retry: None,
        confirm: None,
        status,
    })));
    let figures = index.figures(Timestamp::UNIX_EPOCH);
    assert!(figures.rollout_paused && figures.breaker_open);
}

#[test]
fn reasons_are_bounded_and_no_policy_is_lost() {
    let many = (0..5000).map(|number| saying("Ready", "False", &format!("Reason{number}")));
    let long = saying("Ready", "False", &"x".repeat(100));
    let none = saying("Accepted", "True", "Valid");
    let often = (0..3).map(|_| saying("Ready", "True", "Ready"));
    let index = with_policies(many.chain(often).chain([long, none]));
    let policies = index.figures(Timestamp::UNIX_EPOCH).policies;
    assert!(policies.len() <= MOST_REASONS + 3, "{}", policies.len());
    assert_eq!(policies.values().sum::<usize>(), 5005);
    assert_eq!(policies[&(Truth::True, "Ready".to_owned())], 3);
    assert!(policies[&(Truth::False, OTHER.to_owned())] > 4900);
    assert!(policies.keys().all(|(_, word)| word.len() <= 64));
}

#[test]
fn trust_roots_are_told_of_by_name_up_to_a_bound() {
    let mut index = Index::default();
    let time = Timestamp::constant(1_800_000_000, 0);
    for number in 0..2 * MOST_ROOTS {
        let refreshed = if number == 0 { "False" } else { "True" };
        let status = crds::types::TrustRootStatus {
            last_refresh: Some(Time(time)),
            conditions: vec![saying("Refreshed", refreshed, "Any")],
            ..Default::default()
        };
        index.apply(Event::TrustRoot(Change::Apply(TrustRootObject {
            name: format!("root-{number:03}"),
            meta: Meta::default(),
            spec: Err("not read".to_owned()),
            status,
        })));
    }
    let roots = index.figures(time).trust_roots;
    assert_eq!(roots.len(), MOST_ROOTS);
    assert_eq!(roots["root-000"].refreshed, Some(false));
    assert_eq!(roots["root-001"].refreshed, Some(true));
    assert_eq!(roots["root-001"].last_refresh, Some(time));
    assert_eq!(roots["root-001"].earliest_expiry, None);
}
