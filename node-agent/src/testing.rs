//! Builders for tests.

use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, Settings};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, Policy, PolicyDraft, PolicyId, RequirementDraft};

use crate::ledger::Ledger;

/// A P-256 key that was made once; nothing here depends on who holds the other half.
pub(crate) const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
     URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
     -----END PUBLIC KEY-----\n";

pub(crate) fn id(name: &str) -> PolicyId {
    PolicyId::Cluster {
        name: name.to_owned(),
    }
}

/// A cluster policy with one key.
pub(crate) fn policy(name: &str, scope: &str) -> Policy {
    let authority = AuthorityDraft::key("a", KEY);
    let draft = PolicyDraft {
        on_unsupported: policy::model::OnUnsupported::Ignore,
        id: id(name),
        scopes: vec![scope.to_owned()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![authority],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    };
    Policy::try_from(draft).expect("a valid draft")
}

/// A ledger of (name, file, scope).
pub(crate) fn ledger(policies: &[(&str, &str, &str)]) -> Ledger {
    Ledger {
        bundle: Bundle::new(
            Settings::default(),
            policies.iter().map(|(name, _, scope)| policy(name, scope)),
        ),
        sources: policies
            .iter()
            .map(|(name, file, _)| (id(name), (*file).to_owned()))
            .collect(),
        settings_source: None,
    }
}
