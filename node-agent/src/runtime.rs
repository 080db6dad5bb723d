//! The container runtimes: what each has to be known of on its node, and which files it makes of
//! the policies. Everything that changes the node is the same for both.

pub mod containerd;
pub mod crio;

use policy::bundle::Bundle;

use self::containerd::Containerd;
use self::crio::Crio;
use crate::error::CycleError;
use crate::layout::VerifierPlace;
use crate::plan::Target;
use crate::root::{FileError, Root};
use crate::state::State;
use crate::status::{self, Report};

/// The runtime of a node, with what the command line says about it.
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
}

/// Whose changes matter, relative to the root.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Single files.
    pub files: Vec<String>,
    /// Folders with everything right in them.
    pub folders: Vec<String>,
}

/// Everything that should be on disk, in the order in which it changes.
pub type Targets = Vec<Target>;

impl Runtime {
    /// Gathers the node's facts, renders **all** files and checks **all** of them.
    ///
    /// There may be more than one set: each is whole, and they are brought to disk one after
    /// another, so that one path can change twice on the way.
    pub fn render(
        &self,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
    ) -> Result<Vec<Targets>, CycleError> {
        match self {
            Self::Containerd(containerd) => Ok(vec![containerd.render(node, bundle, report)?]),
            Self::Crio(crio) => crio.render(node, bundle, report),
        }
    }

    /// Where the verifier goes, if this runtime has one.
    #[must_use]
    pub fn place(&self) -> Option<&VerifierPlace> {
        match self {
            Self::Containerd(containerd) => Some(&containerd.folder.place),
            Self::Crio(_) => None,
        }
    }

    /// What of the node's files matters to this runtime.
    #[must_use]
    pub fn watched(&self, root: &Root) -> Watched {
        match self {
            Self::Containerd(containerd) => containerd.watched(),
            Self::Crio(crio) => crio.watched(root),
        }
    }

    /// The files that the agent may have been writing when it was cut off, besides those in its
    /// record.
    pub fn unrecorded(&self, root: &Root) -> Result<Vec<String>, FileError> {
        match self {
            Self::Containerd(_) => Ok(Containerd::unrecorded()),
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
