//! What the conversion asks the outside for: texts in ConfigMaps and Secrets, and trust roots.

use std::fmt;
use std::sync::Arc;

use policy::trust::TrustRoot;

use super::Tuf;

/// What holds keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The place for public keys.
    ConfigMap,
    /// Read only where its namespace allows that.
    Secret,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

/// One key of a ConfigMap or Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyReference {
    /// Which of the two.
    pub holder: Holder,
    /// Its namespace: the policy's own for a namespaced policy.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The key inside its data.
    pub key: String,
}

/// Why a reference gives no text. What may be otherwise a moment later, such as an API server that
/// does not answer, is no case of this: then the policy is not converted at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no such object.
    NoObject,
    /// The object has no such key.
    NoKey {
        /// The keys that it has.
        known: Vec<String>,
    },
    /// The object may not be read.
    NotPermitted,
    /// Its value is no text, and why: `its value is …`.
    NotText(String),
}

/// Why the name of a `TrustRoot` leads to none that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootUnavailable {
    /// There is no such object.
    NoObject,
    /// It comes to nothing: why, and what to do. It follows `the TrustRoot … is not ready: `.
    NotReady(String),
}

/// Where a text stands, for messages; a reader of files knows more than others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Option<String>,
    /// How many lines of the file stand before the text; nothing where its lines are not those of
    /// a file.
    pub lines_before: Option<usize>,
}

/// Finds what policies and trust roots refer to.
pub trait Keys {
    /// Where it looks, as messages say it: empty, or with a space in front.
    const WHERE: &'static str = "";

    /// The text that the reference leads to.
    fn get(&self, reference: &KeyReference) -> Result<String, Unavailable>;

    /// What the `TrustRoot` of that name comes to now. One that was valid once and is no more is an
    /// error as well: whoever asks keeps the last valid form of the policies that use it.
    fn trust_root(&self, name: &str) -> Result<Arc<TrustRoot>, RootUnavailable>;

    /// The `trusted_root.json` of a TUF repository, as far as it is known without asking the
    /// repository; or what to do. Of the public-good instance every program knows one.
    fn tuf(&self, repository: &Tuf) -> Result<String, String> {
        if repository.is_public_good() {
            return Ok(policy::trust::PUBLIC_GOOD.to_owned());
        }
        Err("only the operator of a cluster fetches over TUF, and nothing is fetched here: for use without a cluster put the repository's trusted_root.json into trustedRoot.data".to_owned())
    }

    /// Where the text of a reference stands.
    fn place(&self, _reference: &KeyReference) -> Place {
        Place::default()
    }

    /// Where the text of `field` of the object itself stands.
    fn place_of_field(&self, _field: &str) -> Place {
        Place::default()
    }
}
