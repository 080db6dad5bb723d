//! policy.json as containers-policy.json(5) describes it: a typed model and a strict reader.
//!
//! CRI-O refuses the whole file, and with it every pull, for one unknown or duplicate key, a
//! missing `default`, or an empty list. So every file passes [`PolicyJson::parse`] before it may
//! be written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::reference::Named;

/// The most bytes of a policy.json that is read.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

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
        Ok(serde_json::from_slice(bytes)?)
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
    #[serde(rename_all = "camelCase")]
    SignedBy {
        /// `GPGKeys` and its kin.
        key_type: KeyType,
        /// One of the three sources.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_path: Option<String>,
        /// One of the three sources.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_paths: Option<Vec<String>>,
        /// One of the three sources, base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_data: Option<Base64>,
        /// Which name the signature must carry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed_identity: Option<Match>,
    },
    /// Reserved by the format; never met.
    #[serde(rename_all = "camelCase")]
    SignedBaseLayer {
        /// Which name the base layer must carry.
        base_layer_identity: Match,
    },
    /// A sigstore signature.
    SigstoreSigned(Box<SigstoreSigned>),
}

/// The kinds of GPG key source; all but the first are reserved by the format and never met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Bytes in base64 (standard alphabet, padded), checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Base64(String);

impl Base64 {
    /// Encodes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use base64::Engine;
        Self(base64::engine::general_purpose::STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD
            .decode(&text)
            .map_err(|_| D::Error::custom("not base64"))?;
        Ok(Self(text))
    }
}

/// `sigstoreSigned`: exactly one source of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SigstoreSignedWire", rename_all = "camelCase")]
pub struct SigstoreSigned {
    /// A file with one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<String>,
    /// Files with a key each, any one of which may have signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_paths: Option<Vec<String>>,
    /// One key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_data: Option<Base64>,
    /// Keys, PEM, any one of which may have signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_datas: Option<Vec<Base64>>,
    /// Certificates issued by a Fulcio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fulcio: Option<Fulcio>,
    /// Certificates of a corporate PKI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pki: Option<Pki>,
    /// A file with one log key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_path: Option<String>,
    /// Files with a log key each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_paths: Option<Vec<String>>,
    /// One log key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_data: Option<Base64>,
    /// Log keys, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekor_public_key_datas: Option<Vec<Base64>>,
    /// Which name the signature must carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_identity: Option<Match>,
}

/// As [`SigstoreSigned`], before the rules between fields are checked.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigstoreSignedWire {
    key_path: Option<String>,
    key_paths: Option<Vec<String>>,
    key_data: Option<Base64>,
    key_datas: Option<Vec<Base64>>,
    fulcio: Option<Fulcio>,
    pki: Option<Pki>,
    rekor_public_key_path: Option<String>,
    rekor_public_key_paths: Option<Vec<String>>,
    rekor_public_key_data: Option<Base64>,
    rekor_public_key_datas: Option<Vec<Base64>>,
    signed_identity: Option<Match>,
}

impl TryFrom<SigstoreSignedWire> for SigstoreSigned {
    type Error = &'static str;

    fn try_from(wire: SigstoreSignedWire) -> Result<Self, Self::Error> {
        let count = |list: &[bool]| list.iter().filter(|&&set| set).count();
        let keys = count(&[
            wire.key_path.is_some(),
            wire.key_paths.is_some(),
            wire.key_data.is_some(),
            wire.key_datas.is_some(),
            wire.fulcio.is_some(),
            wire.pki.is_some(),
        ]);
        let logs = count(&[
            wire.rekor_public_key_path.is_some(),
            wire.rekor_public_key_paths.is_some(),
            wire.rekor_public_key_data.is_some(),
            wire.rekor_public_key_datas.is_some(),
        ]);
        let empty = |list: &Option<Vec<Base64>>| list.as_ref().is_some_and(Vec::is_empty);
        if keys != 1 {
            return Err(
                "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki is expected",
            );
        }
        if logs > 1 {
            return Err("at most one source of Rekor keys is expected");
        }
        if wire.fulcio.is_some() && logs == 0 {
            return Err("fulcio needs a Rekor key");
        }
        if wire.pki.is_some() && logs > 0 {
            return Err("pki takes no Rekor key");
        }
        if empty(&wire.key_datas) || empty(&wire.rekor_public_key_datas) {
            return Err("a list of keys must not be empty");
        }
        let empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(Vec::is_empty);
        if empty(&wire.key_paths) || empty(&wire.rekor_public_key_paths) {
            return Err("a list of key files must not be empty");
        }
        Ok(Self {
            key_path: wire.key_path,
            key_paths: wire.key_paths,
            key_data: wire.key_data,
            key_datas: wire.key_datas,
            fulcio: wire.fulcio,
            pki: wire.pki,
            rekor_public_key_path: wire.rekor_public_key_path,
            rekor_public_key_paths: wire.rekor_public_key_paths,
            rekor_public_key_data: wire.rekor_public_key_data,
            rekor_public_key_datas: wire.rekor_public_key_datas,
            signed_identity: wire.signed_identity,
        })
    }
}

/// The `fulcio` part of a `sigstoreSigned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fulcio {
    /// A file with the CA's certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_path: Option<String>,
    /// The CA's certificates, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_data: Option<Base64>,
    /// The exact issuer.
    pub oidc_issuer: String,
    /// The exact e-mail address.
    pub subject_email: String,
}

/// The `pki` part of a `sigstoreSigned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pki {
    /// A file with the roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_roots_path: Option<String>,
    /// The roots, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_roots_data: Option<Base64>,
    /// A file with intermediates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_intermediates_path: Option<String>,
    /// Intermediates, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_intermediates_data: Option<Base64>,
    /// The exact e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_email: Option<String>,
    /// The exact host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_hostname: Option<String>,
}

/// Which name a signature must carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "camelCase")]
pub enum Match {
    /// The very same name.
    MatchExact {},
    /// The same name for a tag, the same repository for a digest.
    MatchRepoDigestOrExact {},
    /// The same repository.
    MatchRepository {},
    /// One given name.
    #[serde(rename_all = "camelCase")]
    ExactReference {
        /// With a tag or digest.
        docker_reference: TaggedName,
    },
    /// One given repository.
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        /// A name.
        docker_repository: Name,
    },
    /// The image's name with a prefix replaced.
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        /// What is replaced.
        prefix: String,
        /// What stands there instead.
        signed_prefix: String,
    },
}

/// An image name that parses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Named::parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("`{text}`: {error}")),
        }
    }
}

/// An image name with a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TaggedName(pub String);

impl TryFrom<String> for TaggedName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Named::parse(&text) {
            Ok(name) if name.tag().is_some() || name.digest().is_some() => Ok(Self(text)),
            Ok(_) => Err(format!("`{text}` has neither a tag nor a digest")),
            Err(error) => Err(format!("`{text}`: {error}")),
        }
    }
}
