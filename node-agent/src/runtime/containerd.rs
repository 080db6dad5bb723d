//! containerd: the verifier, its policy, and the drop-in that makes containerd run it.
//!
//! The verifier comes before its policy, because version N of it reads policies of N-1 and N, but
//! an old one does not read a newer policy. On the first installation it is the other way round: a
//! verifier without a policy refuses every pull, on a node whose containerd already looks in that
//! folder. The drop-in comes after both.

use std::path::PathBuf;

use policy::bundle::{Bundle, DefaultAction};
use policy::capability::{self, Runtime};
use policy::containerd::{FileSet, render};
use policy::digest::Digest;
use policy::flatten::flatten;
use policy::paths::{CONTAINERD_DROP_IN, VERIFIER_POLICY};
use policy::verifier::{CredentialProvider, VerifierPolicy};
use policy::version::Version;

use super::{Node, Targets, Watched};
use crate::error::CycleError;
use crate::facts::{self, Facts, Folder};
use crate::plan::Target;
use crate::root::Root;
use crate::status::{Detected, Report};
use crate::transaction::READ_LIMIT;
use crate::{check, containerd_config, verifier};

/// What the command line says about a containerd.
#[derive(Debug, Clone)]
pub struct Containerd {
    /// Its version, where it is known.
    pub version: Option<Version>,
    /// The verifier's binary, on the agent's own file system.
    pub verifier: PathBuf,
    /// containerd's configuration, relative to the root.
    pub config: String,
    /// Where the verifier goes.
    pub folder: Folder,
    /// The kubelet's credential providers, whose credentials the verifier uses too.
    pub credential_provider: Option<CredentialProvider>,
}

impl Containerd {
    pub(super) fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Targets, CycleError> {
        report.diagnostics =
            capability::diagnostics(bundle.policies(), Runtime::Containerd(self.version));
        let facts = self.facts(node, report)?;
        report.warnings.extend(facts.warnings.iter().cloned());
        report.not_enforcing.clone_from(&facts.not_enforcing);
        let flat = flatten(bundle, &facts.node);
        let files = render(&flat, &bundle.digest(), &facts.containerd);
        check::containerd(&files, &facts.containerd)?;
        let digest = verifier::digest(&self.verifier)?;
        let first = !node.root.exists(VERIFIER_POLICY)?;
        Ok(targets(files, self.verifier.clone(), digest, first))
    }

    fn facts(&self, node: Node<'_>, report: &mut Report) -> Result<Facts, CycleError> {
        let path = &self.config;
        let content = node.root.read_following(path, 16 << 20)?;
        let text = content.as_ref().map(|content| content.bytes.as_slice());
        let config = match containerd_config::parse(path, text) {
            Ok(config) => config,
            Err(error) => {
                report.detected = Detected::Unusable(error.to_string());
                return Err(error.into());
            }
        };
        let version = config.version.number();
        report.detected = if text.is_some() {
            Detected::Read(format!(
                "containerd, configuration version {version} in /{path}"
            ))
        } else {
            Detected::Missing(node.root.show(path))
        };
        let exists = text.is_some();
        let mut facts = facts::gather(&config, path, exists, &self.folder, node.sandbox_images);
        let access = &mut facts.containerd.access;
        access
            .credential_provider
            .clone_from(&self.credential_provider);
        // A drop-in that works is not taken away before what takes its place works.
        if facts.not_enforcing.is_some() && node.root.exists(CONTAINERD_DROP_IN)? {
            facts.containerd.drop_in = true;
        }
        Ok(facts)
    }

    pub(super) fn watched(&self) -> Watched {
        let mut files = Self::unrecorded();
        files.push(self.config.clone());
        let folders = vec![self.folder.place.folder.clone()];
        Watched { files, folders }
    }

    pub(super) fn unrecorded() -> Vec<String> {
        [VERIFIER_POLICY, CONTAINERD_DROP_IN]
            .map(str::to_owned)
            .to_vec()
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

/// Files and verifier in the safe order. `first` says that there is no policy on the node yet.
#[must_use]
pub fn targets(files: FileSet, program: PathBuf, sha256: Digest, first: bool) -> Targets {
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
