//! The keys of an authority: written out, or in a ConfigMap or Secret.

use std::fmt;

use policy::key::{KeyError, PublicKey};
use policy::model::PolicyId;
use policy::problem::Reason;

use super::Report;
use crate::types::{Authority, KeyRef, KeySource};
use crate::validate::{quoted, some_of};

/// For a private key that stands where it was not even read as a key.
pub(crate) const PRIVATE_KEY: &str = "a PRIVATE key stands here. Remove it, treat it as leaked, and give the public key (`cosign public-key --key …` or `openssl pkey -pubout`)";

/// How many keys of a ConfigMap or Secret a message names.
const MOST_KNOWN: usize = 10;

/// What holds keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The place for public keys.
    ConfigMap,
    /// Read only where its namespace allows that.
    Secret,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// One key of a ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyReference {
    /// Which of the two.
    pub holder: Holder,
    /// Its namespace: the policy's own for a namespaced policy.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key inside its data.
    pub key: String,
}

/// Why a reference gives no text. What may be otherwise a moment later, such as an API server that
/// does not answer, is no case of this: then the policy is not converted at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no such object.
    NoObject,
    /// The object has no such key.
    NoKey {
        /// The keys that it has.
        known: Vec<String>,
    },
    /// The object may not be read.
    NotPermitted,
    /// Its value is no text, and why: `its value is …`.
    NotText(String),
}

/// Where a text stands, for messages; a reader of files knows more than others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Option<String>,
    /// How many lines of the file stand before the text; nothing where its lines are not those of
    /// a file.
    pub lines_before: Option<usize>,
}

/// Finds the keys that policies refer to.
pub trait Keys {
    /// Where it looks, as messages say it: empty, or with a space in front.
    const WHERE: &'static str = "";

    /// The text that the reference leads to.
    fn get(&self, reference: &KeyReference) -> Result<String, Unavailable>;

    /// Where the text of a reference stands.
    fn place(&self, _reference: &KeyReference) -> Place {
        Place::default()
    }

    /// Where the text of `field` of the policy itself stands.
    fn place_of_field(&self, _field: &str) -> Place {
        Place::default()
    }
}

/// The authority's keys as PEM, and the field that they come from. Nothing where the report says
/// why there are none.
pub(super) fn authority_keys(
    report: &mut Report,
    keys: &impl Keys,
    id: &PolicyId,
    authority: &Authority,
    field: &str,
) -> Option<(String, String)> {
    let mut not_yet = |name: &str, advice: &str| {
        let message = format!("{name} is not supported by this version yet: {advice}");
        report.add(format!("{field}.{name}"), Reason::NotExpressible, message);
    };
    if authority.transparency_log.is_some() {
        not_yet(
            "transparencyLog",
            "remove it, the signature alone is verified then",
        );
    }
    if authority.keyless.is_some() {
        not_yet("keyless", "use a key");
    }
    if authority.certificate.is_some() {
        not_yet("certificate", "use a key");
    }
    let Some(key) = &authority.key else {
        if authority.keyless.is_none() && authority.certificate.is_none() {
            let message = "an authority has exactly one of key, keyless and certificate: add one";
            report.add(field, Reason::Invalid, message);
        }
        return None;
    };
    let field = format!("{field}.key");
    let (holder, key_ref, name) = match key {
        KeySource {
            data: Some(data),
            config_map_key_ref: None,
            secret_key_ref: None,
        } => {
            let field = format!("{field}.data");
            let place = keys.place_of_field(&field);
            return checked(report, data, &place, &field, "").then(|| (field, data.clone()));
        }
        KeySource {
            data: None,
            config_map_key_ref: Some(key_ref),
            secret_key_ref: None,
        } => (Holder::ConfigMap, key_ref, "configMapKeyRef"),
        KeySource {
            data: None,
            config_map_key_ref: None,
            secret_key_ref: Some(key_ref),
        } => (Holder::Secret, key_ref, "secretKeyRef"),
        _ => {
            let message = "a key has exactly one of data, configMapKeyRef and secretKeyRef: add one, or remove the others";
            report.add(field, Reason::Invalid, message);
            return None;
        }
    };
    let field = format!("{field}.{name}");
    let reference = reference(report, id, holder, key_ref, &field)?;
    referenced(report, keys, &reference, &field).map(|key| (field, key))
}

/// The reference with its namespace, which a policy in a namespace may not choose.
fn reference(
    report: &mut Report,
    id: &PolicyId,
    holder: Holder,
    key_ref: &KeyRef,
    field: &str,
) -> Option<KeyReference> {
    let namespace = match (id.namespace(), &key_ref.namespace) {
        (Some(own), None) => own,
        (None, Some(named)) => named.as_str(),
        (Some(_), Some(_)) => {
            let message =
                "an ImageSignaturePolicy reads keys of its own namespace only: remove namespace";
            report.add(field, Reason::NotPermitted, message);
            return None;
        }
        (None, None) => {
            let message =
                "a ClusterImageSignaturePolicy has no namespace to look in: add namespace";
            report.add(field, Reason::Invalid, message);
            return None;
        }
    };
    Some(KeyReference {
        holder,
        namespace: namespace.to_owned(),
        name: key_ref.name.clone(),
        key: key_ref.key.clone(),
    })
}

fn referenced<K: Keys>(
    report: &mut Report,
    keys: &K,
    reference: &KeyReference,
    field: &str,
) -> Option<String> {
    let KeyReference {
        holder,
        namespace,
        name,
        key,
    } = reference;
    let place = keys.place(reference);
    let file = place.file.as_ref().map(|file| format!(" ({file})"));
    let object = format!("{holder} {namespace}/{name}{}", file.unwrap_or_default());
    let key = quoted(key);
    let (field, reason, message) = match keys.get(reference) {
        Ok(text) => {
            let what = format!("{object}, key {key}: ");
            return checked(report, &text, &place, field, &what).then_some(text);
        }
        Err(Unavailable::NoObject) => {
            let message = format!(
                "there is no {holder} {namespace}/{name}{}: add it, or correct the reference",
                K::WHERE
            );
            (field.to_owned(), Reason::NotFound, message)
        }
        Err(Unavailable::NoKey { known }) => {
            let known = some_of(&known, MOST_KNOWN);
            let message = format!("{object} has no key {key}: it has {known}");
            (format!("{field}.key"), Reason::NotFound, message)
        }
        Err(Unavailable::NotPermitted) => {
            let message = format!(
                "{object} may not be read: allow it with a RoleBinding to the ClusterRole nodeseal-key-reader in namespace {namespace}, or put the public key into a ConfigMap"
            );
            (field.to_owned(), Reason::NotPermitted, message)
        }
        Err(Unavailable::NotText(why)) => {
            let message = format!("{object}, key {key}: {why}");
            (field.to_owned(), Reason::InvalidKey, message)
        }
    };
    report.add(field, reason, message);
    None
}

/// Parses the keys, so that messages name lines of the file, which the policy's own check cannot.
fn checked(report: &mut Report, text: &str, place: &Place, field: &str, what: &str) -> bool {
    // Blank lines are nothing to PEM: they only move the count.
    let (inside, lines) = match place.lines_before {
        Some(lines) => ("", lines),
        None => ("inside the value, ", 0),
    };
    let padded = format!("{}{text}", "\n".repeat(lines));
    let Err(error) = PublicKey::parse_pem(&padded) else {
        return true;
    };
    let message = match error {
        KeyError::PrivateKey { .. } => format!("{what}{inside}{error}"),
        _ if has_private_key(text) => format!("{what}{PRIVATE_KEY}"),
        _ => format!("{what}{inside}{error}"),
    };
    report.add(field, Reason::InvalidKey, message);
    false
}

pub(crate) fn has_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}
