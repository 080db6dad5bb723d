//! The two pulls.

use std::future::Future;
use std::time::Duration;

use policy::digest::Digest;
use tokio::time::timeout;

use super::names::{Names, Nonce};
use super::record::Seen;
use super::registry::Registry;
use crate::cri;

/// What was observed of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The images.
    pub names: Names,
    /// Of the pull that has to be refused.
    pub deny: Leg,
    /// Of the pull that has to pass.
    pub allow: Leg,
}

/// What was observed of one pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// What the registry saw.
    pub seen: Seen,
    /// What the runtime said.
    pub pulled: Pulled,
}

/// What a runtime says at the end of a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// The image is on the node.
    Done,
    /// It is not, and why: the text of the runtime.
    Failed(String),
    /// The runtime did not answer in time.
    Late(String),
    /// The runtime could not be asked, or went away before its answer.
    Unreachable(String),
}

impl From<Result<(), cri::Error>> for Pulled {
    fn from(answer: Result<(), cri::Error>) -> Self {
        match answer {
            Ok(()) => Self::Done,
            Err(cri::Error::Refused { message, .. }) => Self::Failed(message),
            Err(error @ cri::Error::Late { .. }) => Self::Late(error.to_string()),
            Err(error @ (cri::Error::Connect { .. } | cri::Error::Broken { .. })) => {
                Self::Unreachable(error.to_string())
            }
        }
    }
}

/// Lets the runtime pull both images, one after the other, and looks at what it does.
///
/// `pull` pulls an image over the CRI, without credentials; each pull may take `deadline`. `nonce`
/// must be new at each call. The node's table has to hold the [scopes](super::scopes) of `bundle` and
/// the registry's port.
pub async fn run<F>(
    registry: &mut Registry,
    pull: impl Fn(String) -> F,
    bundle: &Digest,
    nonce: &Nonce,
    deadline: Duration,
) -> Observed
where
    F: Future<Output = Result<(), cri::Error>>,
{
    let names = Names::new(registry.port(), bundle, nonce);
    let pulled = async |image: String| match timeout(deadline, pull(image)).await {
        Ok(answer) => Pulled::from(answer),
        Err(_) => Pulled::Late(format!("no answer within {} s", deadline.as_secs_f64())),
    };
    let served = registry.serve(names.deny_image());
    let answer = pulled(names.deny()).await;
    let deny = Leg {
        seen: served.end(),
        pulled: answer,
    };
    let served = registry.serve(names.allow_image());
    let answer = pulled(names.allow()).await;
    let allow = Leg {
        seen: served.end(),
        pulled: answer,
    };
    Observed { names, deny, allow }
}
