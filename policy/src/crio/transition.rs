//! The order in which the files of a CRI-O node change.
//!
//! Every mix on the way allows only what the old or the new set allows: signatures are looked up
//! everywhere that either set needs them before any rule changes, a namespace gets its new file
//! before the cluster's rules change under it, and loses its file only after they have.

use std::collections::{BTreeMap, BTreeSet};

use crate::crio::render::{CrioFacts, REGISTRIES_D_FILE, Rendered, namespace_path, registries_d};
use crate::files::File;

/// One change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Put this content at the path, whole, by renaming over it.
    Write {
        /// Relative to the node's root.
        path: String,
        /// What to put there.
        file: File,
    },
    /// Put back what stood at the path before nodeseal, or remove the file if nothing did.
    Restore {
        /// Relative to the node's root.
        path: String,
    },
}

/// The steps from the old set of locations and namespace files to what was rendered.
#[must_use]
pub fn steps(
    old_locations: &BTreeSet<String>,
    old_namespaces: &BTreeSet<String>,
    new: &Rendered,
    facts: &CrioFacts,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let union: BTreeSet<String> = old_locations.union(&new.locations).cloned().collect();
    steps.extend(write_locations(&union));
    let by_path: BTreeMap<String, &File> = new
        .namespaces
        .iter()
        .map(|(namespace, file)| (namespace_path(facts, namespace), file))
        .collect();
    for (path, &file) in &by_path {
        steps.push(Step::Write {
            path: path.clone(),
            file: file.clone(),
        });
    }
    steps.push(match &new.policy {
        Some(file) => Step::Write {
            path: facts.policy_path.clone(),
            file: file.clone(),
        },
        None => Step::Restore {
            path: facts.policy_path.clone(),
        },
    });
    for namespace in old_namespaces {
        let path = namespace_path(facts, namespace);
        if !by_path.contains_key(&path) {
            steps.push(Step::Restore { path });
        }
    }
    if union != new.locations {
        let trimmed = write_locations(&new.locations);
        steps.push(trimmed.unwrap_or(Step::Restore {
            path: REGISTRIES_D_FILE.to_owned(),
        }));
    }
    steps
}

fn write_locations(locations: &BTreeSet<String>) -> Option<Step> {
    registries_d(locations).map(|file| Step::Write {
        path: REGISTRIES_D_FILE.to_owned(),
        file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Settings};
    use crate::crio::render::render;
    use crate::crio::render::tests::{facts, namespaced};
    use crate::flatten::NodeFacts;
    use crate::testing::policy;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// The steps as `verb path`.
    fn shown(steps: &[Step]) -> Vec<String> {
        let name = |step: &Step| match step {
            Step::Write { path, .. } => format!("write {path}"),
            Step::Restore { path } => format!("restore {path}"),
        };
        steps.iter().map(name).collect()
    }

    #[test]
    fn signatures_are_looked_up_before_rules_change_and_until_they_have() {
        let policies = [
            policy("p", &["new.example"], &[]),
            namespaced("kept", "n", &["new.example/x"]),
        ];
        let bundle = Bundle::new(Settings::default(), policies);
        let rendered = render(&bundle, &NodeFacts::default(), &facts());
        let steps = steps(
            &set(&["old.example"]),
            &set(&["gone", "kept"]),
            &rendered,
            &facts(),
        );
        assert_eq!(
            shown(&steps),
            [
                "write etc/containers/registries.d/nodeseal.yaml",
                "write etc/crio/policies/kept.json",
                "write etc/crio/policy.json",
                "restore etc/crio/policies/gone.json",
                "write etc/containers/registries.d/nodeseal.yaml",
            ]
        );
        let Step::Write { file, .. } = &steps[0] else {
            panic!("{:?}", steps[0])
        };
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        assert!(
            text.contains("old.example") && text.contains("new.example"),
            "{text}"
        );
    }

    #[test]
    fn the_last_policy_gone_everything_is_as_the_distribution_shipped_it() {
        let rendered = render(&Bundle::default(), &NodeFacts::default(), &facts());
        let steps = steps(&set(&["old.example"]), &set(&["ns"]), &rendered, &facts());
        assert_eq!(
            shown(&steps),
            [
                "write etc/containers/registries.d/nodeseal.yaml",
                "restore etc/crio/policy.json",
                "restore etc/crio/policies/ns.json",
                "restore etc/containers/registries.d/nodeseal.yaml",
            ]
        );
    }
}
