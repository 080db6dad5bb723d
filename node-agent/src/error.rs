//! Why a look fails, or an agent does not start.

use crate::apply::ApplyError;
use crate::check::CheckError;
use crate::ledger::LedgerError;
use crate::lock::LockError;
use crate::plan::Refusal;
use crate::root::FileError;
use crate::runtime::ToldError;
use crate::runtime::crio::BaseError;
use crate::state::StateError;
use crate::status::Failure;
use crate::verifier::VerifierError;

/// Why a file of CRI-O's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not UTF-8.
    #[error("{path} is not UTF-8 text")]
    Text {
        /// The file.
        path: String,
    },
    /// Not TOML.
    #[error("{path} is not valid TOML: {source}")]
    Toml {
        /// The file.
        path: String,
        /// Where and why.
        source: toml_edit::TomlError,
    },
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The root or the agent's own directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another agent is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Why the node's files are not as the policies ask.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// A file cannot be looked at or changed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The verifier cannot be read.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The runtime is not known.
    #[error(transparent)]
    Runtime(#[from] ToldError),
    /// CRI-O's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// containerd's configuration cannot be used.
    #[error(transparent)]
    Containerd(#[from] node_runtime::containerd::ConfigError),
    /// The running containerd has a configuration that is not to be seen here.
    #[error("containerd was started with {path}, {why}")]
    Unseen {
        /// The file.
        path: String,
        /// Why not, and what to do.
        why: String,
    },
    /// The node's own policy cannot be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// Another system manages the runtime's files on this node.
    #[error(
        "{owner} manages the files of CRI-O on this node ({marker} is there) and would undo or \
         report every change: nodeseal leaves them alone"
    )]
    ForeignManager {
        /// The other system.
        owner: &'static str,
        /// By what it is known.
        marker: String,
    },
    /// What the agent wrote is not known, and here that decides what the node's own file is.
    #[error(
        "the record of written files {path} cannot be used: {source}. What is on the node stays in \
         force. Put the node's own policy files back (their copies are in {backups}) and remove \
         {path} and {bundle}"
    )]
    Record {
        /// The file.
        path: String,
        /// The last good policies, by which it is known that there was one.
        bundle: String,
        /// Where the copies are.
        backups: String,
        /// Why not.
        source: StateError,
    },
    /// Everything has to be taken off, and what there is of nodeseal's is not known any more.
    #[error(
        "enforcement is Disabled, and the record of written files {path} cannot be used: {source}. It \
         is not known what to give back, so what is on the node stays in force. Set enforcement to \
         Enabled, which makes the record anew, and then to Disabled again"
    )]
    Blind {
        /// The file.
        path: String,
        /// Why not.
        source: StateError,
    },
    /// The rendered files did not pass.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The last good policies cannot be read, and the folder alone does not say what to keep.
    #[error(
        "the last good policies in {path} cannot be used: {source}. What is on the node stays in \
         force. Mend the policy folder (an EnforcementConfig included), or remove {path} to start \
         from the folder as it is"
    )]
    Ledger {
        /// The file.
        path: String,
        /// Why not.
        source: LedgerError,
    },
    /// There never was anything to apply.
    #[error("there are no policies yet: {why}")]
    NothingYet {
        /// Why there are none.
        why: &'static str,
    },
    /// Something stands in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The plan was not carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The agent's own record is not what it just made.
    #[error("the record of written files: {0}")]
    State(#[from] StateError),
    /// Something of the agent's own cannot be put into JSON.
    #[error("the last good policies cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CycleError {
    /// The stable word for the status.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::File(error) | Self::Apply(ApplyError::Write(error)) if error.is_foreign() => {
                Failure::ForeignOwner
            }
            Self::Base(BaseError::File(error)) if error.is_foreign() => Failure::ForeignOwner,
            Self::Refused(Refusal::UnexpectedEntries { .. }) | Self::ForeignManager { .. } => {
                Failure::ForeignOwner
            }
            Self::Apply(ApplyError::RolledBack(_)) => Failure::RolledBack,
            Self::Apply(ApplyError::TooMuch { .. }) | Self::Check(CheckError::TooLarge { .. }) => {
                Failure::TooLarge
            }
            Self::File(_)
            | Self::Verifier(_)
            | Self::Apply(_)
            | Self::Refused(Refusal::Changed { .. }) => Failure::WriteFailed,
            Self::Ledger { source, .. } if source.is_newer() => Failure::BundleTooNew,
            Self::NothingYet { .. } | Self::Runtime(_) => Failure::Pending,
            Self::Config(_)
            | Self::Containerd(_)
            | Self::Base(_)
            | Self::Unseen { .. }
            | Self::Record { .. }
            | Self::Blind { .. }
            | Self::Check(_)
            | Self::Ledger { .. }
            | Self::Refused(_)
            | Self::State(_)
            | Self::Json(_) => Failure::RenderFailed,
        }
    }
}
