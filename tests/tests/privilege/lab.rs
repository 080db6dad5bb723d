//! A cluster whose operator and agents have the tokens and the rights of the product.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::control_plane::Request;
use e2e::keys::{Key, Kind};
pub(crate) use e2e::operator::NAMESPACE;
use e2e::{ControlPlane, Folder, Operator, Process, process};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::TypeMeta;
use kube::{Api, Client};
use serde_json::{Value, json};
use xtask::product::Product;

use crate::manifests;

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(40);
pub(crate) const OPERATOR: &str = "system:serviceaccount:nodeseal-system:nodeseal-operator";

pub(crate) struct Lab {
    // Processes end before the API server that they use.
    agents: Vec<Process>,
    operator: Option<Operator>,
    pub(crate) plane: ControlPlane,
    /// The administrator's.
    pub(crate) client: Client,
    pub(crate) folder: Folder,
}

impl Lab {
    /// A control plane with the product as it is delivered.
    pub(crate) async fn start() -> Result<Self> {
        Self::with(&manifests::base()?).await
    }

    /// The same with other objects than those of `config/base`.
    pub(crate) async fn with(base: &[Value]) -> Result<Self> {
        let plane = ControlPlane::audited().await?;
        plane.install_crds().await?;
        let lab = Self {
            agents: Vec::new(),
            operator: None,
            client: plane.admin()?,
            plane,
            folder: Folder::new("privilege")?,
        };
        for object in base {
            lab.apply(object).await?;
        }
        Ok(lab)
    }

    /// What `kubectl apply` of the administrator does.
    pub(crate) async fn apply(&self, object: &Value) -> Result<Value> {
        let applied = apply_as(&self.client, object, "kubectl").await;
        applied.with_context(|| format!("apply {} {}", object["kind"], object["metadata"]["name"]))
    }

    /// What the administrator sees; nothing where it is not there.
    pub(crate) async fn get(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>> {
        let api = api_of(&self.client, &version_of(kind), kind, namespace);
        let found = api.get_opt(name).await?;
        Ok(found.map(serde_json::to_value).transpose()?)
    }

    pub(crate) async fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<()> {
        let api = api_of(&self.client, &version_of(kind), kind, namespace);
        api.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Takes back what lets the operator read a namespace's Secrets.
    pub(crate) async fn delete_binding(&self, namespace: &str) -> Result<()> {
        let version = "rbac.authorization.k8s.io/v1";
        let api = api_of(&self.client, version, "RoleBinding", namespace);
        api.delete("keys", &DeleteParams::default()).await?;
        Ok(())
    }

    /// All names of a kind.
    pub(crate) async fn names(&self, kind: &str) -> Result<Vec<String>> {
        let api = api_of(&self.client, &version_of(kind), kind, "");
        let all = api.list_metadata(&kube::api::ListParams::default()).await?;
        Ok(all
            .items
            .into_iter()
            .filter_map(|o| o.metadata.name)
            .collect())
    }

    /// Waits until the object is as the test wants it, and returns it.
    pub(crate) async fn until(
        &self,
        (kind, namespace, name): (&str, &str, &str),
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = None;
        let what = format!("{kind} {name}: {what}");
        let found = process::wait_for(&what, SOON, async || {
            let object = self.get(kind, namespace, name).await?;
            last.clone_from(&object);
            Ok(object.filter(|object| is(object)))
        })
        .await;
        found.with_context(|| {
            let last = last.map(|last| last["status"].to_string());
            let last: String = last.unwrap_or_default().chars().take(4000).collect();
            format!("it is {last}")
        })
    }

    /// Waits until a condition of the object as it is now is `Status Reason`; returns its message.
    pub(crate) async fn condition(
        &self,
        object: (&str, &str, &str),
        kind: &str,
        is: &str,
    ) -> Result<String> {
        let current = |object: &Value| {
            object["status"]["observedGeneration"] == object["metadata"]["generation"]
                && condition(object, kind).0 == is
        };
        let what = format!("{kind} to be {is}");
        let found = self.until(object, &what, current).await?;
        Ok(condition(&found, kind).1)
    }

    /// A node that has just registered, with the taints of somebody else.
    pub(crate) async fn join(&self, name: &str) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
            "spec": { "taints": [{ "key": "example.com/other", "effect": "NoExecute" }] },
        }))
        .await?;
        Ok(())
    }

    /// The token of the agent's pod on that node.
    pub(crate) async fn agent_token(&self, node: &str) -> Result<String> {
        let name = format!("nodeseal-agent-{node}");
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": {
                "nodeName": node, "serviceAccountName": "nodeseal-agent",
                "containers": [{ "name": "agent", "image": "nodeseal:0.1.0" }],
            },
        }))
        .await?;
        let account = "nodeseal-agent";
        self.plane.pod_token(NAMESPACE, account, &name).await
    }

    /// Starts the operator with its own token.
    pub(crate) async fn start_operator(&mut self) -> Result<()> {
        self.start_operator_with(&[]).await
    }

    /// The same, with more on its command line.
    pub(crate) async fn start_operator_with(&mut self, flags: &[String]) -> Result<()> {
        let account = "nodeseal-operator";
        let token = self
            .plane
            .service_account_token(NAMESPACE, account, None)
            .await?;
        let kubeconfig = self.plane.kubeconfig_for("operator", &token)?;
        let log = self.folder.join("operator.log");
        let program = Product::Operator.locate()?;
        let operator = Operator::start(&program, &kubeconfig, &log, |command| {
            command
                .args(["--secret-refresh", "1"])
                .args(["--exempt-image", "registry.example/nodeseal"])
                .args(flags);
        })?;
        self.operator = Some(operator);
        Ok(())
    }

    /// The last of what the operator logged.
    pub(crate) fn operator_log(&self) -> String {
        let log = self
            .operator
            .as_ref()
            .map(|operator| operator.process.log());
        let log = log.unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The root of a node with CRI-O.
    pub(crate) fn root(&self, node: &str) -> PathBuf {
        self.folder.join(format!("root-{node}"))
    }

    /// Starts the agent of a node with CRI-O, with the token of its pod.
    pub(crate) async fn start_agent(&mut self, node: &str) -> Result<()> {
        let root = self.root(node);
        fs::create_dir_all(root.join("etc/crio"))?;
        let shipped = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
        fs::write(root.join("etc/crio/policy.json"), shipped)?;
        let token = self.agent_token(node).await?;
        let mut command = Command::new(Product::Agent.locate()?);
        command
            .args(["--node-name", node, "--recheck", "1", "--kubeconfig"])
            .arg(self.plane.kubeconfig_for(node, &token)?)
            .arg("--root")
            .arg(root)
            .args(["--runtime", "cri-o", "--runtime-version", "1.34.1"])
            .args(["--crio-policy", "/etc/crio/policy.json"]);
        let log = self.folder.join(format!("agent-{node}.log"));
        let process = Process::start("nodeseal-agent", &mut command, &log)?;
        self.agents.push(process);
        Ok(())
    }

    /// Gives a service account of the product these rights too, so that it is the admission policy that
    /// refuses.
    pub(crate) async fn give(&self, account: &str, rules: &Value) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "too-much" },
            "rules": rules,
        }))
        .await?;
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "too-much" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "too-much",
            },
            "subjects": [
                { "kind": "ServiceAccount", "name": account, "namespace": NAMESPACE },
            ],
        }))
        .await?;
        Ok(())
    }

    /// What this account asked so far.
    pub(crate) fn requests_of(&self, user: &str) -> Result<Vec<Request>> {
        let mut requests = self.plane.requests()?;
        requests.retain(|request| request.user == user);
        Ok(requests)
    }
}

/// Server-side apply as somebody.
pub(crate) async fn apply_as(
    client: &Client,
    object: &Value,
    manager: &str,
) -> Result<Value, kube::Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    let namespace = text("/metadata/namespace").unwrap_or_default();
    let api = api_of(
        client,
        version.unwrap_or_default(),
        kind.unwrap_or_default(),
        namespace,
    );
    let params = PatchParams::apply(manager).force();
    let name = text("/metadata/name").unwrap_or_default();
    let applied = api.patch(name, &params, &Patch::Apply(object)).await?;
    serde_json::to_value(applied).map_err(kube::Error::SerdeError)
}

/// Objects of a kind; of no namespace where that is empty.
pub(crate) fn api_of(
    client: &Client,
    version: &str,
    kind: &str,
    namespace: &str,
) -> Api<DynamicObject> {
    let types = TypeMeta {
        api_version: version.to_owned(),
        kind: kind.to_owned(),
    };
    let kind = GroupVersionKind::try_from(types).unwrap();
    let resource = ApiResource::from_gvk(&kind);
    if namespace.is_empty() {
        return Api::all_with(client.clone(), &resource);
    }
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn version_of(kind: &str) -> String {
    match kind {
        "Node" | "ConfigMap" | "Secret" | "Namespace" | "Pod" => "v1".to_owned(),
        "Event" => "events.k8s.io/v1".to_owned(),
        "Lease" => "coordination.k8s.io/v1".to_owned(),
        _ => crds::API_VERSION.to_owned(),
    }
}

/// `Status Reason` of a condition, and its message.
pub(crate) fn condition(object: &Value, kind: &str) -> (String, String) {
    let all = object["status"]["conditions"].as_array();
    let found = all.into_iter().flatten().find(|c| c["type"] == kind);
    let text = |field: &str| {
        let value = found.and_then(|found| found[field].as_str());
        value.unwrap_or_default().to_owned()
    };
    let words = format!("{} {}", text("status"), text("reason"));
    (words.trim().to_owned(), text("message"))
}

pub(crate) fn pem() -> String {
    Key::generate(Kind::P256).unwrap().public_pem().unwrap()
}

/// A policy of either kind; of the cluster's own where the namespace is empty.
pub(crate) fn policy(namespace: &str, name: &str, scopes: &[&str], key: &Value) -> Value {
    let kind = match namespace {
        "" => "ClusterImageSignaturePolicy",
        _ => "ImageSignaturePolicy",
    };
    let mut object = json!({
        "apiVersion": crds::API_VERSION, "kind": kind, "metadata": { "name": name },
        "spec": { "scopes": scopes, "authorities": [{ "name": "a", "key": key }] },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// The product's taints on a node, and the number of all others.
pub(crate) fn taints(node: &Value) -> (Vec<String>, usize) {
    let all = node["spec"]["taints"].as_array();
    let keys: Vec<String> = all
        .into_iter()
        .flatten()
        .filter_map(|taint| taint["key"].as_str().map(str::to_owned))
        .collect();
    let ours = |key: &&String| key.starts_with("nodeseal.dev/");
    let found: Vec<String> = keys.iter().filter(ours).cloned().collect();
    let others = keys.len() - found.len();
    (found, others)
}

/// What the API server says to a request that it has to refuse.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("it was not refused: {other:?}"),
    }
}
