//! Trust roots.

use anyhow::Result;
use e2e::sigstore::Authority;
use policy::trust::TrustRoot;
use serde_json::{Value, json};

use crate::scene::{Named, Scene, pem};

const ROOT: Named = Named {
    collection: "trustroots",
    name: "r",
};

fn trust_root(source: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "TrustRoot",
        "metadata": { "name": "r" },
        "spec": { "trustedRoot": source },
    })
}

#[tokio::test]
async fn a_trust_root_through_its_life() -> Result<()> {
    let mut scene = Scene::start(&[]).await?;
    let authority = Authority::root("Fulcio")?.pem();
    let good = TrustRoot::from_pem(Some(&authority), &[pem()], &[], None)?.to_trusted_root_json();
    scene
        .lab
        .apply(&trust_root(&json!({ "data": good })))
        .await?;
    scene.just_created(ROOT).await?;
    let _operator = scene.operator().await?;
    scene
        .stage(ROOT, "Ready", "True Resolved", "Current")
        .await?;
    scene
        .lab
        .apply(&trust_root(&json!({ "data": "{}" })))
        .await?;
    scene
        .stage(ROOT, "Stalled", "True Invalid", "Failed")
        .await?;
    let nowhere = json!({ "name": "none", "key": "trusted_root.json", "namespace": "default" });
    let source = json!({ "configMapKeyRef": nowhere });
    scene.lab.apply(&trust_root(&source)).await?;
    scene
        .stage(ROOT, "Stalled", "True NotFound", "Failed")
        .await
}
