//! What one look found out, before it becomes a status.

use node_runtime::probe::Proof;
use node_runtime::process::Start;
use policy::digest::Digest;
use policy::files::Diagnostic;
use policy::flatten::Flat;

use super::{FileStatus, Kept, Problem, Runtime};
use crate::verdicts::{Refused, Unverified};

/// Why files are not as the policies ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was nothing to apply yet.
    Pending,
    /// The files could not be rendered.
    RenderFailed,
    /// A file could not be written; nothing was changed.
    WriteFailed,
    /// A file could not be written, or what was written failed; what was there before is back.
    RolledBack,
    /// Covered images have to be pulled again before the policies may hold them to signatures.
    StaleImages,
    /// Something that is not nodeseal's stands in the way.
    ForeignOwner,
    /// The last good policies were written by a newer agent.
    BundleTooNew,
    /// The files would be too large.
    TooLarge,
}

impl Failure {
    /// The stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::RenderFailed => "RenderFailed",
            Self::WriteFailed => "WriteFailed",
            Self::RolledBack => "RolledBack",
            Self::StaleImages => "StaleImages",
            Self::ForeignOwner => "ForeignOwner",
            Self::BundleTooNew => "BundleTooNew",
            Self::TooLarge => "TooLarge",
        }
    }
}

/// Everything that one look at folder and files found out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The runtime.
    pub runtime: Runtime,
    /// What is known of the runtime's configuration.
    pub detected: Detected,
    /// Digest of the bundle in force.
    pub bundle: Option<Digest>,
    /// How many policies are in force.
    pub policies: usize,
    /// Why the files are not as the policies ask.
    pub failure: Option<(Failure, String)>,
    /// What is known to keep the runtime from enforcing anything.
    pub not_enforcing: Option<String>,
    /// What has to happen to the runtime, and may not be done by the agent.
    pub pending: Option<String>,
    /// Everything was taken off the node, and why.
    pub left: Option<Left>,
    /// The runtime does not answer, and why.
    pub silent: Option<String>,
    /// What is in force can be proven.
    pub prove: bool,
    /// How the last proof went.
    pub proven: Option<Proven>,
    /// The table that decides, where there is one file of it.
    pub table: Option<Flat>,
    /// How often a file was put back since the agent started.
    pub drift: u64,
    /// What was refused in the last hour.
    pub refused: Refused,
    /// Covered images on the node that no verdict let in.
    pub unverified: Unverified,
    /// Files were changed, and this is what was met.
    pub applied: Option<Vec<String>>,
    /// What this runtime cannot enforce.
    pub diagnostics: Vec<Diagnostic>,
    /// What is wrong in the policy folder.
    pub problems: Vec<Problem>,
    /// What stays as it was.
    pub kept: Vec<Kept>,
    /// What the administrator should know or do.
    pub warnings: Vec<String>,
    /// The managed files.
    pub files: Vec<FileStatus>,
}

/// Why everything was taken off a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// That was asked for.
    Disabled,
    /// What was asked for failed, and nothing ever worked here.
    Failed,
}

/// How a proof went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The bundle that was in force.
    pub bundle: Digest,
    /// The process of the runtime, where that was known.
    pub process: Option<Start>,
    /// What it came to.
    pub proof: Proof,
}

/// What is known of the runtime's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Detected {
    /// It was not looked at.
    #[default]
    NotYet,
    /// It was not looked at, because nothing is asked of it: enforcement is disabled.
    NotNeeded,
    /// There is none at that path.
    Missing(String),
    /// It was read.
    Read(String),
    /// It cannot be used.
    Unusable(String),
}

impl Detected {
    pub(super) fn condition(&self) -> (&'static str, &'static str, String) {
        match self {
            Self::NotYet => ("Unknown", "NotChecked", "not looked at yet".to_owned()),
            Self::NotNeeded => (
                "Unknown",
                "NotChecked",
                "the runtime's configuration was not looked at: enforcement is Disabled".to_owned(),
            ),
            Self::Missing(path) => (
                "Unknown",
                "NoConfiguration",
                format!("{path} does not exist"),
            ),
            Self::Read(what) => ("True", "Detected", what.clone()),
            Self::Unusable(why) => ("False", "InvalidConfiguration", why.clone()),
        }
    }
}
