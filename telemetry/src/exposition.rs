//! A strict reader of `OpenMetrics` 1.0's text format, as far as this product uses it
//! (github.com/prometheus/OpenMetrics, specification/OpenMetrics.md). It fails on whatever that does
//! not allow.

use std::collections::{BTreeMap, BTreeSet};

/// One metric family.
#[derive(Debug, Default)]
pub struct Metric {
    /// Its type.
    pub kind: String,
    /// What it says of itself.
    pub help: String,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The name, with its suffix.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Of each metric, by the name that it is asked for by, its type and its labels.
pub type Table = BTreeMap<String, (String, BTreeSet<String>)>;

impl Metric {
    /// The names of its labels, but for a histogram's `le`.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.iter().flat_map(|sample| sample.labels.keys());
        names
            .map(String::as_str)
            .filter(|&name| name != "le")
            .collect()
    }
}

/// The rows of a table of documentation whose name begins with one of `prefixes`: name, type, labels,
/// what.
#[must_use]
pub fn documented(text: &str, prefixes: &[&str]) -> Table {
    let mut table = Table::new();
    for row in text.lines() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells.first().map_or("", |name| name.trim_matches('`'));
        if !row.starts_with("| `") || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let [_, kind, labels, meaning] = cells[..] else {
            panic!("four columns: {row}")
        };
        assert!(!meaning.is_empty(), "{row}");
        let labels = labels
            .split(',')
            .map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        let before = table.insert(name.to_owned(), (kind.to_owned(), labels.collect()));
        assert!(before.is_none(), "{name} stands twice");
    }
    table
}

/// The same of what is served.
#[must_use]
pub fn registered(families: &BTreeMap<String, Metric>) -> Table {
    let rows = families.iter().map(|(name, metric)| {
        assert!(!metric.samples.is_empty(), "{name}");
        assert!(metric.help.len() > 5, "{name}");
        let labels = metric.labels().into_iter().map(str::to_owned).collect();
        // As they are asked for.
        let name = match metric.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        (name, (metric.kind.clone(), labels))
    });
    rows.collect()
}

/// Reads it, or fails.
#[must_use]
pub fn parse(text: &str) -> BTreeMap<String, Metric> {
    let body = text.strip_suffix("# EOF\n").expect("it ends in # EOF");
    let mut families: BTreeMap<String, Metric> = BTreeMap::new();
    let mut name = String::new();
    for line in body.lines() {
        assert!(!line.is_empty(), "no empty lines");
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (new, help) = help.split_once(' ').expect("a name and a text");
            new.clone_into(&mut name);
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
