//! Trust roots from TUF repositories (<https://theupdateframework.github.io/specification/latest/>).
//!
//! ```text
//!  spec.tuf ──▶ Origin ─┐
//!  ConfigMap ─▶ State ──┴▶ refresh ──Answer──▶ State ──▶ ConfigMap
//!                           ▲ Http               └──▶ Content ──▶ bundles
//! ```
//!
//! [`refresh()`] asks a repository, [`State`] is what is known of it, [`State::verified`] says what of
//! that is good. Only the first has a network; when to ask is decided by the index. The rules of the
//! workflow itself are those of `sigstore-tuf`.
//!
//! What is kept is a cache and no authority: it is verified from the pinned root again whenever it is
//! read. What it adds is memory, so that an older state of the repository is refused by the next
//! process, too.

mod http;
mod refresh;
mod runner;
mod state;
mod store;

use crds::convert::Tuf;
use policy::digest::Digest;
use sigstore_tuf::TrustedMetadataSet;

pub use self::http::{Http, Limits, certificates, client};
pub use self::refresh::{Answer, refresh};
pub use self::runner::Job;
pub(crate) use self::runner::Refresher;
pub use self::state::{Content, MAX_STATE, State};

/// Where Sigstore's public-good instance publishes its roots.
pub const PUBLIC_GOOD_MIRROR: &str = "https://tuf-repo-cdn.sigstore.dev";
/// The root of Sigstore's public-good instance to begin with, version 16 of
/// <https://github.com/sigstore/root-signing>. Later ones are reached from it.
pub const PUBLIC_GOOD_ROOT: &str = include_str!("public-good.root.json");

/// Which repository is followed, from which root, for which target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The address of the folder with the metadata.
    pub mirror: String,
    /// The root.json to begin with.
    pub root: String,
    /// The target that holds the `trusted_root.json`.
    pub target: String,
    /// Whether it is the public-good instance, of which every operator knows a content.
    pub public_good: bool,
}

impl Origin {
    /// That of a spec. An error says what is wrong with its root.json.
    pub fn of(tuf: &Tuf) -> Result<Self, Failure> {
        let or = |own: &Option<String>, default: &str| own.as_deref().unwrap_or(default).to_owned();
        let origin = Self {
            mirror: or(&tuf.mirror, PUBLIC_GOOD_MIRROR),
            root: or(&tuf.root, PUBLIC_GOOD_ROOT),
            target: tuf.target.clone(),
            public_good: tuf.is_public_good(),
        };
        TrustedMetadataSet::from_root(origin.root.as_bytes()).map_err(|error| {
            let failure = Failure::from(&error);
            let message = format!("rootJSON: {}", failure.message);
            Failure { message, ..failure }
        })?;
        Ok(origin)
    }

    /// Tells what is known of one repository from what is known of another.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let Self {
            mirror,
            root,
            target,
            public_good: _,
        } = self;
        // None of them holds a zero byte in front of the next.
        Digest::of(format!("{mirror}\0{target}\0{root}").as_bytes())
    }
}

/// Why a refresh failed, in a word: the reason of `Refreshed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The repository does not answer, or not in time.
    Unreachable,
    /// A file that has to be there is not.
    Missing,
    /// What is there has expired: an old state is served (a freeze attack), or nobody signs any more.
    Expired,
    /// An older version is served than was seen before.
    Rollback,
    /// Not signed by those that the last trusted root names.
    BadSignature,
    /// A file is not the one that the file above it names: cut off, mixed or exchanged.
    Mismatch,
    /// A file or all of them together are larger than anything that is accepted.
    TooLarge,
    /// A file is of no use: no metadata, or no trusted root.
    Invalid,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::Missing,
        Self::Expired,
        Self::Rollback,
        Self::BadSignature,
        Self::Mismatch,
        Self::TooLarge,
        Self::Invalid,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::Missing => "Missing",
            Self::Expired => "Expired",
            Self::Rollback => "Rollback",
            Self::BadSignature => "BadSignature",
            Self::Mismatch => "Mismatch",
            Self::TooLarge => "TooLarge",
            Self::Invalid => "Invalid",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "let the operator reach the mirror: HTTPS_PROXY, NO_PROXY and --tuf-ca-file are heeded"
            }
            Self::Missing => "correct mirror and target, or have the mirror copied again, whole",
            Self::Expired => {
                "have the mirror updated, or its owner sign anew; the clock may be wrong, too"
            }
            Self::Rollback => {
                "find out why the mirror serves an older state; if its owner began anew, give the new rootJSON"
            }
            Self::BadSignature => {
                "the mirror serves what its owner did not sign: find out why; if it has another owner now, give its rootJSON"
            }
            Self::Mismatch => "have the mirror copied again, whole",
            Self::TooLarge => "have the repository's owner make it smaller",
            Self::Invalid => "have the repository's owner mend it",
        }
    }
}

/// Why a refresh failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In a word.
    pub why: Why,
    /// What is wrong, where. The same as long as it is the same.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(why: Why, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { why, message }
    }
}

/// Sorts an error of the workflow.
impl From<&sigstore_tuf::Error> for Failure {
    fn from(error: &sigstore_tuf::Error) -> Self {
        use sigstore_tuf::Error as E;
        if let Some(message) = lost(error) {
            return Self::new(Why::Rollback, message);
        }
        let why = match error {
            E::Transport { source, .. } => {
                let own = source
                    .as_deref()
                    .and_then(|source| source.downcast_ref::<http::HttpError>());
                return own.map_or_else(
                    || Self::new(Why::Invalid, chain(error)),
                    |own| Self::new(own.why, own.message.clone()),
                );
            }
            E::Expired { .. } => Why::Expired,
            E::Rollback { .. } => Why::Rollback,
            E::BadRootVersion { trusted, new } if new <= trusted => Why::Rollback,
            E::IntegrityMismatch(what) if what.contains("exceeds configured max") => Why::TooLarge,
            E::BadRootVersion { .. } | E::IntegrityMismatch(_) => Why::Mismatch,
            E::ThresholdNotMet { .. } | E::DuplicateSignature { .. } => Why::BadSignature,
            E::TargetNotFound(_) => Why::Missing,
            _ => Why::Invalid,
        };
        Self::new(why, chain(error))
    }
}

/// Whether the snapshot has something in an older version, or no more. The words are those for what
/// is found out by a later refresh.
fn lost(error: &sigstore_tuf::Error) -> Option<String> {
    match error {
        sigstore_tuf::Error::Rollback { role, trusted, new } => {
            let name = role.strip_suffix(" (via snapshot)")?;
            Some(older(name, *trusted, Some(*new)))
        }
        sigstore_tuf::Error::IntegrityMismatch(what) => {
            let (name, _) = what.strip_prefix("snapshot removes ")?.split_once(", ")?;
            Some(older(name, 0, None))
        }
        _ => None,
    }
}

/// What is said of a file that the last snapshot had in version `then`.
fn older(name: &str, then: u64, now: Option<u64>) -> String {
    match now {
        Some(now) => {
            format!("the snapshot has version {now} of {name}, and had version {then} before")
        }
        None => format!("the snapshot has no {name} any more"),
    }
}

/// An error with its causes. No address of ours has a password in it, and those of proxies are not
/// shown.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.ends_with(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
        .chars()
        .filter(|c| !policy::text::is_deceptive(*c))
        .take(500)
        .collect()
}
