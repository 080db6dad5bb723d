//! What several kinds share: patterns, node selectors, a number or a percentage.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The patterns of the schema. All are in the syntax that Go's RE2 and Rust's `regex` share.
pub(crate) mod patterns {
    /// The grammar of a scope, cheap: `*.domain`, or a lower-case host (with a dot or a port, or
    /// `localhost`), then path, tag or digest. Whether it is canonical is decided in the program.
    pub(crate) const SCOPE: &str = "^(\\*\\.[a-z0-9.-]+|(localhost|[a-z0-9-]+(\\.[a-z0-9-]+)+|[a-z0-9.-]+:[0-9]+|\\[[a-f0-9:.]+\\])(:[0-9]+)?(/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[a-f0-9]{64})?)?)$";
    /// A DNS label (RFC 1123).
    pub(crate) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    /// A DNS subdomain (RFC 1123), the usual form of an object's name.
    pub(crate) const SUBDOMAIN: &str =
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    /// A key of a ConfigMap or Secret.
    pub(crate) const DATA_KEY: &str = "^[-._a-zA-Z0-9]+$";
    /// A percentage from 0 to 100.
    pub(crate) const PERCENT: &str = "^(100|[1-9]?[0-9])%$";
    /// Hours, minutes, seconds, each at most once and in this order.
    pub(crate) const DURATION: &str = "^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$";
    /// The name of a bundle.
    pub(crate) const BUNDLE: &str = "^sha256-[a-f0-9]{64}$";
    /// An `https` address.
    pub(crate) const HTTPS: &str = "^https://[^\\s]+$";
}

/// The rule for a scope that must not have a tag or a digest.
pub(super) const WHOLE_REPOSITORY: &str = "!self.matches('/.*[:@]')";

/// Gives the entries of a list a rule of their own, so that a failure names the entry.
pub(super) fn item_rule(list: &mut Schema, rule: &str, message: &str) {
    if let Some(items) = list
        .get_mut("items")
        .and_then(serde_json::Value::as_object_mut)
    {
        let rules = serde_json::json!([{ "rule": rule, "message": message }]);
        items.insert("x-kubernetes-validations".to_owned(), rules);
    }
}

/// Selects nodes by their labels; empty selects all. All conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Labels that a node must carry with exactly these values. At most 64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, LabelValue>,
    /// Further conditions on labels. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub match_expressions: Vec<NodeRequirement>,
}

/// The value of a label, at most 63 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelValue(pub String);

impl JsonSchema for LabelValue {
    fn schema_name() -> Cow<'static, str> {
        "LabelValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 63 })
    }
}

/// One condition on a label of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("In and NotIn need values, Exists and DoesNotExist must have none: change the operator or the values"))]
pub struct NodeRequirement {
    /// The label's key, at most 317 characters.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the label is compared: In, NotIn, Exists or DoesNotExist.
    pub operator: Operator,
    /// The values that In and NotIn compare with, at most 64; none with Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub values: Vec<LabelValue>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is missing, or has none of the values.
    NotIn,
    /// The label is there, whatever its value.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

impl From<&NodeSelector> for LabelSelector {
    fn from(selector: &NodeSelector) -> Self {
        let requirement = |requirement: &NodeRequirement| LabelSelectorRequirement {
            key: requirement.key.clone(),
            operator: match requirement.operator {
                Operator::In => "In",
                Operator::NotIn => "NotIn",
                Operator::Exists => "Exists",
                Operator::DoesNotExist => "DoesNotExist",
            }
            .to_owned(),
            values: match requirement.operator {
                Operator::In | Operator::NotIn => Some(
                    requirement
                        .values
                        .iter()
                        .map(|value| value.0.clone())
                        .collect(),
                ),
                Operator::Exists | Operator::DoesNotExist => None,
            },
        };
        let labels = selector.match_labels.iter();
        Self {
            match_labels: Some(labels.map(|(k, v)| (k.clone(), v.0.clone())).collect()),
            match_expressions: Some(selector.match_expressions.iter().map(requirement).collect()),
        }
    }
}

/// How many of the nodes: a number, or a percentage of them such as `10%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Share {
    /// That many nodes.
    Count(i32),
    /// `0%` to `100%` of the nodes.
    Percent(String),
}

impl Share {
    /// How many of `total` nodes that is; a percentage is rounded up. Nothing for a percentage
    /// that is none, which the schema refuses.
    #[must_use]
    pub fn of(&self, total: usize) -> Option<usize> {
        match self {
            Self::Count(count) => usize::try_from(*count).ok(),
            Self::Percent(text) => {
                let percent: usize = text.strip_suffix('%')?.parse().ok()?;
                (percent <= 100).then(|| (total * percent).div_ceil(100))
            }
        }
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": 100_000,
            "maxLength": 4,
            "pattern": patterns::PERCENT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_above_the_whole() {
        let percent = |text: &str| Share::Percent(text.to_owned());
        assert_eq!(percent("10%").of(50), Some(5));
        assert_eq!(percent("10%").of(1), Some(1));
        assert_eq!(percent("0%").of(50), Some(0));
        assert_eq!(percent("100%").of(7), Some(7));
        assert_eq!(Share::Count(3).of(50), Some(3));
        assert_eq!(percent("101%").of(50), None);
        assert_eq!(percent("ten").of(50), None);
        assert_eq!(Share::Count(-1).of(50), None);
    }
}
