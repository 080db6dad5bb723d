//! What is read of Nodes: their objects are large, above all for the images that each names, and there
//! are thousands of them.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Serialize};

/// A Node as far as it matters. What else it has is passed over while it is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Resource)]
#[resource(inherit = Node)]
pub(crate) struct NodeView {
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: SpecView,
    #[serde(default)]
    pub(crate) status: StatusView,
}

/// Its spec.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct SpecView {
    #[serde(default)]
    pub(crate) taints: Vec<Taint>,
}

/// Its status.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView {
    #[serde(default)]
    pub(crate) conditions: Vec<ConditionView>,
    pub(crate) node_info: Option<InfoView>,
}

/// One of its conditions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ConditionView {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
}

/// What its kubelet says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InfoView {
    pub(crate) container_runtime_version: String,
}
