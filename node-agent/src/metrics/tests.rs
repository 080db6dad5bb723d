use policy::verdicts::REASONS;

use telemetry::exposition::{Metric as Family, Sample, documented, parse, registered};

use super::*;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 500_000_000);

fn record(verdict: Kind, reason: Option<&str>, policies: &[&str]) -> Record {
    Record {
        time: NOW,
        image: "example.com/a:1".to_owned(),
        digest: Digest::of(b"a").to_string(),
        verdict,
        reason: reason.map(str::to_owned),
        policies: policies.iter().map(|&name| name.to_owned()).collect(),
        authorities: Vec::new(),
        duration_ms: 120,
        cached: false,
        line: String::new(),
    }
}

/// Everything has a value.
fn full() -> Metrics {
    let metrics = Metrics::new();
    metrics.verdict(&record(Kind::Refused, Some("NoSignature"), &["p"]));
    metrics.set_bundle(Some(&Digest::of(b"one")));
    metrics
}

fn read(metrics: &Metrics) -> BTreeMap<String, Family> {
    parse(&metrics.encode().unwrap())
}

/// The value of the one sample of a family with these labels.
fn value(metrics: &Metrics, family: &str, labels: &[(&str, &str)]) -> f64 {
    let families = read(metrics);
    let matches = |sample: &&Sample| {
        labels.len() == sample.labels.len()
            && labels
                .iter()
                .all(|(name, value)| sample.labels[*name] == *value)
    };
    let found: Vec<f64> = families[family]
        .samples
        .iter()
        .filter(matches)
        .map(|sample| sample.value)
        .collect();
    assert_eq!(
        found.len(),
        1,
        "{family} {labels:?}: {:?}",
        families[family]
    );
    found[0]
}

fn is(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
}

#[test]
fn the_documentation_has_every_metric_with_its_type_and_labels_and_no_other() {
    let text = include_str!("../../../docs/metrics.md");
    let own = ["nodeseal_image_", "nodeseal_agent_", "process_"];
    assert_eq!(registered(&read(&full())), documented(text, &own));
}

#[test]
fn a_pull_counts_once_for_each_policy_and_its_time_once() {
    let metrics = Metrics::new();
    metrics.verdict(&record(Kind::Allowed, None, &["p", "q"]));
    metrics.verdict(&record(Kind::Audit, Some("WrongIdentity"), &["ns/r"]));
    metrics.verdict(&record(Kind::Allowed, None, &[]));
    let verdicts = |verdict, reason, policy| {
        let labels = [("verdict", verdict), ("reason", reason), ("policy", policy)];
        value(&metrics, "nodeseal_image_verdicts", &labels)
    };
    is(verdicts("allowed", "", "p"), 1.0);
    is(verdicts("allowed", "", "q"), 1.0);
    is(verdicts("allowed", "", ""), 1.0);
    is(verdicts("audit", "WrongIdentity", "ns/r"), 1.0);
    let durations = &read(&metrics)["nodeseal_image_verdict_duration_seconds"].samples;
    let of = |suffix: &str| {
        durations
            .iter()
            .find(|sample| sample.name.ends_with(suffix))
    };
    is(of("_count").unwrap().value, 2.0);
    is(of("_sum").unwrap().value, 0.24);
}

#[test]
fn every_reason_has_its_series_and_an_unknown_one_is_other() {
    let metrics = Metrics::new();
    for reason in REASONS.into_iter().chain(["Surprise", "Surprise2"]) {
        metrics.verdict(&record(Kind::Refused, Some(reason), &["p"]));
    }
    let families = read(&metrics);
    let samples = &families["nodeseal_image_verdicts"].samples;
    assert_eq!(samples.len(), REASONS.len() + 1);
    let other = samples
        .iter()
        .find(|sample| sample.labels["reason"] == "other");
    is(other.unwrap().value, 2.0);
}

#[test]
fn thousands_of_policies_and_images_make_a_bounded_number_of_series() {
    let metrics = Metrics::new();
    for number in 0..5000 {
        let policy = format!("policy-{number}");
        metrics.verdict(&record(Kind::Allowed, None, &[&policy]));
    }
    metrics.verdict(&record(Kind::Allowed, None, &["other"]));
    metrics.verdict(&record(Kind::Allowed, None, &[&"x".repeat(MAX_POLICY + 1)]));
    let samples = |metrics| read(metrics)["nodeseal_image_verdicts"].samples.len();
    assert_eq!(samples(&metrics), MOST_POLICIES + 1);
    let other = [("verdict", "allowed"), ("reason", ""), ("policy", "other")];
    is(value(&metrics, "nodeseal_image_verdicts", &other), 4802.0);
    // Policies that are gone make room, and their series go.
    metrics.keep_policies(&["policy-7".to_owned()].into());
    assert_eq!(samples(&metrics), 2);
    metrics.verdict(&record(Kind::Allowed, None, &["policy-4999"]));
    assert_eq!(samples(&metrics), 3);
    let kept = [
        ("verdict", "allowed"),
        ("reason", ""),
        ("policy", "policy-7"),
    ];
    is(value(&metrics, "nodeseal_image_verdicts", &kept), 1.0);
}

#[test]
fn whatever_a_policy_is_called_it_is_one_value() {
    let metrics = Metrics::new();
    let name = "a\"b\\c\nd{}=,é";
    metrics.verdict(&record(Kind::Allowed, None, &[name]));
    let labels = [("verdict", "allowed"), ("reason", ""), ("policy", name)];
    is(value(&metrics, "nodeseal_image_verdicts", &labels), 1.0);
}

#[test]
fn there_is_one_bundle_at_a_time() {
    let metrics = Metrics::new();
    assert!(!read(&metrics).contains_key("nodeseal_agent_bundle_info"));
    for content in [b"one", b"one", b"two"] {
        let digest = Digest::of(content);
        metrics.set_bundle(Some(&digest));
        let labels = [("bundle", digest.as_str())];
        is(value(&metrics, "nodeseal_agent_bundle_info", &labels), 1.0);
        assert_eq!(
            read(&metrics)["nodeseal_agent_bundle_info"].samples.len(),
            1
        );
    }
    metrics.set_bundle(None);
    assert!(!read(&metrics).contains_key("nodeseal_agent_bundle_info"));
}

#[test]
fn what_the_agent_does_is_counted_from_nothing() {
    let metrics = Metrics::new();
    let result = |family: &str, result: &str| value(&metrics, family, &[("result", result)]);
    let plain = |family: &str| value(&metrics, family, &[]);
    is(result("nodeseal_agent_applies", "rolled_back"), 0.0);
    is(plain("nodeseal_agent_enforcing"), -1.0);
    is(plain("nodeseal_agent_last_probe_timestamp_seconds"), 0.0);
    metrics.applied(Applied::RolledBack);
    metrics.drifted(3);
    metrics.probed(Leg::Deny, Proved::Passed, NOW);
    metrics.probed(Leg::Allow, Proved::Failed, NOW);
    metrics.set_enforcing(Enforcing::No);
    metrics.restarted(Restarted::Done);
    metrics.set_stale_images(4);
    metrics.set_managed_files(5);
    metrics.set_unverified_images(6);
    is(result("nodeseal_agent_applies", "rolled_back"), 1.0);
    is(plain("nodeseal_agent_drift"), 3.0);
    let leg = |leg, result| [("leg", leg), ("result", result)];
    is(
        value(&metrics, "nodeseal_agent_probes", &leg("deny", "passed")),
        1.0,
    );
    is(
        value(&metrics, "nodeseal_agent_probes", &leg("allow", "failed")),
        1.0,
    );
    is(
        value(&metrics, "nodeseal_agent_probes", &leg("allow", "passed")),
        0.0,
    );
    is(plain("nodeseal_agent_enforcing"), 0.0);
    is(
        plain("nodeseal_agent_last_probe_timestamp_seconds"),
        1_800_000_000.5,
    );
    is(result("nodeseal_agent_restarts", "done"), 1.0);
    is(plain("nodeseal_agent_stale_images"), 4.0);
    is(plain("nodeseal_agent_managed_files"), 5.0);
    is(plain("nodeseal_agent_unverified_images"), 6.0);
    metrics.set_enforcing(Enforcing::Yes);
    is(plain("nodeseal_agent_enforcing"), 1.0);
}
