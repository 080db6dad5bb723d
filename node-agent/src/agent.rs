//! The agent of one node: what it knows, and what it does to the node's files.
//!
//! ```text
//!  see ─▶ bring ─▶ Wants ─(the edges: pull again, restart, prove)─▶ pulled, restarted, proven ─┐
//!   ▲                                                                                          │
//!   └──────────────────────────────────────────────────────────────────────────────────────────┘
//!                                      nothing wanted ─▶ conclude ─▶ Status
//! ```
//!
//! A failure anywhere leaves the last good state in force, or brings it back, and is told in the
//! status.

mod bring;
mod choose;
mod disk;
mod inputs;
mod notes;
mod outcome;

use std::path::PathBuf;

use crds::bundle::object_name;
use jiff::Timestamp;
use node_runtime::cri::Image;
use node_runtime::probe::{Identity, Scopes};
use policy::digest::Digest;

use crate::cluster::Order;
use crate::error::StartError;
use crate::layout;
use crate::live::{Kind, Live};
use crate::lock::Lock;
use crate::plan::STATE_MODE;
use crate::refresh::{Refreshed, Stale};
use crate::root::{Attributes, Root};
use crate::runtime::{Runtime, Told, ToldError};
use crate::status::{Proven, Report, Status};
use crate::transaction::READ_LIMIT;
use crate::trial::{Cause, Subject, Trials};
use crate::verdicts::{Refused, Unverified};

pub use self::disk::Uninstalled;
pub use self::outcome::{Pulled, Restarted};

/// Where policies come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A folder on the agent's own file system.
    Folder(PathBuf),
    /// The cluster, by way of [`Agent::take`].
    Cluster,
}

/// What the agent works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the policies come from.
    pub source: Source,
    /// The root of the node's file system.
    pub root: PathBuf,
    /// What the command line says about the container runtime.
    pub told: Told,
    /// Sandbox images besides the one that the runtime's configuration names.
    pub sandbox_images: Vec<String>,
}

/// What is known of the runtime that runs.
#[derive(Debug)]
enum Seen {
    /// Nothing is asked: there is what was told.
    Told,
    /// It answers.
    Answers(Box<Live>),
    /// It does not, and why; this is what it was when it last did.
    Silent(Option<Box<Live>>, String),
}

/// The agent of one root.
#[derive(Debug)]
pub struct Agent {
    options: Options,
    root: Root,
    _lock: Lock,
    /// The status as it is stored.
    stored: Option<Status>,
    /// Leftovers may be there: at the start, and after a failure.
    untidy: bool,
    /// What the cluster asks for.
    order: Order,
    seen: Seen,
    trials: Trials,
    refreshed: Refreshed,
    /// The images that are stale, and those that were all tried.
    stale: Vec<Stale>,
    tried: Vec<Stale>,
    /// The registry of the proof, where one could be had.
    identity: Option<Identity>,
    /// What is proven of what is in force.
    to_prove: Option<Prove>,
    /// How the last proof went.
    proven: Option<Proven>,
    /// The runtime was restarted, and did not come back.
    down: bool,
    /// What stands on the node stands in for something that failed, and how.
    stands_in: Option<Cause>,
    /// How often in a row the runtime was not restarted, and went on.
    refusals: u32,
    /// How often something that was changed or removed was put back.
    drift: u64,
    /// What the verifier decided.
    observed: (Refused, Unverified),
    /// What was met where files were changed, until it is told.
    applied: Option<Vec<String>>,
    /// What the last look at the files found out.
    report: Report,
}

/// What has to be done besides files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wants {
    /// Images to pull again, so that their signatures are on the node.
    pub stale: Vec<Stale>,
    /// Why the runtime has to be restarted.
    pub restart: Option<String>,
    /// What has to be proven.
    pub proof: Option<Prove>,
    /// What stands on the node.
    pub subject: Option<Subject>,
}

/// A proof to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Prove {
    /// The runtime.
    pub kind: Kind,
    /// What is in force: the bundle whose table decides, on this node as it is.
    pub subject: Subject,
    /// The registry's port and keys.
    pub identity: Identity,
    /// The seconds until it is made again.
    pub interval: u32,
    /// The process of the runtime, where that is known: another one is another question.
    pub process: Option<node_runtime::process::Start>,
}

/// How a look went.
#[derive(Debug, Clone)]
pub struct Look {
    /// The status.
    pub status: Status,
    /// It is not what the last look said.
    pub is_news: bool,
    /// The generation of the cluster's object that it is about.
    pub generation: Option<i64>,
}

impl Agent {
    /// Takes the root. Nothing of the runtime's is touched yet.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let root = Root::open(&options.root)?;
        for dir in layout::STATE_DIRS {
            root.create_dirs(dir, 0o700)?;
        }
        let lock = Lock::take(&root)?;
        // None of these decides about an image: one that cannot be read is made anew.
        let stored = |path: &str| -> Result<Option<Vec<u8>>, StartError> {
            Ok(root.read(path, READ_LIMIT)?.map(|content| content.bytes))
        };
        let status = stored(layout::STATUS)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let trials = stored(layout::TRIALS)?;
        let refreshed = stored(layout::REFRESHED)?;
        let identity = stored(layout::PROBE)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self {
            stored: status,
            trials: trials.map_or_else(Trials::default, |bytes| Trials::from_json(&bytes)),
            refreshed: refreshed
                .map_or_else(Refreshed::default, |bytes| Refreshed::from_json(&bytes)),
            identity,
            options,
            root,
            _lock: lock,
            untidy: true,
            order: Order::default(),
            seen: Seen::Told,
            stale: Vec::new(),
            tried: Vec::new(),
            to_prove: None,
            proven: None,
            down: false,
            stands_in: None,
            refusals: 0,
            drift: 0,
            observed: Default::default(),
            applied: None,
            report: Report::default(),
        })
    }

    /// What the agent works with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The runtime as it is known now.
    pub fn runtime(&self) -> Result<Runtime, ToldError> {
        let live = match &self.seen {
            Seen::Told | Seen::Silent(None, _) => None,
            Seen::Answers(live) | Seen::Silent(Some(live), _) => Some(live.as_ref()),
        };
        self.options.told.runtime(live)
    }

    /// The files that the agent wrote, relative to the root: each is put back when it changes.
    pub fn managed(&self) -> impl Iterator<Item = String> + '_ {
        self.report.files.iter().map(|file| file.path.clone())
    }

    /// Takes what the cluster asks for; the next look acts on it.
    pub fn take(&mut self, order: Order) {
        self.order = order;
    }

    /// Takes what is seen of the runtime, or why nothing is.
    pub fn see(&mut self, live: Result<Live, String>) {
        let last = std::mem::replace(&mut self.seen, Seen::Told);
        self.seen = match (live, last) {
            (Ok(live), _) => {
                self.refreshed.retain(&live.images);
                Seen::Answers(Box::new(live))
            }
            (Err(why), Seen::Answers(live)) => Seen::Silent(Some(live), why),
            (Err(why), Seen::Silent(live, _)) => Seen::Silent(live, why),
            (Err(why), Seen::Told) => Seen::Silent(None, why),
        };
    }

    /// Whether files were changed since that was last told.
    #[must_use]
    pub fn has_applied(&self) -> bool {
        self.applied.is_some()
    }

    /// Whether the runtime has answered before.
    #[must_use]
    pub fn knows(&self) -> bool {
        matches!(self.seen, Seen::Answers(_) | Seen::Silent(Some(_), _))
    }

    /// Takes what the verifier refused lately, and what it never saw. True when that is news.
    pub fn observe(&mut self, refused: Refused, unverified: Unverified) -> bool {
        let observed = (refused, unverified);
        let is_news = self.observed != observed;
        self.observed = observed;
        is_news
    }

    /// The images of the runtime that answers.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        match &self.seen {
            Seen::Answers(live) => &live.images,
            Seen::Told | Seen::Silent(..) => &[],
        }
    }

    /// How often something was put back since the agent started.
    #[must_use]
    pub fn drift(&self) -> u64 {
        self.drift
    }

    /// What the last look at the files found out.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The name of the bundle on disk, if there is one that can be read.
    #[must_use]
    pub fn stored_bundle(&self) -> Option<String> {
        let ledger = self.ledger().ok()?.ok()??;
        Some(object_name(&ledger.bundle.digest()))
    }

    /// Everything that was found out, as a status. `now` is for the status alone.
    pub fn conclude(&mut self, now: Timestamp) -> Look {
        let mut report = self.report.clone();
        report.applied = self.applied.take();
        report.proven = self
            .proven
            .clone()
            .filter(|proven| self.is_about_now(proven));
        if let Seen::Silent(_, why) = &self.seen {
            report.silent = Some(why.clone());
        }
        report.drift = self.drift;
        (report.refused, report.unverified) = self.observed.clone();
        let status = Status::new(report, self.stored.as_ref(), now);
        let is_news = self.stored.as_ref() != Some(&status);
        if is_news {
            let private = Attributes::mode(STATE_MODE);
            match status.to_json() {
                Ok(bytes) => {
                    if let Err(error) = self.root.replace(layout::STATUS, &bytes, &private) {
                        tracing::warn!("the status could not be stored: {error}");
                    }
                }
                Err(error) => tracing::warn!("the status could not be put into JSON: {error}"),
            }
            self.stored = Some(status.clone());
        }
        Look {
            status,
            is_news,
            generation: self.order.generation,
        }
    }

    /// Whether the process that was put to the proof is the one that runs.
    fn is_about_now(&self, proven: &Proven) -> bool {
        let Seen::Answers(live) = &self.seen else {
            return true;
        };
        let now = live.process.as_ref().ok().map(|process| &process.start);
        proven.process.as_ref() == now
    }

    /// One look at the files, and its status: where nothing else is asked of the agent.
    pub fn look(&mut self, now: Timestamp) -> Look {
        self.bring();
        self.conclude(now)
    }

    /// The registry of the proof and the scopes of its images, for the table of this bundle.
    fn probe(&mut self, bundle: &Digest) -> Option<(Identity, Scopes)> {
        if matches!(self.seen, Seen::Told) {
            return None;
        }
        if self.identity.is_none() {
            let made = Identity::generate().map_err(|error| error.to_string());
            let kept = made.and_then(|identity| {
                let bytes = serde_json::to_vec(&identity).map_err(|error| error.to_string())?;
                let private = Attributes::mode(STATE_MODE);
                self.root
                    .replace(layout::PROBE, &bytes, &private)
                    .map_err(|error| error.to_string())?;
                Ok(identity)
            });
            match kept {
                Ok(identity) => self.identity = Some(identity),
                Err(error) => tracing::warn!("nothing can be proven on this node: {error}"),
            }
        }
        let identity = self.identity.clone()?;
        let scopes = node_runtime::probe::scopes(identity.port, bundle).ok()?;
        Some((identity, scopes))
    }

    /// Forgets the port of the proof's registry, because somebody else has it: the next look
    /// chooses another.
    pub fn forget_port(&mut self) {
        self.identity = None;
    }

    /// Writes one of the agent's own records. Losing one costs work and no safety.
    fn keep(&self, path: &str, bytes: Result<Vec<u8>, serde_json::Error>) -> bool {
        let private = Attributes::mode(STATE_MODE);
        let kept = bytes.map_err(|error| error.to_string()).and_then(|bytes| {
            self.root
                .replace(path, &bytes, &private)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = &kept {
            tracing::warn!("{} could not be written: {error}", self.root.show(path));
        }
        kept.is_ok()
    }
}
