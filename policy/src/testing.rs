//! Builders for tests.

use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::model::{AuthorityDraft, Mode, Policy, PolicyDraft, PolicyId, RequirementDraft};

/// Three P-256 keys, made once: nothing here depends on who holds the other half.
pub(crate) const KEYS: [&str; 3] = [
    "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
     URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
     -----END PUBLIC KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqLPdota9VZsvgcOXMVsV/shnMH/v\n\
     xX8elaSApq87V3nsCnhKxC1iWtQBDrniuHyY4RCNhvERZvkUrzZ2du3eLg==\n\
     -----END PUBLIC KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE/LHOWfUlalZFFyb/0VDvvrRb8UDo\n\
     qRyTE2rn6NWU9wfKPN1ndEd6G+6hFTfrMjqxhr36l2rGmVkAnSBL6f8pHg==\n\
     -----END PUBLIC KEY-----\n",
];

/// A draft with one authority `a` that has the first key; tests change what they are about.
pub(crate) fn draft(name: &str, scopes: &[&str], exclude: &[&str]) -> PolicyDraft {
    let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    PolicyDraft {
        on_unsupported: crate::model::OnUnsupported::Ignore,
        id: PolicyId::Cluster {
            name: name.to_owned(),
        },
        scopes: own(scopes),
        exclude: own(exclude),
        requirement: RequirementDraft {
            mode: Mode::Enforce,
            threshold: 1,
            authorities: vec![authority("a", KEYS[0])],
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    }
}

pub(crate) fn authority(name: &str, key: &str) -> AuthorityDraft {
    AuthorityDraft {
        name: name.to_owned(),
        key: key.to_owned(),
    }
}

pub(crate) fn policy(name: &str, scopes: &[&str], exclude: &[&str]) -> Policy {
    Policy::try_from(draft(name, scopes, exclude)).expect("a valid draft")
}
