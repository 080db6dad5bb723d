//! containerd: the verifier, its policy, and what of containerd's configuration has to change.
//!
//! The verifier comes before its policy, because version N of it reads policies of N-1 and N, but
//! an old one does not read a newer policy. On the first installation it is the other way round: a
//! verifier without a policy refuses every pull, on a node whose containerd already looks in that
//! folder. The configuration comes after both, and only where containerd may be restarted or does
//! not run: a change that nobody watches being taken up could keep a node from coming back after
//! its next boot.

mod configuration;
mod decision;
mod host;
mod reads;
mod root_file;

use std::path::PathBuf;

use node_runtime::containerd::{self as config, Installed, Layout};
use node_runtime::process::Process;
use policy::bundle::{Bundle, DefaultAction};
use policy::capability;
use policy::containerd::{ContainerdFacts, FileSet, render};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};
use policy::verifier::{CredentialProvider, Limits, VerifierPolicy};
use policy::version::Version;

pub(super) use self::configuration::without_ours;
use self::decision::{Decision, Known};
use self::host::Host;
pub(crate) use self::reads::running;
use super::{Node, Rendered, Set, Watched};
use crate::error::CycleError;
use crate::layout::{VerifierPlace, relative};
use crate::plan::Target;
use crate::root::Root;
use crate::sandbox::{self, Named};
use crate::state::{Role, State};
use crate::status::{Detected, Report};
use crate::transaction::READ_LIMIT;
use crate::{check, verifier};

/// How the path of every drop-in of nodeseal's ends, in whatever folder it is.
const DROP_IN_END: &str = "/zz-nodeseal.toml";
/// What an unknown version is taken for, on a node on which nothing runs.
const ASSUMED: Version = Version::new(2, 2, 0);
/// The most time that a verifier is given, whatever containerd's configuration says: an hour is the
/// most that the verifier's reader takes.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// What is known of a containerd.
#[derive(Debug, Clone)]
pub struct Containerd {
    /// Its version, where it is known.
    pub version: Option<Version>,
    /// The verifier's binary, on the agent's own file system.
    pub verifier: PathBuf,
    /// The configuration file that the command line of the agent names, absolute.
    pub config: Option<String>,
    /// The verifier's folder that the command line of the agent names: one that containerd's
    /// configuration names already, so no drop-in is written.
    pub folder: Option<VerifierPlace>,
    /// The kubelet's credential providers, whose credentials the verifier uses too.
    pub credential_provider: Option<CredentialProvider>,
    /// Its process; an error says why that is not known; nothing where none runs.
    pub process: Option<Result<Process, String>>,
    /// Whether the agent could restart it, were that allowed; an error says why not.
    pub restartable: Result<(), String>,
}

impl Containerd {
    pub(super) fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Rendered, CycleError> {
        report.diagnostics = capability::diagnostics(
            bundle.policies(),
            capability::Runtime::Containerd(self.version),
        );
        let layout = self.layout(node.root)?;
        let before = before(node.state);
        let decision = self.decide(node.root, &layout, before.as_ref(), bundle, report)?;
        let facts = self.facts(&decision);
        let exempt = Self::exempt(&decision, node, report);
        let flat = flatten(bundle, &exempt);
        let files = render(&flat, &bundle.digest(), &facts);
        check::containerd(&files)?;
        report.prove = true;
        let digest = verifier::digest(&self.verifier)?;
        let first = !node.root.exists(VERIFIER_POLICY)?;
        let mut targets = targets(files, self.verifier.clone(), digest.clone(), first);
        let written = self.configuration(&decision, node, bundle, report, &mut targets);
        Ok(Rendered {
            sets: vec![Set::whole(targets)],
            place: Some(decision.place.clone()),
            stale: Vec::new(),
            restarts: self.restarts(&layout, node.state, written && !decision.edits.is_empty()),
            print: print(&layout, &decision, self.version, &digest),
            table: Some(flat),
        })
    }

    /// What the configuration asks for, told where it keeps pulls from being verified.
    fn decide(
        &self,
        root: &Root,
        layout: &Layout,
        before: Option<&Installed>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Decision, CycleError> {
        let known = Known {
            version: self.config_version(),
            layout,
            before,
            chosen: self.folder.as_ref(),
            fix_local_pull: bundle.settings().containerd.fix_local_pull,
        };
        let decision = decision::decide(&Host(root), known)
            .inspect_err(|error| report.detected = Detected::Unusable(error.to_string()))?;
        let path = &layout.root_config;
        if decision.effective.root_version.is_none() && self.is_given() {
            let path = path.clone();
            let root = root.path().display();
            let why = format!(
                "which is not there below {root}: mount its folder into the agent's pod at that place"
            );
            return Err(CycleError::Unseen { path, why });
        }
        report.detected = match decision.effective.root_version {
            None => Detected::Missing(path.clone()),
            Some(number) => Detected::Read(format!(
                "containerd{}, configuration version {number} in {path}",
                self.version
                    .map_or(String::new(), |version| format!(" {version}")),
            )),
        };
        report.warnings.extend(decision.not_enforcing.clone());
        report.not_enforcing.clone_from(&decision.not_enforcing);
        Ok(decision)
    }

    fn config_version(&self) -> Option<Version> {
        // Where nothing runs, the files are made for what will.
        let assumed = self.process.is_none().then_some(ASSUMED);
        self.version.or(assumed)
    }

    fn facts(&self, decision: &Decision) -> ContainerdFacts {
        let verifier = &decision.effective.verifier;
        let mut facts = ContainerdFacts {
            drop_in: false,
            ..ContainerdFacts::default()
        };
        let timeout_ms = u64::try_from(verifier.per_verifier_timeout_ms.value).unwrap_or_default();
        if timeout_ms > 0 {
            facts.limits = Limits {
                timeout_ms: timeout_ms.min(MAX_TIMEOUT_MS),
                ..Limits::default()
            };
        }
        let images = &decision.effective.images;
        facts.access.config_paths = images
            .hosts_folders(decision.through_transfer)
            .into_iter()
            .filter(|folder| folder.starts_with('/'))
            .map(str::to_owned)
            .collect();
        facts
            .access
            .credential_provider
            .clone_from(&self.credential_provider);
        facts
    }

    fn exempt(decision: &Decision, node: Node<'_>, report: &mut Report) -> NodeFacts {
        let image = decision.effective.images.sandbox_image.as_ref();
        let by = image
            .and_then(|image| image.origin.as_ref())
            .map_or_else(String::new, config::Origin::place);
        let named = image.map(|image| Named {
            image: &image.value,
            by: &by,
        });
        let mut facts = node.probe_facts();
        facts.exempt.extend(sandbox::exempt(
            named,
            node.sandbox_images,
            &mut report.warnings,
        ));
        facts
    }

    pub(super) fn watched(&self, root: &Root) -> Watched {
        let mut files = vec![VERIFIER_POLICY.to_owned(), CONTAINERD_DROP_IN.to_owned()];
        // Where the root file is not known, the look itself says so.
        if let Ok(layout) = self.layout(root) {
            files.extend(relative(&layout.root_config));
            let drop_ins = relative(&layout.drop_in_dir);
            files.extend(drop_ins.map(|dir| format!("{dir}{DROP_IN_END}")));
        }
        let place = self.folder.clone().unwrap_or_default();
        Watched {
            files,
            folders: vec![place.folder],
        }
    }

    pub(super) fn unrecorded(&self, root: &Root) -> Vec<String> {
        self.watched(root).files
    }

    /// Whether the installed policy refuses by default; one that cannot be read counts as such.
    pub(super) fn is_strict(root: &Root) -> bool {
        match root.read(VERIFIER_POLICY, READ_LIMIT) {
            Ok(None) => false,
            Ok(Some(content)) => VerifierPolicy::from_json(&content.bytes).map_or(true, |policy| {
                policy.flat.default_action() == DefaultAction::Reject
            }),
            Err(_) => true,
        }
    }
}

/// Where the verifier was put before.
fn before(state: &State) -> Option<Installed> {
    let of = |role: Role| {
        let files = state.files.iter();
        files
            .filter(move |(_, record)| record.role == role)
            .map(|(path, _)| path.as_str())
    };
    decision::installed(of(Role::Verifier), of(Role::Config))
}

/// Everything but the bundle that the files are made from, as far as a failure may come from it.
///
/// Values of the configuration, and not its text: an edit of ours that is taken back must not look
/// like another node.
fn print(
    layout: &Layout,
    decision: &Decision,
    version: Option<Version>,
    verifier: &Digest,
) -> Digest {
    let version = version.map_or(String::new(), |version| version.to_string());
    let agent = env!("CARGO_PKG_VERSION");
    let config::Effective {
        verifier: plugin,
        images,
        ..
    } = &decision.effective;
    let values = (
        &plugin.bin_dir.value,
        plugin.max_verifiers.value,
        plugin.per_verifier_timeout_ms.value,
        images.sandbox_image.as_ref().map(|image| &image.value),
        &images.config_path.value,
        images.use_local_image_pull.value,
        images.discard_unpacked_layers.value,
        images.max_concurrent_downloads.value,
    );
    let more = (
        images.disable_snapshot_annotations.value,
        images.image_pull_with_sync_fs.value,
        images.mirrors.value,
        images.configs.value,
        images.auths.value,
    );
    let kind = layout.kind;
    Digest::of(format!("{kind:?} {version} {verifier} {agent} {values:?} {more:?}").as_bytes())
}

/// Files and verifier in the safe order. `first` says that there is no policy on the node yet.
#[must_use]
pub fn targets(files: FileSet, program: PathBuf, sha256: Digest, first: bool) -> Vec<Target> {
    let (policies, others): (Vec<_>, Vec<_>) = files
        .into_iter()
        .map(|(path, file)| Target::Write {
            path,
            file,
            own: true,
        })
        .partition(
            |target| matches!(target, Target::Write { path, .. } if path == VERIFIER_POLICY),
        );
    let verifier = vec![Target::Verifier { program, sha256 }];
    let order = if first {
        [policies, verifier, others]
    } else {
        [verifier, policies, others]
    };
    order.concat()
}

#[cfg(test)]
mod tests;
