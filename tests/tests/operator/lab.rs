//! A cluster with the operator, and agents that do what the test says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use crds::types::{
    ClusterImageSignaturePolicy, ImageSignaturePolicy, NodeImagePolicy, PolicyBundle, PolicyStatus,
    TrustRoot, TrustRootStatus,
};
pub(crate) use e2e::operator::{NAMESPACE, Operator};
use e2e::simulated::Requests;
use e2e::{ControlPlane, Folder, operator, process};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use policy::model::PolicyId;
use serde_json::{Value, json};
use xtask::product::Product;

/// How long the operator may take for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Lab {
    pub(crate) plane: ControlPlane,
    pub(crate) client: Client,
    pub(crate) folder: Folder,
    started: u32,
}

impl Lab {
    /// A control plane with the definitions, the rights of `config/base`, and these nodes.
    pub(crate) async fn start(nodes: &[&str]) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        plane.install_crds().await?;
        let client = plane.admin()?;
        let lab = Self {
            client,
            plane,
            folder: Folder::new("operator")?,
            started: 0,
        };
        for file in [
            "namespace",
            "operator-rbac",
            "agent-rbac",
            "agent-admission",
            "key-reader",
        ] {
            lab.apply_file(&format!("config/base/{file}.yaml")).await?;
        }
        for node in nodes {
            lab.join(node).await?;
        }
        Ok(lab)
    }

    pub(crate) async fn apply_file(&self, file: &str) -> Result<()> {
        let path = xtask::cache::workspace().join(file);
        let text = std::fs::read_to_string(&path)?;
        for document in text.split("\n---\n") {
            let value: Value = serde_saphyr::from_str(document)?;
            self.apply(&value).await.with_context(|| file.to_owned())?;
        }
        Ok(())
    }

    /// What `kubectl apply` does.
    pub(crate) async fn apply(&self, value: &Value) -> Result<Value> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let version = text("/apiVersion").unwrap_or_default();
        let kind = text("/kind").unwrap_or_default();
        let root = if version.contains('/') { "apis" } else { "api" };
        let plural = match kind {
            "ClusterImageSignaturePolicy" => "clusterimagesignaturepolicies".to_owned(),
            "NodeImagePolicy" => "nodeimagepolicies".to_owned(),
            "ImageSignaturePolicy" => "imagesignaturepolicies".to_owned(),
            "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
            other => format!("{}s", other.to_lowercase()),
        };
        let place = text("/metadata/namespace")
            .map(|namespace| format!("namespaces/{namespace}/"))
            .unwrap_or_default();
        let name = text("/metadata/name").unwrap_or_default();
        let path = format!("/{root}/{version}/{place}{plural}");
        let params = PatchParams::apply("kubectl").force();
        let request = kube::core::Request::new(path).patch(name, &params, &Patch::Apply(value))?;
        Ok(self.client.request(request).await?)
    }

    pub(crate) async fn join(&self, name: &str) -> Result<()> {
        let node: Node = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        let api = Api::<Node>::all(self.client.clone());
        let mut node = api.create(&PostParams::default(), &node).await?;
        let mut status = node.status.unwrap_or_default();
        status.node_info = Some(k8s_openapi::api::core::v1::NodeSystemInfo {
            container_runtime_version: "containerd://2.2.1".to_owned(),
            ..Default::default()
        });
        node.status = Some(status);
        api.replace_status(name, &PostParams::default(), &node)
            .await?;
        Ok(())
    }

    /// Starts a replica with the rights of its service account.
    pub(crate) async fn operator(&mut self) -> Result<Operator> {
        let kubeconfig = self.operators_kubeconfig().await?;
        self.operator_with(&kubeconfig)
    }

    /// The rights of the operator's service account.
    pub(crate) async fn operators_kubeconfig(&self) -> Result<PathBuf> {
        let token = self
            .plane
            .service_account_token(NAMESPACE, "nodeseal-operator", None)
            .await?;
        self.plane.kubeconfig_for("operator", &token)
    }

    /// Starts a replica that knows the cluster by this file.
    pub(crate) fn operator_with(&mut self, kubeconfig: &Path) -> Result<Operator> {
        self.start_operator(kubeconfig, &[])
    }

    /// Starts a replica with the rights of its service account and more flags.
    pub(crate) async fn operator_flagged(&mut self, flags: &[String]) -> Result<Operator> {
        let kubeconfig = self.operators_kubeconfig().await?;
        self.start_operator(&kubeconfig, flags)
    }

    fn start_operator(&mut self, kubeconfig: &Path, flags: &[String]) -> Result<Operator> {
        self.started += 1;
        let log = self.folder.join(format!("operator-{}.log", self.started));
        Operator::start(&Product::Operator.locate()?, kubeconfig, &log, |command| {
            command.args(["--secret-refresh", "1"]).args(flags);
        })
    }

    pub(crate) fn policies(&self) -> Api<ClusterImageSignaturePolicy> {
        Api::all(self.client.clone())
    }

    pub(crate) fn bundles(&self) -> Api<PolicyBundle> {
        Api::all(self.client.clone())
    }

    pub(crate) fn node_policies(&self) -> Api<NodeImagePolicy> {
        Api::all(self.client.clone())
    }

    pub(crate) fn trust_roots(&self) -> Api<TrustRoot> {
        Api::all(self.client.clone())
    }

    /// Waits until the trust root's `Ready` is `status reason`, for the spec as it is now.
    pub(crate) async fn trust_root(&self, name: &str, is: &str) -> Result<TrustRootStatus> {
        let what = format!("Ready of the trust root {name} to be {is}");
        let mut last = None;
        let found = process::wait_for(&what, SOON, async || {
            let object = self.trust_roots().get(name).await?;
            let status = object.status.unwrap_or_default();
            let current = status.observed_generation == object.metadata.generation;
            let good = current && condition_of(&status.conditions, "Ready") == is;
            last = Some(status.clone());
            Ok(good.then_some(status))
        })
        .await;
        found.with_context(|| format!("{last:#?}"))
    }

    /// The agents of these nodes apply what they were given and have not applied; how many did.
    pub(crate) async fn agents_answer(&self, nodes: &[&str]) -> Result<usize> {
        let mut answered = 0;
        for node in nodes {
            let Some(own) = self.node_policies().get_opt(node).await? else {
                continue;
            };
            let observed = own.status.and_then(|status| status.observed_generation);
            if observed != own.metadata.generation {
                self.agent_applies(node).await?;
                answered += 1;
            }
        }
        Ok(answered)
    }

    /// What a node's agent does: it says that it runs what it shall run.
    pub(crate) async fn agent_applies(&self, node: &str) -> Result<()> {
        self.agent_says(node, &json!({})).await
    }

    /// The same, and it says this in its status as well.
    pub(crate) async fn agent_says(&self, node: &str, also: &Value) -> Result<()> {
        let own = self.node_policies().get(node).await?;
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": "by the test",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let mut patch = json!({
            "apiVersion": crds::API_VERSION,
            "kind": "NodeImagePolicy",
            "metadata": { "name": node },
            "status": {
                "observedGeneration": own.metadata.generation,
                "appliedBundle": own.spec.bundle,
                "runtime": { "name": "containerd", "version": "2.2.1", "enforcement": "Full" },
                "conditions": [
                    condition("Applied", "True", "Applied"),
                    condition("Enforcing", "Unknown", "NotProbed"),
                    condition("Ready", "True", "Ready"),
                ],
            },
        });
        for (field, value) in also.as_object().into_iter().flatten() {
            patch["status"][field] = value.clone();
        }
        let params = PatchParams::apply("nodeseal-agent").force();
        let api = self.node_policies();
        api.patch_status(node, &params, &Patch::Apply(patch))
            .await?;
        Ok(())
    }

    /// Waits until the policy's status is as the test wants it.
    pub(crate) async fn status(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&PolicyStatus) -> bool,
    ) -> Result<PolicyStatus> {
        let mut last = None;
        let found = process::wait_for(what, SOON, async || {
            let status = self.policies().get(name).await?.status.unwrap_or_default();
            let good = is(&status);
            last = Some(status.clone());
            Ok(good.then_some(status))
        })
        .await;
        found.with_context(|| format!("{last:#?}"))
    }

    /// Waits until the condition is `status reason`.
    pub(crate) async fn condition(&self, name: &str, kind: &str, is: &str) -> Result<PolicyStatus> {
        let what = format!("{kind} of {name} to be {is}");
        self.status(name, &what, |status| condition(status, kind) == is)
            .await
    }

    /// Waits until every node shall run a bundle with exactly these policies, as their status has
    /// them, while the agents of all of them apply what they are given; returns its name.
    pub(crate) async fn roll_out(&self, nodes: &[&str], policies: &[&str]) -> Result<String> {
        let what = format!("{nodes:?} to be given {policies:?}");
        process::wait_for(&what, SOON, async || {
            self.agents_answer(nodes).await?;
            let mut given = None;
            for node in nodes {
                let Some(own) = self.node_policies().get_opt(node).await? else {
                    return Ok(None);
                };
                if self.agents_answer(&[node]).await? > 0 {
                    return Ok(None);
                }
                let bundle = self.bundles().get(&own.spec.bundle).await?;
                let content = crds::bundle::decode(&own.spec.bundle, &bundle.spec)?;
                let ids = content.policies().map(|p| p.id().to_string());
                if ids.collect::<Vec<_>>() != policies {
                    return Ok(None);
                }
                for policy in content.policies() {
                    let digest = self.digest_of(policy.id()).await?;
                    if digest != Some(policy.digest().to_string()) {
                        return Ok(None);
                    }
                }
                given = Some(own.spec.bundle);
            }
            Ok(given)
        })
        .await
    }

    /// What the status of a policy of either kind says about the form in force.
    async fn digest_of(&self, id: &PolicyId) -> Result<Option<String>> {
        let status = match id.namespace() {
            None => self.policies().get(id.name()).await?.status,
            Some(namespace) => self.tenant(namespace).get(id.name()).await?.status,
        };
        Ok(status.and_then(|status| status.digest))
    }

    pub(crate) fn tenant(&self, namespace: &str) -> Api<ImageSignaturePolicy> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) async fn leave(&self, name: &str) -> Result<()> {
        let api = Api::<Node>::all(self.client.clone());
        api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The version of every object that the operator writes.
    pub(crate) async fn versions(&self) -> Result<Vec<String>> {
        let mut versions = Vec::new();
        let all = ListParams::default();
        for object in self.policies().list(&all).await? {
            versions.push(format!(
                "{} {:?}",
                object.name_any(),
                object.resource_version()
            ));
        }
        for object in self.trust_roots().list(&all).await? {
            versions.push(format!(
                "{} {:?}",
                object.name_any(),
                object.resource_version()
            ));
        }
        for object in self.bundles().list(&all).await? {
            versions.push(format!(
                "{} {:?}",
                object.name_any(),
                object.resource_version()
            ));
        }
        for object in self.node_policies().list(&all).await? {
            versions.push(format!(
                "{} {:?}",
                object.name_any(),
                object.resource_version()
            ));
        }
        Ok(versions)
    }

    /// How many requests the API server has seen that write to the group, or events.
    pub(crate) async fn writes(&self) -> Result<u64> {
        Ok(Requests::read(&self.client).await?.writes())
    }

    /// Who holds the lease.
    pub(crate) async fn leader(&self) -> Result<Option<String>> {
        operator::leader(&self.client).await
    }
}

/// `True Ready`; empty while there is no such condition.
pub(crate) fn condition(status: &PolicyStatus, kind: &str) -> String {
    condition_of(&status.conditions, kind)
}

/// The same of any object.
pub(crate) fn condition_of(conditions: &[Condition], kind: &str) -> String {
    let found = conditions.iter().find(|found| found.type_ == kind);
    found.map_or_else(String::new, |found| {
        format!("{} {}", found.status, found.reason)
    })
}

pub(crate) fn message<'a>(status: &'a PolicyStatus, kind: &str) -> &'a str {
    let found = status.conditions.iter().find(|found| found.type_ == kind);
    found.map_or("", |found| found.message.as_str())
}

/// A policy with these scopes and this source of keys.
pub(crate) fn policy(name: &str, scopes: &[&str], key: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "ClusterImageSignaturePolicy",
        "metadata": { "name": name },
        "spec": { "scopes": scopes, "authorities": [{ "name": "a", "key": key }] },
    })
}
