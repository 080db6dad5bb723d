//! Which object a document is.

use std::fmt;

use super::catalog::{Kind, kinds, pattern};
use super::report::Report;
use super::text::{closest, listed, quoted};
use crate::manifest::{Document, Node, Value};
use crate::problem::{Layer, Severity};
use crate::types::patterns;
use crate::{API_VERSION, GROUP};

/// The namespace of objects that name none, as kubectl has it by default.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectName {
    /// The kind.
    pub(crate) kind: String,
    /// The namespace, for kinds that live in one.
    pub(crate) namespace: Option<String>,
    /// The name; empty where the document has none that may be shown.
    pub(crate) name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        let name = if name.is_empty() { "(no name)" } else { name };
        match namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{name}"),
            None => write!(f, "{kind}/{name}"),
        }
    }
}

/// What a document is to this program. Whatever is wrong with it so far is in the report.
pub(crate) enum Subject {
    /// An object of a kind that the validator knows.
    Ours(&'static Kind, ObjectName),
    /// A ConfigMap or Secret, which may hold keys.
    Keys(ObjectName),
    /// Something of this group that cannot be looked at further, such as another version.
    Refused(ObjectName),
    /// Broken beyond recognition: it may have been anything.
    Unclear,
    /// Nothing that concerns us.
    Other,
}

fn text<'a>(document: &'a Document, field: &str) -> Option<&'a str> {
    document.root.get(field).and_then(Node::as_str)
}

/// The object's name as far as the document has one. Names that are no names are not shown.
fn name(document: &Document, kind: &str, namespaced: bool) -> ObjectName {
    let shown = |field: &str| {
        let text = document.root.get("metadata")?.get(field)?.as_str()?;
        let good = pattern(patterns::SUBDOMAIN).is_some_and(|good| good.regex.is_match(text));
        (good && text.len() <= 253).then(|| text.to_owned())
    };
    ObjectName {
        kind: kind.to_owned(),
        namespace: namespaced
            .then(|| shown("namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())),
        name: shown("name").unwrap_or_default(),
    }
}

/// Decides what a document is.
pub(crate) fn subject(report: &mut Report<'_>, document: &Document) -> Subject {
    if !matches!(document.root.value, Value::Map(_)) {
        let message = "a Kubernetes object is a map with apiVersion, kind and metadata: this is something else";
        report.add(Layer::Schema, Severity::Error, "", "InvalidType", message);
        return Subject::Unclear;
    }
    let (version, kind) = (text(document, "apiVersion"), text(document, "kind"));
    let Some(kind) = kind else {
        return without_kind(report, version);
    };
    let ours = kinds().iter().find(|known| known.name == kind);
    if version == Some("v1") && matches!(kind, "ConfigMap" | "Secret") {
        return Subject::Keys(name(document, kind, true));
    }
    match (version, ours) {
        (Some(API_VERSION), Some(ours)) => {
            Subject::Ours(ours, name(document, kind, ours.namespaced))
        }
        (Some(API_VERSION), None) => unknown_kind(report, document, kind),
        (version, ours) => other_version(report, document, kind, version, ours),
    }
}

fn without_kind(report: &mut Report<'_>, version: Option<&str>) -> Subject {
    if version.is_some_and(|version| version.starts_with(GROUP)) {
        let known = listed(kinds().iter().map(|kind| kind.name.as_str()));
        let message = format!("required and missing: add `kind`, one of {known}");
        report.add(Layer::Schema, Severity::Error, "kind", "Required", message);
        Subject::Unclear
    } else {
        ignored(report, "no kind")
    }
}

/// Another version of the group, another group, or none.
fn other_version(
    report: &mut Report<'_>,
    document: &Document,
    kind: &str,
    version: Option<&str>,
    ours: Option<&Kind>,
) -> Subject {
    let (group, written) = match version {
        Some(version) => (
            version.split_once('/').map_or("", |(group, _)| group),
            quoted(version),
        ),
        None => ("", "no apiVersion".to_owned()),
    };
    let similar = closest(group, [GROUP]).is_some() || group.contains("nodeseal");
    let (severity, reason, message) = match (version, ours) {
        (None, Some(_)) => (
            Severity::Error,
            "Required",
            format!("required and missing: add `apiVersion: {API_VERSION}`"),
        ),
        (Some(_), _) if group == GROUP => (
            Severity::Error,
            "UnknownKind",
            format!("{written} is not served: write `{API_VERSION}`"),
        ),
        (Some(_), _) if similar => (
            Severity::Error,
            "UnknownKind",
            format!("{written} is not the group of this kind: write `{API_VERSION}`"),
        ),
        (Some(_), Some(_)) => (
            Severity::Warning,
            "UnknownKind",
            format!(
                "ignored, {written} is another group: write `{API_VERSION}` if the kind of nodeseal is meant"
            ),
        ),
        _ => return ignored(report, &format!("{} of {written}", quoted(kind))),
    };
    report.add(Layer::Schema, severity, "apiVersion", reason, message);
    match ours {
        _ if severity != Severity::Error => Subject::Other,
        Some(ours) => Subject::Refused(name(document, kind, ours.namespaced)),
        None => Subject::Unclear,
    }
}

/// A kind of this group and version that users do not write, or not yet, or that does not exist.
fn unknown_kind(report: &mut Report<'_>, document: &Document, kind: &str) -> Subject {
    match kind {
        "TrustRoot" => {
            let message = "TrustRoot is not supported by this version yet: use `key` authorities, and remove it";
            report.add(
                Layer::Schema,
                Severity::Error,
                "kind",
                "NotExpressible",
                message,
            );
            Subject::Refused(name(document, kind, false))
        }
        "PolicyBundle" | "NodeImagePolicy" => {
            let message = format!("{kind} is written by the operator, never by hand: ignored");
            report.add(
                Layer::Schema,
                Severity::Warning,
                "kind",
                "UnknownKind",
                message,
            );
            Subject::Other
        }
        _ => {
            let known = || kinds().iter().map(|kind| kind.name.as_str());
            let close = closest(kind, known());
            let advice = match close {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("write one of {}", listed(known())),
            };
            let message = format!("{} is no kind of {GROUP}: {advice}", quoted(kind));
            report.add(
                Layer::Schema,
                Severity::Error,
                "kind",
                "UnknownKind",
                message,
            );
            let meant = kinds()
                .iter()
                .find(|kind| Some(kind.name.as_str()) == close);
            meant.map_or(Subject::Unclear, |kind| {
                Subject::Refused(name(document, &kind.name, kind.namespaced))
            })
        }
    }
}

fn ignored(report: &mut Report<'_>, what: &str) -> Subject {
    let message = format!("ignored, it is no object of {GROUP}: {what}");
    report.add(Layer::Schema, Severity::Note, "", "Ignored", message);
    Subject::Other
}
