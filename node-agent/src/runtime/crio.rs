//! CRI-O: policy.json on top of the node's own, registries.d, and the files of namespaces.

mod base;
mod config;
mod mirrors;
pub(crate) mod registries;

use std::collections::BTreeSet;

use policy::bundle::Bundle;
use policy::crio::document::{PolicyJson, Rule};
use policy::crio::registries_conf::Registry;
use policy::crio::render::{CrioFacts, REGISTRIES_D_FILE, Rendered, namespace_path, render_on};
use policy::crio::transition::{Step, steps};
use policy::flatten::NodeFacts;
use policy::version::Version;

pub use self::base::BaseError;
use self::config::Paths;
use super::{Node, Targets, Watched};
use crate::check::{self, CheckError};
use crate::error::CycleError;
use crate::plan::Target;
use crate::root::{FileError, Root, TEMPORARY_SUFFIX, split};
use crate::state::State;
use crate::status::{Detected, Report};

/// Places by which another system shows that it manages CRI-O's files on a node.
const MANAGERS: [(&str, &str); 2] = [
    ("etc/machine-config-daemon", MACHINE_CONFIG),
    ("run/machine-config-daemon", MACHINE_CONFIG),
];
const MACHINE_CONFIG: &str = "OpenShift's machine-config daemon";

/// What the command line says about a CRI-O. Paths are relative to the root.
#[derive(Debug, Clone)]
pub struct Crio {
    /// Its version.
    pub version: Version,
    /// The policy file in force; what CRI-O's configuration names where it is not given.
    pub policy: Option<String>,
    /// The folder of namespace files; what CRI-O's configuration names where it is not given.
    pub namespace_dir: Option<String>,
}

impl Crio {
    /// Two sets at most: the second takes away locations that only the old policies needed.
    pub(super) fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Vec<Targets>, CycleError> {
        for (marker, owner) in MANAGERS {
            if node.root.exists(marker)? {
                let marker = node.root.show(marker);
                return Err(CycleError::ForeignManager { owner, marker });
            }
        }
        let config = config::read(node.root)
            .inspect_err(|error| report.detected = Detected::Unusable(error.to_string()))?;
        let paths = config.paths(self);
        report.warnings.extend(config.warnings(self, &paths));
        report.detected = Detected::Read(format!(
            "CRI-O {}, policy file /{}",
            self.version, paths.policy
        ));
        let exempt = config.exempt(node.sandbox_images, &mut report.warnings);
        let registries = registries::read(node.root)?;
        report.warnings.extend(registries.warnings);

        let base = base::of_policy(node, &paths.policy, &mut report.warnings)?;
        let facts = CrioFacts {
            version: self.version,
            policy_path: paths.policy.clone(),
            namespace_dir: paths.namespace_dir.clone(),
            base,
            taken_locations: BTreeSet::new(),
        };
        let rendered = rendered(node, bundle, &NodeFacts { exempt, ..NodeFacts::default() }, &facts)?;
        let readings = readings(node.root, rendered.looks_up(), report)?;
        let readings: Vec<&[Registry]> = readings.iter().map(Vec::as_slice).collect();
        let rendered = rendered.with_registries(&readings, &registries.taken);
        report.diagnostics.clone_from(&rendered.diagnostics);
        report
            .warnings
            .extend(uncovered(node, &paths, &rendered, &facts)?);
        let steps = steps(
            &registries.ours,
            &namespaces(node.state, &paths),
            &rendered,
            &facts,
        );
        check::crio(&steps)?;
        Ok(sets(steps))
    }

    /// The configuration is looked at again here: what it says may change while the agent runs.
    pub(super) fn watched(&self, root: &Root) -> Watched {
        let [file, folder] = config::SOURCES.map(str::to_owned);
        let paths = self.paths(root);
        let registries = split(REGISTRIES_D_FILE).0.to_owned();
        let mut files = vec![file, paths.policy];
        files.extend(mirrors::FILES.map(str::to_owned));
        let mut folders = vec![folder, paths.namespace_dir, registries];
        folders.extend(mirrors::FOLDERS.map(str::to_owned));
        Watched { files, folders }
    }

    /// A namespace's file that was being written for the first time shows only by its temporary
    /// name.
    pub(super) fn unrecorded(&self, root: &Root) -> Result<Vec<String>, FileError> {
        let Paths {
            policy,
            namespace_dir,
        } = self.paths(root);
        let mut paths = vec![policy, REGISTRIES_D_FILE.to_owned()];
        for (name, _) in root.entries_following(&namespace_dir)?.unwrap_or_default() {
            let ours = name
                .strip_prefix('.')
                .and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
            paths.extend(ours.map(|name| format!("{namespace_dir}/{name}")));
        }
        Ok(paths)
    }

    fn paths(&self, root: &Root) -> Paths {
        // A configuration that cannot be used is told by the look itself.
        config::read(root).unwrap_or_default().paths(self)
    }

    /// Whether the installed policy refuses by default; one that cannot be read counts as such.
    pub(super) fn is_strict(&self, root: &Root) -> bool {
        match root.read(&self.paths(root).policy, check::POLICY_LIMIT) {
            Ok(None) => false,
            Ok(Some(content)) => PolicyJson::parse(&content.bytes).map_or(true, |policy| {
                policy.docker_rules(&[]).as_slice() == [Rule::Reject {}]
            }),
            Err(_) => true,
        }
    }
}

/// Renders. Where a namespace had a file before nodeseal, that file and not the node's policy.json
/// is what its new one builds on, because it is what held there.
fn rendered(
    node: Node<'_>,
    bundle: &Bundle,
    exempt: &NodeFacts,
    facts: &CrioFacts,
) -> Result<Rendered, CycleError> {
    let rendered = render_on(bundle, exempt, facts, |namespace| {
        base::before(node, &namespace_path(facts, namespace))
    })?;
    match rendered.too_large() {
        None => Ok(rendered),
        Some(size) => Err(CheckError::TooLarge {
            path: facts.policy_path.clone(),
            size,
            limit: check::POLICY_LIMIT,
        }
        .into()),
    }
}

/// What the node's registries.conf may say. It has to be known only where signatures are looked up:
/// a file that cannot be used keeps nothing from being switched off and cleaned up.
fn readings(
    root: &Root,
    looks_up: bool,
    report: &mut Report,
) -> Result<Vec<Vec<Registry>>, BaseError> {
    match mirrors::read(root) {
        Err(error) if looks_up => {
            report.detected = Detected::Unusable(error.to_string());
            Err(error)
        }
        Err(BaseError::Registries(source)) => {
            report.warnings.push(format!(
                "the node's registries.conf is not valid, and CRI-O refuses every pull once it \
                 reads it: {source}. Mend that file; nothing is written now that depends on it"
            ));
            Ok(Vec::new())
        }
        Err(error) => {
            report.warnings.push(format!(
                "the node's registries.conf cannot be read: {error}. Nothing is written now that \
                 depends on it"
            ));
            Ok(Vec::new())
        }
        Ok(readings) => Ok(readings),
    }
}

/// Files of others stand in for policy.json in their namespaces, so policies of the cluster do not
/// hold there.
fn uncovered(
    node: Node<'_>,
    paths: &Paths,
    rendered: &Rendered,
    facts: &CrioFacts,
) -> Result<Option<String>, FileError> {
    if rendered.policy.is_none() {
        return Ok(None);
    }
    let entries = node.root.entries_following(&paths.namespace_dir)?;
    let foreign: Vec<String> = entries
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, _)| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| !rendered.namespaces.contains_key(name))
        .filter(|name| !node.state.files.contains_key(&namespace_path(facts, name)))
        .collect();
    Ok((!foreign.is_empty()).then(|| {
        format!(
            "files in /{} that nodeseal did not write take the place of the node's policy for \
             the namespaces {}, so policies of the cluster do not hold there: remove these files, \
             or give each of these namespaces an ImageSignaturePolicy, which keeps what its file \
             demands",
            paths.namespace_dir,
            foreign.join(", ")
        )
    }))
}

/// The namespaces that have a file of ours.
fn namespaces(state: &State, paths: &Paths) -> BTreeSet<String> {
    state
        .files
        .keys()
        .filter_map(|path| path.strip_prefix(&paths.namespace_dir)?.strip_prefix('/'))
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect()
}

/// Each set names each path once. Where a path stands twice in the steps, a new set begins, which
/// repeats what came before.
fn sets(steps: Vec<Step>) -> Vec<Targets> {
    let mut sets: Vec<Targets> = vec![Vec::new()];
    for step in steps {
        let target = match step {
            Step::Write { path, file } => Target::Write {
                own: path == REGISTRIES_D_FILE,
                path,
                file,
            },
            Step::Restore { path } => Target::Restore { path },
        };
        let Some(last) = sets.last_mut() else {
            continue;
        };
        let there = last.iter().position(|other| other.path() == target.path());
        match there {
            None => last.push(target),
            Some(at) => {
                let mut next = last.clone();
                next[at] = target;
                sets.push(next);
            }
        }
    }
    sets
}
