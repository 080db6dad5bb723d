//! What the covering policies trust, parsed when the first signature asks for it, and once.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use policy::authority::{CertificateSigner, Signer, TrustedRoot};
use policy::digest::Digest;
use policy::model::Requirement;
use policy::trust::{Authority, LogKey};

use crate::sigstore::{Pki, TrustMaterial, VerifyError};

/// Trust roots by digest, and company authorities.
#[derive(Debug, Default)]
pub(super) struct Material<'a> {
    roots: BTreeMap<&'a Digest, OnceCell<Result<TrustMaterial, VerifyError>>>,
    pkis: Vec<(&'a CertificateSigner, OnceCell<Result<Pki, VerifyError>>)>,
}

impl<'a> Material<'a> {
    /// What these policies need. Nothing is parsed yet.
    pub(super) fn of(requirements: impl Iterator<Item = &'a Requirement>) -> Self {
        let mut material = Self::default();
        for authority in requirements.flat_map(Requirement::authorities) {
            if let Some(root) = authority.trust_root() {
                material.roots.entry(&root.reference().digest).or_default();
            }
            if let Signer::Certificate(signer) = authority.signer()
                && material.index(signer).is_none()
            {
                material.pkis.push((signer, OnceCell::new()));
            }
        }
        material
    }

    /// A trust root.
    pub(super) fn root(&self, root: &TrustedRoot) -> Result<&TrustMaterial, VerifyError> {
        let cell = self.roots.get(&root.reference().digest);
        let cell = cell.ok_or_else(|| VerifyError::TrustRoot("it was not read".into()))?;
        cell.get_or_init(|| TrustMaterial::parse(&root.root().to_trusted_root_json()))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// A company's authority, by [`Material::index`].
    pub(super) fn pki(&self, index: usize) -> Result<&Pki, VerifyError> {
        let found = self.pkis.get(index);
        let (signer, cell) =
            found.ok_or_else(|| VerifyError::TrustRoot("it was not read".into()))?;
        cell.get_or_init(|| Pki::of(signer))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The place of a company's authority; those that are alike have one.
    pub(super) fn index(&self, signer: &CertificateSigner) -> Option<usize> {
        self.pkis.iter().position(|(known, _)| *known == signer)
    }
}

/// When the next thing in a trust root ends, in Unix seconds: what was verified by it should be
/// verified anew then.
pub(super) fn next_expiry(root: &TrustedRoot, now: Timestamp) -> Option<i64> {
    let expiries = root.root().expiries().into_iter().map(|(_, unix)| unix);
    expiries.filter(|unix| *unix > now.as_second()).min()
}

/// What of a trust root has ended altogether, in words: it can verify nothing that is signed now.
pub(super) fn ended(root: &TrustedRoot, now: Timestamp) -> Option<&'static str> {
    let now = now.as_second();
    let authority = |authority: &Authority| {
        let window = authority.valid_for().and_then(|window| window.end);
        window.is_some_and(|end| end.as_second() < now)
            // Each is a trust anchor by itself.
            || authority.chain().iter().all(|one| one.not_after() < now)
    };
    let log = |log: &LogKey| {
        let end = log.valid_for().and_then(|window| window.end);
        end.is_some_and(|end| end.as_second() < now)
    };
    let authorities = root.root().certificate_authorities();
    let logs = root.root().transparency_logs();
    if !authorities.is_empty() && authorities.iter().all(authority) {
        return Some("all its certificate authorities have ended");
    }
    (!logs.is_empty() && logs.iter().all(log)).then_some("all its transparency logs have ended")
}
