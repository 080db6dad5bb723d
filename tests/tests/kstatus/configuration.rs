//! The configuration of the cluster.

use anyhow::Result;
use serde_json::json;

use crate::scene::{Named, Scene, config};

const CONFIG: Named = Named {
    collection: "enforcementconfigs",
    name: "default",
};

#[tokio::test]
async fn the_configuration_through_its_life() -> Result<()> {
    let mut scene = Scene::start(&[]).await?;
    scene.lab.apply(&config(&json!({}))).await?;
    scene.just_created(CONFIG).await?;
    let _operator = scene.operator().await?;
    scene
        .stage(CONFIG, "Ready", "True Valid", "Current")
        .await?;
    let unwise = json!({ "defaultAction": "Reject" });
    scene.lab.apply(&config(&unwise)).await?;
    scene
        .stage(CONFIG, "Ready", "True Valid", "Current")
        .await?;
    let wrong = json!({ "exemptImages": ["docker.io/busybox"] });
    scene.lab.apply(&config(&wrong)).await?;
    scene
        .stage(CONFIG, "Ready", "False InvalidScope", "Failed")
        .await?;
    let paused = json!({ "rollout": { "paused": true } });
    scene.lab.apply(&config(&paused)).await?;
    scene
        .stage(CONFIG, "Ready", "True Valid", "Current")
        .await?;
    let stop = json!({ "enforcement": "Disabled" });
    scene.lab.apply(&config(&stop)).await?;
    scene.stage(CONFIG, "Ready", "True Valid", "Current").await
}
