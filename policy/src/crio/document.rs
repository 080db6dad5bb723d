//! policy.json as containers-policy.json(5) describes it: a typed model and a strict reader.
//!
//! CRI-O refuses the whole file, and with it every pull, for one unknown or duplicate key, a
//! missing `default`, or an empty list. So every file passes [`PolicyJson::parse`] before it may
//! be written. What it accepts, CRI-O's own parser accepts; a test of the lab compares the two.
//!
//! It is stricter than CRI-O's parser where that makes no difference to what people write: no
//! `null`, no empty path or subject, keys as one base64 text without line breaks or bits left over,
//! hosts in lower case and without underscores, ports up to 65535 without leading zeros, prefixes of
//! at most 255 bytes, digests of sha256 only, no local image IDs, and no text that is not Unicode.
//! Scopes are free text here, as they are in CRI-O for the transport `docker`; those of the other
//! transports are the node's own, which CRI-O has read before us.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::crio::fields::{Base64, Check, any_empty, checked, count, present};
use crate::crio::matching::Match;
use crate::crio::sigstore::SigstoreSigned;

/// The most bytes of a policy.json that is read. CRI-O itself has no limit; a thousand policies of
/// five scopes take 18 MB.
pub const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// A whole policy.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyJson {
    /// For every image that no transport says anything about.
    pub default: Rules,
    /// Per transport, then per scope; the scope `""` is the transport's default.
    #[serde(default, skip_serializing_if = "StrictMap::is_empty")]
    pub transports: StrictMap<StrictMap<Rules>>,
}

/// Why bytes are no policy.json that CRI-O would take.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyJsonError(#[from] serde_json::Error);

impl PolicyJson {
    /// Reads a file as strictly as CRI-O does.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyJsonError> {
        let document = serde_json::from_slice(bytes)?;
        // serde takes the number of a variant for its name.
        if has_number(&serde_json::from_slice(bytes)?) {
            let error = serde_json::Error::custom("the format has no numbers");
            return Err(PolicyJsonError(error));
        }
        Ok(document)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        crate::verifier::json(self)
    }

    /// The rules that decide about the scope `lookup` begins with, in the `docker` transport: its
    /// most specific entry, else the transport's default, else the file's.
    #[must_use]
    pub fn docker_rules(&self, lookup: &[String]) -> &Rules {
        let docker = self.transports.0.get("docker");
        let entry = |name: &str| docker.and_then(|scopes| scopes.0.get(name));
        lookup
            .iter()
            .find_map(|name| entry(name))
            .or_else(|| entry(""))
            .unwrap_or(&self.default)
    }
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(list) => list.iter().any(has_number),
        Value::Object(object) => object.values().any(has_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A map that refuses a key that stands twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StrictMap<V>(pub BTreeMap<String, V>);

impl<V> StrictMap<V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V> Default for StrictMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for StrictMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = StrictMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if entries.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("duplicate key `{key}`")));
                    }
                    entries.insert(key, value);
                }
                Ok(StrictMap(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A list of rules, all of which must be met. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// One rule.
    #[must_use]
    pub fn one(rule: Rule) -> Self {
        Self(vec![rule])
    }

    /// All of these; accepting everything where there are none. A rule that accepts everything adds
    /// nothing to others, and beside one that refuses everything the others do not matter.
    #[must_use]
    pub fn all(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut list: Vec<Rule> = Vec::new();
        for rule in rules {
            match rule {
                Rule::InsecureAcceptAnything {} => {}
                Rule::Reject {} => return Self::one(Rule::Reject {}),
                rule if list.contains(&rule) => {}
                rule => list.push(rule),
            }
        }
        if list.is_empty() {
            Self::one(Rule::InsecureAcceptAnything {})
        } else {
            Self(list)
        }
    }

    /// The rules.
    #[must_use]
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }
}

impl TryFrom<Vec<Rule>> for Rules {
    type Error = &'static str;

    fn try_from(rules: Vec<Rule>) -> Result<Self, Self::Error> {
        if rules.is_empty() {
            return Err("a list of requirements must not be empty");
        }
        Ok(Self(rules))
    }
}

impl From<Rules> for Vec<Rule> {
    fn from(rules: Rules) -> Self {
        rules.0
    }
}

/// One requirement.
// Variants without fields are written as empty structs: serde would let unknown keys pass in unit
// variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase")]
pub enum Rule {
    /// Every image passes.
    InsecureAcceptAnything {},
    /// No image passes.
    Reject {},
    /// A GPG signature; nodeseal writes none, but keeps those of the node.
    SignedBy(#[serde(deserialize_with = "checked")] SignedBy),
    /// Reserved by the format; never met.
    #[serde(rename_all = "camelCase")]
    SignedBaseLayer {
        /// Which name the base layer must carry.
        base_layer_identity: Match,
    },
    /// A sigstore signature.
    SigstoreSigned(#[serde(deserialize_with = "checked")] Box<SigstoreSigned>),
}

/// `signedBy`: exactly one source of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedBy {
    /// `GPGKeys` and its kin.
    pub key_type: KeyType,
    /// A file with keys.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_path: Option<String>,
    /// Files with keys.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_paths: Option<Vec<String>>,
    /// Keys, base64.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub key_data: Option<Base64>,
    /// Which name the signature must carry.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub signed_identity: Option<Match>,
}

impl Check for SignedBy {
    fn check(&self) -> Result<(), &'static str> {
        let keys = count(&[
            self.key_path.is_some(),
            self.key_paths.is_some(),
            self.key_data.is_some(),
        ]);
        if keys != 1 {
            return Err("exactly one of keyPath, keyPaths and keyData is expected");
        }
        if any_empty(&[&self.key_path]) {
            return Err("keyPath must not be empty");
        }
        Ok(())
    }
}

/// The kinds of GPG key source; all but the first are reserved by the format and never met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyType {
    /// `GPGKeys`.
    #[serde(rename = "GPGKeys")]
    GpgKeys,
    /// `signedByGPGKeys`.
    #[serde(rename = "signedByGPGKeys")]
    SignedByGpgKeys,
    /// `X509Certificates`.
    #[serde(rename = "X509Certificates")]
    X509Certificates,
    /// `signedByX509CAs`.
    #[serde(rename = "signedByX509CAs")]
    SignedByX509Cas,
}

impl TryFrom<String> for KeyType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "GPGKeys" => Ok(Self::GpgKeys),
            "signedByGPGKeys" => Ok(Self::SignedByGpgKeys),
            "X509Certificates" => Ok(Self::X509Certificates),
            "signedByX509CAs" => Ok(Self::SignedByX509Cas),
            _ => Err(format!("unknown keyType `{text}`")),
        }
    }
}
