//! registries.d: where CRI-O looks signatures up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::crio::registries_conf::{Endpoints, Registry};
use crate::crio::registries_d::{Taken, is_within};
use crate::files::{Diagnostic, File};
use crate::model::{Policy, PolicyId};
use crate::problem::Reason;
use crate::scope::{Scope, lookup_of};

/// Our file in registries.d, relative to the node's root.
pub const REGISTRIES_D_FILE: &str = "etc/containers/registries.d/nodeseal.yaml";

/// Which policies need signatures to be looked up, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs(Vec<Need>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    policy: PolicyId,
    exclude: BTreeSet<Scope>,
    /// With the scope that images have by their names where this is the place of a mirror.
    locations: BTreeMap<String, Option<String>>,
}

impl Needs {
    /// The locations of all scopes of policies that demand signatures, and their twins.
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let need = |policy: &Policy| {
            let scopes = policy.scopes().iter();
            let scopes = scopes.flat_map(|scope| [Some(scope.clone()), scope.twin()]);
            Need {
                policy: policy.id().clone(),
                exclude: policy.exclude().clone(),
                locations: scopes.flatten().map(|s| (s.to_string(), None)).collect(),
            }
        };
        Self(policies.map(need).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With the places that the images of these scopes are pulled from.
    pub(crate) fn add_mirrors(&mut self, registries: &[Registry]) {
        let index = Endpoints::new(registries);
        for Need { locations, .. } in &mut self.0 {
            let found: Vec<(String, String)> = locations
                .iter()
                .filter(|(_, mirror_of)| mirror_of.is_none())
                .flat_map(|(name, _)| index.of(name).into_iter().map(|at| (at, name.clone())))
                .collect();
            for (place, name) in found {
                locations.entry(place).or_insert(Some(name));
            }
        }
    }

    /// What our file has to say, and what files of others keep it from saying.
    pub(crate) fn settle(&self, taken: &Taken) -> (BTreeSet<String>, Vec<Diagnostic>) {
        let all = self.0.iter().flat_map(|need| need.locations.keys());
        let ours: BTreeSet<String> = all.filter(|name| !taken.has(name)).cloned().collect();
        let refusing: Vec<(&str, Vec<String>)> = taken
            .refusing()
            .map(|location| (location, lookup_of(location)))
            .collect();
        let mut diagnostics = Vec::new();
        for need in &self.0 {
            let mut tell = |message| {
                diagnostics.push(Diagnostic::of(&need.policy, Reason::ForeignOwner, message));
            };
            for (location, mirror_of) in &need.locations {
                if let Some(file) = taken.file(location)
                    && !taken.looks(location, &ours)
                {
                    tell(taken_by_another(file, location, mirror_of.as_deref()));
                }
            }
            for (location, lookup) in &refusing {
                let wider = lookup
                    .iter()
                    .skip(1)
                    .find(|name| need.locations.contains_key(*name));
                if let Some(wider) = wider
                    && !need.locations.contains_key(*location)
                    && !is_within(location, &need.exclude)
                {
                    let file = taken.file(location).unwrap_or_default();
                    tell(refused_within(file, location, wider));
                }
            }
        }
        (ours, diagnostics)
    }
}

/// How a file is called that may have no name.
fn called(file: &str) -> String {
    match file {
        "" => "another file in registries.d".to_owned(),
        name => format!("{name}, which is not nodeseal's,"),
    }
}

fn taken_by_another(file: &str, location: &str, mirror_of: Option<&str>) -> String {
    let why = mirror_of.map_or_else(String::new, |name| {
        format!(" (where images of `{name}` are pulled from)")
    });
    format!(
        "{} already configures `{location}`{why}, and a location that stands twice makes every pull fail: set `use-sigstore-attachments: true` there, or remove it",
        called(file)
    )
}

fn refused_within(file: &str, location: &str, wider: &str) -> String {
    format!(
        "{} switches signatures off for `{location}`, inside `{wider}`, so what this policy covers there is refused: set `use-sigstore-attachments: true` there, or remove it",
        called(file)
    )
}

/// registries.d/nodeseal.yaml, or nothing where no location is needed.
#[must_use]
pub fn registries_d(locations: &BTreeSet<String>) -> Option<File> {
    if locations.is_empty() {
        return None;
    }
    let mut text = String::from(
        "# Written by nodeseal: where signatures are looked up in the registry.\ndocker:\n",
    );
    for location in locations {
        let name = quoted(location);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name}:\n    use-sigstore-attachments: true");
    }
    Some(File {
        bytes: text.into_bytes(),
        mode: 0o644,
    })
}

/// In YAML's double quotes. The place of a mirror is whatever the node's registries.conf says.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            // Writing to a String cannot fail.
            _ => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "locations_tests.rs"]
mod tests;
