//! Which object a document is.

use std::fmt;

use super::catalog::{Kind, kinds, pattern};
use super::report::Report;
use super::text::{closest, listed, may_be_shown, quoted};
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
    /// The name; empty where the document has none, or no valid one: such an object is no other's
    /// double, and no policy was ever in force under what it calls itself.
    pub(crate) name: String,
    /// What messages call it.
    shown: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            shown,
            ..
        } = self;
        match namespace {
            Some(namespace) => write!(f, "{kind}/{namespace}/{shown}"),
            None => write!(f, "{kind}/{shown}"),
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
    let text = document.root.get(field).and_then(Node::as_str);
    text.filter(|text| !text.is_empty())
}

/// The object's name as far as the document has one.
fn name(document: &Document, kind: &str, namespaced: bool) -> ObjectName {
    let metadata = document.root.get("metadata");
    let field = |field: &str| {
        let node = metadata?.get(field)?;
        (node.value != Value::Null).then_some(node)
    };
    let own = field("name");
    let namespace = field("namespace").filter(|_| namespaced);
    let name = own.and_then(|node| valid(node, patterns::SUBDOMAIN, 253));
    let usable =
        name.filter(|_| namespace.is_none_or(|node| valid(node, patterns::LABEL, 63).is_some()));
    ObjectName {
        kind: kind.to_owned(),
        namespace: namespaced
            .then(|| namespace.map_or_else(|| DEFAULT_NAMESPACE.to_owned(), shown)),
        name: usable.unwrap_or_default().to_owned(),
        shown: match name {
            Some(name) => name.to_owned(),
            None => own.map_or_else(|| "(no name)".to_owned(), shown),
        },
    }
}

/// The text, if it is one of at most so many bytes that the expression matches.
fn valid<'a>(node: &'a Node, expression: &str, most: usize) -> Option<&'a str> {
    let good = pattern(expression)?;
    let text = node.as_str()?;
    (text.len() <= most && good.regex.is_match(text)).then_some(text)
}

/// A name that may be no valid one. A slash would make it look like a namespace and a name.
fn shown(node: &Node) -> String {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != '/');
    match &node.value {
        Value::String(text) if text.is_empty() => "(no name)".to_owned(),
        Value::String(text) if may_be_shown(text) && plain(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "(no valid name)".to_owned(),
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
        return without_kind(report, document, version);
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
        (Some(version), ours) if is_of_others(version) => {
            of_others(report, kind, version, ours.is_some())
        }
        (version, ours) => wrong_version(report, document, kind, version, ours),
    }
}

/// The kinds to suggest.
fn written_by_users() -> impl Iterator<Item = &'static str> {
    let kinds = kinds().iter().filter(|kind| kind.written_by_users);
    kinds.map(|kind| kind.name.as_str())
}

/// Whether the group of an `apiVersion` is ours, or looks like ours misspelt.
fn is_like_ours(version: &str) -> bool {
    let group = version.split_once('/').map_or(version, |(group, _)| group);
    closest(group, [GROUP]).is_some() || group.to_lowercase().contains("nodeseal")
}

/// Whether an `apiVersion` names the group of somebody else.
fn is_of_others(version: &str) -> bool {
    version.contains('/') && !is_like_ours(version)
}

/// Whether a document says nothing at all about its version.
fn is_absent(document: &Document) -> bool {
    let written = document.root.get("apiVersion");
    written.is_none_or(|node| node.value == Value::Null || node.as_str() == Some(""))
}

/// Whether a document has what makes up a policy.
fn is_like_a_policy(document: &Document) -> bool {
    let places = [Some(&document.root), document.root.get("spec")];
    let has = |node: &Node, field: &str| node.get(field).is_some();
    places
        .into_iter()
        .flatten()
        .any(|node| has(node, "scopes") || has(node, "authorities"))
}

fn without_kind(report: &mut Report<'_>, document: &Document, version: Option<&str>) -> Subject {
    let has = |field: &str| document.root.get(field).is_some();
    let of_others = version.is_some_and(is_of_others);
    if version.is_some_and(is_like_ours) {
        let known = listed(written_by_users());
        let message = format!("required and missing: add `kind`, one of {known}");
        report.add(Layer::Schema, Severity::Error, "kind", "Required", message);
        Subject::Unclear
    } else if !of_others && (has("metadata") && has("spec") || is_like_a_policy(document)) {
        let message = format!(
            "this may be any object, as nothing says which: add `apiVersion` (`{API_VERSION}` for one of nodeseal) and `kind`, or remove it"
        );
        report.add(Layer::Schema, Severity::Error, "", "Required", message);
        Subject::Unclear
    } else {
        ignored(report, "no kind")
    }
}

/// An object of another group, which may have a kind of the same name.
fn of_others(report: &mut Report<'_>, kind: &str, version: &str, ours: bool) -> Subject {
    let written = quoted(version);
    if !ours {
        return ignored(report, &format!("{} of {written}", quoted(kind)));
    }
    let message = format!(
        "ignored, {written} is another group: write `{API_VERSION}` if the kind of nodeseal is meant"
    );
    let field = "apiVersion";
    report.add(
        Layer::Schema,
        Severity::Warning,
        field,
        "UnknownKind",
        message,
    );
    Subject::Other
}

/// Another version of the group, the group misspelt, or none. What may be ours is refused: passed
/// over, it would look like a policy that was removed.
fn wrong_version(
    report: &mut Report<'_>,
    document: &Document,
    kind: &str,
    version: Option<&str>,
    ours: Option<&Kind>,
) -> Subject {
    let near = || {
        let close = closest(kind, kinds().iter().map(|kind| kind.name.as_str()))?;
        kinds().iter().find(|kind| kind.name == close)
    };
    let meant = ours.or_else(near);
    let like_ours = version.is_some_and(is_like_ours);
    // A ResourceQuota of v1 has scopes, too.
    let policy = version != Some("v1") && is_like_a_policy(document);
    if meant.is_none() && !like_ours && !policy {
        let written = version.map_or_else(|| "no apiVersion".to_owned(), quoted);
        return ignored(report, &format!("{} of {written}", quoted(kind)));
    }
    let (reason, message) = match version {
        None if is_absent(document) => (
            "Required",
            format!("required and missing: add `apiVersion: {API_VERSION}`"),
        ),
        None => (
            "InvalidType",
            format!("must be a string: write `{API_VERSION}`"),
        ),
        Some(version) => {
            let group = version.split_once('/').map(|(group, _)| group);
            let what = match group {
                Some(GROUP) => "is not served",
                Some(_) => "is not the group of this kind",
                None => "names no group",
            };
            let message = format!("{} {what}: write `{API_VERSION}`", quoted(version));
            ("UnknownKind", message)
        }
    };
    let field = "apiVersion";
    report.add(Layer::Schema, Severity::Error, field, reason, message);
    meant.map_or(Subject::Unclear, |kind| {
        Subject::Refused(name(document, &kind.name, kind.namespaced))
    })
}

/// A kind that this group and version do not have.
fn unknown_kind(report: &mut Report<'_>, document: &Document, kind: &str) -> Subject {
    let known = || kinds().iter().map(|kind| kind.name.as_str());
    let close = closest(kind, known());
    let advice = match close {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("write one of {}", listed(written_by_users())),
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

fn ignored(report: &mut Report<'_>, what: &str) -> Subject {
    let message = format!("ignored, it is no object of {GROUP}: {what}");
    report.add(Layer::Schema, Severity::Note, "", "Ignored", message);
    Subject::Other
}
