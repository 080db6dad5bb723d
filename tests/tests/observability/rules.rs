//! The alert rules: each is valid, is tested both ways, and asks for what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::promtool;

pub(crate) fn root(path: &str) -> PathBuf {
    xtask::cache::workspace().join(path)
}

const ALERTS: &str = "charts/nodeseal/files/alerts.yaml";

/// Every rule.
fn alerts() -> Result<Vec<Value>> {
    let file: Value = serde_saphyr::from_str(&fs::read_to_string(root(ALERTS))?)?;
    let groups = file["groups"].as_array().context("groups")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array());
    Ok(rules.flatten().cloned().collect())
}

/// The files of tests of the rules.
fn tests() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root("tests/data/alerts"))? {
        found.push(entry?.path());
    }
    found.sort();
    Ok(found)
}

/// The metrics that an expression of `PromQL` asks for.
pub(crate) fn asked_for(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let words = expression.split(|c| !is_part(c));
    let ours = words.filter(|word| word.starts_with("nodeseal_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// All metrics that alerts ask for.
pub(crate) fn all_asked_for() -> Result<BTreeSet<String>> {
    let rules = alerts()?;
    let expressions = rules.iter().filter_map(|rule| rule["expr"].as_str());
    Ok(expressions.flat_map(asked_for).collect())
}

/// The names in the tables of the documentation; of a histogram those of its series.
pub(crate) fn documented() -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root("docs/metrics.md"))?;
    let mut names = BTreeSet::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = cells[0].trim_matches('`');
        if cells.get(1) == Some(&"histogram") {
            names.extend(["bucket", "sum", "count"].map(|end| format!("{name}_{end}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

#[test]
fn the_rules_are_valid_and_every_one_says_what_to_do() -> Result<()> {
    let path = root(ALERTS);
    let path = path.to_string_lossy();
    promtool::run(
        &["check", "rules", "--lint=all", "--lint-fatal", &path],
        None,
    )?;
    let mut names = BTreeSet::new();
    for rule in alerts()? {
        let name = rule["alert"].as_str().context("every rule is an alert")?;
        assert!(names.insert(name.to_owned()), "{name} stands twice");
        assert!(name.starts_with("Nodeseal"), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}"
        );
        for text in ["summary", "description", "runbook"] {
            let length = rule["annotations"][text].as_str().map_or(0, str::len);
            assert!(length > 20, "{name} has no {text}");
        }
    }
    Ok(())
}

/// Fails where a metric is not in the documentation.
pub(crate) fn are_documented(names: &BTreeSet<String>) -> Result<()> {
    let documented = documented()?;
    let missing: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/metrics.md");
    Ok(())
}

#[test]
fn every_alert_asks_for_what_is_documented() -> Result<()> {
    are_documented(&all_asked_for()?)
}

#[test]
fn every_alert_fires_when_it_should_and_not_before() -> Result<()> {
    // Of each alert, whether there is a moment at which it is silent, and one at which it fires.
    let mut tested: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for file in tests()? {
        let content: Value = serde_saphyr::from_str(&fs::read_to_string(&file)?)?;
        let cases = content["tests"].as_array().context("tests")?;
        let moments = cases
            .iter()
            .filter_map(|case| case["promql_expr_test"].as_array());
        for moment in moments.flatten() {
            let expression = moment["expr"].as_str().context("expr")?;
            let name = expression.strip_prefix("ALERTS{alertname=\"");
            let (name, rest) = name
                .and_then(|rest| rest.split_once('"'))
                .context("alertname")?;
            assert_eq!(rest, ", alertstate=\"firing\"}", "{expression}");
            let samples = moment["exp_samples"].as_array().context("exp_samples")?;
            let (silent, fires) = tested.entry(name.to_owned()).or_default();
            if samples.is_empty() {
                *silent = true;
            } else {
                *fires = true;
            }
        }
        let path = file.to_string_lossy();
        promtool::run(&["test", "rules", &path], None)?;
    }
    for rule in alerts()? {
        let name = rule["alert"].as_str().context("alert")?;
        assert_eq!(
            tested.get(name),
            Some(&(true, true)),
            "{name}: (silent, fires)"
        );
    }
    Ok(())
}
