//! The keys of an authority: written out, or in a ConfigMap or Secret beside the policy.

use policy::key::{KeyError, PublicKey};
use policy::problem::Reason;

use super::program::Input;
use super::report::Report;
use super::structural::join;
use super::text::listed;
use crate::keys::{Entry, Holder, lines_before};
use crate::manifest::{Node, Value};
use crate::problem::{Layer, Severity};
use crate::types::{Authority, KeyRef, KeySource};

/// For a private key that stands where it was not even read as a key.
const PRIVATE_KEY: &str = "a PRIVATE key stands here. Remove it, treat it as leaked, and give the public key (`cosign public-key --key …` or `openssl pkey -pubout`)";

/// The authority's keys as PEM, and the field that they come from.
pub(super) fn authority_keys(
    report: &mut Report<'_>,
    input: &Input<'_>,
    authority: &Authority,
    field: &str,
) -> Option<(String, String)> {
    let mut not_yet = |name: &str, advice: &str| {
        let message = format!("{name} is not supported by this version yet: {advice}");
        let reason = Reason::NotExpressible.as_str();
        report.error(Layer::Program, &format!("{field}.{name}"), reason, message);
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
    let key = authority.key.as_ref()?;
    let field = format!("{field}.key");
    match key {
        KeySource {
            data: Some(data),
            config_map_key_ref: None,
            secret_key_ref: None,
        } => {
            let field = format!("{field}.data");
            let root = &input.document.root;
            let lines_before = root
                .find(&field)
                .and_then(|node| lines_before(root.locate(&field), node));
            let entry = Entry {
                text: data.clone(),
                lines_before,
            };
            checked(report, &entry, &field, "").map(|key| (field, key))
        }
        KeySource {
            data: None,
            config_map_key_ref: Some(key_ref),
            secret_key_ref: None,
        } => referenced(
            report,
            input,
            "ConfigMap",
            key_ref,
            format!("{field}.configMapKeyRef"),
        ),
        KeySource {
            data: None,
            config_map_key_ref: None,
            secret_key_ref: Some(key_ref),
        } => referenced(
            report,
            input,
            "Secret",
            key_ref,
            format!("{field}.secretKeyRef"),
        ),
        // None or several sources: the rules of the schema have said so.
        _ => None,
    }
}

fn referenced(
    report: &mut Report<'_>,
    input: &Input<'_>,
    kind: &'static str,
    key_ref: &KeyRef,
    field: String,
) -> Option<(String, String)> {
    let KeyRef {
        name,
        key,
        namespace,
    } = key_ref;
    // Without a namespace in the cluster kind, or with one in the other: the rules said so.
    let namespace = match (input.id.namespace(), namespace) {
        (Some(own), None) => own,
        (None, Some(named)) => named.as_str(),
        _ => return None,
    };
    let not_found = Reason::NotFound.as_str();
    let Some(Holder { file, entries }) = input.keys.get(kind, namespace, name) else {
        let message = format!(
            "there is no {kind} {namespace}/{name} in these files: add it, or correct the reference"
        );
        report.error(Layer::Program, &field, not_found, message);
        return None;
    };
    match entries.get(key) {
        None => {
            let known = listed(entries.keys().map(String::as_str));
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known
            };
            let message =
                format!("{kind} {namespace}/{name} ({file}) has no key `{key}`: it has {known}");
            report.error(Layer::Program, &format!("{field}.key"), not_found, message);
            None
        }
        Some(Err(error)) => {
            let message = format!("{kind} {namespace}/{name} ({file}), key `{key}`: {error}");
            report.error(Layer::Program, &field, Reason::InvalidKey.as_str(), message);
            None
        }
        Some(Ok(entry)) => {
            let place = format!("{kind} {namespace}/{name} ({file}), key `{key}`: ");
            checked(report, entry, &field, &place).map(|key| (field, key))
        }
    }
}

/// Parses the keys, so that messages name lines of the file, which the policy's own check cannot.
fn checked(report: &mut Report<'_>, entry: &Entry, field: &str, place: &str) -> Option<String> {
    // Blank lines are nothing to PEM: they only move the count.
    let lines = entry
        .lines_before
        .and_then(|lines| usize::try_from(lines).ok());
    let inside = if lines.is_some() {
        ""
    } else {
        "inside the value, "
    };
    let lines = lines.unwrap_or_default();
    let padded = format!("{}{}", "\n".repeat(lines), entry.text);
    match PublicKey::parse_pem(&padded) {
        Ok(_) => Some(entry.text.clone()),
        Err(error) => {
            let message = match error {
                KeyError::PrivateKey { .. } => format!("{place}{inside}{error}"),
                _ if has_private_key(&entry.text) => format!("{place}{PRIVATE_KEY}"),
                _ => format!("{place}{inside}{error}"),
            };
            report.error(Layer::Program, field, Reason::InvalidKey.as_str(), message);
            None
        }
    }
}

/// Reports every private key in an object, wherever it stands, unless that is said already.
pub(crate) fn refuse_private_keys(report: &mut Report<'_>, node: &Node, field: &str) {
    match &node.value {
        Value::String(text) if has_private_key(text) && !report.has(field, "InvalidKey") => {
            let reason = Reason::InvalidKey.as_str();
            report.add(Layer::Program, Severity::Error, field, reason, PRIVATE_KEY);
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse_private_keys(report, item, &format!("{field}[{index}]"));
            }
        }
        Value::Map(entries) => {
            for (key, node) in entries {
                refuse_private_keys(report, node, &join(field, &key.text));
            }
        }
        _ => {}
    }
}

fn has_private_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}
