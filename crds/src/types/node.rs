//! What a node shall run, and what it does run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::patterns;
use super::status::conditions;

/// What a node shall run.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "NodeImagePolicy",
    plural = "nodeimagepolicies",
    shortname = "nip",
    category = "nodeseal",
    status = "NodeImagePolicyStatus",
    derive = "PartialEq",
    doc = "What one node shall run, and what it does run. There is one for each node, with its name. The operator writes the spec, the node's agent the status."
)]
#[serde(rename_all = "camelCase")]
pub struct NodeImagePolicySpec {
    /// The PolicyBundle to run, by its name `sha256-…`.
    #[schemars(length(min = 71, max = 71), regex(pattern = patterns::BUNDLE))]
    pub bundle: String,
}

/// What a node does run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeImagePolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The PolicyBundle in force, by its name `sha256-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub applied_bundle: Option<String>,
    /// The PolicyBundle that was in force before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub previous_bundle: Option<String>,
    /// The container runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<NodeRuntime>,
    /// What this runtime cannot enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<UnsupportedPolicies>,
    /// The digest of all managed files, `sha256:…`. The agent lists them: `nodeseal-agent files`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub files_digest: Option<String>,
    /// When files were last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_time: Option<Time>,
    /// The version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub agent_version: Option<String>,
    /// Files that others changed or removed and that were put back; absent where there were none
    /// since the agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What the verifier refused in the last hour, each image once for each reason. At most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub refused: Vec<RefusedImage>,
    /// `true` where more was refused in the last hour than `refused` names; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_cut: Option<bool>,
    /// Covered images on the node that no verdict let in: they were there before the verifier, were
    /// imported, or were pulled past it. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unverified: Option<UnverifiedImages>,
    /// `Detected`, `Applied`, `Enforcing` and `Ready`, which is true where the policies are
    /// applied and nothing shows that they are not enforced. Where it is not, `Reconciling` while the
    /// node is on its way, or `Stalled` where it needs a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// The container runtime of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRuntime {
    /// `containerd` or `cri-o`.
    #[schemars(length(max = 64))]
    pub name: String,
    /// Its version, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// How much of the policies it can enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<RuntimeEnforcement>,
    /// Why it is no more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub detail: Option<String>,
}

/// `Full`, `Partial` (some policies are left out) or `None` (the runtime calls no verifier).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RuntimeEnforcement {
    /// All policies.
    Full,
    /// Some policies are left out.
    Partial,
    /// None.
    None,
}

/// What a runtime cannot enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedPolicies {
    /// How many policies.
    #[schemars(range(min = 0))]
    pub count: i32,
    /// The first of them, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub first: Vec<UnsupportedPolicy>,
}

/// One policy that a runtime cannot enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedPolicy {
    /// The policy's name.
    #[schemars(length(max = 253))]
    pub policy: String,
    /// Its namespace; absent for a ClusterImageSignaturePolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// The reason word, as in the condition `Compatible` of the policy.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// Managed files that others changed or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// How often a file was put back since the agent started.
    #[schemars(range(min = 0))]
    pub count: i64,
    /// When that last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
    /// What differed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// An image that was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedImage {
    /// Its full name; as it was given where it does not parse.
    #[schemars(length(max = 512))]
    pub image: String,
    /// The code of the refusal, such as `NoSignature`.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// Covered images that no verdict let in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnverifiedImages {
    /// How many.
    #[schemars(range(min = 0))]
    pub count: i32,
    /// The first of them by name, at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(max = 512)))]
    pub first: Vec<String>,
}
