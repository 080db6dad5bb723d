//! The offline validator: the rules of the API server and of the operator, in three layers.
//!
//! 1. the schema, as under strict field validation (`structural`, `scalar`, `metadata`);
//! 2. the rules in the schema (`cel`);
//! 3. what only the program can know (`program`, `resolve`, `config`).
//!
//! Each layer adds what the ones before have not said about the same field.

pub(crate) mod catalog;
pub(crate) mod cel;
pub(crate) mod config;
mod metadata;
pub(crate) mod object;
pub(crate) mod program;
pub(crate) mod report;
mod resolve;
mod scalar;
mod structural;
mod text;

pub(crate) use text::may_be_shown;

use policy::model::{Policy, PolicyId};
use serde::de::DeserializeOwned;

use crate::keys::KeyStore;
use crate::manifest::Document;
use crate::problem::{Layer, Severity};
use crate::types::{
    ClusterImageSignaturePolicySpec, EnforcementConfigSpec, ImageSignaturePolicySpec, OnUnsupported,
};
use catalog::Kind;
use cel::Rules;
use config::Config;
use object::ObjectName;
use program::Input;
use report::Report;

/// What a valid object is.
pub(crate) enum Valid {
    /// Either kind of policy.
    Policy(Box<Policy>),
    /// The configuration.
    Config(Box<Config>),
}

/// Checks an object in all layers. Nothing where it has an error, which the report then says.
pub(crate) fn check(
    report: &mut Report<'_>,
    rules: &mut Rules,
    document: &Document,
    kind: &'static Kind,
    name: &ObjectName,
    keys: &KeyStore,
) -> Option<Valid> {
    metadata::check_object(report, document, kind);
    let json = document.root.to_json();
    rules.check(report, kind, &json);
    let valid = program_layer(report, document, kind, name, keys, json);
    resolve::refuse_private_keys(report, &document.root, "");
    valid.filter(|_| !report.has_errors())
}

fn program_layer(
    report: &mut Report<'_>,
    document: &Document,
    kind: &Kind,
    name: &ObjectName,
    keys: &KeyStore,
    json: serde_json::Value,
) -> Option<Valid> {
    let mut policy = |id, spec: &_, on_unsupported| {
        program::policy(
            report,
            &Input {
                document,
                id,
                spec,
                on_unsupported,
                keys,
            },
        )
        .map(|policy| Valid::Policy(Box::new(policy)))
    };
    match kind.name.as_str() {
        "ClusterImageSignaturePolicy" => {
            let spec: ClusterImageSignaturePolicySpec = spec(json)?;
            let valid = policy(
                PolicyId::Cluster {
                    name: name.name.clone(),
                },
                &spec.policy,
                spec.on_unsupported,
            );
            if spec.node_selector.is_some() {
                let message = "a node that runs without a cluster knows no labels: there, and in `nodeseal render`, the policy applies whatever nodeSelector says";
                report.add(
                    Layer::Program,
                    Severity::Note,
                    "spec.nodeSelector",
                    "NodeSelector",
                    message,
                );
            }
            valid
        }
        "ImageSignaturePolicy" => {
            let spec: ImageSignaturePolicySpec = spec(json)?;
            let namespace = name.namespace.clone().unwrap_or_default();
            policy(
                PolicyId::Namespaced {
                    namespace,
                    name: name.name.clone(),
                },
                &spec.policy,
                OnUnsupported::Ignore,
            )
        }
        _ => {
            let spec: EnforcementConfigSpec = spec(json)?;
            config::config(report, spec).map(|config| Valid::Config(Box::new(config)))
        }
    }
}

/// The typed spec; nothing where a value has the wrong type, which the schema has reported.
fn spec<T: DeserializeOwned>(mut json: serde_json::Value) -> Option<T> {
    let spec = json.get_mut("spec").map(serde_json::Value::take)?;
    serde_json::from_value(cel::without_nulls(&spec)).ok()
}
