//! The first layer: the schema, read as the API server reads it under strict field validation.
//!
//! A null in a map counts as absent, since no field is nullable.

use std::collections::HashMap;

use serde_json::{Map, Value as Schema};

use super::catalog::Kind;
use super::report::Report;
use super::scalar::{check_number, check_text, with_article, wrong_type};
use super::text::{closest, listed, may_be_shown, quoted};
use crate::manifest::{Key, Node, Value};
use crate::problem::Layer;

/// Fields that later versions will have.
const RESERVED: [&str; 3] = ["attestations", "signatureSources", "timestamp"];

/// Checks `node`, which stands at `field`, and everything below it.
pub(crate) fn check(report: &mut Report<'_>, node: &Node, schema: &Schema, field: &str) {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        match &node.value {
            Value::Number(number) if !number.is_f64() => {
                check_number(report, number, schema, field);
            }
            Value::String(text) => check_text(report, text, schema, field),
            other => wrong_type(report, other, "an integer or a string", schema, field),
        }
        return;
    }
    let kind = schema
        .get("type")
        .and_then(Schema::as_str)
        .unwrap_or_default();
    match (kind, &node.value) {
        ("object", Value::Map(entries)) => check_object(report, entries, schema, field),
        ("array", Value::List(items)) => check_list(report, items, schema, field),
        ("string", Value::String(text)) => check_text(report, text, schema, field),
        ("integer", Value::Number(number)) if !number.is_f64() => {
            check_number(report, number, schema, field);
        }
        ("boolean", Value::Bool(_)) => {}
        (wanted, other) => wrong_type(report, other, with_article(wanted), schema, field),
    }
}

fn check_object(report: &mut Report<'_>, entries: &[(Key, Node)], schema: &Schema, field: &str) {
    let empty = Map::new();
    let properties = schema
        .get("properties")
        .and_then(Schema::as_object)
        .unwrap_or(&empty);
    let values = schema.get("additionalProperties");
    for (key, node) in entries {
        let path = join(field, &key.text);
        match (properties.get(&key.text), values) {
            (Some(_), _) | (_, Some(_)) if node.value == Value::Null => {}
            (Some(schema), _) | (None, Some(schema)) => check(report, node, schema, &path),
            (None, None) => {
                let known = properties.keys().map(String::as_str);
                unknown_field(report, &key.text, known, &path, None);
            }
        }
    }
    let limit = |name: &str| schema.get(name).and_then(Schema::as_u64);
    if let Some(most) = limit("maxProperties")
        && entries.len() as u64 > most
    {
        let message = format!("has {} entries, at most {most} are allowed", entries.len());
        report.error(Layer::Schema, field, "TooMany", message);
    }
    let required = schema
        .get("required")
        .and_then(Schema::as_array)
        .into_iter()
        .flatten();
    for name in required.filter_map(Schema::as_str) {
        let present = |(key, node): &&(Key, Node)| key.text == name && node.value != Value::Null;
        if !entries.iter().any(|entry| present(&entry)) {
            let path = join(field, name);
            let what = properties
                .get(name)
                .and_then(|schema| schema.get("description"));
            let what = what
                .and_then(Schema::as_str)
                .map(first_sentence)
                .unwrap_or_default();
            let message = format!("required and missing: add `{name}`{what}");
            report.error(Layer::Schema, &path, "Required", message);
        }
    }
}

/// ` (…)` with the beginning of a field's description.
fn first_sentence(description: &str) -> String {
    let end = description.find([':', '.']).unwrap_or(description.len());
    let sentence = &description[..end];
    if sentence.len() > 80 {
        String::new()
    } else {
        format!(" ({})", lower_first(sentence))
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            format!("{}{}", first.to_lowercase(), chars.as_str())
        }
        _ => text.to_owned(),
    }
}

/// Reports a field that the schema does not have, with what was probably meant. `kind` for a field
/// beside `spec`, which may belong into it.
pub(crate) fn unknown_field<'a>(
    report: &mut Report<'_>,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    path: &str,
    kind: Option<&Kind>,
) {
    let in_spec = path == name && kind.is_some_and(|kind| kind.has_spec_field(name));
    let advice = if RESERVED.contains(&name) {
        "it is reserved for a later version, remove it".to_owned()
    } else if in_spec {
        "it belongs under `spec`, indent it".to_owned()
    } else if let Some(close) = closest(name, known.clone()) {
        format!("did you mean `{close}`?")
    } else {
        format!("remove it; known here are {}", listed(known))
    };
    let message = format!("unknown field {}: {advice}", quoted(name));
    report.error(Layer::Schema, path, "UnknownField", message);
}

fn check_list(report: &mut Report<'_>, items: &[Node], schema: &Schema, field: &str) {
    let limit = |name: &str| schema.get(name).and_then(Schema::as_u64);
    let count = items.len() as u64;
    if let Some(least) = limit("minItems").filter(|&least| count < least) {
        let message = match count {
            0 => "is empty: add at least one entry".to_owned(),
            _ => format!("has {count} entries, at least {least} must be there: add some"),
        };
        report.error(Layer::Schema, field, "TooFew", message);
    }
    if let Some(most) = limit("maxItems").filter(|&most| count > most) {
        let message = format!(
            "has {count} entries, at most {most} are allowed: split it over several objects"
        );
        report.error(Layer::Schema, field, "TooMany", message);
    }
    if let Some(inner) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            check(report, item, inner, &format!("{field}[{index}]"));
        }
    }
    match schema
        .get("x-kubernetes-list-type")
        .and_then(Schema::as_str)
    {
        Some("set") => {
            let values = items.iter().map(|item| item.as_str());
            check_distinct(
                report,
                items,
                values,
                |index| format!("{field}[{index}]"),
                "entry",
            );
        }
        Some("map") => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Schema::as_array);
            let key = keys
                .and_then(|keys| keys.first())
                .and_then(Schema::as_str)
                .unwrap_or("name");
            let values = items
                .iter()
                .map(|item| item.get(key).and_then(Node::as_str));
            check_distinct(
                report,
                items,
                values,
                |index| format!("{field}[{index}].{key}"),
                key,
            );
        }
        _ => {}
    }
}

fn check_distinct<'a>(
    report: &mut Report<'_>,
    items: &[Node],
    values: impl Iterator<Item = Option<&'a str>>,
    field: impl Fn(usize) -> String,
    what: &str,
) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if let Some(&first) = seen.get(value) {
            let line = items[first].position.line;
            let message = format!(
                "duplicate {what} {}, the first is on line {line}: remove or rename one",
                quoted(value)
            );
            report.error(Layer::Schema, &field(index), "Duplicate", message);
        } else {
            seen.insert(value, index);
        }
    }
}

/// `parent.key`, or `parent["key"]` for a key that is no plain word.
pub(crate) fn join(field: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !may_be_shown(key) || !key.chars().all(plain) {
        let shown = if may_be_shown(key) { key } else { "…" };
        format!("{field}[\"{shown}\"]")
    } else if field.is_empty() {
        key.to_owned()
    } else {
        format!("{field}.{key}")
    }
}
