//! The command line, with somebody's rights.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::process::Command as Run;
use xtask::product::Product;

use crate::lab::Lab;

/// What a command made of it.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:?}"))
    }
}

/// The program with a kubeconfig, and nothing of whoever runs the test.
pub(crate) fn program(kubeconfig: &Path) -> Result<Command> {
    let mut command = Command::new(Product::Cli.locate()?);
    command.env("KUBECONFIG", kubeconfig).env_remove("HOME");
    Ok(command)
}

/// Runs it to its end.
pub(crate) async fn run(kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = program(kubeconfig)?;
    command.args(arguments);
    let output = Run::from(command).kill_on_drop(true).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Output {
        code: output.status.code(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    })
}

/// A kubeconfig of a new account in `default`.
pub(crate) async fn account(lab: &Lab, name: &str) -> Result<PathBuf> {
    lab.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": name, "namespace": "default" },
    }))
    .await?;
    let token = lab.plane.service_account_token("default", name, None);
    lab.plane.kubeconfig_for(name, &token.await?)
}

/// Binds the `ClusterRole` of `config/base/viewer.yaml` to that account, and nothing else. In a cluster
/// `view` holds its rules, by its label; nobody puts them together here.
pub(crate) async fn viewer(lab: &Lab) -> Result<PathBuf> {
    lab.apply_file("config/base/viewer.yaml").await?;
    let role = Api::<ClusterRole>::all(lab.client.clone())
        .get("nodeseal-viewer")
        .await?;
    let label = "rbac.authorization.k8s.io/aggregate-to-view";
    let is_part = role
        .labels()
        .get(label)
        .is_some_and(|value| value == "true");
    anyhow::ensure!(is_part, "nodeseal-viewer is no part of view");
    let file = account(lab, "viewer").await?;
    lab.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "viewer" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodeseal-viewer" },
        "subjects": [{ "kind": "ServiceAccount", "name": "viewer", "namespace": "default" }],
    }))
    .await?;
    Ok(file)
}
