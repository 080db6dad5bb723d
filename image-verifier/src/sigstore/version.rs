//! Why the library cannot read a bundle: for its version or kind of log entry, or for anything else. Only
//! the words that say so are kept of it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::json;
use sigstore_verify::types::{KindVersion, MediaType};

use super::VerifyError;
use crate::reason::quoted;

/// What a bundle is that the library cannot read, if that is for its version or kind of log entry.
pub(super) fn unsupported(text: &str) -> Option<VerifyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        media_type: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        verification_material: Material,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Material {
        tlog_entries: UnknownKind,
    }
    // Another version may have another form.
    let version: Option<Version> = serde_json::from_str(text).ok();
    if let Some(Version { media_type }) = version
        && media_type.parse::<MediaType>().is_err()
    {
        let message = format!("bundles of type {}", quoted(&media_type));
        return Some(VerifyError::Unsupported(message));
    }
    let probe: Probe = serde_json::from_str(text).ok()?;
    let unknown = quoted(&probe.verification_material.tlog_entries.0?);
    let message = format!("log entries of kind {unknown}");
    Some(VerifyError::Unsupported(message))
}

/// The first kind of log entry that is not known; nothing else of the entries is kept.
struct UnknownKind(Option<String>);

impl<'de> Deserialize<'de> for UnknownKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            kind_version: Kind,
        }
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
            version: String,
        }
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = UnknownKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("log entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<UnknownKind, A::Error> {
                let mut unknown = None;
                while let Some(Entry { kind_version }) = entries.next_element()? {
                    let Kind { kind, version } = kind_version;
                    let known: Result<KindVersion, _> =
                        serde_json::from_value(json!({"kind": kind, "version": version}));
                    if known.is_err() && unknown.is_none() {
                        unknown = Some(format!("{kind} {version}"));
                    }
                }
                Ok(UnknownKind(unknown))
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}
