//! registries.d: where CRI-O looks signatures up.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::files::{Diagnostic, File};
use crate::model::Policy;
use crate::problem::Reason;
use crate::scope::Scope;

/// Our file in registries.d, relative to the node's root.
pub const REGISTRIES_D_FILE: &str = "etc/containers/registries.d/nodeseal.yaml";

/// The locations of all scopes that demand signatures, except those that another file has.
pub(crate) fn of<'a>(
    policies: impl Iterator<Item = &'a Policy>,
    taken: &BTreeSet<String>,
) -> (BTreeSet<String>, Vec<Diagnostic>) {
    let (mut locations, mut diagnostics) = (BTreeSet::new(), Vec::new());
    for policy in policies {
        let scopes = policy
            .scopes()
            .iter()
            .flat_map(|scope| [Some(scope.clone()), scope.twin()]);
        for scope in scopes.flatten() {
            if taken.contains(scope.as_str()) {
                let message = taken_by_another(&scope);
                diagnostics.push(Diagnostic::of(policy.id(), Reason::ForeignOwner, message));
            } else {
                locations.insert(scope.to_string());
            }
        }
    }
    (locations, diagnostics)
}

fn taken_by_another(scope: &Scope) -> String {
    format!(
        "another file in registries.d already configures `{scope}`, and a location that stands twice makes every pull fail: set `use-sigstore-attachments: true` there, or remove it"
    )
}

/// registries.d/nodeseal.yaml, or nothing where no location is needed. JSON strings are YAML.
#[must_use]
pub fn registries_d(locations: &BTreeSet<String>) -> Option<File> {
    if locations.is_empty() {
        return None;
    }
    let mut text = String::from(
        "# Written by nodeseal: where signatures are looked up in the registry.\ndocker:\n",
    );
    for location in locations {
        let name = serde_json::Value::from(location.as_str());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name}:\n    use-sigstore-attachments: true");
    }
    Some(File {
        bytes: text.into_bytes(),
        mode: 0o644,
    })
}
