//! What is valid and may still not do what its author expects.
//!
//! ```text
//!  Input (one spec) ──alone────▶ what the spec alone shows ────────────────┐
//!  Input, Input … ─┐                                                       ├─▶ Advice
//!  Around ─────────┴──together─▶ what others and the configuration make of it ┘
//!  Settings ──────────settings─▶ what the configuration alone shows
//! ```
//!
//! Nothing is refused by any of it. Only what is certain is said: policies add up, and each may be
//! satisfied by a signature of its own (docs/warnings.md says what follows from that).

mod across;
mod covers;
mod identities;
mod scopes;
mod settings;
mod word;

use std::collections::BTreeSet;

use crate::identity::SignedIdentity;
use crate::model::{Mode, PolicyId};
use crate::scope::Scope;
use crate::settings::DefaultAction;

pub use self::across::together;
pub use self::covers::{SANDBOX_IMAGES, SYSTEM_HOST, SYSTEM_IMAGES, SYSTEM_SIGNER};
pub use self::identities::{FORGE_PATHS, FORGES, MAIL_PROVIDERS, NAMING};
pub use self::settings::{OPEN_REGISTRIES, settings};
pub use self::word::Word;

/// One thing to know, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Advice {
    /// The field, such as `spec.scopes[0]`.
    pub field: String,
    /// The stable word.
    pub word: Word,
    /// What is the matter, and how to mend it. One line.
    pub message: String,
}

impl Advice {
    fn new(field: impl Into<String>, word: Word, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            word,
            message: message.into(),
        }
    }
}

/// What a policy's spec says, as far as advice is about it. What does not parse is left out: that is
/// an error of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Which policy.
    pub id: PolicyId,
    /// Whether it denies.
    pub mode: Mode,
    /// What it covers, each with its field.
    pub scopes: Vec<(String, Scope)>,
    /// What it leaves out, each with its field.
    pub exclude: Vec<(String, Scope)>,
    /// Which name a signature must carry.
    pub signed_identity: SignedIdentity,
    /// The identities of all keyless authorities.
    pub identities: Vec<Identity>,
    /// The nodes that it selects, in any form that is the same for the same nodes; nothing is all.
    pub nodes: Option<String>,
}

/// A keyless identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its field, such as `spec.authorities[0].keyless.identities[0]`.
    pub field: String,
    /// The expression for the identity provider, where it is one.
    pub issuer_reg_exp: Option<String>,
    /// The signer, where it is written out.
    pub subject: Option<String>,
    /// The expression for the signer, where it is one.
    pub subject_reg_exp: Option<String>,
    /// The names of the further claims.
    pub claims: BTreeSet<String>,
}

/// What lies around policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Around {
    /// What the configuration exempts.
    pub exempt: BTreeSet<Scope>,
    /// The product's own images, which are always exempt.
    pub own: BTreeSet<Scope>,
    /// For images that no enforcing policy covers.
    pub default_action: DefaultAction,
}

/// What the spec alone shows.
#[must_use]
pub fn alone(input: &Input) -> Vec<Advice> {
    let mut all = scopes::advise(input);
    all.extend(scopes::of_identity(input));
    for identity in &input.identities {
        all.extend(identities::advise(identity));
    }
    all
}

#[cfg(test)]
mod tests;
