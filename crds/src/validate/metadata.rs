//! The rules that all objects share: their top level and their metadata.

use super::catalog::{Kind, pattern};
use super::report::Report;
use super::scalar::instead;
use super::structural::{check, join, unknown_field};
use super::text::quoted;
use crate::manifest::{Document, Node, Value};
use crate::problem::{Layer, Severity};
use crate::types::patterns;

/// The fields of metadata (`ObjectMeta` of the Kubernetes API).
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Checks everything of an object but its status, which users do not write.
pub(crate) fn check_object(report: &mut Report<'_>, document: &Document, kind: &Kind) {
    let Value::Map(entries) = &document.root.value else {
        return;
    };
    let fields = ["apiVersion", "kind", "metadata", "spec", "status"];
    for (key, _) in entries {
        if !fields.contains(&key.text.as_str()) {
            let path = join("", &key.text);
            unknown_field(report, &key.text, fields.into_iter(), &path, Some(kind));
        }
    }
    check_metadata(report, document, kind);
    let schema = &kind.schema["properties"]["spec"];
    match document.root.get("spec") {
        Some(spec) if spec.value != Value::Null => check(report, spec, schema, "spec"),
        _ => report.error(
            Layer::Schema,
            "spec",
            "Required",
            "required and missing: add `spec`",
        ),
    }
}

fn check_metadata(report: &mut Report<'_>, document: &Document, kind: &Kind) {
    let Some(node) = document.root.get("metadata") else {
        let message = "required and missing: add `metadata` with a `name`";
        return report.error(Layer::Schema, "metadata", "Required", message);
    };
    let Value::Map(entries) = &node.value else {
        let message = "must be a map with a `name`: write `metadata: {name: …}`";
        return report.error(Layer::Schema, "metadata", "InvalidType", message);
    };
    for (key, value) in entries {
        let path = join("metadata", &key.text);
        match key.text.as_str() {
            "labels" | "annotations" => check_string_map(report, value, &path),
            known if METADATA.contains(&known) => {}
            other => unknown_field(report, other, METADATA.into_iter(), &path, None),
        }
    }
    check_name(
        report,
        node.get("name"),
        "metadata.name",
        253,
        patterns::SUBDOMAIN,
    );
    match (
        kind.namespaced,
        node.get("namespace")
            .filter(|node| node.value != Value::Null),
    ) {
        (true, Some(namespace)) => {
            check_name(
                report,
                Some(namespace),
                "metadata.namespace",
                63,
                patterns::LABEL,
            );
        }
        (true, None) => {
            let message = "no namespace: kubectl would take the one of its context, here it is read as `default`; add `namespace`";
            report.add(
                Layer::Schema,
                Severity::Warning,
                "metadata",
                "NamespaceDefaulted",
                message,
            );
        }
        (false, Some(_)) => {
            let message = format!(
                "a {} lives in no namespace, the API server drops it: remove it",
                kind.name
            );
            report.add(
                Layer::Schema,
                Severity::Warning,
                "metadata.namespace",
                "NotNamespaced",
                message,
            );
        }
        (false, None) => {}
    }
}

fn check_name(
    report: &mut Report<'_>,
    node: Option<&Node>,
    field: &str,
    most: usize,
    expression: &str,
) {
    let Some(node) = node.filter(|node| node.value != Value::Null) else {
        return report.error(
            Layer::Schema,
            field,
            "Required",
            "required and missing: add `name`",
        );
    };
    let good = pattern(expression);
    match node.as_str() {
        None => report.error(
            Layer::Schema,
            field,
            "InvalidType",
            "must be a string: put it in quotes",
        ),
        Some(text) if text.len() > most => {
            let message = format!(
                "has {} characters, at most {most} are allowed: shorten it",
                text.len()
            );
            report.error(Layer::Schema, field, "TooLong", message);
        }
        Some(text) if !good.is_some_and(|good| good.regex.is_match(text)) => {
            let dots = if most == 63 { "" } else { " and dots" };
            let message = format!(
                "{} is no valid name (lower-case letters, digits, inner dashes{dots}){}",
                quoted(text),
                instead(text, expression)
            );
            report.error(Layer::Schema, field, "InvalidValue", message);
        }
        Some(_) => {}
    }
}

fn check_string_map(report: &mut Report<'_>, node: &Node, field: &str) {
    match &node.value {
        Value::Null => {}
        Value::Map(entries) => {
            for (key, value) in entries {
                if !matches!(value.value, Value::String(_) | Value::Null) {
                    let path = join(field, &key.text);
                    let message = "must be a string: put it in quotes";
                    report.error(Layer::Schema, &path, "InvalidType", message);
                }
            }
        }
        _ => report.error(
            Layer::Schema,
            field,
            "InvalidType",
            "must be a map of strings",
        ),
    }
}
