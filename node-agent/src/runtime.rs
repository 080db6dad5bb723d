//! The container runtimes: what each has to be known of on its node, and which files it makes of
//! the policies. Everything that changes the node is the same for both.

pub mod containerd;
pub mod crio;
mod told;

use node_runtime::probe::{self, Identity, Scopes};
use policy::bundle::{Bundle, Settings};
use policy::digest::Digest;
use policy::flatten::{Flat, NodeFacts};
use policy::settings::Restart;

use self::containerd::Containerd;
use self::crio::Crio;
use crate::error::CycleError;
use crate::layout::VerifierPlace;
use crate::plan::{Others, Target};
use crate::refresh::{Refreshed, Stale};
use crate::root::{FileError, Root};
use crate::started::Reads;
use crate::state::{Record, Role, State};
use crate::status::{self, Report};

pub use self::told::{Told, ToldError};

/// The runtime of a node.
#[derive(Debug, Clone)]
pub enum Runtime {
    /// containerd with the image verifier.
    Containerd(Containerd),
    /// CRI-O.
    Crio(Crio),
}

/// What a runtime looks at.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The node's files.
    pub root: &'a Root,
    /// What the agent wrote there.
    pub state: &'a State,
    /// Sandbox images besides the one that the runtime's configuration names.
    pub sandbox_images: &'a [String],
    /// The registry by which the node proves that it enforces, and the scopes of its images.
    pub probe: Option<(&'a Identity, &'a Scopes)>,
    /// Images that were pulled again since their signatures are looked for.
    pub refreshed: &'a Refreshed,
    /// Stale images that were tried once, so that `Proceed` may go on without them.
    pub tried: &'a [Stale],
    /// The runtime did not come back with what was asked for, and this is what stands in for it: what
    /// of its configuration has to change is changed, whoever may restart it otherwise.
    pub reverting: bool,
}

impl Node<'_> {
    /// The facts that every table of this node has.
    fn probe_facts(&self) -> NodeFacts {
        let mut facts = NodeFacts::default();
        if let Some((_, probe::Scopes { deny, allow })) = self.probe {
            facts.refused.insert(deny.clone());
            facts.accepted.insert(allow.clone());
        }
        facts
    }
}

/// Whose changes matter, relative to the root.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Single files.
    pub files: Vec<String>,
    /// Folders with everything right in them.
    pub folders: Vec<String>,
}

/// Files that are brought to disk in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// In the order in which they change.
    pub targets: Vec<Target>,
    /// What becomes of files that are not named.
    pub others: Others,
    /// With it the bundle is in force; otherwise it only prepares for that.
    pub in_force: bool,
}

impl Set {
    /// Everything that should be on the node.
    #[must_use]
    pub fn whole(targets: Vec<Target>) -> Self {
        Self {
            targets,
            others: Others::GiveBack,
            in_force: true,
        }
    }

    /// What comes before that and changes no decision.
    #[must_use]
    pub fn first(targets: Vec<Target>) -> Self {
        Self {
            targets,
            others: Others::Keep,
            in_force: false,
        }
    }
}

/// What a runtime makes of a bundle.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Brought to disk one after another, so that one path can change twice on the way.
    pub sets: Vec<Set>,
    /// Where the verifier goes, on a runtime that has one.
    pub place: Option<VerifierPlace>,
    /// Images to pull again before the sets that are left out here.
    pub stale: Vec<Stale>,
    /// The runtime has to be restarted if it runs with another configuration than that on the disk.
    pub restarts: Restarts,
    /// A digest of everything but the bundle that a failure may come from.
    pub print: Digest,
    /// The table that decides, where there is one file of it.
    pub table: Option<Flat>,
}

impl Rendered {
    /// Nothing of nodeseal's, whatever runs on the node: only the agent's own records are gone by.
    #[must_use]
    pub fn off(root: &Root, state: &State, print: Digest) -> Self {
        Self {
            sets: vec![leaving(root, state)],
            place: None,
            stale: Vec::new(),
            restarts: Restarts::Unknown,
            print,
            table: None,
        }
    }
}

/// Whether the running runtime has what it reads only when it starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Restarts {
    /// It does not run, or nothing is known of it.
    Unknown,
    /// This containerd has to have read its configuration as it is on the disk.
    Containerd(Reads),
    /// CRI-O says itself what it has in force; this is what it lacks.
    Crio(Option<String>),
}

/// What takes everything off a node again, whatever ran there.
///
/// The verifier goes first: without its policy it would refuse every pull. That signatures are looked
/// up on a CRI-O node ends last, after the rules that need them. A policy file that CRI-O names, and
/// that was not there before nodeseal, is left behind with what CRI-O goes by without it; see
/// [`left_behind`].
#[must_use]
pub fn leaving(root: &Root, state: &State) -> Set {
    let rank = |path: &str, record: &Record| match record.role {
        Role::Verifier => 0,
        Role::Config | Role::Edited if path.starts_with("etc/containers/") => 2,
        Role::Config | Role::Edited => 1,
    };
    let mut targets = containerd::without_ours(root, state);
    let mut stays = crio::stays::on_leaving(root, state);
    let mut paths: Vec<_> = state
        .files
        .iter()
        .filter(|(path, _)| !targets.iter().any(|target| target.path() == Some(path)))
        .map(|(path, record)| (rank(path, record), path.clone()))
        .collect();
    paths.sort();
    targets.extend(paths.into_iter().map(|(_, path)| {
        let other = stays.take_if(|stays| stays.path() == Some(&path));
        other.unwrap_or(Target::Restore { path })
    }));
    Set {
        targets,
        others: Others::GiveBackAll,
        in_force: true,
    }
}

/// What [`leaving`] leaves behind on purpose, to be told.
#[must_use]
pub fn left_behind(root: &Root, state: &State) -> Option<String> {
    let Target::Unedit { path, .. } = crio::stays::on_leaving(root, state)? else {
        return None;
    };
    let path = root.show(&path);
    Some(format!(
        "{path} was not there before nodeseal and is left behind, with what CRI-O goes by without it: a \
         CRI-O that names it refuses every pull while there is none. Once CRI-O was restarted and its \
         configuration does not name it, it can be removed"
    ))
}

impl Runtime {
    /// Gathers the node's facts, renders **all** files and checks **all** of them.
    pub fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Rendered, CycleError> {
        match self {
            Self::Containerd(containerd) => containerd.render(node, bundle, report),
            Self::Crio(crio) => crio.render(node, bundle, report),
        }
    }

    /// Whether the agent may restart it.
    #[must_use]
    pub fn restart(&self, settings: &Settings) -> Restart {
        match self {
            Self::Containerd(_) => settings.containerd.restart,
            Self::Crio(_) => settings.crio.restart,
        }
    }

    /// What of the node's files matters to this runtime.
    #[must_use]
    pub fn watched(&self, root: &Root) -> Watched {
        match self {
            Self::Containerd(containerd) => containerd.watched(root),
            Self::Crio(crio) => crio.watched(root),
        }
    }

    /// The files that the agent may have been writing when it was cut off, besides those in its
    /// record.
    pub fn unrecorded(&self, root: &Root) -> Result<Vec<String>, FileError> {
        match self {
            Self::Containerd(containerd) => Ok(containerd.unrecorded(root)),
            Self::Crio(crio) => crio.unrecorded(root),
        }
    }

    /// True when what is on the node refuses images that no policy covers.
    #[must_use]
    pub fn is_strict(&self, root: &Root) -> bool {
        match self {
            Self::Containerd(_) => Containerd::is_strict(root),
            Self::Crio(crio) => crio.is_strict(root),
        }
    }

    /// Name and version, for the status.
    #[must_use]
    pub fn about(&self) -> status::Runtime {
        let (name, version) = match self {
            Self::Containerd(containerd) => ("containerd", containerd.version),
            Self::Crio(crio) => ("cri-o", Some(crio.version)),
        };
        status::Runtime {
            name: name.to_owned(),
            version: version.map(|version| version.to_string()),
        }
    }
}
