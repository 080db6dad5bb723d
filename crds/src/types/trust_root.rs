//! Whom keyless signatures and transparency logs are checked against.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::conditions;
use super::{KeyRef, patterns};

/// Where the certificate authorities and logs come from. Exactly one of `tuf`, `trustedRoot` and
/// `keys`.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema,
)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "TrustRoot",
    plural = "trustroots",
    shortname = "tr",
    category = "nodeseal",
    status = "TrustRootStatus",
    derive = "PartialEq",
    doc = "The certificate authorities and logs that keyless signatures are checked against. Nodes get them with their policies and never reach out."
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.tuf), has(self.trustedRoot), has(self.keys)].exists_one(x, x)")
    .message("a TrustRoot has exactly one of tuf, trustedRoot and keys: add one, or remove the others"))]
pub struct TrustRootSpec {
    /// A TUF repository that the operator follows. Empty (`{}`) is the public-good instance of
    /// Sigstore. Excludes `trustedRoot` and `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuf: Option<TufSource>,
    /// A trusted_root.json of Sigstore. Excludes `tuf` and `keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<TrustedRootSource>,
    /// The certificates and keys one by one. Excludes `tuf` and `trustedRoot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<TrustRootKeys>,
}

/// A TUF repository. Only the operator speaks to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TufSource {
    /// The address of the repository, `https` only, at most 1024 characters. Default: the
    /// public-good instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = patterns::HTTPS))]
    pub mirror: Option<String>,
    /// The root.json to begin with, at most 65536 characters. Default: that of the public-good
    /// instance.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "rootJSON")]
    #[schemars(length(min = 1, max = 65536))]
    pub root_json: Option<String>,
    /// The target that holds the trusted root, at most 253 characters. Default
    /// `trusted_root.json`.
    #[serde(default = "default_target")]
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::DATA_KEY))]
    pub target: String,
    /// How often the operator looks: hours, minutes and seconds such as `24h` (default) or
    /// `1h30m`, from 10m to 168h.
    #[serde(default = "default_refresh_interval")]
    #[schemars(length(min = 2, max = 16), regex(pattern = patterns::DURATION))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m') && duration(self) <= duration('168h')")
        .message("the interval is 10m to 168h: change it"))]
    pub refresh_interval: String,
}

/// A trusted_root.json. Exactly one of `data` and `configMapKeyRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.data) != has(self.configMapKeyRef)")
    .message("a trustedRoot has exactly one of data and configMapKeyRef: add one, or remove one"))]
pub struct TrustedRootSource {
    /// The JSON, at most 262144 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 262_144))]
    pub data: Option<String>,
    /// A ConfigMap that holds the JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// Certificates and keys one by one, at least one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.fulcio) || has(self.rekor) || has(self.ctLog) || has(self.timestampAuthority)")
    .message("keys is empty, so nothing could ever be trusted: add fulcio, rekor, ctLog or timestampAuthority"))]
pub struct TrustRootKeys {
    /// The certificates of the certificate authority as PEM, at most 65536 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub fulcio: Option<String>,
    /// The public keys of transparency logs as PEM: at most 16, each at most 16384 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 16384)))]
    pub rekor: Vec<String>,
    /// The public keys of certificate logs as PEM: at most 16, each at most 16384 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 16384)))]
    pub ct_log: Vec<String>,
    /// The certificates of a timestamp authority as PEM, at most 65536 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub timestamp_authority: Option<String>,
}

/// What the operator has of a TrustRoot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustRootStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The digest of the trusted root in use, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub digest: Option<String>,
    /// How many certificate authorities it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub certificate_authorities: Option<i32>,
    /// How many transparency logs it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub transparency_logs: Option<i32>,
    /// How many timestamp authorities it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub timestamp_authorities: Option<i32>,
    /// When the first of its certificates and keys expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earliest_expiry: Option<Time>,
    /// When it was last refreshed with success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh: Option<Time>,
    /// The state of the trust root: `Ready` and `Refreshed` among others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

impl Default for TufSource {
    fn default() -> Self {
        Self {
            mirror: None,
            root_json: None,
            target: default_target(),
            refresh_interval: default_refresh_interval(),
        }
    }
}

fn default_target() -> String {
    "trusted_root.json".to_owned()
}

fn default_refresh_interval() -> String {
    "24h".to_owned()
}
