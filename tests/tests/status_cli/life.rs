//! What is told through the life of a policy.

use anyhow::Result;
use serde_json::json;

use crate::lab::{Lab, policy};
use crate::pem;
use crate::tool::{run, viewer};

#[tokio::test]
async fn status_tells_of_a_policy_that_rolls_out_is_ready_fails_and_is_not_valid() -> Result<()> {
    let mut lab = Lab::start(&["a", "b"]).await?;
    let viewer = viewer(&lab).await?;
    let inline = json!({ "data": pem() });
    lab.apply(&policy("p", &["registry.example/team"], &inline))
        .await?;
    // Nobody works on it.
    let output = run(&viewer, &["status"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("policy p: NotSeen"), "{output:?}");
    assert!(
        output.out.contains("there is no NodeImagePolicy"),
        "{output:?}"
    );

    let operator = lab.operator().await?;
    operator.ready().await?;
    lab.condition("p", "Programmed", "False RollingOut").await?;
    let output = run(&viewer, &["status", "p", "--output", "json"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    let json = output.json()?;
    assert_eq!(
        (&json["policy"], &json["state"], &json["reason"]),
        (&json!("p"), &json!("waiting"), &json!("RollingOut"))
    );

    lab.roll_out(&["a", "b"], &["p"]).await?;
    lab.condition("p", "Ready", "True Ready").await?;
    let output = run(&viewer, &["status", "--output", "json"]).await?;
    assert_eq!(output.code, Some(0), "{output:?}");
    let json = output.json()?;
    assert_eq!(json["ready"], true);
    assert_eq!(json["nodes"]["ready"], 2);
    assert_eq!(json["lagging"], json!([]));
    assert_eq!(json["policies"]["items"][0]["nodes"], "2/2");
    let output = run(&viewer, &["status"]).await?;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output
            .out
            .starts_with("ready: policies 1/1 ready, nodes 2/2 ready"),
        "{output:?}"
    );

    // One node cannot.
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "ReloadFailed", "message": "crio said no",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let failed = json!({
        "conditions": [condition("Applied", "False"), condition("Ready", "False")],
    });
    lab.agent_says("b", &failed).await?;
    lab.condition("p", "Ready", "False NodesFailed").await?;
    let output = run(&viewer, &["status"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output
            .out
            .contains("node b: ReloadFailed: crio said no → kubectl describe nodeimagepolicy b"),
        "{output:?}"
    );
    let json = run(&viewer, &["status", "p", "--output", "json"])
        .await?
        .json()?;
    assert_eq!(json["failing"][0]["node"], "b");
    assert_eq!(json["runtimes"][0]["runtime"], "containerd");
    assert_eq!(
        (&json["runtimes"][0]["nodes"], &json["runtimes"][0]["ready"]),
        (&json!(2), &json!(1))
    );
    lab.agent_applies("b").await?;
    lab.condition("p", "Ready", "True Ready").await?;

    // An edit that the operator does not take.
    lab.apply(&policy("p", &["docker.io/busybox"], &inline))
        .await?;
    lab.condition("p", "Accepted", "False InvalidScope").await?;
    let output = run(&viewer, &["status", "p"]).await?;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.out.contains("InvalidScope"), "{output:?}");
    assert!(
        output.out.contains("last valid form stays in force"),
        "{output:?}"
    );

    // A policy that is not there.
    let output = run(&viewer, &["status", "other"]).await?;
    assert_eq!((output.code, output.out.as_str()), (Some(1), ""));
    assert!(
        output.err.contains("there is no policy `other`"),
        "{output:?}"
    );
    Ok(())
}
