//! Builders for tests.

use std::sync::Arc;

use crate::authority::{AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef, TrustRoots};
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::keyless::{IdentityDraft, PatternDraft};
use crate::model::{Mode, Policy, PolicyDraft, PolicyId, RequirementDraft};
use crate::trust::TrustRoot;

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
    AuthorityDraft::key(name, key)
}

pub(crate) fn policy(name: &str, scopes: &[&str], exclude: &[&str]) -> Policy {
    Policy::try_from(draft(name, scopes, exclude)).expect("a valid draft")
}

/// The public-good trust root: one ECDSA log and one with an Ed25519 key, two certificate
/// authorities, two certificate logs.
pub(crate) fn public_good() -> Arc<TrustRoot> {
    let json = sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;
    Arc::new(
        TrustRoot::from_trusted_root_json(json)
            .expect("the real one")
            .root,
    )
}

/// A trust root as drafts refer to it, and what they refer to.
pub(crate) fn named(root: &Arc<TrustRoot>) -> (TrustRootRef, TrustRoots) {
    let reference = TrustRootRef {
        name: "sigstore".to_owned(),
        digest: root.digest(),
    };
    (
        reference.clone(),
        [(reference.digest, Arc::clone(root))].into(),
    )
}

/// One keyless signer.
pub(crate) fn keyless(
    name: &str,
    root: &TrustRootRef,
    issuer: &str,
    subject: &str,
) -> AuthorityDraft {
    AuthorityDraft {
        name: name.to_owned(),
        signer: SignerDraft::Keyless {
            trust_root: root.clone(),
            identities: vec![IdentityDraft {
                issuer: PatternDraft::Exact(issuer.to_owned()),
                subject: PatternDraft::Exact(subject.to_owned()),
                claims: std::collections::BTreeMap::new(),
            }],
        },
    }
}

/// One signer with a certificate of a PKI; the root is that of the public-good certificate
/// authority, which will do.
pub(crate) fn certified(name: &str, email: &str) -> AuthorityDraft {
    let root = public_good();
    AuthorityDraft {
        name: name.to_owned(),
        signer: SignerDraft::Certificate {
            roots: root.fulcio_roots()[0].to_pem(),
            intermediates: String::new(),
            subject: CertificateSubject {
                email: Some(email.to_owned()),
                dns_name: None,
            },
            transparency_log: None,
        },
    }
}
