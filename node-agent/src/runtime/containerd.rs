//! containerd: the verifier, its policy, and what of containerd's configuration has to change.
//!
//! The verifier comes before its policy, because version N of it reads policies of N-1 and N, but
//! an old one does not read a newer policy. On the first installation it is the other way round: a
//! verifier without a policy refuses every pull, on a node whose containerd already looks in that
//! folder. The configuration comes after both, and only where containerd may be restarted or does
//! not run: a change that nobody watches being taken up could keep a node from coming back after
//! its next boot.

mod decision;
mod host;

use std::path::PathBuf;

use node_runtime::containerd::{self as config, Edit, Installed, Layout};
use node_runtime::process::{
    ConfigPath, Containerd as CommandLine, DEFAULT_CONTAINERD_CONFIG, Process,
    containerd_config_path,
};
use policy::bundle::{Bundle, DefaultAction};
use policy::capability;
use policy::containerd::{ContainerdFacts, FileSet, render};
use policy::digest::Digest;
use policy::flatten::{NodeFacts, flatten};
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};
use policy::settings::Restart;
use policy::verifier::{CredentialProvider, Limits, VerifierPolicy};
use policy::version::Version;

use self::decision::{Decision, Known};
use self::host::Host;
use super::{Node, Rendered, Restarts, Set, Watched};
use crate::error::CycleError;
use crate::layout::{VerifierPlace, relative};
use crate::plan::Target;
use crate::root::Root;
use crate::sandbox::{self, Named};
use crate::started::{Reads, Running};
use crate::state::{Record, Role, State};
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

    /// Whether the command line of the process names a configuration file: then there is one.
    fn is_given(&self) -> bool {
        self.root_config().is_ok_and(|config| config.given)
    }

    /// The root file, as the command line of the agent has it, or that of the process.
    fn root_config(&self) -> Result<ConfigPath, CycleError> {
        if let Some(path) = &self.config {
            let path = path.into();
            return Ok(ConfigPath { path, given: false });
        }
        let Some(Ok(process)) = &self.process else {
            let path = DEFAULT_CONTAINERD_CONFIG.into();
            return Ok(ConfigPath { path, given: false });
        };
        let found = containerd_config_path(&process.argv, process.cwd.as_deref());
        found.ok_or_else(|| CycleError::Unseen {
            path: CommandLine::parse(&process.argv).config.unwrap_or_default(),
            why:
                "a relative path, and the folder in which it was started cannot be seen: start it \
                  with an absolute path, or name the file with --containerd-config"
                    .to_owned(),
        })
    }

    fn layout(&self, root: &Root) -> Result<Layout, CycleError> {
        let argv = match &self.process {
            Some(Ok(process)) => process.argv.as_slice(),
            _ => &[],
        };
        let ConfigPath { path, .. } = self.root_config()?;
        // Without `.`, which a relative path may begin with.
        let path: PathBuf = path.components().collect();
        let os_id = os_id(root);
        Ok(config::recognise(
            argv,
            &path.to_string_lossy(),
            os_id.as_deref(),
            &Host(root),
        ))
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

    /// Adds what of containerd's configuration has to change, if it may; otherwise what is there
    /// stays, and the status says what is pending. What was there before and drifted is put back
    /// either way. Whether it is as it should be on the disk.
    fn configuration(
        &self,
        decision: &Decision,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
        targets: &mut Vec<Target>,
    ) -> bool {
        let never = bundle.settings().containerd.restart == Restart::Never;
        if node.reverting && never {
            // What containerd did not come back with goes, and nothing new comes in its place.
            return false;
        }
        let mut changes = Vec::new();
        let mut wanted = Vec::new();
        let mut put_back = Vec::new();
        for edit in &decision.edits {
            let Some(path) = relative(&edit.path) else {
                continue;
            };
            if was_in_force(edit, node.state.files.get(&path)) {
                put_back.push(target(edit, path));
                continue;
            }
            let there = node.root.read_following(&path, READ_LIMIT).ok().flatten();
            let there = there.map(|content| String::from_utf8_lossy(&content.bytes).into_owned());
            if there.as_ref() != Some(&edit.new) {
                let old = there.unwrap_or_default();
                changes.push(config::diff(&edit.path, &old, &edit.new));
            }
            wanted.push(target(edit, path));
        }
        let recorded = node.state.files.iter();
        let edited = recorded.filter(|(_, record)| record.role == Role::Edited);
        let keep: Vec<Target> = edited
            .map(|(path, _)| Target::Keep { path: path.clone() })
            .filter(|keep| {
                let mut others = wanted.iter().chain(&put_back);
                !others.any(|target| target.path() == keep.path())
            })
            .collect();
        let allow = "Set `containerd.restart: Allowed` in the EnforcementConfig, or change";
        let keeps_out = match (&self.process, &self.restartable) {
            (None, _) => None,
            _ if node.reverting => None,
            (Some(_), Err(why)) => Some(format!("The agent cannot do that ({why}): change")),
            (Some(_), Ok(())) => never.then(|| allow.to_owned()),
        };
        if let Some(why) = keeps_out.filter(|_| !changes.is_empty()) {
            report.pending = Some(pending(&why, &changes));
            targets.extend(as_they_are(&wanted, node.state));
            targets.extend(keep);
            targets.extend(put_back);
            return false;
        }
        if !wanted.is_empty() || !put_back.is_empty() {
            targets.extend(keep);
            targets.extend(put_back);
            targets.extend(wanted);
        } else if node.state.files.contains_key(CONTAINERD_DROP_IN)
            && decision.not_enforcing.is_some()
            && !node.reverting
        {
            // What works is not taken away before what takes its place works.
            targets.extend(keep);
            let path = CONTAINERD_DROP_IN.to_owned();
            targets.push(Target::Keep { path });
        }
        true
    }

    /// What the running containerd would have to have read, before the files are written.
    fn restarts(&self, layout: &Layout, state: &State, ours: bool) -> Restarts {
        let mut records = state.files.values();
        let edits_root = records.any(|record| record.role == Role::Edited);
        let Some(Ok(process)) = &self.process else {
            return Restarts::Unknown;
        };
        Restarts::Containerd(Reads {
            process: process.clone(),
            root_config: layout.root_config.clone(),
            edits_root,
            ours,
        })
    }

    /// What of ours a containerd which starts now reads.
    pub(crate) fn config_digest(&self, root: &Root) -> Option<Digest> {
        let path = self.layout(root).ok()?.root_config;
        let loaded = config::load(&Host(root), &path).ok()?;
        Some(ours_of(&loaded))
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

/// What of ours a containerd that starts now would read; nothing where that cannot be told.
pub(crate) fn running(root: &Root, reads: &Reads) -> Option<Running> {
    let loaded = config::load(&Host(root), &reads.root_config).ok()?;
    let files = loaded.files.iter();
    let ours =
        files.filter(|file| is_ours(file) || (reads.edits_root && *file.path == *loaded.root));
    Some(Running {
        process: reads.process.start.clone(),
        started_at: reads.process.started_at,
        config: ours_of(&loaded),
        newest: ours.filter_map(|file| file.modified).max(),
        ours: reads.ours,
    })
}

fn is_ours(file: &config::File) -> bool {
    file.path.ends_with(DROP_IN_END)
}

/// The digest of the drop-in, if it is read. What others write into containerd's configuration is for
/// them to restart it for: it may be half done, or wrong.
fn ours_of(loaded: &config::Loaded) -> Digest {
    let files = loaded.files.iter().filter(|file| is_ours(file));
    let texts: Vec<String> = files
        .map(|file| format!("{}\n{}\n", file.path, file.text))
        .collect();
    Digest::of(texts.concat().as_bytes())
}

/// What takes containerd's configuration back where others have changed it since: our import goes,
/// everything else stays.
pub(super) fn without_ours(root: &Root, state: &State) -> Vec<Target> {
    let of = |role: Role| {
        let files = state.files.iter();
        files.filter(move |(_, record)| record.role == role)
    };
    let Some((drop_in, _)) = of(Role::Config).find(|(path, _)| path.ends_with(DROP_IN_END)) else {
        return Vec::new();
    };
    let pattern = config::own_import(&format!("/{drop_in}"));
    of(Role::Edited)
        .filter_map(|(path, record)| {
            let content = root.read(path, READ_LIMIT).ok().flatten()?;
            let from = Digest::of(&content.bytes);
            if from == record.sha256 {
                return None;
            }
            let text = String::from_utf8(content.bytes).ok()?;
            let bytes = config::imports_removal(&text, &pattern).ok()??;
            let path = path.clone();
            Some(Target::Unedit {
                path,
                from,
                bytes: bytes.into_bytes(),
            })
        })
        .collect()
}

/// Whether an edit puts back what was brought there before, as anything else of ours that drifts: that
/// is no change, so it waits for nobody. Of the root file only the import is ours, and an edit of it
/// is needed just where that is gone.
fn was_in_force(edit: &Edit, record: Option<&Record>) -> bool {
    record.is_some_and(|record| {
        record.role == Role::Edited || record.sha256 == Digest::of(edit.new.as_bytes())
    })
}

fn target(edit: &Edit, path: String) -> Target {
    let bytes = edit.new.clone().into_bytes();
    if path.ends_with(DROP_IN_END) {
        let file = policy::files::File { bytes, mode: 0o644 };
        return Target::Write {
            path,
            file,
            own: true,
        };
    }
    let from = edit.old.as_ref().map(|old| Digest::of(old.as_bytes()));
    Target::Edit { path, from, bytes }
}

/// Of what is wanted and may not be written, what was written before stays.
fn as_they_are(wanted: &[Target], state: &State) -> Vec<Target> {
    let paths = wanted.iter().filter_map(Target::path);
    paths
        .filter(|path| state.files.contains_key(*path))
        .map(|path| Target::Keep {
            path: path.to_owned(),
        })
        .collect()
}

fn pending(what: &str, changes: &[String]) -> String {
    format!(
        "containerd's configuration has to change, and containerd has to be restarted for it. \
         {what} it as follows and restart containerd:\n{}",
        changes.concat()
    )
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

/// The `ID` of os-release(5).
fn os_id(root: &Root) -> Option<String> {
    let files = ["etc/os-release", "usr/lib/os-release"];
    let content = files
        .iter()
        .find_map(|path| root.read_following(path, 64 * 1024).ok().flatten())?;
    let text = String::from_utf8_lossy(&content.bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
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
