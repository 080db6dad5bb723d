//! A tenant who is an attacker: `admin` of one namespace, who may write its policies besides.
//!
//! Each attempt is named and says what came of it. None may touch what is not his, stop what
//! administrators roll out, or learn what he could not read before.

mod api;
mod keys;
mod load;
mod policies;

use anyhow::{Context as _, Result};
use e2e::process;
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::lab::{Lab, SOON, api_of, apply_as, condition, pem, policy};

/// The attacker's namespace.
const OWN: &str = "tenant";
/// Whom he would like to harm.
const VICTIM: &str = "victim";
const VICTIMS: (&str, &str, &str) = ("ImageSignaturePolicy", VICTIM, "p");
const CLUSTERS: (&str, &str, &str) = ("ClusterImageSignaturePolicy", "", "p");

/// A cluster at rest with a node, a policy of its own and one of the victim's, and the attacker's
/// token.
struct Scene {
    lab: Lab,
    attacker: Client,
    told: Vec<(&'static str, String)>,
}

impl Scene {
    async fn start() -> Result<Self> {
        let mut lab = Lab::start().await?;
        for name in [OWN, VICTIM] {
            lab.apply(&json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
            }))
            .await?;
        }
        for object in rights() {
            lab.apply(&object).await?;
        }
        lab.apply(&json!({
            "apiVersion": crds::API_VERSION, "kind": "EnforcementConfig",
            "metadata": { "name": "default" },
            "spec": {
                "exemptImages": ["registry.k8s.io/pause"],
                "namespacedPolicies": {
                    "maxPerNamespace": 8, "allowedScopes": ["registry.example", "registry.k8s.io"],
                },
            },
        }))
        .await?;
        let inline = json!({ "data": pem() });
        lab.apply(&policy("", "p", &["registry.example/cluster"], &inline))
            .await?;
        lab.apply(&policy(VICTIM, "p", &["registry.example/victim"], &inline))
            .await?;
        lab.join("a").await?;
        lab.start_operator().await?;
        lab.start_agent("a").await?;
        for object in [CLUSTERS, VICTIMS] {
            lab.condition(object, "Ready", "True Ready").await?;
        }
        let token = lab.plane.service_account_token(OWN, "attacker", None);
        let token = token.await?;
        let scene = Self {
            attacker: lab.plane.client(&token)?,
            lab,
            told: Vec::new(),
        };
        Ok(scene)
    }

    /// Notes what came of an attempt.
    fn tell(&mut self, attempt: &'static str, outcome: impl Into<String>) {
        let outcome: String = outcome.into();
        println!("{attempt}: {outcome}");
        assert!(!outcome.is_empty(), "{attempt}");
        assert!(self.told.iter().all(|(other, _)| *other != attempt));
        self.told.push((attempt, outcome));
    }

    /// What the API server answers to an attempt that it has to refuse.
    async fn refused(&self, attempt: &str, object: &Value) -> String {
        match apply_as(&self.attacker, object, "attacker").await {
            Err(kube::Error::Api(status)) => status.message,
            other => panic!("{attempt}: {other:?}"),
        }
    }

    /// What the attacker is allowed to write.
    async fn write(&self, object: &Value) -> Result<Value> {
        let written = apply_as(&self.attacker, object, "attacker").await;
        written.with_context(|| object["metadata"]["name"].to_string())
    }

    /// A merge patch of the attacker's.
    async fn patch(
        &self,
        (kind, namespace, name): (&str, &str, &str),
        patch: &Value,
    ) -> Result<DynamicObject, kube::Error> {
        let api = api_of(&self.attacker, crds::API_VERSION, kind, namespace);
        let params = PatchParams::default();
        api.patch(name, &params, &Patch::Merge(patch)).await
    }

    /// The names of the policies that the node is given.
    async fn on_node(&self) -> Result<Vec<String>> {
        let own = self.lab.get("NodeImagePolicy", "", "a").await?;
        let own = own.context("a NodeImagePolicy")?;
        let name = own["spec"]["bundle"].as_str().unwrap_or_default();
        let bundle = self.lab.get("PolicyBundle", "", name).await?;
        let spec = bundle.context("a bundle")?["spec"].clone();
        let bundle = crds::bundle::decode(name, &serde_json::from_value(spec)?)?;
        Ok(bundle.policies().map(|p| p.id().to_string()).collect())
    }

    /// The attacker's policies are gone.
    async fn clean(&self) -> Result<()> {
        let api = api_of(
            &self.lab.client,
            crds::API_VERSION,
            "ImageSignaturePolicy",
            OWN,
        );
        let (params, all) = (DeleteParams::default(), ListParams::default());
        api.delete_collection(&params, &all).await?;
        process::wait_for("the attacker's policies to be gone", SOON, async || {
            let mine = |name: &String| name.starts_with("tenant/");
            Ok((!self.on_node().await?.iter().any(mine)).then_some(()))
        })
        .await
    }

    /// What administrators and the victim write still reaches the node, and they are told so.
    async fn others_go_on(&self, host: &str) -> Result<()> {
        let inline = json!({ "data": pem() });
        let scope = format!("{host}.example");
        self.lab.apply(&policy("", "p", &[&scope], &inline)).await?;
        let scope = format!("registry.example/{host}");
        self.lab
            .apply(&policy(VICTIM, "p", &[&scope], &inline))
            .await?;
        for object in [CLUSTERS, VICTIMS] {
            self.lab.condition(object, "Ready", "True Ready").await?;
        }
        Ok(())
    }

    /// The words of a condition of the attacker's policy, once it is so.
    async fn own(&self, name: &str, kind: &str, is: &str) -> Result<String> {
        let object = ("ImageSignaturePolicy", OWN, name);
        let message = self.lab.condition(object, kind, is).await?;
        Ok(format!("{kind} {is}: {message}"))
    }
}

/// What `admin` of a namespace is made of where no controller puts it together, and the product's own
/// role.
fn rights() -> Vec<Value> {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": { "name": "attacker", "namespace": OWN },
    });
    let binding = |role: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": role, "namespace": OWN },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": [{ "kind": "ServiceAccount", "name": "attacker", "namespace": OWN }],
        })
    };
    let roles = [
        "system:aggregate-to-admin",
        "system:aggregate-to-edit",
        "system:aggregate-to-view",
        "nodeseal-policy-editor",
    ];
    let bindings = roles.into_iter().map(binding);
    std::iter::once(account).chain(bindings).collect()
}

/// Attempts on one cluster, in turn: what one leaves behind the next has to live with.
async fn tried(count: usize, attempts: impl AsyncFnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scene = Scene::start().await?;
    let done = attempts(&mut scene).await;
    done.with_context(|| scene.lab.operator_log())?;
    assert_eq!(scene.told.len(), count, "attempts");
    let own = scene.lab.get("NodeImagePolicy", "", "a").await?;
    let ready = condition(&own.context("an object")?, "Ready").0;
    assert!(ready.starts_with("True"), "{ready}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_writes_nothing_but_his_policies() -> Result<()> {
    tried(13, api::attempts).await
}

#[tokio::test]
async fn a_tenants_policies_are_about_his_namespace_only() -> Result<()> {
    tried(9, policies::attempts).await
}

#[tokio::test]
async fn a_tenant_learns_nothing_from_keys() -> Result<()> {
    tried(6, keys::attempts).await
}

#[tokio::test]
async fn a_tenant_makes_work_for_himself_only() -> Result<()> {
    tried(4, load::attempts).await
}

#[tokio::test]
async fn an_object_that_has_no_room_for_its_status_slows_nobody_else() -> Result<()> {
    tried(1, load::full).await
}
