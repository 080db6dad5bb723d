//! Public keys in ConfigMaps and Secrets that stand beside the policies.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::manifest::{Document, Node, Position, Value};
use crate::validate::object::ObjectName;

/// What a ConfigMap or Secret has under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    /// Not a string in the manifest.
    #[error("its value must be a string")]
    NotText,
    /// `data` of a Secret that is no base64.
    #[error("its value is no base64: write it as `stringData`, or encode it (`base64 -w0`)")]
    Base64,
    /// Base64 of something that is no text.
    #[error("its value is no UTF-8 text, and keys are PEM")]
    Utf8,
}

/// A text, and where its lines are.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The text.
    pub(crate) text: String,
    /// How many lines of the file stand before it; nothing where its lines are not those of the
    /// file.
    pub(crate) lines_before: Option<u64>,
}

/// The data of one ConfigMap or Secret.
pub(crate) struct Holder {
    /// The file it stands in.
    pub(crate) file: String,
    /// What it has under which key.
    pub(crate) entries: BTreeMap<String, Result<Entry, EntryError>>,
}

/// All ConfigMaps and Secrets by kind, namespace and name.
#[derive(Default)]
pub(crate) struct KeyStore(BTreeMap<(&'static str, String, String), Holder>);

impl KeyStore {
    /// Takes in a ConfigMap or Secret.
    pub(crate) fn insert(&mut self, document: &Document, namespace: &str, name: &str) {
        let secret = document.root.get("kind").and_then(Node::as_str) == Some("Secret");
        let mut entries = BTreeMap::new();
        for ((key, place), node) in fields(document, "data") {
            let entry = if secret {
                decode(node)
            } else {
                plain(place, node)
            };
            entries.insert(key, entry);
        }
        if secret {
            // The API server writes `stringData` over `data`.
            entries.extend(
                fields(document, "stringData")
                    .map(|((key, place), node)| (key, plain(place, node))),
            );
        }
        let kind = if secret { "Secret" } else { "ConfigMap" };
        let id = (kind, namespace.to_owned(), name.to_owned());
        self.0.insert(
            id,
            Holder {
                file: document.file.clone(),
                entries,
            },
        );
    }

    /// Forgets a ConfigMap or Secret.
    pub(crate) fn remove(&mut self, name: &ObjectName) {
        let is = |(kind, namespace, own): &(&str, String, String)| {
            *kind == name.kind && Some(namespace) == name.namespace.as_ref() && *own == name.name
        };
        self.0.retain(|id, _| !is(id));
    }

    /// The ConfigMap or Secret of that name.
    pub(crate) fn get(&self, kind: &'static str, namespace: &str, name: &str) -> Option<&Holder> {
        self.0.get(&(kind, namespace.to_owned(), name.to_owned()))
    }
}

fn fields<'a>(
    document: &'a Document,
    field: &str,
) -> impl Iterator<Item = ((String, Position), &'a Node)> + use<'a> {
    let entries = match document.root.get(field).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries
        .iter()
        .map(|(key, node)| ((key.text.clone(), key.position), node))
}

fn plain(key: Position, node: &Node) -> Result<Entry, EntryError> {
    let text = node.as_str().ok_or(EntryError::NotText)?;
    Ok(Entry {
        text: text.to_owned(),
        lines_before: lines_before(key, node),
    })
}

fn decode(node: &Node) -> Result<Entry, EntryError> {
    let text = node.as_str().ok_or(EntryError::NotText)?;
    let packed: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(packed).map_err(|_| EntryError::Base64)?;
    let text = String::from_utf8(bytes).map_err(|_| EntryError::Utf8)?;
    Ok(Entry {
        text,
        lines_before: None,
    })
}

/// How many lines of the file stand before the text of a field whose key begins at `key`; nothing
/// where its lines are not those of the file, as in quotes with `\n`.
pub(crate) fn lines_before(key: Position, node: &Node) -> Option<u64> {
    let text = node.as_str()?;
    let one_line = text.trim_end().lines().nth(1).is_none();
    // A block begins below its key, and its position is that of its first line with content.
    let block = node.position.line > key.line && !text.starts_with('\n');
    (one_line || block).then(|| node.position.line.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn store(text: &str) -> KeyStore {
        let mut store = KeyStore::default();
        for document in manifest::parse("f.yaml", text).documents {
            store.insert(&document, "ns", "keys");
        }
        store
    }

    #[test]
    fn a_secret_has_base64_and_plain_values_and_plain_ones_win() {
        let store = store(
            "kind: Secret\ndata: {a: YQ==, b: '!', c: /w==, d: YQ==, e: 1}\nstringData: {d: plain}\n",
        );
        let holder = store.get("Secret", "ns", "keys").unwrap();
        let text = |key: &str| match &holder.entries[key] {
            Ok(entry) => Ok(entry.text.as_str()),
            Err(error) => Err(*error),
        };
        assert_eq!(text("a"), Ok("a"));
        assert_eq!(text("b"), Err(EntryError::Base64));
        assert_eq!(text("c"), Err(EntryError::Utf8));
        assert_eq!(text("d"), Ok("plain"));
        assert_eq!(text("e"), Err(EntryError::NotText));
        assert!(store.get("ConfigMap", "ns", "keys").is_none());
        assert!(store.get("Secret", "other", "keys").is_none());
    }

    #[test]
    fn a_block_of_a_config_map_knows_its_lines() {
        let store =
            store("kind: ConfigMap\ndata:\n  a: |\n    one\n    two\n  b: \"one\\ntwo\\n\"\n");
        let holder = store.get("ConfigMap", "ns", "keys").unwrap();
        assert_eq!(holder.entries["a"].as_ref().unwrap().lines_before, Some(3));
    }
}
