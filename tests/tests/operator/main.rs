//! The operator against a real API server; the agents are played by the test.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod availability;
mod events;
mod lab;
mod rollout;
mod trust;
mod tuf;

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::keys::{Key, Kind};
use e2e::process;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use lab::{Lab, NAMESPACE, SOON, condition, message, policy};

fn pem() -> String {
    Key::generate(Kind::P256).unwrap().public_pem().unwrap()
}

#[tokio::test]
async fn the_life_of_a_policy() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let inline = json!({ "data": pem() });

    let began = Instant::now();
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    let status = lab.condition("p", "Programmed", "False RollingOut").await?;
    assert_eq!(condition(&status, "Accepted"), "True Valid");
    assert_eq!(condition(&status, "Reconciling"), "True RollingOut");
    let first = lab.roll_out(&["a", "b"], &["p"]).await?;
    println!("two nodes given a bundle after {:?}", began.elapsed());
    let status = lab.condition("p", "Ready", "True Ready").await?;
    println!("ready after {:?}", began.elapsed());
    assert_eq!(status.nodes.unwrap().summary, "2/2");
    assert_eq!(
        condition(&lab.status("p", "x", |_| true).await?, "Stalled"),
        ""
    );
    let own = lab.node_policies().get("a").await?;
    let owner = &own.metadata.owner_references.unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Node", "a"));

    // An update.
    lab.apply(&policy(
        "p",
        &["registry.example/team", "b.example"],
        &inline,
    ))
    .await?;
    lab.status("p", "the update to be seen", |s| {
        s.observed_generation == Some(2)
    })
    .await?;
    lab.condition("p", "Ready", "False RollingOut").await?;
    let second = lab.roll_out(&["a", "b"], &["p"]).await?;
    assert_ne!(first, second);
    let status = lab.condition("p", "Ready", "True Ready").await?;

    // An update that the schema lets through and that is not valid.
    let wrong = policy("p", &["docker.io/busybox"], &inline);
    lab.apply(&wrong).await?;
    let kept = lab.condition("p", "Accepted", "False InvalidScope").await?;
    let words = message(&kept, "Accepted");
    assert!(words.starts_with("spec.scopes[0]: "), "{words}");
    assert!(words.contains("last valid form stays in force"), "{words}");
    assert_eq!(kept.digest, status.digest);
    assert_eq!(condition(&kept, "Stalled"), "True InvalidScope");
    assert_eq!(lab.node_policies().get("a").await?.spec.bundle, second);
    lab.apply(&policy(
        "p",
        &["registry.example/team", "b.example"],
        &inline,
    ))
    .await?;
    lab.condition("p", "Ready", "True Ready").await?;

    // A node joins.
    lab.join("c").await?;
    assert_eq!(lab.roll_out(&["a", "b", "c"], &["p"]).await?, second);
    lab.status("p", "three nodes", |s| {
        s.nodes.as_ref().is_some_and(|nodes| nodes.summary == "3/3")
    })
    .await?;

    lab.policies().delete("p", &DeleteParams::default()).await?;
    lab.roll_out(&["a", "b", "c"], &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_tenants_policy_comes_changes_and_goes_and_a_node_leaves() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    lab.roll_out(&["a", "b"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;

    let own = |scope: &str| {
        let mut own = policy("own", &[scope], &inline);
        own["kind"] = "ImageSignaturePolicy".into();
        own["metadata"]["namespace"] = "default".into();
        own
    };
    lab.apply(&own("registry.example/app")).await?;
    let first = lab.roll_out(&["a", "b"], &["p", "default/own"]).await?;
    // The nodes of this lab have containerd, whose verifier learns no namespace.
    let says = async |is: &str, generation: i64| {
        process::wait_for(is, SOON, async || {
            let status = lab.tenant("default").get("own").await?.status;
            let status = status.unwrap_or_default();
            let seen = status.observed_generation == Some(generation);
            Ok((seen && condition(&status, "Compatible") == is).then_some(status))
        })
        .await
    };
    let status = says("False NamespacedUnsupported", 1).await?;
    assert_eq!(condition(&status, "Accepted"), "True Valid");
    lab.apply(&own("registry.example/other")).await?;
    says("False NamespacedUnsupported", 2).await?;
    let second = lab.roll_out(&["a", "b"], &["p", "default/own"]).await?;
    assert_ne!(first, second);
    let tenant = lab.tenant("default");
    tenant.delete("own", &DeleteParams::default()).await?;
    lab.roll_out(&["a", "b"], &["p"]).await?;

    lab.leave("b").await?;
    lab.status("p", "one node", |s| {
        s.nodes.as_ref().is_some_and(|nodes| nodes.summary == "1/1")
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_key_rotated_in_a_config_map_or_secret_reaches_the_nodes() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let operator = lab.operator().await?;
    operator.ready().await?;
    for kind in ["ConfigMap", "Secret"] {
        let name = kind.to_lowercase();
        let field = if kind == "Secret" {
            "secretKeyRef"
        } else {
            "configMapKeyRef"
        };
        let key_ref = json!({ field: { "name": "keys", "key": "k.pub", "namespace": "default" } });
        let data = if kind == "Secret" {
            "stringData"
        } else {
            "data"
        };
        let source = |text: &str| {
            json!({
                "apiVersion": "v1", "kind": kind,
                "metadata": { "name": "keys", "namespace": "default" },
                data: { "k.pub": text },
            })
        };
        lab.apply(&policy(&name, &["registry.example/team"], &key_ref))
            .await?;
        if kind == "Secret" {
            let status = lab
                .condition(&name, "Resolved", "False NotPermitted")
                .await?;
            let words = message(&status, "Resolved");
            assert!(words.contains("nodeseal-key-reader"), "{words}");
            lab.apply(&opt_in()).await?;
        }
        lab.condition(&name, "Resolved", "False NotFound").await?;
        lab.apply(&source(&pem())).await?;
        lab.condition(&name, "Resolved", "True Resolved").await?;
        lab.roll_out(&["a"], &[&name]).await?;
        let before = lab.condition(&name, "Ready", "True Ready").await?.digest;

        lab.apply(&source(&pem())).await?;
        lab.status(&name, "the new key to be seen", |s| s.digest != before)
            .await?;
        lab.roll_out(&["a"], &[&name]).await?;
        lab.condition(&name, "Ready", "True Ready").await?;

        // A key that is no key leaves the last one in force.
        lab.apply(&source("garbage")).await?;
        lab.condition(&name, "Resolved", "False InvalidKey").await?;
        if kind == "Secret" {
            let secrets = Api::<Secret>::namespaced(lab.client.clone(), "default");
            secrets.delete("keys", &DeleteParams::default()).await?;
            lab.condition(&name, "Resolved", "False NotFound").await?;
        }
        let given = lab.node_policies().get("a").await?.spec.bundle;
        let bundle = lab.bundles().get(&given).await?;
        let content = crds::bundle::decode(&given, &bundle.spec)?;
        assert_eq!(content.policies().count(), 1);
        lab.policies()
            .delete(&name, &DeleteParams::default())
            .await?;
        lab.roll_out(&["a"], &[]).await?;
    }
    Ok(())
}

fn opt_in() -> serde_json::Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "nodeseal-keys", "namespace": "default" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "nodeseal-key-reader",
        },
        "subjects": [
            { "kind": "ServiceAccount", "name": "nodeseal-operator", "namespace": NAMESPACE },
        ],
    })
}

#[tokio::test]
async fn a_restart_and_a_resync_write_nothing() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let operator = lab.operator().await?;
    for n in 0..5 {
        let scope = format!("registry.example/team-{n}");
        let key = json!({ "data": pem() });
        lab.apply(&policy(&format!("p{n}"), &[&scope], &key))
            .await?;
    }
    lab.roll_out(&["a", "b"], &["p0", "p1", "p2", "p3", "p4"])
        .await?;
    // One that is kept in its last valid form, which only the bundle knows.
    let wrong = policy("p0", &["docker.io/busybox"], &json!({ "data": pem() }));
    lab.apply(&wrong).await?;
    lab.condition("p0", "Accepted", "False InvalidScope")
        .await?;
    for n in 1..5 {
        lab.condition(&format!("p{n}"), "Ready", "True Ready")
            .await?;
    }
    // Counts that were gathered, and bundles of no use.
    tokio::time::sleep(Duration::from_secs(75)).await;
    let (versions, writes) = (lab.versions().await?, lab.writes().await?);
    println!("{writes} writes for all of it");

    // Killed, and started again: it waits for the lease, and then has nothing to say.
    drop(operator);
    let operator = lab.operator().await?;
    operator.ready().await?;
    let me = operator.process.id().to_string();
    process::wait_for(
        "the new process to lead",
        Duration::from_secs(40),
        async || {
            let leader = lab.leader().await?.unwrap_or_default();
            Ok(leader.ends_with(&me).then_some(()))
        },
    )
    .await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(lab.writes().await?, writes, "{}", operator.process.log());
    assert_eq!(lab.versions().await?, versions);

    // Every watch breaks and lists again.
    lab.plane.stop_api_server();
    tokio::time::sleep(Duration::from_secs(3)).await;
    lab.plane.start_api_server().await?;
    let writes = lab.writes().await?;
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(lab.writes().await?, writes, "{}", operator.process.log());
    assert_eq!(lab.versions().await?, versions);

    // It is still there.
    lab.apply(&policy(
        "late",
        &["late.example"],
        &json!({ "data": pem() }),
    ))
    .await?;
    lab.roll_out(&["a", "b"], &["late", "p0", "p1", "p2", "p3", "p4"])
        .await?;
    Ok(())
}

#[tokio::test]
async fn two_replicas_hand_over() -> Result<()> {
    let mut lab = Lab::start(&["a"]).await?;
    let one = lab.operator().await?;
    one.ready().await?;
    let leads = async |lab: &Lab, id: u32| {
        let what = format!("process {id} to lead");
        process::wait_for(&what, SOON, async || {
            let leader = lab.leader().await?.unwrap_or_default();
            Ok(leader.ends_with(&format!("-{id}")).then_some(()))
        })
        .await
    };
    leads(&lab, one.process.id()).await?;
    let two = lab.operator().await?;
    two.ready().await?;
    // So that the first bundle is not still on its way when the others are compared.
    lab.roll_out(&["a"], &[]).await?;
    lab.apply(&policy("p", &["a.example"], &json!({ "data": pem() })))
        .await?;
    lab.roll_out(&["a"], &["p"]).await?;
    let status = lab.condition("p", "Ready", "True Ready").await?;
    assert!(two.process.log().contains("everything was listed"));

    // The last valid form of a policy is known to the one that did not lead, too.
    let wrong = policy("p", &["docker.io/busybox"], &json!({ "data": pem() }));
    lab.apply(&wrong).await?;
    let kept = lab.condition("p", "Accepted", "False InvalidScope").await?;
    assert_eq!(kept.digest, status.digest);

    let versions = lab.versions().await?;
    let began = Instant::now();
    one.terminate().await?;
    leads(&lab, two.process.id()).await?;
    println!("handed over after {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lab.versions().await?, versions, "{}", two.process.log());
    lab.apply(&policy("q", &["b.example"], &json!({ "data": pem() })))
        .await?;
    lab.roll_out(&["a"], &["p", "q"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_may_write_about_its_own_node_and_nothing_else() -> Result<()> {
    let lab = Lab::start(&["a", "b"]).await?;
    let bundle = format!("sha256-{}", "0".repeat(64));
    for node in ["a", "b"] {
        lab.apply(&json!({
            "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
            "metadata": { "name": node }, "spec": { "bundle": bundle },
        }))
        .await?;
    }
    let token = lab
        .plane
        .service_account_token(NAMESPACE, "nodeseal-agent", Some("a"))
        .await?;
    let client = lab.plane.client(&token)?;
    let api = Api::<crds::NodeImagePolicy>::all(client.clone());
    let params = PatchParams::apply("nodeseal-agent").force();
    let status = |node: &str| {
        json!({
            "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
            "metadata": { "name": node }, "status": { "agentVersion": "1" },
        })
    };
    // The admission policy takes a moment to be in force.
    let refusal = process::wait_for("another node's status to be refused", SOON, async || {
        let patch = Patch::Apply(status("b"));
        Ok(api.patch_status("b", &params, &patch).await.err())
    })
    .await?
    .to_string();
    assert!(
        refusal.contains("the agent of node a may not write about node b"),
        "{refusal}"
    );
    api.patch_status("a", &params, &Patch::Apply(status("a")))
        .await?;
    let forbidden = |answer: Result<(), kube::Error>| match answer {
        Err(kube::Error::Api(status)) => status.code == 403 || status.code == 422,
        _ => false,
    };
    let other = json!({
        "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
        "metadata": { "name": "a" }, "spec": { "bundle": format!("sha256-{}", "1".repeat(64)) },
    });
    let answer = api.patch("a", &params, &Patch::Apply(&other)).await;
    assert!(forbidden(answer.map(drop)), "its own spec");
    let answer = api.delete("a", &DeleteParams::default()).await;
    assert!(forbidden(answer.map(drop)), "its own object");
    let secrets = Api::<Secret>::namespaced(client.clone(), "default");
    let answer = secrets.get("any").await;
    assert!(forbidden(answer.map(drop)), "a Secret");
    let bundles = Api::<crds::PolicyBundle>::all(client);
    let answer = bundles.list(&kube::api::ListParams::default()).await;
    assert!(forbidden(answer.map(drop)), "all bundles");

    // A token that names no node, such as one that was made by hand.
    let token = lab
        .plane
        .service_account_token(NAMESPACE, "nodeseal-agent", None)
        .await?;
    let api = Api::<crds::NodeImagePolicy>::all(lab.plane.client(&token)?);
    let patch = Patch::Apply(status("a"));
    let answer = api.patch_status("a", &params, &patch).await;
    let refusal = answer.unwrap_err().to_string();
    assert!(refusal.contains("does not say which node"), "{refusal}");

    // The operator has no right to Secrets of namespaces that did not ask for it.
    let token = lab
        .plane
        .service_account_token(NAMESPACE, "nodeseal-operator", None)
        .await?;
    let secrets = Api::<Secret>::namespaced(lab.plane.client(&token)?, "default");
    assert!(forbidden(secrets.get("any").await.map(drop)));
    Ok(())
}
