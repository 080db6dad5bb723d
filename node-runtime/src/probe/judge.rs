//! What was observed proves that the node enforces, or that it does not, or nothing.

use std::fmt;

use policy::digest::Digest;

use super::line::{self, Verifier};
use super::record::{Kind as Path, Method};
use super::registry::BindError;
use super::run::{Leg, Observed, Pulled};
use super::{Kind, Names};

/// The most bytes of a runtime's text in an explanation.
const MAX_TEXT: usize = 600;

/// What a proof came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// What has to be refused was refused by the table of this bundle, and what has to pass passed.
    Enforcing,
    /// What has to be refused was not: pulls go past the policy.
    Bypassed {
        /// How it was seen.
        why: Bypass,
    },
    /// What has to pass was refused as well: no pod with a new image starts.
    RefusesEverything {
        /// What the runtime said.
        why: String,
    },
    /// The verifier decides by the table of another bundle.
    StaleBundle {
        /// That bundle.
        seen: Digest,
    },
    /// Nothing was proven.
    Unknown {
        /// Why not.
        why: Doubt,
    },
}

/// How it was seen that pulls go past the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Bypass {
    /// The image is on the node.
    #[error("the image that has to be refused was pulled")]
    Pulled,
    /// The runtime went on to what it fetches only after the policy let an image pass.
    #[error("the runtime went on to fetch the image that has to be refused")]
    Fetched,
}

/// Why nothing was proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The runtime could not be asked, or went away.
    #[error("the runtime did not answer: {0}")]
    Unreachable(String),
    /// The runtime did not answer in time.
    #[error("the runtime did not answer in time: {0}")]
    Late(String),
    /// The runtime's requests did not come here.
    #[error(
        "the runtime did not ask the registry on loopback ({connections} connections without a request); it said: {message}"
    )]
    NoRequest {
        /// How many connections there were: some, where the runtime does not trust the certificate
        /// or was told to speak another protocol.
        connections: u32,
        /// What the runtime said.
        message: String,
    },
    /// The runtime found the image without asking here.
    #[error(
        "another registry answered for the one on loopback; see whether a mirror (`_default/hosts.toml` of containerd, a mirror in registries.conf) is asked first: {0}"
    )]
    Elsewhere(String),
    /// The pull failed, but by no decision about the image.
    #[error("the pull failed before anything was decided about the image: {0}")]
    Failed(String),
    /// Something refused the image, but not this product's verifier by a table of its own.
    #[error("the image was refused, but not by nodeseal's verifier: {0}")]
    OtherRefusal(String),
    /// More requests than are kept.
    #[error("somebody flooded the registry on loopback with requests")]
    Flooded,
    /// Somebody else has the registry's port.
    #[error("{0}")]
    PortTaken(String),
    /// The registry could not be started.
    #[error("{0}")]
    NoRegistry(String),
}

impl Proof {
    /// The stable word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Enforcing => "Enforcing",
            Self::Bypassed { .. } => "Bypassed",
            Self::RefusesEverything { .. } => "RefusesEverything",
            Self::StaleBundle { .. } => "StaleBundle",
            Self::Unknown { .. } => "Unknown",
        }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforcing => f.write_str(
                "an image that has to be refused was refused, and one that has to pass passed",
            ),
            Self::Bypassed { why } => write!(
                f,
                "{why}: pulls go past the policy, or an older policy is in force"
            ),
            Self::RefusesEverything { why } => write!(
                f,
                "an image that has to pass was refused, so every image may be: {why}"
            ),
            Self::StaleBundle { seen } => write!(
                f,
                "pulls are decided by the bundle {seen}, which is not the node's"
            ),
            Self::Unknown { why } => why.fmt(f),
        }
    }
}

impl From<&BindError> for Proof {
    fn from(error: &BindError) -> Self {
        let why = match error {
            BindError::Taken { .. } => Doubt::PortTaken(error.to_string()),
            BindError::Listen { .. } | BindError::Identity(_) => {
                Doubt::NoRegistry(error.to_string())
            }
        };
        Self::Unknown { why }
    }
}

/// What became of the image that has to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Denied {
    /// Refused as it has to be.
    Refused,
    /// Not refused.
    Passed(Bypass),
    /// Refused by another bundle's table.
    Stale(Digest),
    /// Refused by something else.
    Otherwise(String),
    /// Nobody knows.
    Unclear(Doubt),
}

/// What became of the image that has to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    /// It passed.
    Passed,
    /// It was refused.
    Refused(String),
    /// It was refused by another bundle's table.
    Stale(Digest),
    /// Nobody knows.
    Unclear(Doubt),
}

/// Judges what was observed with a runtime of this kind.
#[must_use]
pub fn judge(kind: Kind, observed: &Observed) -> Proof {
    let Observed { names, deny, allow } = observed;
    let (denied, allowed) = match kind {
        Kind::Containerd => (
            containerd_denied(names, deny),
            containerd_allowed(names, allow),
        ),
        Kind::Crio => (crio_denied(names, deny), crio_allowed(names, allow)),
    };
    verdict(denied, allowed)
}

/// Both legs together. What is certain wins over what is not.
fn verdict(denied: Denied, allowed: Allowed) -> Proof {
    match (denied, allowed) {
        (Denied::Passed(why), _) => Proof::Bypassed { why },
        (Denied::Stale(seen), _) | (_, Allowed::Stale(seen)) => Proof::StaleBundle { seen },
        (Denied::Unclear(why), _)
        | (Denied::Refused | Denied::Otherwise(_), Allowed::Unclear(why)) => Proof::Unknown { why },
        (Denied::Refused | Denied::Otherwise(_), Allowed::Refused(why)) => {
            Proof::RefusesEverything { why }
        }
        (Denied::Otherwise(message), Allowed::Passed) => Proof::Unknown {
            why: Doubt::OtherRefusal(message),
        },
        (Denied::Refused, Allowed::Passed) => Proof::Enforcing,
    }
}

/// containerd resolves by HEAD, asks the verifiers, and gets the manifest of what passed.
///
/// Its own word goes before the requests, which any process of the node can send as well.
fn containerd_denied(names: &Names, leg: &Leg) -> Denied {
    let Leg { seen, .. } = leg;
    let references = [
        &*names.deny_image().reference,
        &names.allow_image().reference,
    ];
    let message = match text(leg) {
        Ok(Some(message)) => message,
        Ok(None) => return Denied::Passed(Bypass::Pulled),
        Err(doubt) => return Denied::Unclear(doubt),
    };
    let asked = seen.first(Method::Head, Path::Manifests, &references);
    let got = seen.first(Method::Get, Path::Manifests, &references);
    match line::containerd(message, &names.denied()) {
        Verifier::Ours(bundle) if bundle != *names.bundle() => Denied::Stale(bundle),
        Verifier::Ours(_) => Denied::Refused,
        Verifier::Other if asked.is_none() && seen.dropped == 0 => {
            Denied::Unclear(Doubt::Elsewhere(short(message)))
        }
        Verifier::Other => Denied::Otherwise(short(message)),
        Verifier::None
            if (got.is_some() || seen.any_blob())
                && line::containerd_fetched(message, &names.deny_image().repository) =>
        {
            Denied::Passed(Bypass::Fetched)
        }
        Verifier::None => Denied::Unclear(failed(leg, message)),
    }
}

/// As [`containerd_denied`]; a refusal is one wherever the image was found, since it is named by its
/// digest.
fn containerd_allowed(names: &Names, leg: &Leg) -> Allowed {
    let Leg { seen, .. } = leg;
    let message = match text(leg) {
        Ok(Some(message)) => message,
        Ok(None) => return Allowed::Unclear(stored()),
        Err(doubt) => return Allowed::Unclear(doubt),
    };
    let references = [&*names.allow_image().reference];
    let asked = seen.first(Method::Head, Path::Manifests, &references);
    let got = seen.last(Method::Get, Path::Manifests, &references);
    let in_order = asked.is_some_and(|asked| got.is_some_and(|got| asked < got));
    match line::containerd(message, &names.allow()) {
        Verifier::Ours(bundle) if bundle != *names.bundle() => Allowed::Stale(bundle),
        Verifier::Ours(_) | Verifier::Other => Allowed::Refused(short(message)),
        Verifier::None
            if in_order && line::containerd_fetched(message, &names.allow_image().repository) =>
        {
            Allowed::Passed
        }
        Verifier::None => Allowed::Unclear(failed(leg, message)),
    }
}

/// CRI-O gets the manifest, asks its policy, and gets the blobs of what passed. Its own word goes
/// first here, too.
fn crio_denied(names: &Names, leg: &Leg) -> Denied {
    let Leg { seen, .. } = leg;
    let message = match text(leg) {
        Ok(Some(message)) => message,
        Ok(None) => return Denied::Passed(Bypass::Pulled),
        Err(doubt) => return Denied::Unclear(doubt),
    };
    if line::crio_unreadable(message) {
        return Denied::Otherwise(short(message));
    }
    let references = [
        &*names.deny_image().reference,
        &names.allow_image().reference,
    ];
    let asked = seen.first(Method::Get, Path::Manifests, &references);
    match (asked, line::crio_refused(message)) {
        (Some(_), true) => Denied::Refused,
        (None, true) if seen.dropped > 0 => Denied::Unclear(Doubt::Flooded),
        (None, true) => Denied::Unclear(Doubt::Elsewhere(short(message))),
        (_, false) if seen.any_blob() => Denied::Passed(Bypass::Fetched),
        (_, false) => Denied::Unclear(failed(leg, message)),
    }
}

/// As [`crio_denied`].
fn crio_allowed(names: &Names, leg: &Leg) -> Allowed {
    let Leg { seen, .. } = leg;
    let message = match text(leg) {
        Ok(Some(message)) => message,
        Ok(None) => return Allowed::Unclear(stored()),
        Err(doubt) => return Allowed::Unclear(doubt),
    };
    if line::crio_unreadable(message) || line::crio_refused(message) {
        return Allowed::Refused(short(message));
    }
    let references = [&*names.allow_image().reference];
    let asked = seen.first(Method::Get, Path::Manifests, &references);
    let got = seen.config();
    if asked.is_some_and(|asked| got.is_some_and(|got| asked < got)) {
        return Allowed::Passed;
    }
    Allowed::Unclear(failed(leg, message))
}

/// The runtime's error, or none where the pull went well; neither where it did not answer.
fn text(leg: &Leg) -> Result<Option<&str>, Doubt> {
    match &leg.pulled {
        Pulled::Done => Ok(None),
        Pulled::Late(error) => Err(Doubt::Late(short(error))),
        Pulled::Unreachable(error) => Err(Doubt::Unreachable(short(error))),
        Pulled::Failed(message) => Ok(Some(message)),
    }
}

/// A pull that failed without a decision; what would tell of one may be among the requests that were
/// not kept.
fn failed(leg: &Leg, message: &str) -> Doubt {
    let Leg { seen, .. } = leg;
    if seen.dropped > 0 {
        return Doubt::Flooded;
    }
    let message = short(message);
    if !seen.requests.is_empty() {
        return Doubt::Failed(message);
    }
    Doubt::NoRequest {
        connections: seen.connections.saturating_sub(seen.others),
        message,
    }
}

/// An image is on the node that was served by nobody here.
fn stored() -> Doubt {
    Doubt::Elsewhere("the image that is never served whole was pulled".to_owned())
}

/// A runtime's text on one line, cut to 600 bytes.
fn short(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let cut = if end < text.len() { "..." } else { "" };
    let line = text[..end].replace(char::is_control, " ");
    format!("{}{cut}", line.trim())
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
