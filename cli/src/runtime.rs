//! Container runtimes as users name them.

use clap::ValueEnum;
use policy::capability;
use policy::crio::features::NEWEST;
use policy::version::Version;

/// A container runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// CRI-O 1.25 or later.
    #[value(name = "cri-o", alias = "crio")]
    CriO,
    /// containerd 2.1 or later with the image verifier.
    Containerd,
}

impl Runtime {
    /// The runtime in this version, or in the newest.
    pub(crate) fn in_version(self, version: Option<Version>) -> capability::Runtime {
        match self {
            Self::CriO => capability::Runtime::Crio(version.unwrap_or(NEWEST)),
            Self::Containerd => capability::Runtime::Containerd(version),
        }
    }
}
