//! The reader of manifests: YAML streams and JSON, with the place of every field.
//!
//! Each document of a stream is read on its own, so a broken one does not hide the others. What is
//! read is bounded: the size of a file, its documents, their depth and their aliases.

use std::thread;

mod error;
mod node;
mod read;
mod split;

pub use node::{Key, Node, Position, Step, Value, parse_path};

use crate::problem::Problem;

/// The most bytes of one file.
pub const MAX_FILE: usize = 4 * 1024 * 1024;
/// The most documents of one file.
pub const MAX_DOCUMENTS: usize = 10_000;
/// The deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 64;

/// One document of a file: one object, or what is in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file's name as it was given.
    pub file: String,
    /// The content, with the place of every field.
    pub root: Node,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents {
    /// The documents that could be read; empty ones are left out, and a `List` is taken apart.
    pub documents: Vec<Document>,
    /// What could not be read. Each problem is an error.
    pub problems: Vec<Problem>,
}

/// The YAML reader recurses at each level of nesting, with up to 48 KiB a level in a debug build.
/// Callers may run on a thread of 2 MiB, where [`MAX_DEPTH`] levels would overflow.
const STACK: usize = 8 * 1024 * 1024;

/// Reads all documents of `text`. `file` is the name that problems carry.
#[must_use]
pub fn parse(file: &str, text: &str) -> Documents {
    thread::scope(|scope| {
        let reader = thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || read_all(file, text));
        reader
            .ok()
            .and_then(|reader| reader.join().ok())
            .unwrap_or_else(|| {
                let message = "the system has no room for one more thread: try again";
                let problem =
                    error::problem(file, Position::NONE, "Unreadable", message.to_owned());
                Documents {
                    documents: Vec::new(),
                    problems: vec![problem],
                }
            })
    })
}

fn read_all(file: &str, text: &str) -> Documents {
    let mut result = Documents::default();
    if text.len() > MAX_FILE {
        let message = format!(
            "the file has {} bytes, at most {MAX_FILE} are read: split it",
            text.len()
        );
        result
            .problems
            .push(error::problem(file, Position::NONE, "TooLarge", message));
        return result;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (count, chunk) in split::split(text).into_iter().enumerate() {
        if count == MAX_DOCUMENTS {
            let message = format!("the file has more than {MAX_DOCUMENTS} documents: split it");
            let position = Position {
                line: chunk.first_line,
                column: 1,
            };
            result
                .problems
                .push(error::problem(file, position, "TooLarge", message));
            break;
        }
        let nodes = match read::read(&chunk) {
            Ok(nodes) => nodes,
            Err(error) => {
                result.problems.push(error::from_yaml(file, &chunk, &error));
                continue;
            }
        };
        if let Some(key) = nodes.iter().find_map(read::second) {
            result.problems.push(error::twice(file, key));
            continue;
        }
        let document = |root| Document {
            file: file.to_owned(),
            root,
        };
        let objects = nodes.into_iter().filter(|node| node.value != Value::Null);
        result
            .documents
            .extend(objects.flat_map(take_apart).map(document));
    }
    result
}

/// Whether a stream has no document with anything in it.
#[must_use]
pub fn holds_nothing(text: &str) -> bool {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .all(|line| matches!(line, "---" | "..."))
}

/// The items of a `v1` `List`, as `kubectl get -o yaml` writes it; anything else as it is.
fn take_apart(root: Node) -> Vec<Node> {
    let text = |name: &str| root.get(name).and_then(Node::as_str);
    let ours = text("apiVersion").is_some_and(|version| version.starts_with(crate::GROUP));
    let list = text("kind").is_some_and(|kind| kind == "List" || ours && kind.ends_with("List"))
        && matches!(
            root.get("items").map(|items| &items.value),
            Some(Value::List(_))
        );
    if !list {
        return vec![root];
    }
    let Value::Map(entries) = root.value else {
        return Vec::new();
    };
    let items = entries.into_iter().find(|(key, _)| key.text == "items");
    match items.map(|(_, node)| node.value) {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
