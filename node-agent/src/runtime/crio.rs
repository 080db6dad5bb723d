//! CRI-O: policy.json on top of the node's own, registries.d, and the files of namespaces.

mod base;
mod config;
mod mirrors;
pub(crate) mod registries;
pub(super) mod stays;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeSet;

use node_runtime::cri::Image;
use node_runtime::crio;
use policy::bundle::Bundle;
use policy::crio::document::{PolicyJson, Rule};
use policy::crio::registries_conf::Registry;
use policy::crio::render::{
    CrioFacts, REGISTRIES_D_FILE, Rendered as Rules, namespace_path, render_on,
};
use policy::crio::stale::Demands;
use policy::crio::transition::{Step, steps};
use policy::digest::Digest;
use policy::files::File;
use policy::flatten::NodeFacts;
use policy::settings::{Restart, StaleImages};
use policy::version::Version;

pub use self::base::BaseError;
use self::config::Paths;
use super::{Node, Rendered, Restarts, Set, Watched};
use crate::check::{self, CheckError};
use crate::error::CycleError;
use crate::layout::relative;
use crate::plan::Target;
use crate::refresh::Stale;
use crate::root::{FileError, Root, TEMPORARY_SUFFIX, split};
use crate::state::State;
use crate::status::{Detected, Report};

/// Places by which another system shows that it manages CRI-O's files on a node.
const MANAGERS: [(&str, &str); 2] = [
    ("etc/machine-config-daemon", MACHINE_CONFIG),
    ("run/machine-config-daemon", MACHINE_CONFIG),
];
/// The drop-in that names the policy file, where nothing else does. Its name is late, because the last
/// file has the last word.
const CRIO_DROP_IN: &str = "etc/crio/crio.conf.d/99-nodeseal.conf";
/// Where the library that CRI-O pulls with looks for authorities, `<host>/ca.crt`.
const CERTS_D: &str = "etc/containers/certs.d";
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
    /// The one that runs.
    pub running: Option<Running>,
}

/// A CRI-O that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// The configuration that it has in force.
    pub config: crio::Config,
    /// Whether the agent could restart it, were that allowed; an error says why not.
    pub restartable: Result<(), String>,
    /// The images that it has.
    pub images: Vec<Image>,
}

impl Crio {
    /// Two sets at most: the second takes away locations that only the old policies needed. Only a
    /// first part of the first, where images have to be pulled again before.
    pub(super) fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Rendered, CycleError> {
        for (marker, owner) in MANAGERS {
            if node.root.exists(marker)? {
                let marker = node.root.show(marker);
                return Err(CycleError::ForeignManager { owner, marker });
            }
        }
        let config = self
            .config(node.root)
            .inspect_err(|error| report.detected = Detected::Unusable(error.to_string()))?;
        let paths = config.paths(self);
        report.warnings.extend(config.warnings(self, &paths));
        report.detected = Detected::Read(format!(
            "CRI-O {}, policy file /{}",
            self.version, paths.policy
        ));
        let lacks = config.lacks(self, &paths);
        let mut facts_of_node = node.probe_facts();
        let exempt = config.exempt(node.sandbox_images, &mut report.warnings);
        facts_of_node.exempt.extend(exempt.iter().cloned());
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
        let rendered = rendered(node, bundle, &facts_of_node, &facts)?;
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
        let stale = self.stale(node, bundle, &facts_of_node, &rendered);
        let holds = bundle.settings().crio.stale_images == StaleImages::Hold;
        let is_tried = |stale: &Stale| !holds && node.tried.contains(stale);
        let waits = stale.iter().any(|stale| stale.holds && !is_tried(stale));
        let mut sets = if waits {
            first(steps, waiting::in_force(node, &exempt, &facts))
        } else {
            report.warnings.extend(fetching(&stale));
            sets(steps)
        };
        if rendered.policy.is_some() {
            report.prove = true;
            for set in &mut sets {
                set.targets.splice(0..0, authority(node));
            }
        }
        let restarts = self.path(bundle, lacks, node, report, &mut sets);
        self.stand_in(node, &paths, &mut sets)?;
        // The rules wait, and what makes CRI-O read them as well.
        let restarts = match restarts {
            Restarts::Crio(_) if waits => Restarts::Crio(None),
            restarts => restarts,
        };
        Ok(Rendered {
            sets,
            place: None,
            stale,
            restarts,
            print: self.print(&paths),
            table: None,
        })
    }

    fn config(&self, root: &Root) -> Result<config::Config, CycleError> {
        match &self.running {
            Some(running) => Ok(config::Config::from(&running.config)),
            None => config::read(root),
        }
    }

    /// Images whose signatures have to be fetched again before they are held to them.
    fn stale(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        facts: &NodeFacts,
        rendered: &Rules,
    ) -> Vec<Stale> {
        let Some(running) = &self.running else {
            return Vec::new();
        };
        if !rendered.looks_up() {
            return Vec::new();
        }
        let demands = Demands::new(bundle, facts);
        node.refreshed.stale(&running.images, &demands)
    }

    /// A policy file of ours that CRI-O names, or is to name by our drop-in, does not go with the last
    /// policy.
    fn stand_in(&self, node: Node<'_>, paths: &Paths, sets: &mut [Set]) -> Result<(), FileError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let path = &paths.policy;
        let named = running.config.signature_policy.as_deref();
        let is_named = named.and_then(relative).as_ref() == Some(path);
        for set in sets {
            let is_to_be = set.targets.iter().any(|t| t.path() == Some(CRIO_DROP_IN));
            let is_bare = match node.state.files.get(path) {
                Some(record) => record.original.is_none() && (is_named || is_to_be),
                None => is_to_be && !node.root.exists(path)?,
            };
            let restored = |target: &&mut Target| matches!(target, Target::Restore { path: restored } if restored == path);
            if let Some(target) = set.targets.iter_mut().find(restored).filter(|_| is_bare) {
                *target = Target::Write {
                    path: path.clone(),
                    file: stays::stand_in(node.root)?,
                    own: false,
                };
            }
        }
        Ok(())
    }

    /// Where CRI-O reads no policy file of its own, it is given one, if it may be restarted for that.
    fn path(
        &self,
        bundle: &Bundle,
        lacks: Option<String>,
        node: Node<'_>,
        report: &mut Report,
        sets: &mut [Set],
    ) -> Restarts {
        let Some(running) = &self.running else {
            return Restarts::Unknown;
        };
        let ours = node.state.files.contains_key(CRIO_DROP_IN);
        let never = "Set `crio.restart: Allowed` in the EnforcementConfig, or".to_owned();
        let keeps_out = match &running.restartable {
            Err(why) => Some(format!("The agent cannot restart it ({why}):")),
            Ok(()) => (bundle.settings().crio.restart == Restart::Never).then_some(never),
        };
        if let (Some(path), Some(why), false) = (&lacks, keeps_out, ours) {
            let text = drop_in(path);
            report.not_enforcing = Some(format!(
                "CRI-O has no `signature_policy`, so /{path} is not read. {why} restart CRI-O with \
                 this in /{CRIO_DROP_IN}:\n{text}"
            ));
            return Restarts::Crio(None);
        }
        if lacks.is_some() || ours {
            let path = lacks.clone().unwrap_or_else(|| {
                let policy = self.running.as_ref().map(|running| &running.config);
                let named = policy.and_then(|config| config.signature_policy.as_deref());
                named.and_then(relative).unwrap_or_default()
            });
            for set in sets.iter_mut().filter(|set| set.in_force) {
                let file = File {
                    bytes: drop_in(&path).into_bytes(),
                    mode: 0o644,
                };
                set.targets.push(Target::Write {
                    path: CRIO_DROP_IN.to_owned(),
                    file,
                    own: true,
                });
            }
        }
        Restarts::Crio(lacks.map(|path| format!("CRI-O does not read /{path} yet")))
    }

    /// Everything but the bundle that a failure may come from.
    fn print(&self, paths: &Paths) -> Digest {
        let agent = env!("CARGO_PKG_VERSION");
        Digest::of(format!("{} {paths:?} {agent}", self.version).as_bytes())
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
        self.config(root).unwrap_or_default().paths(self)
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
) -> Result<Rules, CycleError> {
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
    rendered: &Rules,
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

/// Images that keep nothing waiting.
fn fetching(stale: &[Stale]) -> Option<String> {
    let first = stale.iter().find(|stale| !stale.holds)?;
    let count = stale.iter().filter(|stale| !stale.holds).count();
    Some(format!(
        "{count} images that only policies of namespaces cover are still to be pulled again for their \
         signatures, {} first: until then CRI-O may refuse containers of them there",
        first.reference
    ))
}

/// Only that signatures are looked up: the rules wait. What holds meanwhile is put back.
fn first(steps: Vec<Step>, in_force: Vec<Target>) -> Vec<Set> {
    let locations = steps.into_iter().next().into_iter().map(target);
    let locations = locations
        .filter(|target| matches!(target, Target::Write { path, .. } if path == REGISTRIES_D_FILE));
    vec![Set::first(locations.chain(in_force).collect())]
}

/// Each set names each path once. Where a path stands twice in the steps, a new set begins, which
/// repeats what came before.
fn sets(steps: Vec<Step>) -> Vec<Set> {
    let mut sets: Vec<Vec<Target>> = vec![Vec::new()];
    for target in steps.into_iter().map(target) {
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
    sets.into_iter().map(Set::whole).collect()
}

fn target(step: Step) -> Target {
    match step {
        Step::Write { path, file } => Target::Write {
            own: path == REGISTRIES_D_FILE,
            path,
            file,
        },
        Step::Restore { path } => Target::Restore { path },
    }
}

/// What makes CRI-O trust the registry of the proof.
fn authority(node: Node<'_>) -> Option<Target> {
    let (identity, _) = node.probe?;
    Some(Target::Write {
        path: format!("{CERTS_D}/{}/ca.crt", identity.host()),
        file: File {
            bytes: identity.ca().as_bytes().to_vec(),
            mode: 0o644,
        },
        own: true,
    })
}

/// The drop-in that names the policy file.
fn drop_in(path: &str) -> String {
    format!(
        "# Written by nodeseal. Pulls are held to this file.\n[crio.image]\nsignature_policy = \
         \"/{path}\"\n"
    )
}
