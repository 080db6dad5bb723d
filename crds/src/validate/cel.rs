//! The second layer: the rules in the schema.

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use super::catalog::Kind;
use super::report::Report;
use crate::problem::Layer;

/// The compiled rules of the kinds that were met; compiling them is the dear part.
#[derive(Default)]
pub(crate) struct Rules {
    validator: Validator,
    compiled: Vec<(&'static str, CompiledSchema)>,
}

impl Rules {
    /// Runs the rules of `kind` over an object. Defaults are filled in first, as the API server
    /// does it. Where the schema has refused the object already, only clear verdicts count: a rule
    /// may fail to run over values of the wrong type.
    pub(crate) fn check(&mut self, report: &mut Report<'_>, kind: &'static Kind, object: &Value) {
        let blocked = report.has_errors();
        let compiled = &self.compiled;
        let index = compiled
            .iter()
            .position(|(name, _)| *name == kind.name)
            .unwrap_or_else(|| {
                self.compiled
                    .push((&kind.name, compile_schema(&kind.schema)));
                self.compiled.len() - 1
            });
        let object = without_nulls(object);
        let result = self
            .validator
            .validate_compiled(&self.compiled[index].1, &object, None);
        for error in result.err().into_iter().flatten() {
            if report.has_misread_child(&error.field_path) {
                continue;
            }
            if error.kind == ErrorKind::ValidationFailure {
                // The one rule at the root is about the name; the API server refuses a field path
                // into metadata, which is not in the schema.
                let root = error.field_path.is_empty();
                let field = if root {
                    "metadata.name"
                } else {
                    &error.field_path
                };
                report.error(Layer::Cel, field, "InvalidValue", error.message);
            } else if !blocked {
                let message = format!("a rule could not be evaluated: {}", error.message);
                report.error(Layer::Cel, &error.field_path, "InvalidRule", message);
            }
        }
    }
}

/// A null in a map counts as absent.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::catalog::kinds;

    #[test]
    fn every_rule_of_every_kind_compiles() {
        fn rules(schema: &CompiledSchema) -> usize {
            assert!(
                schema.compilation_errors().is_empty(),
                "{:?}",
                schema.compilation_errors()
            );
            let children = schema.properties.values().chain(schema.items.as_deref());
            schema.validations.len() + children.map(rules).sum::<usize>()
        }
        let counts: Vec<usize> = kinds()
            .iter()
            .map(|kind| rules(&compile_schema(&kind.schema)))
            .collect();
        assert_eq!(counts, [13, 12, 4, 5, 2, 0]);
    }
}
