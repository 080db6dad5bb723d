//! The manifests of an index, and which of them a node may choose. Pure.
//!
//! Where signatures of manifests count for an index, nobody vouches for the index: it may be anything
//! that has its digest. So what is read of it has to be all that a runtime could read of it:
//! - Go takes the names of fields in any case, and of several the last. Here names are compared
//!   without regard to case, and one that is there twice spoils the index.
//! - A document that could also be a manifest (it has layers or a config) is none of both.
//! - A manifest is left out only where it is certain that no runtime of the platform chooses it.
//!
//! containerd's matcher for a platform (`platforms.Only`) takes manifests of the same system and
//! architecture, of every variant below the node's, of 386 on amd64 and of arm on arm64, and those
//! without platform. It lowers case, knows other names for architectures (`x86_64`, `aarch64`), and
//! takes an empty system for its own. What is left out is therefore what is spelt in Go's own way and
//! names another system or architecture; whatever is odd stays in. `unknown/unknown`, which `BuildKit`
//! writes for attestations, is left out too: no name in it is turned into another one, so it matches
//! neither containerd's matcher nor that of CRI-O's library, both of which compare with what the node
//! is. A manifest without platform matches every node, and so does stay in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use policy::digest::Digest;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::candidate::Finding;
use crate::reason::{Reason, bounded, quoted};
use crate::registry::image::{Image, LIST_TYPE};
use crate::registry::manifest::{INDEX_TYPE, MANIFEST_TYPES};

/// The most manifests that an index may list. Real ones list dozens.
const MAX_LISTED: usize = 256;
/// The most of them that are looked at: each is as much work as an image.
const MAX_CHOSEN: usize = 16;
/// The most fields of one object. The specification has ten.
const MAX_FIELDS: usize = 64;
/// The most bytes of what a parser says about foreign input.
const MAX_CAUSE: usize = 160;

/// Go's names of systems.
const SYSTEMS: [&str; 16] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];
/// Go's names of architectures.
const ARCHITECTURES: [&str; 17] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv", "riscv64", "s390x", "sparc64", "wasm", "riscv32",
];
/// What `BuildKit` writes twice for attestations.
const UNKNOWN: &str = "unknown";

/// The system and architecture of a node, in Go's words. A variant makes no difference here: which
/// one a node has is not known to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
}

/// Not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no platform: write a system and an architecture in Go's words, such as linux/arm64", quoted(.0))]
pub struct PlatformError(String);

impl FromStr for Platform {
    type Err = PlatformError;

    /// `linux/arm64`.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        match text.split_once('/') {
            Some((os, architecture))
                if SYSTEMS.contains(&os) && ARCHITECTURES.contains(&architecture) =>
            {
                Ok(Self {
                    os: os.to_owned(),
                    architecture: architecture.to_owned(),
                })
            }
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

impl Default for Platform {
    /// Linux, which nodes run, on the architecture of this machine.
    fn default() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "loongarch64" => "loong64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
        }
    }
}

impl Platform {
    /// Whether a node of this platform may choose a manifest of that one.
    fn may_choose(&self, os: &str, architecture: &str) -> bool {
        if (os, architecture) == (UNKNOWN, UNKNOWN) {
            return false;
        }
        let other_os = SYSTEMS.contains(&os) && os != self.os;
        let also = match self.architecture.as_str() {
            "amd64" => "386",
            "arm64" => "arm",
            own => own,
        };
        let other_architecture = ARCHITECTURES.contains(&architecture)
            && ![self.architecture.as_str(), also].contains(&architecture);
        !(other_os || other_architecture)
    }
}

/// Whose choice it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chooser {
    /// Any runtime of the platform, whatever its version: all that it may choose.
    Any,
    /// CRI-O: those of just this system and architecture; where there are none, what
    /// [`Chooser::Any`] means.
    Crio,
}

/// A manifest that a node may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// Its digest.
    pub(super) digest: Digest,
    /// What the index says that it is for, in words for a message.
    pub(super) platform: String,
}

/// Whether this is an index, by what its registry calls it.
pub(super) fn is_index(image: &Image) -> bool {
    [INDEX_TYPE, LIST_TYPE].contains(&image.media_type.as_str())
}

/// All manifests of an index that a node may choose: at least one.
pub(super) fn chosen(
    index: &[u8],
    platform: &Platform,
    chooser: Chooser,
) -> Result<Vec<Chosen>, Finding> {
    let entries = entries(index).map_err(|error| match error {
        IndexError::TooMany => Finding::new(
            Reason::LimitExceeded,
            format!("the index lists more than {MAX_LISTED} manifests"),
        ),
        IndexError::Malformed(what) => {
            let what = bounded(&what, MAX_CAUSE);
            Finding::new(
                Reason::MalformedSignature,
                format!("the index cannot be read: {what}"),
            )
        }
    })?;
    let own =
        |entry: &&Entry| entry.os == platform.os && entry.architecture == platform.architecture;
    let exact = chooser == Chooser::Crio && entries.iter().any(|entry| own(&entry));
    let mut chosen: Vec<Chosen> = Vec::new();
    for entry in &entries {
        let counts = if exact {
            own(&entry)
        } else {
            // What a runtime makes of an index in an index is not for its platform to say.
            !entry.is_manifest || platform.may_choose(&entry.os, &entry.architecture)
        };
        if !counts || chosen.iter().any(|known| known.digest == entry.digest) {
            continue;
        }
        if chosen.len() == MAX_CHOSEN {
            let message = format!(
                "the index has more than {MAX_CHOSEN} manifests that may be for {platform}"
            );
            return Err(Finding::new(Reason::LimitExceeded, message));
        }
        chosen.push(Chosen {
            digest: entry.digest.clone(),
            platform: match (entry.os.as_str(), entry.architecture.as_str()) {
                ("", "") => "no platform".to_owned(),
                (os, architecture) => quoted(&format!("{os}/{architecture}")),
            },
        });
    }
    if chosen.is_empty() {
        let message = format!("the index has no manifest for {platform}");
        return Err(Finding::new(Reason::NoSignature, message));
    }
    Ok(chosen)
}

/// One descriptor of an index. Texts that are not there are empty, as Go reads them.
struct Entry {
    digest: Digest,
    is_manifest: bool,
    os: String,
    architecture: String,
}

enum IndexError {
    TooMany,
    Malformed(String),
}

impl From<serde_json::Error> for IndexError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn entries(index: &[u8]) -> Result<Vec<Entry>, IndexError> {
    let malformed = |what: &str| IndexError::Malformed(what.to_owned());
    let index: Fields = serde_json::from_slice(index)?;
    for foreign in ["config", "layers", "fslayers", "history"] {
        if index.0.contains_key(foreign) {
            return Err(malformed("it could be read as a manifest as well"));
        }
    }
    let own: Option<String> = index.get("mediatype")?;
    if own.is_some_and(|own| ![INDEX_TYPE, LIST_TYPE, ""].contains(&own.as_str())) {
        return Err(malformed("it says that it is something else"));
    }
    let List(listed) = index.get("manifests")?.unwrap_or_default();
    if listed.len() > MAX_LISTED {
        return Err(IndexError::TooMany);
    }
    listed.iter().map(entry).collect()
}

fn entry(descriptor: &Fields) -> Result<Entry, IndexError> {
    let text = |fields: &Fields, name| -> Result<String, IndexError> {
        Ok(fields
            .get::<Option<String>>(name)?
            .flatten()
            .unwrap_or_default())
    };
    let digest = Digest::parse(&text(descriptor, "digest")?)
        .map_err(|error| IndexError::Malformed(format!("the digest of a manifest: {error}")))?;
    let platform = descriptor.get::<Option<Fields>>("platform")?.flatten();
    let platform = platform.unwrap_or_default();
    Ok(Entry {
        digest,
        is_manifest: MANIFEST_TYPES.contains(&text(descriptor, "mediatype")?.as_str()),
        os: text(&platform, "os")?,
        architecture: text(&platform, "architecture")?,
    })
}

/// An object's fields by name in lower case, as Go finds them, each there once.
#[derive(Debug, Default)]
struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        let value = self.0.get(name);
        value
            .map(|value| serde_json::from_str(value.get()))
            .transpose()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strict;
        impl<'de> Visitor<'de> for Strict {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                use serde::de::Error as _;
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    // Go takes U+017F for an s, and U+212A for a k.
                    if !name.is_ascii() {
                        return Err(A::Error::custom("a field's name is not ASCII"));
                    }
                    if fields.len() == MAX_FIELDS {
                        return Err(A::Error::custom("an object has too many fields"));
                    }
                    let known = fields.insert(name.to_ascii_lowercase(), map.next_value()?);
                    if known.is_some() {
                        let name = quoted(&name);
                        return Err(A::Error::custom(format!("it has the field {name} twice")));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Strict)
    }
}

/// A list, of which one more than [`MAX_LISTED`] is kept at the most.
#[derive(Default)]
struct List(Vec<Fields>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Few;
        impl<'de> Visitor<'de> for Few {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of descriptors")
            }

            fn visit_unit<E>(self) -> Result<List, E> {
                Ok(List::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
                let mut kept = Vec::new();
                while let Some(fields) = list.next_element()? {
                    if kept.len() <= MAX_LISTED {
                        kept.push(fields);
                    }
                }
                Ok(List(kept))
            }
        }
        deserializer.deserialize_any(Few)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
