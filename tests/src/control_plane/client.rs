//! Clients of the control plane.

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::{ControlPlane, manifests};
use crate::process;

/// How long new definitions may take to be served.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// What the API server says about an object that it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// Everything that is wrong, as one text.
    pub message: String,
    /// Each single thing: its field (empty where there is none) and its message.
    pub causes: Vec<(String, String)>,
}

impl ControlPlane {
    /// A client that shows this token.
    pub fn client(&self, token: &str) -> Result<Client> {
        let mut config = Config::new(self.url().parse().context("the API server's address")?);
        let certificates = pem::parse_many(&self.ca)?;
        let der = |certificate: pem::Pem| certificate.into_contents();
        config.root_cert = Some(certificates.into_iter().map(der).collect());
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).context("make a client of the API server")
    }

    /// A client of the administrator.
    pub fn admin(&self) -> Result<Client> {
        self.client(&self.admin_token())
    }

    /// Installs the definitions in `crds/manifests` and waits until their objects are served.
    pub async fn install_crds(&self) -> Result<()> {
        let client = self.admin()?;
        let api: Api<CustomResourceDefinition> = Api::all(client.clone());
        let manifests = manifests()?;
        for (path, definition) in &manifests {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            let params = PatchParams::apply("lab").force();
            let applied = api.patch(name, &params, &Patch::Apply(definition)).await;
            applied.with_context(|| format!("apply {}", path.display()))?;
        }
        for (_, definition) in &manifests {
            let name = definition["metadata"]["name"].as_str().unwrap_or_default();
            let plural = definition["spec"]["names"]["plural"].as_str();
            let path = format!("/apis/nodeseal.dev/v1alpha1/{}", plural.unwrap_or_default());
            process::wait_for(&format!("{name} to be served"), ESTABLISHED, async || {
                let found = api.get(name).await?;
                let conditions = found.status.and_then(|status| status.conditions);
                let established = conditions.into_iter().flatten().any(|condition| {
                    condition.type_ == "Established" && condition.status == "True"
                });
                // Its handler comes a moment later than its condition.
                let served = established && list(&client, &path).await.is_ok();
                Ok(served.then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Creates an object from YAML or JSON under strict field validation, as `kubectl create` does;
    /// with `dry_run` nothing is stored. `path` is that of its collection.
    pub async fn create(
        &self,
        path: &str,
        text: &str,
        dry_run: bool,
    ) -> Result<Result<Value, Refused>> {
        let params = PostParams {
            dry_run,
            field_manager: Some("lab".to_owned()),
        };
        let body = text.as_bytes().to_vec();
        let mut request = kube::core::Request::new(path).create(&params, body)?;
        let uri = format!("{}&fieldValidation=Strict", request.uri());
        *request.uri_mut() = uri.parse()?;
        let headers = request.headers_mut();
        headers.insert("content-type", "application/yaml".parse()?);
        match self.admin()?.request(request).await {
            Ok(created) => Ok(Ok(created)),
            Err(kube::Error::Api(status)) => {
                let causes = status.details.map(|details| details.causes);
                let cause = causes.unwrap_or_default().into_iter();
                Ok(Err(Refused {
                    code: status.code,
                    message: status.message,
                    causes: cause.map(|cause| (cause.field, cause.message)).collect(),
                }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Compacts etcd: what was before now can be read no more, and watches that stood there expire.
    pub async fn compact(&self) -> Result<()> {
        let client = crate::oci::client()?;
        let call = async |path: &str, body: Value| -> Result<Value> {
            let url = format!("http://{}{path}", self.etcd_address);
            let answer = client.post(url).body(body.to_string()).send().await?;
            let text = answer.error_for_status()?.text().await?;
            Ok(serde_json::from_str(&text)?)
        };
        let found = call("/v3/kv/range", json!({ "key": "AA==" })).await?;
        let revision = found["header"]["revision"].as_str();
        let revision = revision.context("etcd names no revision")?;
        let body = json!({ "revision": revision, "physical": true });
        call("/v3/kv/compaction", body).await?;
        Ok(())
    }

    /// A token of a service account, as pods get them: with `node`, one that says on which node its
    /// pod runs. Account and node must exist.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        node: Option<&str>,
    ) -> Result<String> {
        let client = self.admin()?;
        let bound = match node {
            None => None,
            Some(node) => {
                let found = Api::<Node>::all(client.clone()).get(node).await?;
                Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Node".to_owned()),
                    name: Some(node.to_owned()),
                    uid: found.metadata.uid,
                })
            }
        };
        token(client, namespace, name, bound).await
    }

    /// The token that the pod of a service account has mounted. Account and pod must exist; the
    /// token says on which node the pod runs, if on any.
    pub async fn pod_token(&self, namespace: &str, account: &str, pod: &str) -> Result<String> {
        let client = self.admin()?;
        let found = Api::<Pod>::namespaced(client.clone(), namespace)
            .get(pod)
            .await?;
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            uid: found.metadata.uid,
        };
        token(client, namespace, account, Some(bound)).await
    }
}

async fn token(
    client: Client,
    namespace: &str,
    name: &str,
    bound: Option<BoundObjectReference>,
) -> Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            bound_object_ref: bound,
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let api: Api<ServiceAccount> = Api::namespaced(client, namespace);
    let answer = api
        .create_token_request(name, &PostParams::default(), &request)
        .await?;
    let status = answer.status.context("a token request without an answer")?;
    Ok(status.token)
}

async fn list(client: &Client, path: &str) -> Result<Value> {
    let one = ListParams::default().limit(1);
    let request = kube::core::Request::new(path).list(&one)?;
    Ok(client.request(request).await?)
}

/// Whether the API server answers that it is ready.
pub(super) async fn is_ready(ca: &str, url: &str, token: &str) -> bool {
    let ask = async || -> Result<bool> {
        let certificates = reqwest::Certificate::from_pem_bundle(ca.as_bytes())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(certificates)
            .build()?;
        let answer = client.get(url).bearer_auth(token).send().await?;
        Ok(answer.status().is_success())
    };
    ask().await.unwrap_or(false)
}

/// Whether etcd answers that it is healthy.
pub(super) async fn is_healthy(url: &str) -> bool {
    let Ok(client) = crate::oci::client() else {
        return false;
    };
    let answer = client.get(url).send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
