//! What the operator hands to the nodes: policies as resolved, in one object.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// The policies of some nodes, as the operator resolved them.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "PolicyBundle",
    plural = "policybundles",
    shortname = "pb",
    category = "nodeseal",
    derive = "PartialEq",
    doc = "The policies that nodes run, resolved and in one piece. Written by the operator, named by the digest of its content, and never changed.",
    validation = Rule::new("self.metadata.name.matches('^sha256-[a-f0-9]{64}$')")
        .message("a PolicyBundle is named by the digest of its content, sha256-<64 hex>: leave it to the operator")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a PolicyBundle never changes, other content has another name: leave it to the operator"))]
pub struct PolicyBundleSpec {
    /// The format of `data`: 1.
    #[schemars(range(min = 1))]
    pub format: i32,
    /// JSON, compressed with gzip, in base64: at most 921600 characters (900 KiB).
    #[schemars(length(min = 1, max = 921_600))]
    pub data: String,
}
