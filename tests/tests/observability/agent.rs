//! The agent, on a node without a runtime.

use std::fs;
use std::process::Command;

use anyhow::Result;
use e2e::keys::{Key, Kind};
use e2e::policies::PolicyText;
use e2e::{Folder, Process};
use policy::verdicts::{CURRENT, DIR};
use serde_json::json;
use xtask::product::Product;

use crate::operator::all_there;
use crate::promtool;
use crate::scrape::Target;

/// What the verifier writes of pulls.
fn verdicts() -> String {
    let record = |verdict: &str, reason: Option<&str>| {
        let mut record = json!({
            "time": "2026-01-01T00:00:00Z", "image": "registry.example/team/app:1",
            "digest": format!("sha256:{}", "0".repeat(64)), "verdict": verdict,
            "policies": ["p"], "durationMs": 120, "line": "",
        });
        if let Some(reason) = reason {
            record["reason"] = reason.into();
        }
        format!("{record}\n")
    };
    [
        record("allowed", None),
        record("refused", Some("NoSignature")),
        record("refused", Some("RegistryError")),
    ]
    .concat()
}

#[tokio::test]
async fn what_is_scraped_is_what_is_there_and_promtool_takes_it() -> Result<()> {
    let folder = Folder::new("agent-metrics")?;
    let (root, policies) = (folder.join("root"), folder.join("policies"));
    fs::create_dir_all(&root)?;
    fs::create_dir_all(&policies)?;
    let pem = Key::generate(Kind::P256)?.public_pem()?;
    let text = PolicyText::new("p", &["registry.example/team"])
        .authority("k", &pem)
        .yaml();
    fs::write(policies.join("p.yaml"), text)?;
    let metrics = Target::new()?;
    let mut command = Command::new(Product::Agent.locate()?);
    command
        .arg("--policy-dir")
        .arg(&policies)
        .arg("--root")
        .arg(&root)
        .args([
            "--runtime",
            "containerd",
            "--runtime-version",
            "2.2.1",
            "--verifier",
        ])
        .arg(Product::Verifier.locate()?)
        .args(["--recheck", "1", "--log-format", "json"])
        .args(["--metrics-address", &metrics.0.to_string()]);
    let agent = Process::start("nodeseal-agent", &mut command, &folder.join("agent.log"))?;
    metrics.answers("/readyz", 200).await?;
    assert_eq!(metrics.get("/healthz").await?.0, 200);
    fs::create_dir_all(root.join(DIR))?;
    fs::write(root.join(DIR).join(CURRENT), verdicts())?;

    let refused = |reason: &str| {
        format!(
            "nodeseal_image_verdicts_total{{verdict=\"refused\",reason=\"{reason}\",policy=\"p\"}}"
        )
    };
    let found = metrics
        .until("the verdicts to be counted", |found| {
            found.is(&refused("NoSignature"), 1.0) && found.is(&refused("RegistryError"), 1.0)
        })
        .await?;
    assert!(
        found.is("nodeseal_image_verdict_duration_seconds_count", 3.0),
        "{}",
        found.0
    );
    assert!(
        found.is("nodeseal_agent_applies_total{result=\"done\"}", 1.0),
        "{}",
        found.0
    );
    promtool::check_metrics(&found)?;
    all_there(&found, "nodeseal_agent_")?;
    all_there(&found, "nodeseal_image_")?;

    let log = agent.log();
    let first: serde_json::Value = serde_json::from_str(log.lines().next().unwrap_or_default())?;
    assert_eq!(first["fields"]["message"], "nodeseal-agent starts");
    assert!(first["fields"]["version"].is_string(), "{first}");
    let line = log
        .lines()
        .find(|line| line.contains("the node's files were changed"));
    let line: serde_json::Value = serde_json::from_str(line.unwrap_or_default())?;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["span"], json!({ "name": "look", "id": 1 }), "{line}");
    assert!(line["fields"]["files"].as_u64() >= Some(2), "{line}");
    let bundle = line["fields"]["bundle"].as_str().unwrap_or_default();
    assert!(bundle.starts_with("sha256:"), "{line}");
    Ok(())
}
