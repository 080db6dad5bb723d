//! Who may sign: an authority of a policy.

mod draft;
mod parse;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::certificate::Certificate;
use crate::digest::Digest;
use crate::key::PublicKey;
use crate::keyless::Identity;
use crate::trust::TrustRoot;

pub use self::draft::{AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef};
pub(crate) use self::parse::parse;

/// Trust roots by their digests, from which the references of drafts are resolved.
pub type TrustRoots = BTreeMap<Digest, Arc<TrustRoot>>;

/// One signer of a valid policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    name: String,
    signer: Signer,
}

/// How the signatures of an authority are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// By public keys.
    Key(KeySigner),
    /// By short-lived certificates.
    Keyless(KeylessSigner),
    /// By certificates of a PKI.
    Certificate(CertificateSigner),
}

/// Public keys, any one of which may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySigner {
    keys: Vec<PublicKey>,
    log: Option<TrustedRoot>,
}

/// Identities in certificates of a trust root, any one of which may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeylessSigner {
    root: TrustedRoot,
    identities: Vec<Identity>,
}

/// A name in certificates of a PKI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSigner {
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    subject: CertificateSubject,
    log: Option<TrustedRoot>,
}

/// A trust root with the name that its policy calls it by.
#[derive(Debug, Clone)]
pub struct TrustedRoot {
    reference: TrustRootRef,
    root: Arc<TrustRoot>,
}

impl PartialEq for TrustedRoot {
    fn eq(&self, other: &Self) -> bool {
        self.reference == other.reference
    }
}

impl Eq for TrustedRoot {}

impl TrustedRoot {
    /// Its name and digest.
    #[must_use]
    pub fn reference(&self) -> &TrustRootRef {
        &self.reference
    }

    /// The name of the `TrustRoot` object.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }

    /// What it trusts.
    #[must_use]
    pub fn root(&self) -> &Arc<TrustRoot> {
        &self.root
    }
}

/// By digest, each once.
pub(crate) fn trust_roots<'a>(all: impl Iterator<Item = &'a TrustedRoot>) -> TrustRoots {
    all.map(|root| (root.reference.digest.clone(), Arc::clone(&root.root)))
        .collect()
}

impl Authority {
    /// The authority's name, unique within its policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its signatures are recognised.
    #[must_use]
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The trust root that it needs, if any.
    #[must_use]
    pub fn trust_root(&self) -> Option<&TrustedRoot> {
        match &self.signer {
            Signer::Key(signer) => signer.log.as_ref(),
            Signer::Keyless(signer) => Some(&signer.root),
            Signer::Certificate(signer) => signer.log.as_ref(),
        }
    }

    /// The field of the policy's `spec`, below the authority, that says how signatures are
    /// recognised.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match &self.signer {
            Signer::Key(_) => "key",
            Signer::Keyless(_) => "keyless",
            Signer::Certificate(_) => "certificate",
        }
    }
}

impl KeySigner {
    /// The keys, any one of which may have signed; sorted, never empty, no duplicates.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Whose log must have an entry, if one must.
    #[must_use]
    pub fn log(&self) -> Option<&TrustedRoot> {
        self.log.as_ref()
    }
}

impl KeylessSigner {
    /// Whose certificates and logs count: it has at least one of each.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Who may have signed: 1 to 16, any one of them; sorted, no duplicates.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }
}

impl CertificateSigner {
    /// The trust anchors; sorted, never empty.
    #[must_use]
    pub fn roots(&self) -> &[Certificate] {
        &self.roots
    }

    /// Certificates that may stand between a root and a signer; sorted.
    #[must_use]
    pub fn intermediates(&self) -> &[Certificate] {
        &self.intermediates
    }

    /// Whom the certificate must name.
    #[must_use]
    pub fn subject(&self) -> &CertificateSubject {
        &self.subject
    }

    /// Whose log must have an entry, if one must.
    #[must_use]
    pub fn log(&self) -> Option<&TrustedRoot> {
        self.log.as_ref()
    }
}

#[cfg(test)]
mod tests;
