//! Replicas come and go, are stopped and interrupted, and the API server is away: at most one leads,
//! the next one goes on where the last one was, and nothing is written that says what is there already.

use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::types::{EnforcementConfig, ImageSignaturePolicy};
use e2e::process;
use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use rustix::process::Signal;
use serde_json::json;

use crate::lab::{Lab, NAMESPACE, Operator, SOON, policy};
use crate::pem;

/// Longer than a lease lasts that nobody gave back, with time to notice.
const LEASE: Duration = Duration::from_mins(1);

fn leases(lab: &Lab) -> Api<Lease> {
    Api::namespaced(lab.client.clone(), NAMESPACE)
}

/// Waits until this replica leads.
async fn leads(lab: &Lab, operator: &Operator, limit: Duration) -> Result<()> {
    operator.leads(&lab.client, limit).await
}

/// A policy that selects no node: it changes nothing but its own status.
fn nowhere(name: &str) -> serde_json::Value {
    let mut policy = policy(name, &["late.example"], &json!({ "data": pem() }));
    policy["spec"]["nodeSelector"] = json!({ "matchLabels": { "no": "such" } });
    policy
}

#[tokio::test]
async fn a_leader_that_is_terminated_hands_over_with_no_lease_running_out() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let mut one = lab.operator().await?;
    leads(&lab, &one, SOON).await?;
    let two = lab.operator().await?;
    two.ready().await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    lab.roll_out(&["a"], &["p"]).await?;

    // Everything that happens to the lease from here on.
    let before = leases(&lab).get("nodeseal-operator").await?;
    let version = before.resource_version().unwrap_or_default();
    let stream = leases(&lab)
        .watch(&WatchParams::default(), &version)
        .await?;
    let mut events = std::pin::pin!(stream);
    let first = before.spec.context("a lease with a spec")?;
    let holder = first.holder_identity.context("a holder")?;
    one.signal(Signal::TERM)?;
    let status = one.process.ended(SOON).await?;
    assert_eq!(status.code(), Some(0), "{}", one.process.log());
    leads(&lab, &two, SOON).await?;

    let mut given_back = false;
    let taken = loop {
        let event = tokio::time::timeout(SOON, events.next()).await?;
        let WatchEvent::Modified(lease) = event.context("an event of the lease")?? else {
            continue;
        };
        let spec = lease.spec.context("a lease with a spec")?;
        match spec.holder_identity.clone() {
            Some(same) if same == holder => assert!(!given_back, "taken again"),
            None => given_back = true,
            Some(_) => break spec,
        }
    };
    // The next one took what was given back: it has not waited for the end of a lease.
    assert!(given_back, "the lease was never given back");
    let transitions = first.lease_transitions.unwrap_or_default();
    assert_eq!(taken.lease_transitions, Some(transitions + 1));

    // And it works on.
    lab.apply(&policy("q", &["registry.example/other"], &inline))
        .await?;
    lab.roll_out(&["a"], &["p", "q"]).await?;
    lab.condition("q", "Ready", "True Ready").await?;
    Ok(())
}

#[tokio::test]
async fn an_interrupt_gives_the_lease_back_too() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let mut one = lab.operator().await?;
    leads(&lab, &one, SOON).await?;
    one.signal(Signal::INT)?;
    let status = one.process.ended(SOON).await?;
    assert_eq!(status.code(), Some(0), "{}", one.process.log());
    assert_eq!(lab.leader().await?, None);
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() -> Result<()> {
    let mut lab = Lab::start(&[]).await?;
    // Somebody who takes calls and never answers.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", mute.local_addr()?);
    let file = lab.folder.join("mute");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "mute",
        "clusters": [{ "name": "mute", "cluster": { "server": server } }],
        "users": [{ "name": "mute", "user": {} }],
        "contexts": [{ "name": "mute", "context": { "cluster": "mute", "user": "mute" } }],
    });
    std::fs::write(&file, config.to_string())?;
    let mut one = lab.operator_with(&file)?;
    process::wait_for("the process to live", SOON, async || {
        Ok((one.answer("/healthz").await == 200).then_some(()))
    })
    .await?;
    assert_eq!(one.answer("/readyz").await, 503);
    one.signal(Signal::TERM)?;
    process::wait_for("the first signal to be seen", SOON, async || {
        Ok(one.process.log().contains("shutting down").then_some(()))
    })
    .await?;
    one.signal(Signal::TERM)?;
    let status = one.process.ended(SOON).await?;
    assert_eq!(status.code(), Some(1));
    let log = one.process.log();
    assert!(log.contains("a second signal"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_leader_that_was_stopped_past_its_lease_follows_when_it_wakes() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let one = lab.operator().await?;
    leads(&lab, &one, SOON).await?;
    let two = lab.operator().await?;
    two.ready().await?;
    lab.roll_out(&["a"], &[]).await?;
    let inline = json!({ "data": pem() });
    // It is stopped with its hands full.
    for number in 0..40 {
        let scope = format!("registry.example/team-{number}");
        lab.apply(&policy(&format!("p{number:02}"), &[&scope], &inline))
            .await?;
    }
    one.signal(Signal::STOP)?;
    leads(&lab, &two, LEASE).await?;
    let names: Vec<String> = (0..40).map(|number| format!("p{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    lab.roll_out(&["a"], &names).await?;
    for name in &names {
        lab.condition(name, "Ready", "True Ready").await?;
    }

    let (before, leader) = (lab.versions().await?, lab.leader().await?);
    let woken = one.process.log().len();
    one.signal(Signal::CONT)?;
    process::wait_for("the first to see that it lost", SOON, async || {
        let log = one.process.log();
        let since = log.get(woken..).unwrap_or_default();
        Ok(since.contains("leader=false").then_some(()))
    })
    .await
    .with_context(|| one.process.log())?;
    // It has heard of the world again, and leaves it as it is.
    lab.apply(&nowhere("late")).await?;
    lab.condition("late", "Ready", "True Ready").await?;
    let mut after = lab.versions().await?;
    after.retain(|version| !version.starts_with("late "));
    assert_eq!(after, before, "{}", one.process.log());
    assert_eq!(lab.leader().await?, leader);
    Ok(())
}

#[tokio::test]
async fn a_restart_from_nothing_changes_no_object_of_any_kind() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    leads(&lab, &operator, SOON).await?;
    let inline = json!({ "data": pem() });
    lab.apply(&json!({
        "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
        "metadata": { "name": "default" },
        "spec": { "rollout": { "maxUnavailable": "100%" } },
    }))
    .await?;
    lab.apply(&json!({
        "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
        "metadata": { "name": "corp" },
        "spec": { "keys": { "rekor": [pem()] } },
    }))
    .await?;
    lab.trust_root("corp", "True Resolved").await?;
    // One at a time, so that no bundle of a state in between is still on its way at the end.
    lab.roll_out(&["a", "b"], &[]).await?;
    let mut logged = policy("logged", &["registry.example/logged"], &inline);
    logged["spec"]["authorities"][0]["transparencyLog"] = json!({ "trustRoot": "corp" });
    lab.apply(&logged).await?;
    lab.roll_out(&["a", "b"], &["logged"]).await?;
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    lab.roll_out(&["a", "b"], &["logged", "p"]).await?;
    let mut own = policy("own", &["registry.example/app"], &inline);
    own["kind"] = "ImageSignaturePolicy".into();
    own["metadata"]["namespace"] = "default".into();
    lab.apply(&own).await?;
    lab.roll_out(&["a", "b"], &["logged", "p", "default/own"])
        .await?;
    for name in ["logged", "p"] {
        lab.condition(name, "Ready", "True Ready").await?;
    }

    let versions = async |lab: &Lab| -> Result<Vec<String>> {
        let mut versions = lab.versions().await?;
        let all = ListParams::default();
        let own = Api::<ImageSignaturePolicy>::all(lab.client.clone());
        let configs = Api::<EnforcementConfig>::all(lab.client.clone());
        let of = |name: String, version: Option<String>| format!("{name} {version:?}");
        for object in own.list(&all).await? {
            versions.push(of(object.name_any(), object.resource_version()));
        }
        for object in configs.list(&all).await? {
            versions.push(of(object.name_any(), object.resource_version()));
        }
        versions.retain(|version| !version.starts_with("late"));
        Ok(versions)
    };
    // What the last agent said has been summed up.
    lab.apply(&nowhere("late")).await?;
    lab.condition("late", "Ready", "True Ready").await?;
    let before = versions(&lab).await?;
    operator.terminate().await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    leads(&lab, &operator, SOON).await?;
    // It has read everything and has written what it had to say.
    lab.apply(&nowhere("late-2")).await?;
    lab.condition("late-2", "Ready", "True Ready").await?;
    assert_eq!(versions(&lab).await?, before, "{}", operator.process.log());
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_waited_for() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let kubeconfig = lab.operators_kubeconfig().await?;
    lab.plane.stop_api_server();
    let operator = lab.operator_with(&kubeconfig)?;
    process::wait_for("the process to have tried", SOON, async || {
        let log = operator.process.log();
        Ok(log.contains("cannot use the lease").then_some(()))
    })
    .await?;
    assert_eq!(operator.answer("/healthz").await, 200);
    assert_eq!(operator.answer("/readyz").await, 503);
    lab.plane.start_api_server().await?;
    leads(&lab, &operator, LEASE).await?;
    process::wait_for("the operator to be ready", LEASE, async || {
        Ok((operator.answer("/readyz").await == 200).then_some(()))
    })
    .await?;
    lab.apply(&policy(
        "p",
        &["registry.example/team"],
        &json!({ "data": pem() }),
    ))
    .await?;
    lab.roll_out(&["a"], &["p"]).await?;
    Ok(())
}
