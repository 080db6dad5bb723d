//! A cluster, and its objects in their stages.

use anyhow::{Context as _, Result};
use e2e::keys::{Key, Kind};
use e2e::process;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::lab::{Lab, Operator, SOON};
use crate::reader::expect;

/// An object, by the path of its collection and its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) collection: &'static str,
    pub(crate) name: &'static str,
}

pub(crate) struct Scene {
    pub(crate) lab: Lab,
}

impl Scene {
    pub(crate) async fn start(nodes: &[&str]) -> Result<Self> {
        let lab = Lab::start(nodes).await?;
        Ok(Self { lab })
    }

    pub(crate) async fn operator(&mut self) -> Result<Operator> {
        let operator = self.lab.operator().await?;
        operator.ready().await?;
        Ok(operator)
    }

    pub(crate) async fn get(&self, object: Named) -> Result<Value> {
        let path = format!("/apis/{}/{}", crds::API_VERSION, object.collection);
        let request =
            kube::core::Request::new(path).get(object.name, &kube::api::GetParams::default())?;
        Ok(self.lab.client.request(request).await?)
    }

    /// Of all objects of a collection the first.
    pub(crate) async fn first(&self, collection: &str) -> Result<Value> {
        let path = format!("/apis/{}/{collection}", crds::API_VERSION);
        let request = kube::core::Request::new(path).list(&ListParams::default())?;
        let mut list: Value = self.lab.client.request(request).await?;
        let (version, kind) = (list["apiVersion"].take(), list["kind"].take());
        let mut object = list["items"][0].take();
        object["apiVersion"] = version;
        object["kind"] = kind
            .as_str()
            .unwrap_or_default()
            .trim_end_matches("List")
            .into();
        Ok(object)
    }

    pub(crate) async fn delete(&self, object: Named) -> Result<()> {
        let path = format!("/apis/{}/{}", crds::API_VERSION, object.collection);
        let request =
            kube::core::Request::new(path).delete(object.name, &DeleteParams::default())?;
        let _: Value = self.lab.client.request(request).await?;
        Ok(())
    }

    /// Waits until the condition is `status reason` for the spec as it is now, and reads the object.
    pub(crate) async fn stage(
        &self,
        object: Named,
        condition: &str,
        is: &str,
        reads: &str,
    ) -> Result<()> {
        let mut last = Value::Null;
        let what = format!("{condition} of {} to be {is}", object.name);
        let found = process::wait_for(&what, SOON, async || {
            let value = self.get(object).await?;
            let status = &value["status"];
            let current = status["observedGeneration"] == value["metadata"]["generation"];
            let good = current && words_of(status, condition) == is;
            last = value.clone();
            Ok(good.then_some(value))
        })
        .await;
        let value = found.with_context(|| format!("{last:#}"))?;
        expect(
            &format!("{} {}, {condition} {is}", value["kind"], object.name),
            &value,
            reads,
        )
    }

    /// What was created and nobody has looked at.
    pub(crate) async fn just_created(&self, object: Named) -> Result<()> {
        let value = self.get(object).await?;
        expect(
            &format!("{}, just created", value["kind"]),
            &value,
            "InProgress",
        )
    }
}

fn words_of(status: &Value, condition: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|one| one["type"] == condition);
    found.next().map_or_else(String::new, |one| {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("status"), text("reason"))
    })
}

pub(crate) fn pem() -> String {
    Key::generate(Kind::P256).unwrap().public_pem().unwrap()
}

pub(crate) fn config(spec: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "EnforcementConfig",
        "metadata": { "name": "default" },
        "spec": spec,
    })
}
