//! What the command line says about the runtime, and what becomes of it beside what runs.

use std::path::PathBuf;

use policy::verifier::CredentialProvider;
use policy::version::Version;

use super::Runtime;
use super::containerd::Containerd;
use super::crio::{Crio, Running};
use crate::layout::VerifierPlace;
use crate::live::{Kind, Live};

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Which runtime; needed where none runs.
    pub kind: Option<Kind>,
    /// Its version, where none runs.
    pub version: Option<Version>,
    /// The verifier's binary, on the agent's own file system; needed for containerd.
    pub verifier: Option<PathBuf>,
    /// containerd's configuration file, absolute.
    pub containerd_config: Option<String>,
    /// The folder of verifiers that containerd's configuration names.
    pub bin_dir: Option<VerifierPlace>,
    /// The kubelet's credential providers.
    pub credential_provider: Option<CredentialProvider>,
    /// CRI-O's policy file, relative to the root.
    pub crio_policy: Option<String>,
    /// The folder of CRI-O's namespace files, relative to the root.
    pub crio_namespace_dir: Option<String>,
}

/// Why it is not known what to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToldError {
    /// Nothing runs, and nothing was said.
    #[error("the container runtime is not known: start it, or say which it is with --runtime")]
    Kind,
    /// A version is needed.
    #[error("the version of cri-o is not known: start it, or give it with --runtime-version")]
    Version,
    /// There is no verifier to install.
    #[error("there is no verifier to install: give its binary with --verifier")]
    Verifier,
}

impl Told {
    /// The runtime to work with: what runs, or what was said. What was said about paths goes before
    /// what runs.
    pub fn runtime(&self, live: Option<&Live>) -> Result<Runtime, ToldError> {
        let kind = live.map(|live| live.kind).or(self.kind);
        let version = live.map(|live| live.version).or(self.version);
        Ok(match kind.ok_or(ToldError::Kind)? {
            Kind::Containerd => Runtime::Containerd(Containerd {
                version,
                verifier: self.verifier.clone().ok_or(ToldError::Verifier)?,
                config: self.containerd_config.clone(),
                folder: self.bin_dir.clone(),
                credential_provider: self
                    .credential_provider
                    .clone()
                    .or_else(|| live.and_then(|live| live.credential_provider.clone())),
                process: live.map(|live| live.process.clone()),
                restartable: live.map_or(Ok(()), |live| live.restartable.clone()),
            }),
            Kind::Crio => Runtime::Crio(Crio {
                version: version.ok_or(ToldError::Version)?,
                policy: self.crio_policy.clone(),
                namespace_dir: self.crio_namespace_dir.clone(),
                running: live.and_then(|live| {
                    Some(Running {
                        config: live.crio.clone()?,
                        restartable: live.restartable.clone(),
                        images: live.images.clone(),
                    })
                }),
            }),
        })
    }
}
