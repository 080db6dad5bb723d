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

pub(crate) use structural::join;
pub(crate) use text::{closest, listed, may_be_shown, quoted, some_of};

use policy::advice::Input;
use policy::model::{Policy, PolicyId};
use policy::problem::Reason;
use policy::trust::Parsed;
use serde::de::DeserializeOwned;

use crate::advice;
use crate::beside::Beside;
use crate::convert::{self, Configuration};
use crate::manifest::Document;
use crate::problem::{Layer, Severity};
use crate::types::{
    ClusterImageSignaturePolicySpec, EnforcementConfigSpec, ImageSignaturePolicySpec,
    OnUnsupported, TrustRootSpec,
};
use catalog::Kind;
use cel::Rules;
use object::ObjectName;
use report::Report;

/// What a valid object is.
pub(crate) enum Valid {
    /// Either kind of policy, and what advice is about.
    Policy(Box<Policy>, Box<Input>),
    /// The configuration, and what it says.
    Config(Box<EnforcementConfigSpec>, Box<Configuration>),
    /// What keyless signatures are checked against.
    TrustRoot(Box<Parsed>),
}

/// Checks an object in all layers. Nothing where it has an error, which the report then says.
pub(crate) fn check(
    report: &mut Report<'_>,
    rules: &mut Rules,
    document: &Document,
    kind: &'static Kind,
    name: &ObjectName,
    beside: &Beside,
) -> Option<Valid> {
    metadata::check_object(report, document, kind);
    let json = document.root.to_json();
    rules.check(report, kind, &json);
    let valid = program_layer(report, document, kind, name, beside, json);
    private_key::refuse(report, &document.root, "");
    valid.filter(|_| !report.has_errors())
}

fn program_layer(
    report: &mut Report<'_>,
    document: &Document,
    kind: &Kind,
    name: &ObjectName,
    beside: &Beside,
    json: serde_json::Value,
) -> Option<Valid> {
    let mut policy = |id: PolicyId, spec: &_, selector, on_unsupported| {
        let input = advice::input(id.clone(), spec, selector);
        program::policy(report, document, beside, id, spec, on_unsupported)
            .map(|policy| Valid::Policy(Box::new(policy), Box::new(input)))
    };
    match kind.name.as_str() {
        "ClusterImageSignaturePolicy" => {
            let spec: ClusterImageSignaturePolicySpec = spec(json)?;
            let valid = policy(
                PolicyId::Cluster {
                    name: name.name.clone(),
                },
                &spec.policy,
                spec.node_selector.as_ref(),
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
                None,
                OnUnsupported::Ignore,
            )
        }
        "EnforcementConfig" => {
            let spec: EnforcementConfigSpec = spec(json)?;
            program::warn(report, &advice::config(&spec));
            match convert::configuration(&spec) {
                Ok(valid) => Some(Valid::Config(Box::new(spec), Box::new(valid))),
                Err(problems) => {
                    program::add(report, problems);
                    None
                }
            }
        }
        "TrustRoot" => {
            let spec: TrustRootSpec = spec(json)?;
            program::trust_root(report, document, beside, &spec)
                .map(|parsed| Valid::TrustRoot(Box::new(parsed)))
        }
        other => {
            let message =
                format!("a {other} is written by the operator only, never by hand: remove it");
            let reason = Reason::NotPermitted.as_str();
            report.error(Layer::Program, "kind", reason, message);
            None
        }
    }
}

/// The typed spec; nothing where a value has the wrong type, which the schema has reported.
fn spec<T: DeserializeOwned>(mut json: serde_json::Value) -> Option<T> {
    let spec = json.get_mut("spec").map(serde_json::Value::take)?;
    serde_json::from_value(cel::without_nulls(&spec)).ok()
}
