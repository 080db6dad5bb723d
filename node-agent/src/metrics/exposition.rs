//! A strict reader of `OpenMetrics` 1.0's text format, as far as the agent uses it
//! (github.com/prometheus/OpenMetrics, specification/OpenMetrics.md). It fails on whatever that does
//! not allow.

use std::collections::{BTreeMap, BTreeSet};

/// One metric family.
#[derive(Debug, Default)]
pub(super) struct Metric {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Metric {
    /// The names of its labels, but for a histogram's `le`.
    pub(super) fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.iter().flat_map(|sample| sample.labels.keys());
        names
            .map(String::as_str)
            .filter(|&name| name != "le")
            .collect()
    }
}

pub(super) fn parse(text: &str) -> BTreeMap<String, Metric> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut families: BTreeMap<String, Metric> = BTreeMap::new();
    let mut name = String::new();
    for line in body.lines() {
        assert!(!line.is_empty(), "no empty lines");
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (new, help) = help.split_once(' ').expect("a name and a text");
            name = new.to_owned();
            assert!(is_name(new), "{line}");
            let metric = Metric {
                help: help.to_owned(),
                ..Metric::default()
            };
            assert!(
                families.insert(name.clone(), metric).is_none(),
                "twice: {line}"
            );
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (of, kind) = kind.split_once(' ').expect("a name and a type");
            assert_eq!(of, name, "{line}");
            let metric = families.get_mut(&name).expect("HELP comes first");
            assert!(
                metric.kind.is_empty() && metric.samples.is_empty(),
                "{line}"
            );
            kind.clone_into(&mut metric.kind);
        } else {
            let metric = families.get_mut(&name).expect("a family");
            let sample = sample(line);
            let suffix = sample.name.strip_prefix(&name).expect("of the same family");
            let allowed: &[&str] = match metric.kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("type {other}"),
            };
            assert!(allowed.contains(&suffix), "{line}");
            let is_same =
                |other: &&Sample| (&other.name, &other.labels) == (&sample.name, &sample.labels);
            assert!(
                metric.samples.iter().find(is_same).is_none(),
                "twice: {line}"
            );
            assert!(metric.kind != "counter" || sample.value >= 0.0, "{line}");
            metric.samples.push(sample);
        }
    }
    for metric in families
        .values()
        .filter(|metric| metric.kind == "histogram")
    {
        buckets(metric);
    }
    families
}

/// Buckets grow, and the last one, without limit, holds all.
fn buckets(metric: &Metric) {
    let of = |suffix: &str| {
        let samples = metric.samples.iter();
        let found = samples.filter(move |sample| sample.name.ends_with(suffix));
        found.cloned().collect::<Vec<Sample>>()
    };
    let (count, buckets) = (of("_count"), of("_bucket"));
    assert_eq!((count.len(), of("_sum").len()), (1, 1));
    let mut bounds = buckets
        .iter()
        .map(|bucket| match bucket.labels["le"].as_str() {
            "+Inf" => f64::INFINITY,
            bound => bound.parse().unwrap(),
        });
    assert!(bounds.clone().is_sorted_by(|a, b| a < b));
    assert_eq!(bounds.next_back(), Some(f64::INFINITY));
    assert!(buckets.iter().map(|bucket| bucket.value).is_sorted());
    let last = buckets.last().unwrap().value;
    assert!((last - count[0].value).abs() < f64::EPSILON);
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (BTreeMap::new(), rest),
    };
    let value = rest.strip_prefix(' ').expect("one space before the value");
    assert!(!value.contains(' '), "{line}");
    let name = name.to_owned();
    Sample {
        name,
        labels,
        value: value.parse().expect("a number"),
    }
}

/// Labels up to the closing brace, and what follows it.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return (labels, rest);
        }
        let (name, after) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && !name.contains(':'), "{name}");
        let (value, after) = quoted(after);
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "twice: {name}"
        );
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(rest.starts_with('}') || after.starts_with(','), "{after}");
    }
}

/// A value up to its closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                other => panic!("escape {other:?}"),
            },
            c => value.push(c),
        }
    }
    panic!("no closing quote: {text}")
}

fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
