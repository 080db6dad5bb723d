//! The kinds that the validator knows, with their schemas.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use serde_json::Value;

use crate::generate::definitions;
use crate::types::patterns;

/// One kind of the API.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: String,
    /// Whether users write it; the operator and the agents write the others.
    pub(crate) written_by_users: bool,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Its whole schema, as in the generated definition.
    pub(crate) schema: Value,
}

impl Kind {
    /// Whether the spec has a field of that name.
    pub(crate) fn has_spec_field(&self, name: &str) -> bool {
        self.schema["properties"]["spec"]["properties"]
            .get(name)
            .is_some()
    }
}

/// All kinds.
pub(crate) fn kinds() -> &'static [Kind] {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    KINDS.get_or_init(|| definitions().iter().filter_map(kind).collect())
}

fn kind(definition: &Value) -> Option<Kind> {
    let spec = definition.get("spec")?;
    let name = spec.pointer("/names/kind")?.as_str()?;
    Some(Kind {
        written_by_users: !matches!(name, "PolicyBundle" | "NodeImagePolicy"),
        name: name.to_owned(),
        namespaced: spec.get("scope")?.as_str()? == "Namespaced",
        schema: spec.pointer("/versions/0/schema/openAPIV3Schema")?.clone(),
    })
}

/// A pattern of the schema, compiled, with what it means in words.
pub(crate) struct Pattern {
    /// The expression.
    pub(crate) regex: Regex,
    /// What a matching text is.
    pub(crate) meaning: &'static str,
}

/// The pattern for an expression of the schema. All of them are here, which a test checks.
pub(crate) fn pattern(expression: &str) -> Option<&'static Pattern> {
    static PATTERNS: LazyLock<HashMap<&str, Pattern>> = LazyLock::new(|| {
        [
            (patterns::SCOPE, "a scope"),
            (
                patterns::LABEL,
                "a DNS label (lower-case letters, digits, inner dashes)",
            ),
            (
                patterns::SUBDOMAIN,
                "an object's name (lower-case letters, digits, inner dashes and dots)",
            ),
            (
                patterns::DATA_KEY,
                "a key of a ConfigMap or Secret (letters, digits, dashes, dots, underscores)",
            ),
            (patterns::PERCENT, "a percentage from 0% to 100%"),
            (patterns::DURATION, "a duration such as 10m or 1h30m"),
            (
                patterns::BUNDLE,
                "the name of a PolicyBundle (sha256-<64 hex>)",
            ),
            (patterns::HTTPS, "an address that begins with https://"),
        ]
        .into_iter()
        .filter_map(|(expression, meaning)| {
            Some((
                expression,
                Pattern {
                    regex: Regex::new(expression).ok()?,
                    meaning,
                },
            ))
        })
        .collect()
    });
    PATTERNS.get(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expressions(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                for (key, value) in map {
                    match value.as_str() {
                        Some(text) if key == "pattern" => found.push(text.to_owned()),
                        _ => expressions(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_every_spec_is_known() {
        assert_eq!(kinds().len(), 6);
        for kind in kinds() {
            let mut found = Vec::new();
            expressions(&kind.schema["properties"]["spec"], &mut found);
            assert!(!found.is_empty() || kind.name == "PolicyBundle");
            for expression in found {
                assert!(pattern(&expression).is_some(), "{expression}");
            }
        }
    }

    /// The schema must not refuse what the program accepts.
    #[test]
    fn the_pattern_of_scopes_accepts_every_canonical_scope() {
        let scope = pattern(patterns::SCOPE).unwrap();
        let digest = "a".repeat(64);
        for good in [
            "registry.example.com",
            "registry.example.com:5000/team/app",
            "localhost/app",
            "localhost:5000",
            "registry:5000/app:v1.2-rc_3",
            "*.corp.example",
            "docker.io/library/busybox",
            "example.com/a__b/c-d--e/f.g",
            "example.com/app:V1",
            "127.0.0.1:5000/app",
            "[::1]:5000/app",
            &format!("example.com/app@sha256:{digest}"),
        ] {
            assert!(scope.regex.is_match(good), "{good}");
            assert!(policy::scope::Scope::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "busybox",
            "Example.com/app",
            "*",
            "*.x/y",
            "https://a.b/c",
            "a.b/",
            "a/b",
            "",
        ] {
            assert!(
                !scope.regex.is_match(bad) || policy::scope::Scope::parse(bad).is_err(),
                "{bad}"
            );
        }
    }
}
