//! The one configuration of a cluster.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::common::{WHOLE_REPOSITORY, item_rule};
use super::status::conditions;
use super::{Rollout, patterns};

/// How the whole cluster enforces.
#[derive(
    CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema,
)]
#[kube(
    group = "nodeseal.dev",
    version = "v1alpha1",
    kind = "EnforcementConfig",
    plural = "enforcementconfigs",
    shortname = "ec",
    category = "nodeseal",
    status = "EnforcementConfigStatus",
    derive = "PartialEq",
    doc = "How the whole cluster enforces. There is one object, named `default`. Deleting it keeps the last values in force.",
    validation = Rule::new("self.metadata.name == 'default'")
        .message("there is one EnforcementConfig, named default: change metadata.name")
)]
#[serde(rename_all = "camelCase")]
pub struct EnforcementConfigSpec {
    /// `Enabled` (default), or `Disabled`: the emergency stop, every node goes back to what it had
    /// before, past all limits of the rollout.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// What happens to images that no enforcing policy covers: `Allow` (default) or `Reject`.
    #[serde(default)]
    pub default_action: DefaultAction,
    /// Images that are always accepted, whatever covers them: 0 to 256 distinct scopes of at most
    /// 512 characters, as in a policy's `scopes` but without tag and digest. Each
    /// node's sandbox image is always added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 256),
        inner(length(min = 1, max = 512), regex(pattern = patterns::SCOPE)),
        transform = exemptions
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exempt_images: Vec<String>,
    /// What namespaces may demand for themselves.
    #[serde(default)]
    pub namespaced_policies: NamespacedPolicies,
    /// How changes reach the nodes.
    #[serde(default)]
    pub rollout: Rollout,
    /// What may be done to containerd.
    #[serde(default)]
    pub containerd: ContainerdSettings,
    /// What may be done to CRI-O.
    #[serde(default)]
    pub crio: CrioSettings,
    /// Taints that keep pods away from nodes.
    #[serde(default)]
    pub taint: Taint,
    /// The proof that nodes enforce.
    #[serde(default)]
    pub probe: Probe,
}

/// What the operator says about the configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnforcementConfigStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Whether nodes enforce at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Enforcement {
    /// They do.
    #[default]
    Enabled,
    /// The emergency stop.
    Disabled,
}

/// What happens to images that no enforcing policy covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultAction {
    /// They are accepted.
    #[default]
    Allow,
    /// They are refused.
    Reject,
}

/// What namespaces may demand for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedPolicies {
    /// The scopes that an ImageSignaturePolicy may use, or lie in: 0 to 256 distinct scopes of at
    /// most 512 characters. Default and empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512), regex(pattern = patterns::SCOPE)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_scopes: Vec<String>,
    /// How many ImageSignaturePolicies a namespace may have: 0 to 1000, default 20.
    #[serde(default = "default_max_per_namespace")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_per_namespace: i32,
}

impl Default for NamespacedPolicies {
    fn default() -> Self {
        Self {
            allowed_scopes: Vec::new(),
            max_per_namespace: default_max_per_namespace(),
        }
    }
}

fn exemptions(schema: &mut Schema) {
    let message = "an exempt image has no tag and no digest: exempt the whole repository";
    item_rule(schema, WHOLE_REPOSITORY, message);
}

fn default_max_per_namespace() -> i32 {
    20
}

/// What may be done to containerd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerdSettings {
    /// Whether containerd may be restarted when its configuration has to change: `Never`
    /// (default, the node's status says what is pending) or `Allowed`.
    #[serde(default)]
    pub restart: Restart,
    /// Whether to turn off a setting that makes containerd pull past its verifier. Default false:
    /// the node's status says that it cannot enforce.
    #[serde(default)]
    pub fix_local_pull: bool,
}

/// What may be done to CRI-O.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrioSettings {
    /// Whether CRI-O may be restarted when its configuration has to change: `Never` (default, the
    /// node's status says what is pending) or `Allowed`.
    #[serde(default)]
    pub restart: Restart,
    /// What to do while covered images on a node lack their signatures. `Hold` (default): the node
    /// waits before it enforces. `Proceed`: it enforces, and such images fail at their next start.
    #[serde(default)]
    pub stale_images: StaleImages,
}

/// Whether a runtime may be restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restart {
    /// It is never restarted.
    #[default]
    Never,
    /// It is restarted where that is needed.
    Allowed,
}

/// What to do while covered images on a node lack their signatures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StaleImages {
    /// Wait before enforcing.
    #[default]
    Hold,
    /// Enforce all the same.
    Proceed,
}

/// NoSchedule taints that keep pods away from nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// Taints a node until it is ready. Default false.
    #[serde(default)]
    pub not_ready: bool,
    /// Taints a node while it cannot enforce. Default false.
    #[serde(default)]
    pub not_enforcing: bool,
}

/// The proof that nodes enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// How often each node proves that it enforces: hours, minutes and seconds such as `10m`
    /// (default) or `1h30m`, from 10s to 24h. `0s` turns the proof off, and `Enforcing` becomes
    /// `Unknown`.
    #[serde(default = "default_interval")]
    #[schemars(length(min = 2, max = 16), regex(pattern = patterns::DURATION))]
    #[x_kube(validation = Rule::new("duration(self) == duration('0s') || (duration(self) >= duration('10s') && duration(self) <= duration('24h'))")
        .message("the interval is 10s to 24h, or 0s to turn the proof off: change it"))]
    pub interval: String,
}

impl Probe {
    /// The interval, or nothing where the proof is off. A text that is no duration, which the
    /// schema refuses, is the default.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        let duration = parse_duration(&self.interval).unwrap_or(Duration::from_mins(10));
        (!duration.is_zero()).then_some(duration)
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval: default_interval(),
        }
    }
}

fn default_interval() -> String {
    "10m".to_owned()
}

/// Hours, minutes and seconds in this order, as the schema's pattern has them.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, tail)) = rest.split_once(unit) {
            seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = tail;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_the_schema_has_them() {
        assert_eq!(parse_duration("10m"), Some(Duration::from_mins(10)));
        assert_eq!(parse_duration("1h30m5s"), Some(Duration::from_secs(5405)));
        assert_eq!(parse_duration("0s"), Some(Duration::ZERO));
        for bad in ["", "10", "m", "5s10m", "1.5h", "-5s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(Probe::default().interval(), Some(Duration::from_mins(10)));
        assert_eq!(
            Probe {
                interval: "0s".to_owned()
            }
            .interval(),
            None
        );
    }
}
