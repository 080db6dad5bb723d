//! What two documents differ in, in terms of what they say.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// Reads base64 that a strict reader would not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The members in which `after` says something else than `before`, as JSON pointers. Where a text
/// is spelled otherwise and means the same bytes (hexadecimal, base64, PEM), ` (spelling)` follows;
/// where it holds JSON, `#` and the pointer in there. After a member that has another name now, and so is
/// not there any more, ` (gone)` follows.
pub(crate) fn changed(before: &[u8], after: &[u8]) -> BTreeSet<String> {
    let before = serde_json::from_slice(before).unwrap();
    let mut found = BTreeSet::new();
    // What is not read need not even be text.
    match serde_json::from_str(&String::from_utf8_lossy(after)) {
        Ok(after) => compare("", &before, &after, &mut found),
        Err(_) => drop(found.insert("no JSON".to_owned())),
    }
    found
}

fn compare(at: &str, before: &Value, after: &Value, found: &mut BTreeSet<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let gone = before.keys().filter(|name| !after.contains_key(*name));
            let gone: Vec<_> = gone.collect();
            for name in &gone {
                found.insert(format!("{at}/{name} (gone)"));
            }
            // Where one is gone, the new one is that under another name.
            if gone.is_empty() {
                let new = after.keys().filter(|name| !before.contains_key(*name));
                found.extend(new.map(|name| format!("{at}/{name}")));
            }
            for (name, value) in before {
                if let Some(other) = after.get(name) {
                    compare(&format!("{at}/{name}"), value, other, found);
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (one, other)) in before.iter().zip(after).enumerate() {
                compare(&format!("{at}/{index}"), one, other, found);
            }
        }
        (Value::String(before), Value::String(after)) if before != after => {
            let nested = |text: &str| -> Option<Value> {
                let value = serde_json::from_str(text).ok()?;
                Some(value).filter(Value::is_object)
            };
            if let (Some(before), Some(after)) = (nested(before), nested(after)) {
                compare(&format!("{at}#"), &before, &after, found);
            } else if bytes(before).is_some_and(|these| Some(these) == bytes(after)) {
                found.insert(format!("{at} (spelling)"));
            } else {
                found.insert(at.to_owned());
            }
        }
        (before, after) if before != after => drop(found.insert(at.to_owned())),
        _ => {}
    }
}

/// What hexadecimal digits, base64 or the only block of PEM stand for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase().into_bytes());
    }
    let body = match text.strip_prefix("-----BEGIN ") {
        None => text.to_owned(),
        Some(rest) => {
            let (_, rest) = rest.split_once("-----")?;
            let (body, _) = rest.split_once("-----END ")?;
            body.split_ascii_whitespace().collect()
        }
    };
    LENIENT.decode(body).ok()
}

#[test]
fn differences_are_told_by_where_they_are() {
    let before = br#"{"a":{"b":["x",1]},"c":"AAA=","d":"{\"e\":1}","f":2}"#;
    let changed = |after: &str| {
        let found: Vec<_> = changed(before, after.as_bytes()).into_iter().collect();
        found.join(" ")
    };
    let was = std::str::from_utf8(before).unwrap();
    assert_eq!(changed(was), "");
    assert_eq!(changed(&format!(" {was}\n")), "");
    assert_eq!(changed(&was.replace("1]", "2]")), "/a/b/1");
    assert_eq!(changed(&was.replace("\"f\"", "\"g\"")), "/f (gone)");
    assert_eq!(changed(&was.replace("AAA=", "AAB=")), "/c (spelling)");
    assert_eq!(changed(&was.replace("AAA=", "BAA=")), "/c");
    assert_eq!(changed(&was.replace(":1}", ":3}")), "/d#/e");
    assert_eq!(changed(&was.replace(",\"f\":2", "")), "/f (gone)");
    assert_eq!(changed("{"), "no JSON");
    let hex = |text: &str| format!(r#"{{"a":"{}"}}"#, text.repeat(32)).into_bytes();
    let found = self::changed(&hex("ab"), &hex("aB"));
    assert_eq!(found, ["/a (spelling)".to_owned()].into());
}
