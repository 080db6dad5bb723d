//! A document's content, with the place of every field.

use std::fmt;

/// A place in a file, both counted from 1; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Position {
    /// No place.
    pub const NONE: Self = Self { line: 0, column: 0 };
}

/// A value and where it begins.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value begins.
    pub position: Position,
}

/// A value of JSON's model.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing at all.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; keys are distinct.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it begins.
    pub position: Position,
}

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a map.
    Key(String),
    /// An index of a list.
    Index(usize),
}

impl Node {
    /// The value of a key, if this is a map that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.text == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value at `path`, if there is one.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Node> {
        parse_path(path)
            .iter()
            .try_fold(self, |node, step| match (&node.value, step) {
                (Value::Map(_), Step::Key(name)) => node.get(name),
                (Value::List(items), Step::Index(index)) => items.get(*index),
                _ => None,
            })
    }

    /// Where the field `path` (such as `spec.authorities[0].key`) begins: the place of its key, or
    /// of the entry for an entry of a list. A path that leads nowhere gives the place of its
    /// innermost part that is there.
    #[must_use]
    pub fn locate(&self, path: &str) -> Position {
        let mut node = self;
        let mut position = self.position;
        for step in parse_path(path) {
            let next = match (&node.value, &step) {
                (Value::Map(entries), Step::Key(name)) => entries
                    .iter()
                    .find(|(key, _)| key.text == *name)
                    .map(|(key, node)| (key.position, node)),
                (Value::List(items), Step::Index(index)) => {
                    items.get(*index).map(|node| (node.position, node))
                }
                _ => None,
            };
            let Some((place, inner)) = next else { break };
            (position, node) = (place, inner);
        }
        position
    }

    /// The same without places.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::String(value) => value.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), node.to_json()))
                .collect(),
        }
    }
}

impl Value {
    /// What kind of value this is, in the words of the API server.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(number) if number.is_f64() => "number",
            Self::Number(_) => "integer",
            Self::String(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }
}

/// The shape only: a value may be a private key in the wrong place.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{line}:{column} {:?}", self.value)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(key, node)| (&key.text, node)))
                .finish(),
            scalar => f.write_str(scalar.kind()),
        }
    }
}

/// Takes `spec.authorities[0].key` apart. A key with dots stands in brackets and quotes, as
/// `data["cosign.pub"]`.
#[must_use]
pub fn parse_path(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (key, tail) = quoted.split_once("\"]").unwrap_or((quoted, ""));
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
        } else if let Some(bracket) = rest.strip_prefix('[') {
            let (index, tail) = bracket.split_once(']').unwrap_or((bracket, ""));
            steps.push(
                index
                    .parse()
                    .map_or_else(|_| Step::Key(index.to_owned()), Step::Index),
            );
            rest = tail;
        } else {
            let bare = rest.strip_prefix('.').unwrap_or(rest);
            let end = bare.find(['.', '[']).unwrap_or(bare.len());
            if end > 0 {
                steps.push(Step::Key(bare[..end].to_owned()));
            }
            rest = &bare[end..];
        }
    }
    steps
}
