//! Texts that are parsed: written out, or in a ConfigMap or Secret.

use std::fmt;

use policy::model::PolicyId;
use policy::problem::Reason;
use policy::trust::MAX_BYTES;

use super::{Holder, KeyReference, Keys, Place, Report, Unavailable};
use crate::types::KeyRef;
use crate::validate::{quoted, some_of};

/// For a private key that stands where it was not even read as a key.
pub(crate) const PRIVATE_KEY: &str = "a PRIVATE key stands here. Remove it, treat it as leaked, and give the public key (`cosign public-key --key …` or `openssl pkey -pubout`)";
/// The same where a certificate is expected.
pub(super) const PRIVATE_KEY_FOR_CERTIFICATE: &str = "a PRIVATE key stands here. Remove it, treat it as leaked, and give the authority's certificate";

/// How many keys of a ConfigMap or Secret a message names.
const MOST_KNOWN: usize = 10;

/// A text, and how messages point at it and into it.
pub(super) struct Text {
    pub(super) value: String,
    pub(super) place: Place,
    /// Empty, or the object that holds it, as in `ConfigMap a/b, key `c`: `.
    pub(super) holder: String,
}

impl Text {
    /// The text of `field` of the object itself.
    pub(super) fn own(keys: &impl Keys, text: &str, field: &str) -> Self {
        Self {
            value: text.to_owned(),
            place: keys.place_of_field(field),
            holder: String::new(),
        }
    }

    /// Reads PEM. An error comes with words to put in front: its lines are those of the file where
    /// that is known, and those of the value otherwise.
    pub(super) fn parse_pem<T, E>(
        &self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, (String, E)> {
        let error = match parse(&self.value) {
            Ok(parsed) => return Ok(parsed),
            Err(error) => error,
        };
        // Blank lines are nothing to PEM: they only move the count.
        let padded = self
            .place
            .lines_before
            .filter(|lines| lines + self.value.len() <= MAX_BYTES)
            .map(|lines| format!("{}{}", "\n".repeat(lines), self.value));
        let holder = &self.holder;
        Err(match padded.and_then(|padded| parse(&padded).err()) {
            Some(error) => (holder.clone(), error),
            None => (format!("{holder}inside the value, "), error),
        })
    }

    /// Whether a private key stands in it, whatever else is wrong with it.
    pub(super) fn has_private_key(&self) -> bool {
        has_private_key(&self.value)
    }
}

/// The reference with its namespace, which a policy in a namespace may not choose.
pub(super) fn reference(
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

/// The text that a reference leads to. Nothing where the report says why there is none, with
/// `not_text` for a value that is no text.
pub(super) fn referenced<K: Keys>(
    report: &mut Report,
    keys: &K,
    reference: &KeyReference,
    field: &str,
    not_text: Reason,
) -> Option<Text> {
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
        Ok(value) => {
            let holder = format!("{object}, key {key}: ");
            return Some(Text {
                value,
                place,
                holder,
            });
        }
        Err(Unavailable::NoObject) => {
            let message = format!(
                "there is no {holder} {namespace}/{name}{}: add it, or correct the reference",
                K::WHERE
            );
            (field.to_owned(), Reason::NotFound, message)
        }
        Err(Unavailable::NoKey { known }) => {
            // Of a Secret nobody is told what else is in it.
            let known = match known.as_slice() {
                [] => String::new(),
                known => format!(", it has {}", some_of(known, MOST_KNOWN)),
            };
            let message =
                format!("{object} has no key {key}{known}: add it, or correct the reference");
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
            (field.to_owned(), not_text, message)
        }
    };
    report.add(field, reason, message);
    None
}

pub(crate) fn has_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

/// What is wrong with a PEM text. That a private key stands in it goes before everything else.
pub(super) fn pem_problem(
    text: &Text,
    (before, error): (String, impl fmt::Display),
    is_private_key: bool,
    reason: Reason,
    private_key: &str,
) -> (Reason, String) {
    if is_private_key {
        return (Reason::InvalidKey, format!("{before}{error}"));
    }
    if text.has_private_key() {
        return (Reason::InvalidKey, format!("{}{private_key}", text.holder));
    }
    let mut error = error.to_string();
    if !error.contains(": ") {
        error.push_str(if reason == Reason::InvalidKey {
            ": give public keys only"
        } else {
            ": give certificates only"
        });
    }
    (reason, format!("{before}{error}"))
}
