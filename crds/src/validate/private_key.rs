//! Private keys, which have no place in any object.

use policy::problem::Reason;

use super::report::Report;
use super::structural::join;
use crate::convert::{PRIVATE_KEY, has_private_key};
use crate::manifest::{Node, Value};
use crate::problem::{Layer, Severity};

/// Reports every private key in an object, wherever it stands, unless that is said already.
pub(crate) fn refuse(report: &mut Report<'_>, node: &Node, field: &str) {
    match &node.value {
        Value::String(text) if has_private_key(text) && !report.has(field, "InvalidKey") => {
            let reason = Reason::InvalidKey.as_str();
            report.add(Layer::Program, Severity::Error, field, reason, PRIVATE_KEY);
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse(report, item, &format!("{field}[{index}]"));
            }
        }
        Value::Map(entries) => {
            for (key, node) in entries {
                refuse(report, node, &join(field, &key.text));
            }
        }
        _ => {}
    }
}
