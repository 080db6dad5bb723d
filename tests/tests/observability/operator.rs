//! The operator, on a real API server.

use anyhow::{Context as _, Result};
use e2e::keys::{Key, Kind};
use e2e::{Operator, Process};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use xtask::product::Product;

use crate::lab::{Lab, NAMESPACE, policy};
use crate::scrape::{Metrics, Target};
use crate::{dashboard, promtool, rules};

/// A replica that serves its metrics and logs JSON.
struct Replica {
    process: Process,
    metrics: Target,
    health: Target,
}

impl Replica {
    async fn start(lab: &Lab, name: &str) -> Result<Self> {
        let token = lab
            .plane
            .service_account_token(NAMESPACE, "nodeseal-operator", None)
            .await?;
        Self::with_token(lab, name, &token)
    }

    fn with_token(lab: &Lab, name: &str, token: &str) -> Result<Self> {
        let kubeconfig = lab.plane.kubeconfig_for(name, token)?;
        let log = lab.folder.join(format!("{name}.log"));
        let program = Product::Operator.locate()?;
        let Operator {
            process,
            health,
            metrics,
        } = Operator::start(&program, &kubeconfig, &log, |command| {
            command.args(["--log-format", "json"]);
        })?;
        Ok(Self {
            process,
            metrics: Target(metrics),
            health: Target(health),
        })
    }

    /// All lines that are whole.
    fn lines(&self) -> Result<Vec<Value>> {
        let log = self.process.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}")));
        lines.collect()
    }
}

fn pem() -> Result<String> {
    Key::generate(Kind::P256)?.public_pem()
}

/// A trust root, with what a refresh says of it.
async fn trust_root(lab: &Lab) -> Result<()> {
    let authority = e2e::sigstore::Authority::root("Fulcio")?.pem();
    lab.apply(&json!({
        "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
        "metadata": { "name": "corp" },
        "spec": { "keys": { "fulcio": authority, "rekor": [pem()?] } },
    }))
    .await?;
    lab.trust_root("corp", "True Resolved").await?;
    let patch = json!({
        "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
        "metadata": { "name": "corp" },
        "status": {
            "lastRefresh": "2026-01-01T00:00:00Z",
            "conditions": [{
                "type": "Refreshed", "status": "False", "reason": "Test", "message": "by the test",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    });
    let params = PatchParams::apply("test").force();
    lab.trust_roots()
        .patch_status("corp", &params, &Patch::Apply(patch))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_is_scraped_is_what_is_there_and_promtool_takes_it() -> Result<()> {
    let lab = Lab::start(&["a", "b"]).await?;
    let replica = Replica::start(&lab, "one").await?;
    replica.health.answers("/readyz", 200).await?;
    let key = json!({ "data": pem()? });
    lab.apply(&policy("p", &["registry.example/team"], &key))
        .await?;
    lab.roll_out(&["a", "b"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    trust_root(&lab).await?;

    let o = |rest: &str| format!("nodeseal_operator_{rest}");
    let root = o("trust_root_refresh_ok{trust_root=\"corp\"}");
    let metrics = replica
        .metrics
        .until("the trust root and the nodes to be told of", |metrics| {
            metrics.is(&root, 0.0) && metrics.is(&o("nodes{state=\"ready\"}"), 2.0)
        })
        .await?;
    for (series, value) in [
        ("leader", 1.0),
        ("synced", 1.0),
        ("index_objects{kind=\"Node\"}", 2.0),
        ("index_objects{kind=\"ClusterImageSignaturePolicy\"}", 1.0),
        ("policies{ready=\"true\",reason=\"Ready\"}", 1.0),
        ("nodes{state=\"failed\"}", 0.0),
        ("rollout_halted", 0.0),
        ("rollout_paused", 0.0),
        ("breaker_open", 0.0),
        (
            "writes_total{kind=\"NodeImagePolicy\",outcome=\"failed\"}",
            0.0,
        ),
        (
            "trust_root_last_refresh_timestamp_seconds{trust_root=\"corp\"}",
            1_767_225_600.0,
        ),
    ] {
        assert!(
            metrics.is(&o(series), value),
            "{series} is not {value}: {}",
            metrics.0
        );
    }
    let at_least = |series: &str, least: f64| {
        let found = metrics.value(series).unwrap_or(-1.0);
        assert!(found >= least, "{series} is {found}: {}", metrics.0);
    };
    at_least(&o("bundles"), 1.0);
    at_least(
        &o("writes_total{kind=\"NodeImagePolicy\",outcome=\"done\"}"),
        2.0,
    );
    at_least(&o("api_requests_total{verb=\"watch\",code=\"2xx\"}"), 7.0);
    at_least(&o("api_requests_total{verb=\"patch\",code=\"2xx\"}"), 3.0);
    at_least(&o("reconcile_duration_seconds_count"), 3.0);
    at_least("process_resident_memory_bytes", 1e6);

    promtool::check_metrics(&metrics)?;
    all_there(&metrics, "nodeseal_operator_")?;
    // The kubelet's port has health and nothing else.
    assert_eq!(replica.health.get("/metrics").await?.0, 404);
    assert_eq!(replica.metrics.get("/healthz").await?.0, 200);

    logged(&replica)
}

/// Every metric that alerts and dashboard ask for, by the beginning of its name.
pub(crate) fn all_there(metrics: &Metrics, prefix: &str) -> Result<()> {
    let mut asked = rules::all_asked_for()?;
    asked.extend(dashboard::all_asked_for()?);
    let names = metrics.names();
    let ours = asked
        .iter()
        .filter(|name| name.starts_with(prefix) || name.starts_with("process_"));
    let missing: Vec<_> = ours.filter(|name| !names.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {}", metrics.0);
    Ok(())
}

/// Every line is JSON; every write is told with its object and its turn.
fn logged(replica: &Replica) -> Result<()> {
    let lines = replica.lines()?;
    let fields = |line: &Value| line["fields"].clone();
    let first = fields(&lines[0]);
    assert_eq!(first["message"], "nodeseal-operator starts");
    assert_eq!(first["namespace"], NAMESPACE);
    assert_eq!(first["node_writes_per_second"], 200);
    assert!(
        first["version"].is_string() && first["identity"].is_string(),
        "{first}"
    );
    let written: Vec<Value> = lines.iter().map(fields).collect();
    let of = |kind: &str, name: &str| {
        let all = written
            .iter()
            .filter(|line| line["kind"] == kind && line["message"] == "written");
        let found: Vec<_> = all
            .filter(|line| name.is_empty() || line["name"] == name)
            .collect();
        assert!(
            !found.is_empty(),
            "no write of {kind} {name} in {}",
            replica.process.log()
        );
        for line in &found {
            assert!(
                line["reconcile"].as_u64().is_some_and(|turn| turn > 0),
                "{line}"
            );
            assert_eq!(line["outcome"], "done", "{line}");
            assert!(line["took_ms"].is_u64(), "{line}");
        }
        found[0].clone()
    };
    of("PolicyBundle", "");
    of("ClusterImageSignaturePolicy", "p");
    let line = of("NodeImagePolicy", "a");
    assert_eq!(line["node"], "a");
    assert!(
        line["bundle"]
            .as_str()
            .is_some_and(|name| name.starts_with("sha256-")),
        "{line}"
    );
    let turns = lines
        .iter()
        .filter(|line| line["span"]["name"] == "reconcile");
    let turns: Vec<_> = turns
        .filter_map(|line| line["span"]["id"].as_u64())
        .collect();
    assert!(turns.is_sorted() && turns.contains(&line["reconcile"].as_u64().unwrap_or_default()));
    Ok(())
}

#[tokio::test]
async fn it_is_ready_when_it_has_listed_everything_whether_it_leads_or_not() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let token = lab
        .plane
        .service_account_token(NAMESPACE, "nodeseal-operator", None)
        .await?;
    lab.plane.stop_api_server();
    let one = Replica::with_token(&lab, "one", &token)?;
    let why = one.health.answers("/readyz", 503).await?;
    assert_eq!(why, "the API server has not answered yet\n");
    // To start again would not help.
    assert_eq!(one.health.get("/healthz").await?.0, 200);
    let metrics = one.metrics.metrics().await?;
    assert!(metrics.is("nodeseal_operator_synced", 0.0), "{}", metrics.0);
    assert!(metrics.is("nodeseal_operator_leader", 0.0), "{}", metrics.0);
    let interrupted = "nodeseal_operator_watch_restarts_total{kind=\"Node\"}";
    let unanswered = "nodeseal_operator_api_requests_total{verb=\"get\",code=\"none\"}";
    one.metrics
        .until("the watches to be interrupted", |metrics| {
            metrics.value(interrupted) >= Some(1.0) && metrics.value(unanswered) >= Some(1.0)
        })
        .await?;

    lab.plane.start_api_server().await?;
    one.health.answers("/readyz", 200).await?;
    let leads = "nodeseal_operator_leader";
    one.metrics
        .until("it to lead", |metrics| metrics.is(leads, 1.0))
        .await?;
    let two = Replica::with_token(&lab, "two", &token)?;
    two.health.answers("/readyz", 200).await?;
    let metrics = two
        .metrics
        .until("it to have listed everything", |metrics| {
            metrics.is("nodeseal_operator_synced", 1.0)
        })
        .await?;
    assert!(metrics.is(leads, 0.0), "{}", metrics.0);
    assert!(
        metrics.is("nodeseal_operator_index_objects{kind=\"Node\"}", 1.0),
        "{}",
        metrics.0
    );
    promtool::check_metrics(&metrics)
}
