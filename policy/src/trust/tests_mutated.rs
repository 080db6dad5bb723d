//! Whatever is made of a real root, it is answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use serde_json::Value;
use sigstore_trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT as GITHUB, SIGSTORE_PRODUCTION_TRUSTED_ROOT as PRODUCTION,
    SIGSTORE_STAGING_TRUSTED_ROOT as STAGING, TrustedRoot as Library,
};

use super::*;

/// Replaces, cuts or repeats a part of a text.
fn mutate(text: &str, at: usize, length: usize, with: &str) -> String {
    let floor = |index: usize| {
        (0..=index.min(text.len()))
            .rev()
            .find(|i| text.is_char_boundary(*i))
    };
    let start = floor(at % (text.len() + 1)).unwrap();
    let end = floor(start + length).unwrap().max(start);
    format!("{}{with}{}", &text[..start], &text[end..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any text is answered, and what is accepted is taken by the library and survives its files.
    #[test]
    fn mutated_roots_never_panic(
        which in 0..3_usize,
        edits in prop::collection::vec((any::<usize>(), 0..40_usize, "[A-Za-z0-9+/=\"{}\\[\\],:-]{0,6}"), 1..4),
    ) {
        let mut text = [PRODUCTION, STAGING, GITHUB][which].to_owned();
        for (at, length, with) in edits {
            text = mutate(&text, at, length, &with);
        }
        if let Ok(Parsed { root, .. }) = TrustRoot::from_trusted_root_json(&text) {
            let json = root.to_trusted_root_json();
            Library::from_json(&json).unwrap().rekor_keys().unwrap();
            prop_assert_eq!(TrustRoot::from_trusted_root_json(&json).unwrap().root, root);
        }
    }

    /// The same for edits inside of the base64 of certificates and keys, which pass the JSON.
    #[test]
    fn mutated_certificates_and_keys_never_panic(which in 0..3_usize, at in any::<usize>(), byte in any::<u8>()) {
        let mut value: Value = serde_json::from_str([PRODUCTION, STAGING, GITHUB][which]).unwrap();
        let mut texts = Vec::new();
        raw_bytes(&mut value, &mut texts);
        let count = texts.len();
        let text = texts.swap_remove(at % count);
        let mut der = BASE64.decode(text.as_str()).unwrap();
        let place = (at / count) % der.len();
        der[place] = byte;
        *text = BASE64.encode(&der);
        if let Ok(Parsed { root, .. }) = TrustRoot::from_trusted_root_json(&value.to_string()) {
            let json = root.to_trusted_root_json();
            prop_assert_eq!(TrustRoot::from_trusted_root_json(&json).unwrap().root, root);
        }
    }
}

/// All `rawBytes` of a JSON text.
fn raw_bytes<'a>(value: &'a mut Value, found: &mut Vec<&'a mut String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if key != "rawBytes" {
                    raw_bytes(value, found);
                } else if let Value::String(text) = value {
                    found.push(text);
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| raw_bytes(one, found)),
        _ => {}
    }
}
