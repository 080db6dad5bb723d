//! The simple-signing payload, which a signature in cosign's attachment format is made over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A payload as cosign writes it, until a test changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Which name is vouched for: with or without a tag; may be empty.
    pub reference: String,
    /// Which manifest it is.
    pub digest: String,
    /// `critical.type`.
    pub kind: String,
    /// `optional`: annotations of the signer, null when there are none.
    pub optional: Value,
    /// Members that the format does not have, by the JSON pointer of the object that they stand
    /// in (`""`, `/critical`, `/critical/image`, `/critical/identity`).
    pub extra: BTreeMap<String, (String, Value)>,
}

impl Payload {
    /// That `reference` holds `digest`.
    #[must_use]
    pub fn new(reference: &str, digest: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            digest: digest.to_owned(),
            kind: "cosign container image signature".to_owned(),
            optional: Value::Null,
            extra: BTreeMap::new(),
        }
    }

    /// With one more member in the object at this JSON pointer.
    #[must_use]
    pub fn with(mut self, pointer: &str, name: &str, value: Value) -> Self {
        self.extra
            .insert(pointer.to_owned(), (name.to_owned(), value));
        self
    }

    /// What is signed: JSON in the order of names, as cosign writes it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut payload = json!({
            "critical": {
                "identity": { "docker-reference": self.reference },
                "image": { "docker-manifest-digest": self.digest },
                "type": self.kind,
            },
            "optional": self.optional,
        });
        for (pointer, (name, value)) in &self.extra {
            let object = payload.pointer_mut(pointer).and_then(Value::as_object_mut);
            if let Some(object) = object {
                object.insert(name.clone(), value.clone());
            }
        }
        payload.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Payload;
    use crate::signatures;

    #[test]
    fn a_payload_is_what_cosign_writes() {
        let payload = Payload::new("a.example/b", "sha256:00");
        let written = signatures::payload("a.example/b", "sha256:00");
        assert_eq!(payload.bytes(), written);
    }

    #[test]
    fn a_member_too_many_stands_where_it_was_put() {
        let payload = Payload::new("a.example/b", "sha256:00").with("/critical", "x", json!(1));
        let text = String::from_utf8(payload.bytes()).expect("JSON is text");
        assert!(
            text.contains(r#""type":"cosign container image signature","x":1}"#),
            "{text}"
        );
    }
}
