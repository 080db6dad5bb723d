//! What is wrong with a manifest, in terms that a user can act on.

use std::fmt;

use serde::Serialize;

/// Which layer of rules found a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The file could not be read.
    File,
    /// The text is no YAML or JSON.
    Yaml,
    /// The schema: types, limits, enums. The API server checks the same.
    Schema,
    /// The rules in the schema. The API server checks the same.
    Cel,
    /// What only the program can know. The operator checks the same and says so in `Accepted`.
    Program,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object is not accepted.
    Error,
    /// The object is accepted, and may not do what its author expects.
    Warning,
    /// Worth knowing, never a fault.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One thing that is wrong. Its `Display` is one line:
/// `file:line:column: error: Kind/name: field: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file's name as it was given.
    pub file: String,
    /// The line, counted from 1; 0 where there is none.
    pub line: u64,
    /// The column in characters, counted from 1; 0 where there is none.
    pub column: u64,
    /// `Kind/name` or `Kind/namespace/name`; empty where the object is not known.
    pub object: String,
    /// The field such as `spec.authorities[0].key.data`; empty where it is about the whole.
    pub field: String,
    /// Which layer of rules found it.
    pub layer: Layer,
    /// How bad it is.
    pub severity: Severity,
    /// A stable word.
    pub reason: String,
    /// What is wrong, and how to mend it. One line, never any key material.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: ", self.severity)?;
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}
