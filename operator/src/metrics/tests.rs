use std::collections::BTreeMap;

use policy::aggregate::Truth;
use telemetry::exposition::{Metric, documented, parse, registered};

use super::*;
use crate::index::{NodeState, RootFigures};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 500_000_000);

fn figures() -> Figures {
    let root = RootFigures {
        last_refresh: Some(NOW),
        earliest_expiry: Some(NOW),
        refreshed: Some(false),
    };
    Figures {
        objects: BTreeMap::from([("PolicyBundle", 3), ("Node", 2)]),
        policies: BTreeMap::from([((Truth::False, "NodesFailed".to_owned()), 4)]),
        nodes: NodeState::ALL.into_iter().map(|state| (state, 1)).collect(),
        rollout_halted: true,
        rollout_paused: false,
        breaker_open: true,
        trust_roots: BTreeMap::from([("sigstore".to_owned(), root)]),
    }
}

/// Everything has a value.
fn full() -> Arc<Metrics> {
    let metrics = Metrics::new();
    metrics.set_leader(true);
    metrics.turned(true, Duration::from_millis(7));
    metrics.written("PolicyBundle", Outcome::Failed);
    metrics.set_queue(5);
    metrics.asked("get", "2xx");
    metrics.watches("Node");
    metrics.watch_restarted("Node");
    metrics.set_figures(&figures());
    metrics
}

fn read(metrics: &Metrics) -> BTreeMap<String, Metric> {
    parse(&metrics.encode().unwrap())
}

/// The value of the one sample of a family with these labels.
fn value(metrics: &Metrics, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let families = read(metrics);
    let wanted = labels
        .iter()
        .map(|&(name, is)| (name.to_owned(), is.to_owned()));
    let wanted: BTreeMap<_, _> = wanted.collect();
    let samples = &families
        .get(&format!("nodeseal_operator_{family}"))?
        .samples;
    let found = samples.iter().find(|sample| sample.labels == wanted);
    found.map(|sample| sample.value)
}

#[test]
fn the_documentation_has_every_metric_with_its_type_and_labels_and_no_other() {
    let text = include_str!("../../../docs/metrics.md");
    let own = ["nodeseal_operator_", "process_"];
    assert_eq!(registered(&read(&full())), documented(text, &own));
}

#[test]
fn every_figure_is_told() {
    let metrics = full();
    let is = |family: &str, labels: &[(&str, &str)], expected: f64| {
        let found = value(&metrics, family, labels).unwrap();
        assert!(
            (found - expected).abs() < 1e-9,
            "{family} {labels:?}: {found}"
        );
    };
    is("leader", &[], 1.0);
    is("synced", &[], 1.0);
    is("index_objects", &[("kind", "PolicyBundle")], 3.0);
    is("bundles", &[], 3.0);
    is(
        "writes",
        &[("kind", "PolicyBundle"), ("outcome", "failed")],
        1.0,
    );
    is("writes", &[("kind", "Event"), ("outcome", "done")], 0.0);
    is("write_queue_length", &[], 5.0);
    is("api_requests", &[("verb", "get"), ("code", "2xx")], 1.0);
    is("watch_restarts", &[("kind", "Node")], 1.0);
    is(
        "policies",
        &[("ready", "false"), ("reason", "NodesFailed")],
        4.0,
    );
    for state in NodeState::ALL {
        is("nodes", &[("state", state.as_str())], 1.0);
    }
    is("rollout_halted", &[], 1.0);
    is("rollout_paused", &[], 0.0);
    is("breaker_open", &[], 1.0);
    let root = [("trust_root", "sigstore")];
    is(
        "trust_root_last_refresh_timestamp_seconds",
        &root,
        1_800_000_000.5,
    );
    is(
        "trust_root_earliest_expiry_timestamp_seconds",
        &root,
        1_800_000_000.5,
    );
    is("trust_root_refresh_ok", &root, 0.0);
}

#[test]
fn what_is_gone_leaves_no_series() {
    let metrics = full();
    metrics.set_figures(&Figures::default());
    let families = read(&metrics);
    for family in [
        "policies",
        "trust_root_refresh_ok",
        "index_objects",
        "nodes",
    ] {
        assert!(
            !families.contains_key(&format!("nodeseal_operator_{family}")),
            "{family}"
        );
    }
    assert_eq!(value(&metrics, "bundles", &[]), Some(0.0));
    assert_eq!(value(&metrics, "rollout_halted", &[]), Some(0.0));
    metrics.set_leader(false);
    assert_eq!(value(&metrics, "leader", &[]), Some(0.0));
}
