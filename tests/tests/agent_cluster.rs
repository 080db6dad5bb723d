//! The agent and a real API server: the bundle that its one object names, the status and nothing
//! else, and an API server that is gone for as long as it likes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helper functions of tests"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::bundle::{encode, object_name};
use crds::load::{Source, load};
use crds::types::NodeImagePolicyStatus;
use crds::{NodeImagePolicy, NodeImagePolicySpec, PolicyBundle, PolicyBundleSpec};
use e2e::control_plane::User;
use e2e::keys::{self, Key};
use e2e::policies::PolicyText;
use e2e::{ControlPlane, Folder, Process, process};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use policy::bundle::Bundle;
use serde_json::json;
use xtask::product::Product;

const NODE: &str = "n-1";
const POLICY: &str = "etc/crio/policy.json";
const SHIPPED: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
const LIMIT: Duration = Duration::from_secs(40);

/// A node with a CRI-O layout, whose agent is told by the cluster what to run.
struct Node {
    agent: Option<Process>,
    folder: Folder,
    kubeconfig: PathBuf,
}

impl Node {
    fn new(kubeconfig: PathBuf) -> Result<Self> {
        let folder = Folder::new("agent")?;
        fs::create_dir_all(folder.join("root/etc/crio"))?;
        fs::write(folder.join("root").join(POLICY), SHIPPED)?;
        Ok(Self {
            agent: None,
            folder,
            kubeconfig,
        })
    }

    /// Starts the agent, or kills it and starts it again.
    fn start(&mut self) -> Result<()> {
        self.agent = None;
        let mut command = Command::new(Product::Agent.locate()?);
        command
            .args(["--node-name", NODE, "--recheck", "1"])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--root")
            .arg(self.folder.join("root"))
            .args(["--runtime", "cri-o", "--runtime-version", "1.34.1"])
            .args(["--crio-policy", "/etc/crio/policy.json"]);
        let log = self.folder.join("agent.log");
        self.agent = Some(Process::start("nodeseal-agent", &mut command, &log)?);
        Ok(())
    }

    fn policy(&self) -> String {
        fs::read_to_string(self.folder.join("root").join(POLICY)).unwrap_or_default()
    }

    /// Waits until policy.json says something about the scope.
    async fn enforces(&self, scope: &str) -> Result<()> {
        let entry = format!("\"{scope}\"");
        let there = async || Ok(self.policy().contains(&entry).then_some(()));
        process::wait_for(&format!("a policy for {scope}"), LIMIT, there)
            .await
            .with_context(|| self.agent.as_ref().map(Process::log).unwrap_or_default())
    }
}

/// What the operator would write.
struct Cluster {
    objects: Api<NodeImagePolicy>,
    bundles: Api<PolicyBundle>,
}

impl Cluster {
    fn new(client: &Client) -> Self {
        Self {
            objects: Api::all(client.clone()),
            bundles: Api::all(client.clone()),
        }
    }

    /// Stores a bundle; returns its name.
    async fn store(&self, bundle: &Bundle) -> Result<String> {
        let name = object_name(&bundle.digest());
        let object = PolicyBundle::new(&name, encode(bundle)?);
        self.bundles.create(&PostParams::default(), &object).await?;
        Ok(name)
    }

    /// Makes the node's object ask for a bundle.
    async fn ask(&self, bundle: &str) -> Result<()> {
        let spec = NodeImagePolicySpec {
            bundle: bundle.to_owned(),
        };
        let object = NodeImagePolicy::new(NODE, spec);
        let params = PatchParams::apply("nodeseal-operator");
        self.objects
            .patch(NODE, &params, &Patch::Apply(&object))
            .await?;
        Ok(())
    }

    /// Waits for a status about the object as it is now, whose `Applied` has this reason.
    async fn applied(&self, reason: &str) -> Result<NodeImagePolicyStatus> {
        let mut last = None;
        let told = async || {
            let object = self.objects.get(NODE).await?;
            let generation = object.metadata.generation;
            last.clone_from(&object.status);
            Ok(object.status.filter(|status| {
                let is = |c: &&_| is_applied(c, reason);
                status.observed_generation == generation && status.conditions.iter().any(|c| is(&c))
            }))
        };
        process::wait_for(&format!("Applied with {reason}"), LIMIT, told)
            .await
            .with_context(|| format!("{last:#?}"))
    }
}

fn is_applied(
    condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition,
    reason: &str,
) -> bool {
    condition.type_ == "Applied" && condition.reason == reason
}

fn bundle(scope: &str) -> Result<Bundle> {
    let key = Key::generate(keys::Kind::P256)?.public_pem()?;
    let text = PolicyText::new("p", &[scope]).authority("k", &key).yaml();
    let name = "p.yaml".to_owned();
    let loaded = load(&[Source { name, text }]);
    let policies = loaded.policies.into_iter().map(|loaded| loaded.policy);
    Ok(Bundle::new(policy::bundle::Settings::default(), policies))
}

/// The rights of an agent: its object's status, and reading.
async fn rights(client: &Client) -> Result<()> {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": { "name": "agent" },
        "rules": [
            { "apiGroups": ["nodeseal.dev"], "resources": ["nodeimagepolicies"],
              "resourceNames": [NODE], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["nodeseal.dev"], "resources": ["nodeimagepolicies/status"],
              "resourceNames": [NODE], "verbs": ["patch"] },
            { "apiGroups": ["nodeseal.dev"], "resources": ["policybundles"], "verbs": ["get"] },
        ],
    }))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": { "name": "agent" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "agent" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "agent" }],
    }))?;
    let params = PostParams::default();
    Api::all(client.clone()).create(&params, &role).await?;
    Api::all(client.clone()).create(&params, &binding).await?;
    Ok(())
}

#[tokio::test]
async fn the_node_runs_what_its_object_names_and_keeps_it_whatever_the_cluster_does() -> Result<()>
{
    let user = User::new("agent", &[]);
    let mut plane = ControlPlane::with_users(std::slice::from_ref(&user)).await?;
    plane.install_crds().await?;
    let admin = plane.admin()?;
    rights(&admin).await?;
    let cluster = Cluster::new(&admin);
    let mut node = Node::new(plane.kubeconfig_for("agent", &user.token())?)?;

    // Nothing is asked for yet: the node is left as it is.
    node.start()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.policy(), SHIPPED);

    let first = cluster.store(&bundle("one.example:1")?).await?;
    cluster.ask(&first).await?;
    node.enforces("one.example:1").await?;
    let status = cluster.applied("Applied").await?;
    assert_eq!(status.applied_bundle.as_deref(), Some(first.as_str()));
    assert_eq!(status.runtime.context("a runtime")?.name, "cri-o");
    let before = node.policy();

    // At rest nothing is written, and what was written is the status.
    let version = async || Ok::<_, anyhow::Error>(cluster.objects.get(NODE).await?.metadata);
    let quiet = version().await?.resource_version;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let object = version().await?;
    assert_eq!(object.resource_version, quiet);
    for entry in object.managed_fields.unwrap_or_default() {
        let agent = entry.manager.as_deref() == Some("nodeseal-agent");
        assert_eq!(
            agent,
            entry.subresource.as_deref() == Some("status"),
            "{entry:?}"
        );
    }

    // A bundle that is not there, and one of a newer version: nothing changes on the node.
    cluster.ask(&format!("sha256-{}", "0".repeat(64))).await?;
    cluster.applied("Pending").await?;
    let newer = format!("sha256-{}", "1".repeat(64));
    let spec = PolicyBundleSpec {
        format: 2,
        data: "AAAA".to_owned(),
    };
    let object = PolicyBundle::new(&newer, spec);
    cluster
        .bundles
        .create(&PostParams::default(), &object)
        .await?;
    cluster.ask(&newer).await?;
    let status = cluster.applied("BundleTooNew").await?;
    assert_eq!(status.applied_bundle.as_deref(), Some(first.as_str()));
    assert_eq!(node.policy(), before);

    let second = cluster.store(&bundle("two.example:1")?).await?;
    cluster.ask(&second).await?;
    node.enforces("two.example:1").await?;
    let status = cluster.applied("Applied").await?;
    assert_eq!(status.previous_bundle.as_deref(), Some(first.as_str()));

    // The API server is gone, for an agent that starts too; drift is put back all the same.
    plane.stop_api_server();
    let before = node.policy();
    node.start()?;
    fs::write(node.folder.join("root").join(POLICY), SHIPPED)?;
    node.enforces("two.example:1").await?;
    assert_eq!(node.policy(), before);
    let quiet = async || Ok::<_, anyhow::Error>(cluster.objects.get(NODE).await?.metadata);
    plane.start_api_server().await?;
    // What was put back meanwhile is told once.
    let told = async || {
        let status = cluster.objects.get(NODE).await?.status.unwrap_or_default();
        Ok(status.drift.map(|drift| drift.count))
    };
    process::wait_for("the drift in the status", LIMIT, told).await?;
    let back = quiet().await?.resource_version;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        quiet().await?.resource_version,
        back,
        "the same status was written again"
    );

    // And it is followed again.
    let third = cluster.store(&bundle("three.example:1")?).await?;
    cluster.ask(&third).await?;
    node.enforces("three.example:1").await?;
    cluster.applied("Applied").await?;

    // An object that is gone is not "no policies"; a bundle without policies is.
    let before = node.policy();
    cluster
        .objects
        .delete(NODE, &DeleteParams::default())
        .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(node.policy(), before);
    let empty = cluster.store(&Bundle::default()).await?;
    cluster.ask(&empty).await?;
    cluster.applied("Applied").await?;
    assert_eq!(node.policy(), SHIPPED);
    Ok(())
}
