//! Why a call of the CRI gave no answer, or the wrong one.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::{Code, Status};

/// Why a call failed. Only [`Error::Refused`] is the runtime's word on what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: the runtime is down, or this is not its socket.
    #[error(
        "cannot connect to the CRI socket {}: {source}; see that the runtime runs and that the \
         kubelet's configuration names this socket",
        socket.display()
    )]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It did not answer in time; it may be busy, stopped or stuck.
    #[error(
        "{call} at the CRI socket {} took longer than {} s; see whether the runtime hangs",
        socket.display(),
        deadline.as_secs_f64()
    )]
    Late {
        /// The socket.
        socket: PathBuf,
        /// The call's name in the CRI.
        call: &'static str,
        /// The time that it had.
        deadline: Duration,
    },
    /// The connection ended before the answer, as it does when the runtime is restarted, or what
    /// came was no gRPC.
    #[error(
        "the connection to the CRI socket {} broke during {call}: {reason}; if it stays so, see \
         whether a CRI runtime listens there",
        socket.display()
    )]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// The call's name in the CRI.
        call: &'static str,
        /// What broke, cause after cause.
        reason: String,
    },
    /// The answer was an error. An answer above [`super::MAX_ANSWER`] is `OutOfRange`.
    // The name of a code is its identifier; its Display is an explanation of it.
    #[error("{call} failed with {code:?}: {message}")]
    Refused {
        /// The call's name in the CRI.
        call: &'static str,
        /// Its gRPC code: `Unknown` for a pull that a verifier of containerd refused.
        code: Code,
        /// Its text: what the kubelet would put into the pod's event.
        message: String,
    },
}

impl Error {
    /// The error of a call. A status that the runtime sent has no cause here; one that tonic made
    /// of a broken connection has.
    pub(super) fn of(socket: &Path, call: &'static str, status: &Status) -> Self {
        let mut reason = Vec::new();
        let mut cause = status.source();
        while let Some(error) = cause {
            reason.push(error.to_string());
            cause = error.source();
        }
        if reason.is_empty() {
            return Self::Refused {
                call,
                code: status.code(),
                message: status.message().to_owned(),
            };
        }
        Self::Broken {
            socket: socket.to_owned(),
            call,
            reason: reason.join(": "),
        }
    }
}
