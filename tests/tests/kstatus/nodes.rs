//! What a node says about itself, worked out by the agent.

use anyhow::Result;
use jiff::Timestamp;
use node_agent::status::{Failure, Left, Report, Status};
use policy::digest::Digest;
use serde_json::json;

use crate::lab::policy;
use crate::scene::{Named, Scene, pem};

const NODE: Named = Named {
    collection: "nodeimagepolicies",
    name: "a",
};

fn stages() -> Vec<(Report, &'static str, &'static str)> {
    let failed = |failure: Failure| Report {
        failure: Some((failure, "why".to_owned())),
        ..good()
    };
    let pending = Report {
        pending: Some("restart containerd".to_owned()),
        ..good()
    };
    let not_enforcing = Report {
        not_enforcing: Some("containerd calls no verifier".to_owned()),
        ..good()
    };
    let disabled = Report {
        left: Some(Left::Disabled),
        ..good()
    };
    vec![
        (good(), "True Ready", "Current"),
        (failed(Failure::Pending), "False Pending", "InProgress"),
        (pending, "False Pending", "InProgress"),
        (
            failed(Failure::StaleImages),
            "False StaleImages",
            "InProgress",
        ),
        (
            failed(Failure::RenderFailed),
            "False RenderFailed",
            "Failed",
        ),
        (failed(Failure::WriteFailed), "False WriteFailed", "Failed"),
        (failed(Failure::RolledBack), "False RolledBack", "Failed"),
        (
            failed(Failure::ForeignOwner),
            "False ForeignOwner",
            "Failed",
        ),
        (
            failed(Failure::BundleTooNew),
            "False BundleTooNew",
            "Failed",
        ),
        (failed(Failure::TooLarge), "False TooLarge", "Failed"),
        (not_enforcing, "False NotEnforcing", "Failed"),
        (disabled, "False Disabled", "Failed"),
        (good(), "True Ready", "Current"),
    ]
}

fn good() -> Report {
    Report {
        bundle: Some(Digest::of(b"bundle")),
        policies: 1,
        ..Report::default()
    }
}

#[tokio::test]
async fn a_node_through_its_life() -> Result<()> {
    let mut scene = Scene::start(&["a"]).await?;
    let _operator = scene.operator().await?;
    let object = policy("p", &["registry.example"], &json!({ "data": pem() }));
    scene.lab.apply(&object).await?;
    e2e::process::wait_for(
        "the node to be given something",
        crate::lab::SOON,
        async || Ok(scene.get(NODE).await.ok()),
    )
    .await?;
    scene.just_created(NODE).await?;
    let mut before = None;
    for (report, ready, reads) in stages() {
        let status = Status::new(report, before.as_ref(), Timestamp::now());
        let conditions = serde_json::to_value(&status.conditions)?;
        let says = json!({ "conditions": conditions });
        scene.lab.agent_says("a", &says).await?;
        scene.stage(NODE, "Ready", ready, reads).await?;
        before = Some(status);
    }
    Ok(())
}
