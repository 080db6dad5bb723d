//! The control plane, its nodes and policies, and the operator.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::types::{ClusterImageSignaturePolicy, NodeImagePolicy, PolicyBundle, PolicyStatus};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use xtask::cache;
use xtask::product::Product;

use super::requests::Requests;
use crate::control_plane::ControlPlane;
use crate::folder::Folder;
use crate::keys::{Key, Kind};
use crate::operator::{self, NAMESPACE, Operator};
use crate::process;

/// The rights and rules of the product.
const BASE: [&str; 5] = [
    "namespace",
    "operator-rbac",
    "agent-rbac",
    "agent-admission",
    "key-reader",
];
/// How many calls the lab has under way at once.
const AT_ONCE: usize = 16;
/// How long the operator may take to lead.
const SOON: Duration = Duration::from_mins(1);

/// A cluster.
pub struct Cluster {
    /// Its control plane.
    pub plane: ControlPlane,
    /// A client of the administrator.
    pub client: Client,
    folder: Folder,
    key: String,
    started: u32,
}

/// What a process has used up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory now.
    pub resident: u64,
    /// The most it ever had.
    pub peak: u64,
    /// Time of processors.
    pub cpu: Duration,
}

impl Cluster {
    /// A control plane with the definitions and the rights of `config/base`.
    pub async fn start() -> Result<Self> {
        let plane = ControlPlane::start().await?;
        plane.install_crds().await?;
        let folder = cache::workspace().join("config/base");
        let files = BASE.map(|name| folder.join(format!("{name}.yaml")).display().to_string());
        // The namespace has to be there before what lies in it.
        for file in &files {
            plane
                .kubectl(&["apply", "--server-side", "-f", file])
                .await?;
        }
        Ok(Self {
            client: plane.admin()?,
            plane,
            folder: Folder::new("simulated")?,
            key: Key::generate(Kind::P256)?.public_pem()?,
            started: 0,
        })
    }

    /// The name of the n-th node.
    #[must_use]
    pub fn node(number: usize) -> String {
        format!("node-{number:05}")
    }

    /// Lets nodes join, each as large an object as that of a real node. Even ones are of the pool `a`,
    /// odd ones of `b`.
    pub async fn join(&self, numbers: impl Iterator<Item = usize>) -> Result<()> {
        let api = Api::<Node>::all(self.client.clone());
        let created = stream::iter(numbers).map(|number| {
            let api = api.clone();
            async move {
                let node: Node = serde_json::from_value(node_object(number))?;
                api.create(&PostParams::default(), &node).await?;
                Ok::<(), anyhow::Error>(())
            }
        });
        created.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// A node is removed, and with it, as the garbage collector would, what it owns.
    pub async fn leave(&self, number: usize) -> Result<()> {
        let (name, params) = (Self::node(number), DeleteParams::default());
        Api::<Node>::all(self.client.clone())
            .delete(&name, &params)
            .await?;
        self.node_policies().delete(&name, &params).await?;
        Ok(())
    }

    /// A client with the rights of a node's agent.
    pub async fn agent_client(&self, node: &str) -> Result<Client> {
        let account = "nodeseal-agent";
        let token = self
            .plane
            .service_account_token(NAMESPACE, account, Some(node))
            .await?;
        self.plane.client(&token)
    }

    /// The policies.
    #[must_use]
    pub fn policies(&self) -> Api<ClusterImageSignaturePolicy> {
        Api::all(self.client.clone())
    }

    /// The bundles.
    #[must_use]
    pub fn bundles(&self) -> Api<PolicyBundle> {
        Api::all(self.client.clone())
    }

    /// What nodes shall run.
    #[must_use]
    pub fn node_policies(&self) -> Api<NodeImagePolicy> {
        Api::all(self.client.clone())
    }

    /// Applies the policy `p-<number>`. Another `revision` is another content. With a pool, only its
    /// nodes are selected.
    pub async fn apply(&self, number: usize, revision: usize, pool: Option<&str>) -> Result<()> {
        let name = format!("p-{number:04}");
        let mut object = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "ClusterImageSignaturePolicy",
            "metadata": { "name": name },
            "spec": {
                "scopes": [
                    format!("registry.example/team-{number}"),
                    format!("registry.example/revision-{revision}/{number}"),
                ],
                "authorities": [{ "name": "release", "key": { "data": self.key } }],
            },
        });
        if let Some(pool) = pool {
            object["spec"]["nodeSelector"] = json!({ "matchLabels": { "pool": pool } });
        }
        let params = PatchParams::apply("kubectl").force();
        self.policies()
            .patch(&name, &params, &Patch::Apply(object))
            .await?;
        Ok(())
    }

    /// Applies so many policies for all nodes.
    pub async fn apply_all(&self, count: usize) -> Result<()> {
        let applied = stream::iter(0..count).map(|number| self.apply(number, 0, None));
        applied.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// The configuration, with this as its `rollout`.
    pub async fn configure(&self, rollout: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "EnforcementConfig",
            "metadata": { "name": "default" },
            "spec": { "rollout": rollout },
        });
        let api = Api::<crds::types::EnforcementConfig>::all(self.client.clone());
        let params = PatchParams::apply("kubectl").force();
        api.patch("default", &params, &Patch::Apply(object)).await?;
        Ok(())
    }

    /// Waits until the policy `p-<number>` is `Programmed` on exactly so many nodes, in the form that
    /// it has now.
    pub async fn programmed(&self, number: usize, nodes: usize, limit: Duration) -> Result<()> {
        let name = format!("p-{number:04}");
        let what = format!("{name} to be programmed on {nodes} nodes");
        let mut last = PolicyStatus::default();
        let found = process::wait_for(&what, limit, async || {
            // While the API server is gone there is nothing to see.
            let Ok(object) = self.policies().get(&name).await else {
                return Ok(None);
            };
            let generation = object.metadata.generation;
            last = object.status.unwrap_or_default();
            Ok(is_programmed(&last, generation, nodes).then_some(()))
        });
        let found = found.await;
        found.with_context(|| format!("{last:#?}"))
    }

    /// Waits until all policies are `Programmed` on exactly so many nodes.
    pub async fn all_programmed(&self, nodes: usize, limit: Duration) -> Result<()> {
        let what = format!("all policies to be programmed on {nodes} nodes");
        let mut lag = String::new();
        let found = process::wait_for(&what, limit, async || {
            let Ok(all) = self.policies().list(&ListParams::default()).await else {
                return Ok(None);
            };
            let late = all.iter().find(|object| {
                let generation = object.metadata.generation;
                let status = object.status.clone().unwrap_or_default();
                !is_programmed(&status, generation, nodes)
            });
            let Some(late) = late else {
                return Ok(Some(()));
            };
            lag = format!("{late:#?}");
            Ok(None)
        });
        let found = found.await;
        found.with_context(|| lag.clone())
    }

    /// Waits until nothing was written for `quiet`, tidying up left out; the requests until then.
    pub async fn quiet(&self, quiet: Duration, limit: Duration) -> Result<Requests> {
        let mut last = Requests::read(&self.client).await?;
        let mut since = std::time::Instant::now();
        process::wait_for("nothing to be written any more", limit, async || {
            tokio::time::sleep(quiet / 10).await;
            let now = Requests::read(&self.client).await?;
            if now.writes_but_tidying() != last.writes_but_tidying() {
                since = std::time::Instant::now();
            }
            last = now;
            Ok((since.elapsed() >= quiet).then(|| last.clone()))
        })
        .await
    }

    /// The version of every policy and of every node's object.
    pub async fn versions(&self) -> Result<Vec<(String, String)>> {
        let all = ListParams::default();
        let mut versions = Vec::new();
        for object in self.policies().list(&all).await? {
            let meta = object.metadata;
            versions.push((
                meta.name.unwrap_or_default(),
                meta.resource_version.unwrap_or_default(),
            ));
        }
        for object in self.node_policies().list(&all).await? {
            let meta = object.metadata;
            versions.push((
                meta.name.unwrap_or_default(),
                meta.resource_version.unwrap_or_default(),
            ));
        }
        Ok(versions)
    }

    /// Starts a replica of the operator with the rights of its service account.
    pub async fn operator(&mut self) -> Result<Operator> {
        self.operator_by(Product::Operator.locate()?, &[], &[])
            .await
    }

    /// The same of another build, with arguments and variables.
    pub async fn operator_by(
        &mut self,
        program: PathBuf,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Operator> {
        self.started += 1;
        let account = "nodeseal-operator";
        let token = self
            .plane
            .service_account_token(NAMESPACE, account, None)
            .await?;
        let kubeconfig = self.plane.kubeconfig_for("operator", &token)?;
        let log = self.folder.join(format!("operator-{}.log", self.started));
        Operator::start(&program, &kubeconfig, &log, |command| {
            let variables = variables.iter().copied();
            command.args(args).env("RUST_LOG", "info").envs(variables);
        })
    }

    /// The process id of the operator that holds the lease.
    pub async fn leader(&self) -> Result<Option<u32>> {
        let holder = operator::leader(&self.client).await?;
        Ok(holder.as_deref().and_then(operator::process_of))
    }

    /// Waits until that operator holds the lease.
    pub async fn leads(&self, operator: &Operator) -> Result<()> {
        operator.leads(&self.client, SOON).await
    }
}

/// What the process has used.
pub fn usage(id: u32) -> Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let kilobytes = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        number.unwrap_or_default() * 1024
    };
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in parentheses may have spaces.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks = |field: usize| {
        let number = after.split_whitespace().nth(field);
        number
            .and_then(|number| number.parse::<u64>().ok())
            .unwrap_or_default()
    };
    // Linux counts a hundred of them a second.
    let cpu = Duration::from_millis((ticks(11) + ticks(12)) * 10);
    Ok(Usage {
        resident: kilobytes("VmRSS:"),
        peak: kilobytes("VmHWM:"),
        cpu,
    })
}

fn is_programmed(status: &PolicyStatus, generation: Option<i64>, nodes: usize) -> bool {
    let programmed = status
        .conditions
        .iter()
        .any(|condition| condition.type_ == "Programmed" && condition.status == "True");
    let summary = status.nodes.as_ref().map(|nodes| nodes.summary.as_str());
    let wanted = format!("{nodes}/{nodes}");
    status.observed_generation == generation && programmed && summary == Some(&wanted)
}

/// As a kubelet registers its node, with as many images as it reports at most.
fn node_object(number: usize) -> Value {
    let name = Cluster::node(number);
    let images: Vec<Value> = (0..50)
        .map(|image| {
            let digest = format!("{image:064x}");
            json!({
                "names": [
                    format!("registry.example/team-{image}/application@sha256:{digest}"),
                    format!("registry.example/team-{image}/application:v1.{number}"),
                ],
                "sizeBytes": 100_000_000 + image,
            })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                "pool": if number.is_multiple_of(2) { "a" } else { "b" },
            },
            // It has been there for long: the operator waits for it.
            "annotations": { "node.alpha.kubernetes.io/ttl": "0" },
        },
        "status": {
            "images": images,
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "nodeInfo": {
                "containerRuntimeVersion": "containerd://2.2.1", "kubeletVersion": "v1.34.4",
                "architecture": "amd64", "bootID": "", "kernelVersion": "6.12.0", "kubeProxyVersion": "",
                "machineID": name, "operatingSystem": "linux", "osImage": "Debian", "systemUUID": name,
            },
        },
    })
}
