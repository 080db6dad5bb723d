//! The dashboard: what Grafana needs of it is there, and it asks for what exists.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::promtool;
use crate::rules::{are_documented, asked_for, documented, root};

/// Grafana's grid.
const COLUMNS: u64 = 24;

fn dashboard() -> Result<Value> {
    let text = fs::read_to_string(root("charts/nodeseal/files/dashboard.json"))?;
    Ok(serde_json::from_str(&text)?)
}

fn panels(dashboard: &Value) -> Result<&Vec<Value>> {
    dashboard["panels"].as_array().context("panels")
}

/// All expressions, with the variables of Grafana replaced.
fn expressions(dashboard: &Value) -> Result<Vec<String>> {
    let targets = panels(dashboard)?
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| {
        let text = target["expr"].as_str().context("expr")?;
        Ok(text.replace("$__rate_interval", "5m"))
    });
    expressions.collect()
}

/// All metrics that it asks for.
pub(crate) fn all_asked_for() -> Result<BTreeSet<String>> {
    let all = expressions(&dashboard()?)?;
    Ok(all
        .iter()
        .flat_map(|expression| asked_for(expression))
        .collect())
}

#[test]
fn it_is_what_grafana_reads() -> Result<()> {
    let dashboard = dashboard()?;
    assert!(
        dashboard["schemaVersion"]
            .as_u64()
            .is_some_and(|version| version >= 39)
    );
    assert_eq!(dashboard["uid"], "nodeseal");
    assert_eq!(dashboard["title"], "nodeseal");
    // One that is imported gets its number from Grafana.
    assert_eq!(dashboard.get("id"), None);
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(variable["name"], "datasource");
    assert_eq!(
        (&variable["type"], &variable["query"]),
        (&json!("datasource"), &json!("prometheus"))
    );
    let source = json!({ "type": "prometheus", "uid": "${datasource}" });

    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard)? {
        let title = panel["title"].as_str().context("title")?;
        assert!(
            ids.insert(panel["id"].as_u64().context("id")?),
            "{title}: its id stands twice"
        );
        let place = |side: &str| panel["gridPos"][side].as_u64().context("gridPos");
        let (x, y, width, height) = (place("x")?, place("y")?, place("w")?, place("h")?);
        assert!(width > 0 && height > 0 && x + width <= COLUMNS, "{title}");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{title} lies over another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            ["stat", "timeseries"]
                .map(Value::from)
                .contains(&panel["type"]),
            "{title}"
        );
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{title}"
        );
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        assert_eq!(panel["datasource"], source, "{title}");
        let targets = panel["targets"].as_array().context("targets")?;
        assert!(!targets.is_empty(), "{title}");
        let mut names = BTreeSet::new();
        for target in targets {
            assert!(
                names.insert(target["refId"].as_str().context("refId")?),
                "{title}"
            );
            assert_eq!(target["datasource"], source, "{title}");
            assert!(
                target["expr"].as_str().is_some_and(|text| !text.is_empty()),
                "{title}"
            );
        }
    }
    Ok(())
}

#[test]
fn every_expression_parses_and_asks_for_what_is_documented() -> Result<()> {
    promtool::check_expressions(&expressions(&dashboard()?)?)?;
    are_documented(&all_asked_for()?)
}

#[test]
fn every_documented_metric_of_ours_is_shown_or_alerted_on() -> Result<()> {
    let mut asked = all_asked_for()?;
    asked.extend(crate::rules::all_asked_for()?);
    let is_asked = |name: &String| {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        asked.contains(name) || base.is_some_and(|base| asked.contains(&format!("{base}_bucket")))
    };
    // What is there to be joined with, or to look at by hand.
    let by_hand = [
        "_build_info",
        "_index_objects",
        "_managed_files",
        "_rollout_paused",
    ];
    for name in documented()?
        .iter()
        .filter(|name| name.starts_with("nodeseal_"))
    {
        let left = by_hand.iter().any(|end| name.ends_with(end));
        assert!(is_asked(name) || left, "nobody looks at {name}");
    }
    Ok(())
}
