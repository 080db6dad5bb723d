//! The two kinds of policy. They share [`PolicySpec`]; the cluster kind adds what concerns nodes.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::common::{WHOLE_REPOSITORY, item_rule};
use super::{Authority, NodeSelector, PolicyStatus, SignedIdentity, patterns};

/// What to verify, for images that any pod in the cluster uses.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "ClusterImageSignaturePolicy",
    plural = "clusterimagesignaturepolicies",
    shortname = "cisp",
    category = "nodeseal",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Demands signatures of the images in its scopes, whatever pod uses them, on all selected nodes."
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterImageSignaturePolicySpec {
    /// What both kinds of policy say.
    #[serde(flatten)]
    pub policy: PolicySpec,
    /// The nodes that enforce this policy, by their labels. Default and empty: all nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
    /// What a node does whose runtime cannot express this policy. `Ignore` (default): it leaves
    /// the policy out, and the policy's condition `Compatible` says so. `Reject`: it refuses every
    /// image that the policy covers.
    #[serde(default)]
    pub on_unsupported: OnUnsupported,
}

/// What to verify, for images that pods of one namespace use.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "ImageSignaturePolicy",
    plural = "imagesignaturepolicies",
    namespaced,
    shortname = "isp",
    category = "nodeseal",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Demands signatures of the images in its scopes that pods of its own namespace use, in addition to every ClusterImageSignaturePolicy."
)]
#[serde(rename_all = "camelCase")]
pub struct ImageSignaturePolicySpec {
    /// What both kinds of policy say.
    #[serde(flatten)]
    pub policy: PolicySpec,
}

/// What both kinds of policy say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.authorities) == 0 || self.threshold <= size(self.authorities)")
    .message("threshold is above the number of authorities, so no image could ever pass: lower it or add authorities").field_path(".threshold"))]
pub struct PolicySpec {
    /// The images that the policy covers: 1 to 256 distinct scopes of at most 512 characters. A
    /// scope is `host[:port]`, `host[:port]/path` (everything below it too), a repository with
    /// `:tag` or `@sha256:…`, or `*.domain` alone, in canonical form: lower-case host with a dot
    /// or a port, or `localhost`; Docker Hub is `docker.io`, its official images are
    /// `docker.io/library/…`. A tag scope does not cover pods that pin a digest.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 512), regex(pattern = patterns::SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
    /// Exceptions: images in one of these scopes are not covered, also not by a narrower scope.
    /// 0 to 256 distinct scopes as in `scopes`, each inside one of them, without tag and digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 512), regex(pattern = patterns::SCOPE)),
        transform = excludes
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,
    /// `Enforce` (default): images that fail are refused. `Audit`: nothing is refused, nodes
    /// report what they would have refused.
    #[serde(default)]
    pub mode: Mode,
    /// How many distinct authorities must have signed: 1 (default) to the number of authorities.
    /// Above 1 no two authorities may share a key or overlap in identities: one e-mail address or
    /// host name is one signer, whichever identity provider or certificate authority vouches for it.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 16))]
    pub threshold: i32,
    /// Who may sign: 1 to 16 authorities with distinct names.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub authorities: Vec<Authority>,
    /// Which name a signature must carry. Default: type MatchRepository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_identity: Option<SignedIdentity>,
}

/// Whether a policy denies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Images that fail are refused.
    #[default]
    Enforce,
    /// Nothing is refused.
    Audit,
}

/// What a node does whose runtime cannot express a policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnUnsupported {
    /// It leaves the policy out.
    #[default]
    Ignore,
    /// It refuses what the policy covers.
    Reject,
}

fn excludes(schema: &mut Schema) {
    item_rule(
        schema,
        WHOLE_REPOSITORY,
        "an exclude has no tag and no digest: exclude the whole repository",
    );
}

fn default_threshold() -> i32 {
    1
}
