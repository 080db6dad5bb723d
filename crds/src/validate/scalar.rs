//! The schema of single values: texts, numbers, and values of the wrong type.

use serde_json::Value as Schema;

use super::catalog::pattern;
use super::report::Report;
use super::text::{closest, listed, may_be_shown, quoted};
use crate::manifest::Value;
use crate::problem::Layer;
use crate::types::patterns;

pub(super) fn with_article(kind: &str) -> &'static str {
    match kind {
        "object" => "a map",
        "array" => "a list",
        "string" => "a string",
        "integer" => "an integer",
        "boolean" => "true or false",
        _ => "something else",
    }
}

pub(super) fn wrong_type(
    report: &mut Report<'_>,
    value: &Value,
    wanted: &str,
    schema: &Schema,
    field: &str,
) {
    let fields = schema.get("properties").and_then(Schema::as_object);
    let fields = fields.map(|fields| listed(fields.keys().map(String::as_str)));
    if let (Some(fields), Value::Bool(_) | Value::Number(_) | Value::String(_)) = (fields, value) {
        let is = with_article(value.kind());
        let message = format!("must be a map, and is {is}: its fields are {fields}");
        return report.error(Layer::Schema, field, "InvalidType", message);
    }
    let (is, advice) = match value {
        Value::Null => ("nothing", "write a value, or remove the line"),
        Value::Bool(_) | Value::Number(_) if wanted == "a string" => {
            (with_article(value.kind()), "put it in quotes")
        }
        Value::String(text) if wanted == "an integer" && text.parse::<i64>().is_ok() => {
            ("a string", "remove the quotes")
        }
        Value::String(text)
            if wanted == "true or false" && matches!(text.as_str(), "true" | "false") =>
        {
            ("a string", "remove the quotes")
        }
        Value::String(_) if wanted == "a list" => ("a string", "put `- ` in front of it"),
        Value::Map(_) if wanted == "a list" => ("a map", "begin each entry with `- `"),
        Value::Map(_) | Value::List(_) if wanted == "a string" => (
            with_article(value.kind()),
            "end the line with `|` and put the text below it, indented, or put it in quotes",
        ),
        Value::List(_) if wanted == "a map" => ("a list", "remove the `- `"),
        Value::Bool(_) => ("true or false", "write it in the form that the field has"),
        Value::Number(number) if number.is_f64() => ("a fraction", "write a whole number"),
        other => (
            with_article(other.kind()),
            "write it in the form that the field has",
        ),
    };
    report.error(
        Layer::Schema,
        field,
        "InvalidType",
        format!("must be {wanted}, and is {is}: {advice}"),
    );
}

pub(super) fn check_text(report: &mut Report<'_>, text: &str, schema: &Schema, field: &str) {
    if let Some(allowed) = schema.get("enum").and_then(Schema::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Schema::as_str).collect();
        if !allowed.contains(&text) {
            let advice = match closest(text, allowed.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("write one of {}", listed(allowed.iter().copied())),
            };
            let message = format!("unsupported value {}: {advice}", quoted(text));
            report.error(Layer::Schema, field, "UnsupportedValue", message);
        }
        return;
    }
    let limit = |name: &str| schema.get(name).and_then(Schema::as_u64);
    let count = text.chars().count() as u64;
    if let Some(most) = limit("maxLength").filter(|&most| count > most) {
        let message = format!("has {count} characters, at most {most} are allowed: shorten it");
        report.error(Layer::Schema, field, "TooLong", message);
        return;
    }
    if let Some(least) = limit("minLength").filter(|&least| count < least) {
        let message = if count == 0 {
            "is empty: write a value, or remove the field".to_owned()
        } else {
            format!("has {count} characters, at least {least} must be there: complete it")
        };
        report.error(Layer::Schema, field, "TooShort", message);
        return;
    }
    if let Some(expression) = schema.get("pattern").and_then(Schema::as_str)
        && let Some(pattern) = pattern(expression)
        && !pattern.regex.is_match(text)
    {
        // The program knows better what is wrong with a scope, and what to write instead.
        let message = match policy::scope::Scope::parse(text) {
            Err(error) if expression == patterns::SCOPE && quoted(text).starts_with('`') => {
                error.to_string()
            }
            _ => {
                let advice = instead(text, expression);
                format!("{} is not {}{advice}", quoted(text), pattern.meaning)
            }
        };
        let reason = if expression == patterns::SCOPE {
            "InvalidScope"
        } else {
            "InvalidValue"
        };
        report.error(Layer::Schema, field, reason, message);
    }
}

pub(super) fn check_number(
    report: &mut Report<'_>,
    number: &serde_json::Number,
    schema: &Schema,
    field: &str,
) {
    let limit = |name: &str| schema.get(name).and_then(Schema::as_i64);
    // A number past the range of i64 is past every limit of the schema.
    let value = number.as_i64().unwrap_or(i64::MAX);
    let (least, most) = (limit("minimum"), limit("maximum"));
    let outside = least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most);
    if outside {
        let range = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("{least} or more"),
            (_, most) => format!("at most {}", most.unwrap_or(i64::MAX)),
        };
        let message = format!("{number} is out of range: write {range}");
        report.error(Layer::Schema, field, "OutOfRange", message);
    }
}

/// `: …` with what to write instead: the name that was probably meant, if changing case and spaces
/// makes it one, or the address with its scheme.
pub(super) fn instead(text: &str, expression: &str) -> String {
    let names = [patterns::LABEL, patterns::SUBDOMAIN].contains(&expression);
    let address = expression == patterns::HTTPS;
    let changed = if address {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        format!("https://{}", rest.trim())
    } else {
        text.trim().to_lowercase().replace(['_', ' '], "-")
    };
    match pattern(expression) {
        Some(pattern)
            if (names || address) && may_be_shown(text) && pattern.regex.is_match(&changed) =>
        {
            format!(": write {}", quoted(&changed))
        }
        _ if names => ": rename it".to_owned(),
        _ if expression == patterns::PERCENT => {
            ": write one, or a number without quotes".to_owned()
        }
        _ => ": write one".to_owned(),
    }
}
