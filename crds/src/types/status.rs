//! What the operator says about a policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How far a policy is enforced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The digest of this policy as compiled, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// How many nodes are how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// Nodes that failed, at most 10 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub failing: Vec<FailingNode>,
    /// `Ready` sums up `Accepted`, `Resolved`, `Compatible` and `Programmed`; `Reconciling` and
    /// `Stalled` are present only while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// How many of the selected nodes are how far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// `updated/selected`, such as `47/50`.
    #[schemars(length(max = 32))]
    pub summary: String,
    /// Nodes that the policy selects.
    #[schemars(range(min = 0))]
    pub selected: i32,
    /// Nodes that run this policy as it is now.
    #[schemars(range(min = 0))]
    pub updated: i32,
    /// Nodes that could not apply it.
    #[schemars(range(min = 0))]
    pub failed: i32,
    /// Nodes whose runtime cannot express it.
    #[schemars(range(min = 0))]
    pub unsupported: i32,
    /// Nodes that have not reported for too long.
    #[schemars(range(min = 0))]
    pub unreachable: i32,
}

/// A node that failed to apply a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailingNode {
    /// The node's name.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The reason word of the node's report.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What the node reported.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The schema of a list of conditions, with the limits that Kubernetes' own kinds have.
pub(super) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 316,
                    "description": "The condition's name.",
                },
                "status": {
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The generation of the spec that it is about.",
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status last changed.",
                },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "A word from a fixed list.",
                },
                "message": {
                    "type": "string",
                    "maxLength": 32768,
                    "description": "What is the matter and what to do next.",
                },
            },
        },
    })
}
