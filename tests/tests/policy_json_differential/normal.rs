//! What our reader refuses although CRI-O takes it: the list in `policy::crio::document`, as what
//! would have to be written instead.

use anyhow::Result;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use policy::crio::document::PolicyJson;
use policy::digest::Digest;
use serde_json::Value;

const UNICODE: &str = "text that is not Unicode";
const NULL: &str = "null";
const EMPTY: &str = "an empty path or subject";
const BYTES: &str = "a key as a list of bytes";
const LINES: &str = "line breaks in base64";
const BITS: &str = "bits left over in base64";
const HOST: &str = "a host not in lower case";
const UNDERSCORE: &str = "a host with an underscore";
const IMAGE_ID: &str = "64 hexadecimal digits with a tag or digest";
const PORT: &str = "a port with leading zeros or past 65535";
const LONG: &str = "a prefix of more than 255 bytes";
const DIGEST: &str = "a digest of another algorithm";

/// All of them.
pub(crate) const CLASSES: [&str; 12] = [
    UNICODE, BYTES, NULL, EMPTY, LINES, BITS, HOST, UNDERSCORE, IMAGE_ID, PORT, LONG, DIGEST,
];

/// Which of them a document has that is accepted once they are written otherwise; nothing where
/// it is refused for something else.
pub(crate) fn why_refused(document: &[u8]) -> Option<String> {
    let mut classes = Vec::new();
    let text = unicode(document);
    if text.as_bytes() != document {
        classes.push(UNICODE);
    }
    let mut value: Value = serde_json::from_str(&text).ok()?;
    for (class, mend) in [
        (BYTES, lists_of_bytes as fn(&mut Value)),
        (NULL, nulls),
        (EMPTY, empty),
        (LINES, |value| {
            each(value, BASE64, &|text| text.replace(['\r', '\n'], ""));
        }),
        (BITS, |value| each(value, BASE64, &bits)),
        (HOST, |value| each(value, NAMES, &host)),
        (UNDERSCORE, |value| each(value, NAMES, &underscore)),
        (IMAGE_ID, |value| each(value, NAMES, &image_id)),
        (PORT, |value| each(value, NAMES, &port)),
        (LONG, |value| {
            each(value, &["prefix", "signedPrefix"], &shorter);
        }),
        (DIGEST, |value| each(value, NAMES, &digest)),
    ] {
        let before = value.clone();
        mend(&mut value);
        if value != before {
            classes.push(class);
        }
    }
    let mended = serde_json::to_vec(&value).ok()?;
    let accepted = PolicyJson::parse(&mended).is_ok() && !classes.is_empty();
    accepted.then(|| classes.join(", "))
}

/// Without what ours takes and CRI-O does not: scopes of other transports, which are the node's own.
pub(crate) fn strays_removed(mut document: PolicyJson) -> Result<Vec<u8>> {
    let transports = document.transports.0.iter_mut();
    for (_, scopes) in transports.filter(|(name, _)| *name != "docker") {
        scopes.0.retain(|scope, _| scope.is_empty());
    }
    Ok(serde_json::to_vec(&document)?)
}

const BASE64: &[&str] = &[
    "keyData",
    "keyDatas",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "caData",
    "caRootsData",
    "caIntermediatesData",
];
const NAMES: &[&str] = &[
    "dockerReference",
    "dockerRepository",
    "prefix",
    "signedPrefix",
];
const TEXTS: &[&str] = &[
    "keyPath",
    "rekorPublicKeyPath",
    "caPath",
    "caRootsPath",
    "caIntermediatesPath",
    "subjectEmail",
    "subjectHostname",
];

/// With U+FFFD where Go's reader puts it: for bytes that are no UTF-8, and halves of characters.
fn unicode(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    let mut mended = String::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let unit = |text: &str| {
            let digits = text.strip_prefix("\\u")?.get(..4)?;
            u16::from_str_radix(digits, 16).ok()
        };
        let length = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str("\\ufffd");
                rest = &rest[6..];
                continue;
            }
            (Some(_), _) => 6,
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended + rest
}

/// Go reads bytes from a list of numbers, too, where `null` leaves a 0.
fn lists_of_bytes(value: &mut Value) {
    let encode = |value: &mut Value| {
        let Value::Array(items) = value else { return };
        let byte = |item: &Value| match item {
            Value::Null => Some(0),
            item => item.as_u64().and_then(|number| u8::try_from(number).ok()),
        };
        let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
        if let Some(bytes) = bytes {
            *value = STANDARD.encode(bytes).into();
        }
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Array(items) if name.ends_with("Datas") => {
                        items.iter_mut().for_each(encode);
                    }
                    value if BASE64.contains(&name.as_str()) => encode(value),
                    value => lists_of_bytes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(lists_of_bytes),
        _ => {}
    }
}

/// A field that is `null` is as if it were not there, an item as if it were empty.
fn nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(nulls);
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Null => *item = Value::from(""),
                    item => nulls(item),
                }
            }
        }
        _ => {}
    }
}

fn empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| !(TEXTS.contains(&name.as_str()) && value == ""));
            fields.values_mut().for_each(empty);
        }
        Value::Array(items) => items.iter_mut().for_each(empty),
        _ => {}
    }
}

/// Changes the texts in the fields of these names.
fn each(value: &mut Value, names: &[&str], change: &dyn Fn(&str) -> String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => *text = change(text),
                    Value::Array(items) if names.contains(&name.as_str()) => {
                        for item in items {
                            if let Value::String(text) = item {
                                *text = change(text);
                            }
                        }
                    }
                    value => each(value, names, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, names, change)),
        _ => {}
    }
}

fn bits(text: &str) -> String {
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    let lenient = GeneralPurpose::new(&alphabet::STANDARD, config);
    lenient
        .decode(text)
        .map_or_else(|_| text.to_owned(), |bytes| STANDARD.encode(bytes))
}

fn split(name: &str) -> (&str, &str) {
    name.split_at(name.find('/').unwrap_or(name.len()))
}

fn host(name: &str) -> String {
    let (host, rest) = split(name);
    format!("{}{rest}", host.to_ascii_lowercase())
}

/// CRI-O reads such a host as the first part of a path, where it may have underscores.
fn underscore(name: &str) -> String {
    match split(name) {
        (host, rest) if host.contains('.') => format!("{}{rest}", host.replace('_', "-")),
        _ => name.to_owned(),
    }
}

/// In full, where it cannot be the ID of a local image.
fn image_id(name: &str) -> String {
    let end = name.find([':', '@']).unwrap_or(name.len());
    if end == 64 && name.bytes().take(end).all(|b| b.is_ascii_hexdigit()) {
        format!("docker.io/library/{name}")
    } else {
        name.to_owned()
    }
}

/// As a number that is a port, where there is a number.
fn port(name: &str) -> String {
    let (host, rest) = split(name);
    match host.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            let port = port.trim_start_matches('0').parse::<u16>().unwrap_or(1);
            format!("{host}:{port}{rest}")
        }
        _ => name.to_owned(),
    }
}

/// The same with shorter words, where it is too long for a name.
fn shorter(prefix: &str) -> String {
    if prefix.len() <= 255 {
        return prefix.to_owned();
    }
    let mut run = 0;
    let keep = |c: &char| {
        run = if c.is_ascii_alphanumeric() {
            run + 1
        } else {
            0
        };
        run <= 8
    };
    prefix.chars().filter(keep).collect()
}

fn digest(name: &str) -> String {
    let Some((repository, digest)) = name.split_once('@') else {
        return name.to_owned();
    };
    let other = [("sha384:", 96), ("sha512:", 128)]
        .iter()
        .any(|(algorithm, length)| {
            let hex = digest.strip_prefix(algorithm).unwrap_or_default();
            let lower = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            hex.len() == *length && hex.bytes().all(lower)
        });
    if other {
        format!("{repository}@{}", Digest::of(digest.as_bytes()))
    } else {
        name.to_owned()
    }
}
