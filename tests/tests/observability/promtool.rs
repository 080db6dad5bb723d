//! The real promtool.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::Folder;

use crate::scrape::Metrics;

/// Runs it; fails with what it says where it finds anything.
pub(crate) fn run(args: &[&str], input: Option<&Path>) -> Result<String> {
    let mut command = Command::new(xtask::peers::locate("promtool")?);
    command.args(args);
    if let Some(input) = input {
        command.stdin(File::open(input)?);
    }
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "promtool {args:?}: {said}");
    Ok(said)
}

/// `promtool check metrics`, which also lints names and texts.
pub(crate) fn check_metrics(metrics: &Metrics) -> Result<()> {
    let folder = Folder::new("metrics")?;
    let file = folder.join("metrics.txt");
    fs::write(&file, &metrics.0)?;
    let said = run(&["check", "metrics"], Some(&file))?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

/// `promtool check rules` of these expressions, each as a rule of its own.
pub(crate) fn check_expressions(expressions: &[String]) -> Result<()> {
    let folder = Folder::new("expressions")?;
    let file = folder.join("rules.json");
    let rules = expressions.iter().enumerate().map(|(number, expression)| {
        serde_json::json!({ "record": format!("panel:{number}"), "expr": expression })
    });
    let rules: Vec<_> = rules.collect();
    // JSON is YAML.
    let text = serde_json::json!({ "groups": [{ "name": "all", "rules": rules }] });
    fs::write(&file, text.to_string())?;
    let path = file.to_string_lossy();
    let said = run(
        &["check", "rules", "--lint=all", "--lint-fatal", &path],
        None,
    )?;
    let count = format!("{} rules found", expressions.len());
    ensure!(said.contains(&count), "{said}");
    Ok(())
}

#[test]
fn promtool_refuses_what_is_wrong() -> Result<()> {
    check_metrics(&Metrics(
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n".into(),
    ))?;
    let without_help = Metrics("# TYPE a_total counter\na_total 1\n".into());
    assert!(check_metrics(&without_help).is_err());
    assert!(check_metrics(&Metrics("a b c\n".into())).is_err());
    check_expressions(&["sum(a)".to_owned()])?;
    assert!(check_expressions(&["sum(a".to_owned()]).is_err());
    Ok(())
}
