//! Gathers the problems of one object.

use crate::manifest::Document;
use crate::problem::{Layer, Problem, Severity};

/// The problems of one object, with the file and the places of its fields at hand.
pub(crate) struct Report<'a> {
    document: &'a Document,
    object: String,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    /// `object` is `Kind/name` or `Kind/namespace/name`.
    pub(crate) fn new(document: &'a Document, object: &str) -> Self {
        Self {
            document,
            object: object.to_owned(),
            problems: Vec::new(),
        }
    }

    /// Adds a problem at the place of `field`.
    pub(crate) fn add(
        &mut self,
        layer: Layer,
        severity: Severity,
        field: &str,
        reason: &str,
        message: impl Into<String>,
    ) {
        let position = self.document.root.locate(field);
        self.problems.push(Problem {
            file: self.document.file.clone(),
            line: position.line,
            column: position.column,
            object: self.object.clone(),
            field: field.to_owned(),
            layer,
            severity,
            reason: reason.to_owned(),
            message: message.into(),
        });
    }

    /// Adds an error, unless an earlier layer has one at the same field: it is the same one in
    /// other words.
    pub(crate) fn error(
        &mut self,
        layer: Layer,
        field: &str,
        reason: &str,
        message: impl Into<String>,
    ) {
        let known = |problem: &Problem| {
            problem.severity == Severity::Error && problem.layer < layer && problem.field == field
        };
        if !self.problems.iter().any(known) {
            self.add(layer, Severity::Error, field, reason, message);
        }
    }

    /// Whether there is a problem with this reason at this field.
    pub(crate) fn has(&self, field: &str, reason: &str) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.field == field && problem.reason == reason)
    }

    /// Whether a field directly inside `field` is unknown, or has a value of no use: what a rule
    /// then says about `field` is a consequence.
    pub(crate) fn has_misread_child(&self, field: &str) -> bool {
        let misread = ["UnknownField", "UnsupportedValue", "InvalidType"];
        self.problems.iter().any(|problem| {
            misread.contains(&problem.reason.as_str())
                && problem
                    .field
                    .rsplit_once('.')
                    .is_some_and(|(parent, _)| parent == field)
        })
    }

    /// Whether there is any error.
    pub(crate) fn has_errors(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// All problems.
    pub(crate) fn finish(self) -> Vec<Problem> {
        self.problems
    }
}
