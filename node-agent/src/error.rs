//! Why a look fails, or an agent does not start.

use crate::apply::ApplyError;
use crate::check::CheckError;
use crate::containerd_config::ConfigError;
use crate::ledger::LedgerError;
use crate::lock::LockError;
use crate::plan::Refusal;
use crate::root::FileError;
use crate::state::StateError;
use crate::status::Failure;
use crate::verifier::VerifierError;

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
    /// containerd's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    #[error("there are no policies yet: the policy folder could never be read")]
    NothingYet,
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
            Self::Refused(Refusal::UnexpectedEntries { .. }) => Failure::ForeignOwner,
            Self::Apply(ApplyError::RolledBack(_)) => Failure::RolledBack,
            Self::File(_) | Self::Verifier(_) | Self::Apply(_) => Failure::WriteFailed,
            Self::Check(CheckError::TooLarge { .. }) => Failure::TooLarge,
            Self::Ledger { source, .. } if source.is_newer() => Failure::BundleTooNew,
            Self::NothingYet => Failure::Pending,
            Self::Config(_)
            | Self::Check(_)
            | Self::Ledger { .. }
            | Self::Refused(_)
            | Self::State(_)
            | Self::Json(_) => Failure::RenderFailed,
        }
    }
}
