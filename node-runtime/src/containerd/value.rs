//! TOML as containerd's loader sees it: plain values, each with where it was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml_edit::{Item, TableLike, Value as Toml};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, absolute.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
    /// The key as it stands there, part by part; plugin names of version 1 are not translated.
    pub key: Vec<String>,
}

impl Origin {
    /// `/etc/containerd/config.toml:12`.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub origin: Origin,
}

/// A value. Dates and floats are of no use here beyond their being of the wrong type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Text(String),
    Array(Vec<Node>),
    Table(Table),
    Other(&'static str),
}

/// A table; keys are those of the file.
pub(super) type Table = BTreeMap<String, Node>;

impl Value {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// The value of a field. go-toml matches the names of fields without regard to case when the
/// exact one is not there (go-toml v2, `unmarshaler.go:structFieldPath`).
pub(super) fn field<'a>(table: &'a Table, name: &str) -> Option<&'a Node> {
    table.get(name).or_else(|| {
        table
            .iter()
            .rev()
            .find(|(key, _)| key.to_lowercase() == name)
            .map(|(_, node)| node)
    })
}

/// The table behind a field, if it is one.
pub(super) fn subtable<'a>(table: &'a Table, name: &str) -> Option<&'a Table> {
    match &field(table, name)?.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Reads a parsed document.
pub(super) fn read(root: &toml_edit::Table, file: &Arc<str>, text: &str) -> Table {
    let starts = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let reader = Reader { file, starts };
    reader.table(root, &mut Vec::new(), 1)
}

struct Reader<'a> {
    file: &'a Arc<str>,
    /// Where each line starts.
    starts: Vec<usize>,
}

impl Reader<'_> {
    fn line(&self, span: Range<usize>) -> usize {
        self.starts.partition_point(|start| *start <= span.start)
    }

    /// `above` is the line of what holds the table, for what has no place of its own.
    fn table(&self, table: &dyn TableLike, key: &mut Vec<String>, above: usize) -> Table {
        let mut read = Table::new();
        for (name, item) in table.iter() {
            // The key's place is that of its line; a table's header has no key span of its own.
            let span = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .filter(|span| !span.is_empty())
                .or_else(|| item.span());
            let line = span.map_or(above, |span| self.line(span));
            key.push(name.to_owned());
            let value = match item {
                Item::None => None,
                Item::Value(value) => Some(self.value(value, key, line)),
                Item::Table(table) => Some(Value::Table(self.table(table, key, line))),
                Item::ArrayOfTables(tables) => Some(Value::Array(
                    tables
                        .iter()
                        .map(|table| {
                            self.node(Value::Table(self.table(table, key, line)), key, line)
                        })
                        .collect(),
                )),
            };
            if let Some(value) = value {
                read.insert(name.to_owned(), self.node(value, key, line));
            }
            key.pop();
        }
        read
    }

    fn value(&self, value: &Toml, key: &mut Vec<String>, line: usize) -> Value {
        match value {
            Toml::String(text) => Value::Text(text.value().clone()),
            Toml::Integer(number) => Value::Integer(*number.value()),
            Toml::Boolean(boolean) => Value::Bool(*boolean.value()),
            Toml::Float(_) => Value::Other("a float"),
            Toml::Datetime(_) => Value::Other("a date"),
            Toml::Array(array) => Value::Array(
                array
                    .iter()
                    .map(|value| {
                        let line = value.span().map_or(line, |span| self.line(span));
                        self.node(self.value(value, key, line), key, line)
                    })
                    .collect(),
            ),
            Toml::InlineTable(table) => Value::Table(self.table(table, key, line)),
        }
    }

    fn node(&self, value: Value, key: &[String], line: usize) -> Node {
        Node {
            value,
            origin: Origin {
                file: Arc::clone(self.file),
                line,
                key: key.to_vec(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(text: &str, path: &[&str]) -> usize {
        let document = toml_edit::Document::parse(text).unwrap();
        let table = read(document.as_table(), &"/c.toml".into(), text);
        let (last, above) = path.split_last().unwrap();
        let table = above
            .iter()
            .fold(&table, |table, part| subtable(table, part).unwrap());
        table[*last].origin.line
    }

    #[test]
    fn a_value_knows_its_line_however_it_is_written() {
        let text = "version = 3\n\n# a comment\n[plugins.'a.b']\n  x = 1\n\
                    [plugins.'a.b'.registry.mirrors]\n[plugins.\"c.d\"]\ny.z = [\n 'm',\n 'n']\nt = {u = 1}\n";
        assert_eq!(line_of(text, &["version"]), 1);
        assert_eq!(line_of(text, &["plugins", "a.b"]), 4);
        assert_eq!(line_of(text, &["plugins", "a.b", "x"]), 5);
        assert_eq!(line_of(text, &["plugins", "a.b", "registry", "mirrors"]), 6);
        assert_eq!(line_of(text, &["plugins", "c.d", "y", "z"]), 8);
        assert_eq!(line_of(text, &["plugins", "c.d", "t", "u"]), 11);
    }

    #[test]
    fn fields_are_found_without_regard_to_case() {
        let text = "Version = 2\nVERSION = 1\n";
        let document = toml_edit::Document::parse(text).unwrap();
        let table = read(document.as_table(), &"/c.toml".into(), text);
        assert_eq!(field(&table, "version").unwrap().value, Value::Integer(2));
        assert!(field(&table, "imports").is_none());
    }
}
