//! Reads one document of YAML or JSON into nodes.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, MergeKeyPolicy, Spanned, Tagged};

use super::node::{Key, Node, Position, Value};
use super::split::Chunk;
use super::{MAX_DEPTH, MAX_FILE};

/// What is said about `!!binary`.
pub(super) const BINARY: &str =
    "`!!binary` is not read here, as nobody sees what it says: write the text itself";

/// Reads one document. Nothing where it is empty.
pub(super) fn read(chunk: &Chunk<'_>) -> Result<Vec<Node>, Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: 2,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_total_scalar_bytes: 2 * MAX_FILE,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Merge,
        // As kubectl reads them: `0755` is octal, `yes` is a boolean.
        legacy_octal_numbers: true,
        strict_booleans: false,
        // It is refused, whether it can be decoded or not.
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    };
    let mut nodes: Vec<Node> = serde_saphyr::from_multiple_with_options(chunk.text, options)?;
    for node in &mut nodes {
        shift(node, chunk.first_line - 1);
    }
    Ok(nodes)
}

fn shift(node: &mut Node, lines: u64) {
    node.position.line += lines;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, lines)),
        Value::Map(entries) => {
            for (key, node) in entries {
                key.position.line += lines;
                shift(node, lines);
            }
        }
        _ => {}
    }
}

fn position<T>(spanned: &Spanned<T>) -> Position {
    Position {
        line: spanned.referenced.line(),
        column: spanned.referenced.column(),
    }
}

/// The first key of a map, however deep, whose text the map has already. The parser compares keys
/// with their types, so 1 and "1" are two to it.
pub(super) fn second(node: &Node) -> Option<&Key> {
    match &node.value {
        Value::List(items) => items.iter().find_map(second),
        Value::Map(entries) => {
            let mut seen = HashSet::new();
            entries.iter().find_map(|(key, node)| {
                let new = seen.insert(&key.text);
                if new { second(node) } else { Some(key) }
            })
        }
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tagged<Value>>::deserialize(deserializer)?;
        Ok(Self {
            position: position(&spanned),
            value: untagged(spanned.value)?,
        })
    }
}

/// The value, unless it is a text in base64.
fn untagged<E: de::Error>(tagged: Tagged<Value>) -> Result<Value, E> {
    let name = |tag: &str| tag.rsplit(['!', ':']).next() == Some("binary");
    match tagged.1 {
        Some(tag) if name(&tag) => Err(E::custom(BINARY)),
        _ => Ok(tagged.0),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // `600.0` and `6e2` are whole numbers to the API server as well.
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53 and whole")]
        if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
            return Ok(Value::Number((value as i64).into()));
        }
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("infinities and NaN are no values of the Kubernetes API"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<KeyText>>()? {
            let place = position(&key);
            entries.push((
                Key {
                    text: key.value.0,
                    position: place,
                },
                map.next_value()?,
            ));
        }
        Ok(Value::Map(entries))
    }
}

/// The text of a key; numbers and booleans become texts, as kubectl does it.
struct KeyText(String);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match untagged(Tagged::<Value>::deserialize(deserializer)?)? {
            Value::String(text) => Ok(Self(text)),
            Value::Bool(value) => Ok(Self(value.to_string())),
            Value::Number(value) => Ok(Self(value.to_string())),
            _ => Err(de::Error::custom(
                "a key must be a text: write `key: value`",
            )),
        }
    }
}
