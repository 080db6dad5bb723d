//! The control plane of the lab does what the other tests take for granted.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Instant;

use anyhow::Result;
use e2e::ControlPlane;
use e2e::control_plane::User;
use k8s_openapi::api::core::v1::{ConfigMap, Node, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

fn object<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

#[tokio::test]
async fn two_run_side_by_side_and_keep_their_objects_over_a_restart() -> Result<()> {
    let started = Instant::now();
    let (one, two) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let (mut one, two) = (one?, two?);
    println!("two control planes after {:?}", started.elapsed());
    let maps = |plane: &ControlPlane| -> Result<Api<ConfigMap>> {
        Ok(Api::namespaced(plane.admin()?, "default"))
    };
    maps(&one)?
        .create(&PostParams::default(), &object("kept"))
        .await?;
    assert!(maps(&two)?.get_opt("kept").await?.is_none());

    let (url, client) = (one.url(), maps(&one)?);
    one.stop_api_server();
    assert!(client.get_opt("kept").await.is_err());
    let started = Instant::now();
    one.start_api_server().await?;
    println!("an API server again after {:?}", started.elapsed());
    assert_eq!(one.url(), url);
    // The client from before still trusts it.
    assert!(client.get_opt("kept").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn users_and_service_accounts_have_the_rights_that_rbac_gives_them() -> Result<()> {
    let node = User::new("system:node:n-1", &["system:nodes"]);
    let plane = ControlPlane::with_users(std::slice::from_ref(&node)).await?;
    let admin = plane.admin()?;
    let version = admin.apiserver_version().await?;
    assert_eq!(
        (version.git_version.as_str(), version.minor.as_str()),
        ("v1.34.4", "34")
    );

    let nodes: Api<Node> = Api::all(admin.clone());
    nodes.create(&PostParams::default(), &object("n-1")).await?;
    let own: Api<Node> = Api::all(plane.client(&node.token())?);
    assert!(own.get("n-1").await.is_ok());
    let secrets: Api<ConfigMap> = Api::namespaced(plane.client(&node.token())?, "default");
    assert!(
        secrets
            .list(&kube::api::ListParams::default())
            .await
            .is_err()
    );
    assert!(plane.client("nobody")?.apiserver_version().await.is_err());

    let accounts: Api<ServiceAccount> = Api::namespaced(admin, "default");
    accounts
        .create(&PostParams::default(), &object("agent"))
        .await?;
    let token = plane
        .service_account_token("default", "agent", Some("n-1"))
        .await?;
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let request = kube::core::Request::new("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .create(&PostParams::default(), serde_json::to_vec(&review)?)?;
    let who: serde_json::Value = plane.client(&token)?.request(request).await?;
    let user = &who["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:agent");
    assert_eq!(
        user["extra"]["authentication.kubernetes.io/node-name"],
        json!(["n-1"])
    );
    Ok(())
}

#[tokio::test]
async fn kubectl_and_the_definitions_work() -> Result<()> {
    let plane = ControlPlane::start().await?;
    let started = Instant::now();
    plane.install_crds().await?;
    println!("definitions served after {:?}", started.elapsed());
    let kinds = plane.kubectl(&["api-resources", "--api-group=nodeseal.dev", "-o", "name"]);
    assert_eq!(kinds.await?.lines().count(), 6);
    Ok(())
}
