//! The offline validator: the rules of the API server and of the operator, in three layers.
//!
//! 1. the schema, as under strict field validation (`structural`, `scalar`, `metadata`);
//! 2. the rules in the schema (`cel`);
//! 3. what only the program can know (`program`, and `private_key`).
//!
//! Each layer adds what the ones before have not said about the same field.

pub(crate) mod catalog;
pub(crate) mod cel;
mod metadata;
pub(crate) mod object;
mod private_key;
pub(crate) mod program;
pub(crate) mod report;
mod scalar;
mod structural;
mod text;

pub(crate) use text::{may_be_shown, quoted, some_of};

use policy::model::{Policy, PolicyId};
use policy::problem::Reason;
use serde::de::DeserializeOwned;

use crate::convert::{self, Configuration};
use crate::keys::KeyStore;
use crate::manifest::Document;
use crate::problem::{Layer, Severity};
use crate::types::{
    ClusterImageSignaturePolicySpec, EnforcementConfigSpec, ImageSignaturePolicySpec, OnUnsupported,
};
use catalog::Kind;
use cel::Rules;
use object::ObjectName;
use report::Report;

/// What a valid object is.
pub(crate) enum Valid {
    /// Either kind of policy.
    Policy(Box<Policy>),
    /// The configuration, and what it says.
    Config(Box<EnforcementConfigSpec>, Box<Configuration>),
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
    private_key::refuse(report, &document.root, "");
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
        program::policy(report, document, keys, id, spec, on_unsupported)
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
        "EnforcementConfig" => {
            let spec: EnforcementConfigSpec = spec(json)?;
            match convert::configuration(&spec) {
                Ok(valid) => Some(Valid::Config(Box::new(spec), Box::new(valid))),
                Err(problems) => {
                    program::add(report, problems);
                    None
                }
            }
        }
        other => {
            not_from_files(report, other);
            None
        }
    }
}

/// The kinds that the API has and that no file may bring.
fn not_from_files(report: &mut Report<'_>, kind: &str) {
    let (reason, message) = if kind == "TrustRoot" {
        let message =
            "TrustRoot is not supported by this version yet: use `key` authorities, and remove it";
        (Reason::NotExpressible, message.to_owned())
    } else {
        let message = format!("a {kind} is written by the operator only, never by hand: remove it");
        (Reason::NotPermitted, message)
    };
    report.error(Layer::Program, "kind", reason.as_str(), message);
}

/// The typed spec; nothing where a value has the wrong type, which the schema has reported.
fn spec<T: DeserializeOwned>(mut json: serde_json::Value) -> Option<T> {
    let spec = json.get_mut("spec").map(serde_json::Value::take)?;
    serde_json::from_value(cel::without_nulls(&spec)).ok()
}
