//! Problems of the reader.

use serde_saphyr::Error;

use super::read::BINARY;
use super::split::Chunk;
use super::{Key, MAX_DEPTH, Position};
use crate::problem::{Layer, Problem, Severity};
use crate::validate::may_be_shown;

pub(super) fn problem(file: &str, position: Position, reason: &str, message: String) -> Problem {
    Problem {
        file: file.to_owned(),
        line: position.line,
        column: position.column,
        object: String::new(),
        field: String::new(),
        layer: Layer::Yaml,
        severity: Severity::Error,
        reason: reason.to_owned(),
        message,
    }
}

/// The key stands in its map already.
pub(super) fn twice(file: &str, key: &Key) -> Problem {
    problem(
        file,
        key.position,
        "DuplicateKey",
        stands_twice(Some(&key.text)),
    )
}

fn stands_twice(key: Option<&str>) -> String {
    match key {
        Some(key) if may_be_shown(key) => {
            format!("the key `{key}` stands twice in one map: remove one")
        }
        _ => "a key stands twice in one map: remove one".to_owned(),
    }
}

/// No message of the parser carries a value of the document, except the names of keys.
pub(super) fn from_yaml(file: &str, chunk: &Chunk<'_>, error: &Error) -> Problem {
    let mut error = error.without_snippet();
    let position = error
        .location()
        .map_or(Position::NONE, |location| Position {
            line: location.line() + chunk.first_line - 1,
            column: location.column(),
        });
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let (reason, message) = match error {
        Error::DuplicateMappingKey { key, .. } => ("DuplicateKey", stands_twice(key.as_deref())),
        Error::Message { msg, .. } if msg == BINARY => ("InvalidYaml", BINARY.to_owned()),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "TooLarge",
            format!(
                "the document is nested deeper than {MAX_DEPTH} or expands too many aliases: write it out in plain lists and maps"
            ),
        ),
        Error::NonFiniteFloat { .. } => (
            "InvalidYaml",
            "infinities and NaN are no values of the Kubernetes API: quote it if it is a text"
                .to_owned(),
        ),
        Error::UnknownAnchor { .. } => (
            "InvalidYaml",
            "an alias `*…` refers to no anchor of this document: quote it if it is a text"
                .to_owned(),
        ),
        other => ("InvalidYaml", with_advice(&other.to_string())),
    };
    problem(file, position, reason, message)
}

/// The parser's words, without the place that stands in front anyway, with what usually helps.
fn with_advice(message: &str) -> String {
    let what = message
        .split_once(" at line ")
        .map_or(message, |(what, _)| what);
    let advice = if what.contains("tabs disallowed") {
        return "a tab in the indentation: replace it by spaces, YAML takes nothing else"
            .to_owned();
    } else if what.contains("recursive references") {
        return "an alias `*…` refers to what it stands in: write it out".to_owned();
    } else if what.contains("did not find expected") {
        "check the indentation of this line and of the one before"
    } else if what.contains("mapping values are not allowed") {
        "put a text that holds `: ` in quotes, or check the indentation"
    } else if what.contains("unexpected character") {
        "put a text that begins with a special character in quotes"
    } else if what.contains("unclosed quote") {
        "close the quotes that begin here"
    } else if what.contains("trailing content") {
        "a comma or a line break is missing after it, or quotes inside want a backslash"
    } else if what.contains("quoted scalar") {
        "close the quotes, and write a backslash in double quotes twice"
    } else {
        "check brackets, quotes and indentation around this place"
    };
    format!("this is no YAML, {what}: {advice}")
}
