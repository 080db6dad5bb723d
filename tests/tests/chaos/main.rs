//! What may go wrong around the operator while nodes change: it is killed, the API server goes away,
//! history is compacted, others write, clocks are wrong, and two believe that they lead.
//!
//! A [`Recorder`] watches all nodes all the time: no more of them are ever in change than may be, and none
//! is sent back. In the end every policy is programmed on every node.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod scene;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crds::NodeImagePolicy;
use e2e::process;
use e2e::simulated::Cluster;
use kube::api::{DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;

use scene::{LIMIT, MAX_UNAVAILABLE, NODES, Scene};

/// How often the operator is killed.
fn kills() -> usize {
    let full = std::env::var("NODESEAL_FULL").is_ok_and(|full| full == "1");
    if full { 50 } else { 5 }
}

#[tokio::test]
async fn an_operator_that_is_killed_again_and_again_during_changes_goes_on_where_it_was()
-> Result<()> {
    let mut scene = Scene::start().await?;
    let mut operator = scene.operator(0).await?;
    scene.settled().await?;
    // None of them is new to the operator's clock: they were given their first bundle few at a time too.
    scene.recorder.check(MAX_UNAVAILABLE)?;
    for kill in 0..kills() {
        scene.recorder.begin();
        let before = scene.change().await?;
        // At another moment each time: before any node was given it, after all were, and between.
        let after = (kill * 5) % (NODES + 1);
        scene.until_given(&before, after).await?;
        drop(operator);
        operator = scene.operator(0).await?;
        scene
            .settled()
            .await
            .with_context(|| operator.process.log())?;
        scene.recorder.check_no_way_back()?;
        scene.recorder.check(MAX_UNAVAILABLE)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_restarts_and_has_lost_its_history_is_followed_again() -> Result<()> {
    let mut scene = Scene::start().await?;
    let operator = scene.operator(0).await?;
    scene.settled().await?;
    scene.recorder.begin();
    let before = scene.change().await?;
    scene.until_given(&before, 1).await?;
    scene.cluster.plane.stop_api_server();
    scene.cluster.plane.start_api_server().await?;
    scene.settled().await?;

    // While the operator is stopped things change, and the history of that is compacted away: where its
    // watches stood nothing can be read any more.
    scene.recorder.begin();
    operator.signal(Signal::STOP)?;
    scene.change().await?;
    scene.cluster.leave(NODES - 1).await?;
    scene.agents.stop(&Cluster::node(NODES - 1));
    scene.nodes -= 1;
    scene.cluster.plane.stop_api_server();
    scene.cluster.plane.compact().await?;
    scene.cluster.plane.start_api_server().await?;
    operator.signal(Signal::CONT)?;
    scene
        .settled()
        .await
        .with_context(|| operator.process.log())?;
    let log = operator.process.log();
    ensure!(
        log.contains("too old resource version") || log.contains("Expired"),
        "no watch has expired, so nothing was shown:\n{log}"
    );
    scene.recorder.check_no_way_back()?;
    scene.recorder.check(MAX_UNAVAILABLE)
}

#[tokio::test]
async fn what_others_write_over_is_put_right() -> Result<()> {
    let mut scene = Scene::start().await?;
    let operator = scene.operator(0).await?;
    scene.settled().await?;
    let right = scene.given().await?;
    let node = Cluster::node(3);
    let meddler = PatchParams::apply("meddler").force();
    scene.recorder.begin();

    // A node is pointed at a bundle that does not exist.
    let gone = format!("sha256-{}", "0".repeat(64));
    let patch = json!({
        "apiVersion": crds::API_VERSION, "kind": "NodeImagePolicy",
        "metadata": { "name": node }, "spec": { "bundle": gone },
    });
    scene
        .cluster
        .node_policies()
        .patch(&node, &meddler, &Patch::Apply(patch))
        .await?;
    scene
        .is_right("the node's bundle", |own| own.spec.bundle == right)
        .await?;
    scene.settled().await?;

    // Nobody owns the object any more, and it has no annotations.
    let patch = json!({ "metadata": { "ownerReferences": null, "annotations": null } });
    let params = PatchParams::default();
    scene
        .cluster
        .node_policies()
        .patch(&node, &params, &Patch::Merge(patch))
        .await?;
    let owned = |own: &NodeImagePolicy| own.metadata.owner_references.is_some();
    scene.is_right("the node's owner", owned).await?;

    scene.stayed(&right, &node)?;

    // The object itself goes.
    let params = DeleteParams::default();
    scene.cluster.node_policies().delete(&node, &params).await?;
    scene
        .is_right("the node's object", |own| own.spec.bundle == right)
        .await?;
    scene.settled().await?;

    // The bundle that every node runs is deleted.
    scene.cluster.bundles().delete(&right, &params).await?;
    process::wait_for("the bundle to be back", LIMIT, async || {
        Ok(scene.cluster.bundles().get_opt(&right).await?)
    })
    .await?;

    // Somebody says otherwise about a policy.
    let lie = json!({
        "apiVersion": crds::API_VERSION, "kind": "ClusterImageSignaturePolicy",
        "metadata": { "name": "p-0001" },
        "status": {
            "observedGeneration": 1,
            "nodes": {
                "summary": "0/0", "selected": 0, "updated": 0, "failed": 0, "unsupported": 0,
                "unreachable": 0,
            },
            "conditions": [{
                "type": "Programmed", "status": "False", "reason": "Lie", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    });
    scene
        .cluster
        .policies()
        .patch_status("p-0001", &meddler, &Patch::Apply(lie))
        .await?;
    scene
        .settled()
        .await
        .with_context(|| operator.process.log())?;
    // Through all of that the nodes ran what they had.
    scene.stayed(&right, &node)?;
    ensure!(
        scene
            .recorder
            .given()
            .values()
            .all(|given| given.last() == Some(&right))
    );
    Ok(())
}

#[tokio::test]
async fn replicas_whose_clocks_differ_by_hours_hand_over_and_write_nothing_for_that() -> Result<()>
{
    let mut scene = Scene::start().await?;
    let ahead = scene.operator(2 * 3600).await?;
    scene.settled().await?;
    scene.cluster.quiet(Duration::from_secs(12), LIMIT).await?;
    let before = scene.written().await?;
    // One that does not lead writes nothing, whatever time it has.
    let other = scene.replica(-5 * 3600).await?;
    other.ready().await?;
    ensure!(scene.cluster.leader().await? == Some(ahead.process.id()));
    drop(other);
    ahead.terminate().await?;
    let behind = scene.operator(-2 * 3600).await?;
    // What is gathered, or is new to a clock, would have been written by then.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let after = scene.written().await?;
    ensure!(
        after == before,
        "{before:?}\n{after:?}\n{}",
        behind.process.log()
    );
    scene.recorder.begin();
    scene.change().await?;
    scene
        .settled()
        .await
        .with_context(|| behind.process.log())?;
    behind.terminate().await?;
    let _ahead = scene.operator(2 * 3600).await?;
    scene.change().await?;
    scene.settled().await?;
    scene.recorder.check_no_way_back()?;
    scene.recorder.check(MAX_UNAVAILABLE)
}

#[tokio::test]
async fn a_leader_that_slept_through_its_lease_writes_nothing_more() -> Result<()> {
    let mut scene = Scene::start().await?;
    let one = scene.operator(0).await?;
    scene.settled().await?;
    let two = scene.replica(0).await?;
    two.ready().await?;
    scene.recorder.begin();
    let before = scene.change().await?;
    scene.until_given(&before, 1).await?;
    // Its queue is full of what it was about to write.
    one.signal(Signal::STOP)?;
    scene.cluster.leads(&two).await?;
    scene.settled().await.with_context(|| two.process.log())?;
    // Meanwhile things have moved on.
    scene.change().await?;
    scene.settled().await?;
    scene.cluster.quiet(Duration::from_secs(12), LIMIT).await?;
    let before = scene.written().await?;
    one.signal(Signal::CONT)?;
    process::wait_for("the sleeper to notice", LIMIT, async || {
        let log = one.process.log();
        Ok(log.contains("leader=false").then_some(()))
    })
    .await?;
    // Both run, and each would by now have written what it believed.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let after = scene.written().await?;
    ensure!(
        after == before,
        "{before:?}\n{after:?}\n{}",
        one.process.log()
    );
    ensure!(scene.cluster.leader().await? == Some(two.process.id()));
    scene.recorder.check_no_way_back()?;
    scene.recorder.check(MAX_UNAVAILABLE)?;

    // Somebody takes the lease away from the one that leads: both believe that they do, until the next
    // renewal.
    scene.recorder.begin();
    scene.change().await?;
    scene.take_the_lease(&one).await?;
    scene.settled().await?;
    scene.recorder.check_no_way_back()?;
    scene.recorder.check(MAX_UNAVAILABLE)
}
