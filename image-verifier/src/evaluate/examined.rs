//! One candidate, step by step. What it says is looked at only behind its signature.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use policy::authority::{
    Authority, CertificateSigner, KeySigner, KeylessSigner, Signer, TrustedRoot,
};
use policy::digest::Digest;
use policy::key::PublicKey;
use policy::model::Requirement;
use policy::reference::Reference;

use super::failure;
use super::material::{self, Material};
use super::signatures::{Mark, Proof};
use crate::candidate::{Candidate, Finding, Signed};
use crate::payload::{self, Claim, NoClaim};
use crate::reason::{Reason, quoted};
use crate::sigstore::{
    Artifact, Claimed, LogEntry, SigningTime, Unmatched, VerifyError, verify_bundle,
    verify_with_keys, verify_with_pki,
};

/// Until when a good signature counts, where that is less than for good.
type Until = Result<Option<Timestamp>, VerifyError>;

/// What is known of one candidate without regard to a policy; each part is worked out once.
pub(super) struct Examined<'a, 'c> {
    pub(super) candidate: &'c Candidate,
    digest: &'c Digest,
    now: Timestamp,
    material: &'c Material<'a>,
    by_key: BTreeMap<(&'a PublicKey, Option<&'a Digest>), Until>,
    keyless: BTreeMap<&'a Digest, Result<Unmatched, VerifyError>>,
    /// By the place of the authority in the material; until when it holds.
    by_pki: BTreeMap<usize, Result<Option<Timestamp>, VerifyError>>,
    claim: Option<Result<Claim, NoClaim>>,
    claimed: OnceCell<Option<Claimed>>,
}

impl<'a, 'c> Examined<'a, 'c> {
    pub(super) fn new(
        candidate: &'c Candidate,
        digest: &'c Digest,
        now: Timestamp,
        material: &'c Material<'a>,
    ) -> Self {
        Self {
            candidate,
            digest,
            now,
            material,
            by_key: BTreeMap::new(),
            keyless: BTreeMap::new(),
            by_pki: BTreeMap::new(),
            claim: None,
            claimed: OnceCell::new(),
        }
    }

    /// Whom it says that it is by.
    pub(super) fn claimed(&self) -> Option<&Claimed> {
        let claimed = || self.candidate.signed.claimed();
        self.claimed.get_or_init(claimed).as_ref()
    }

    /// Step 1: whether it is by the authority.
    pub(super) fn is_by(&mut self, authority: &'a Authority) -> Result<Proof, Finding> {
        let proof = match authority.signer() {
            Signer::Key(signer) => self.by_keys(signer),
            Signer::Keyless(signer) => self.by_identity(signer),
            Signer::Certificate(signer) => self.by_certificate(signer),
        };
        let root = authority.trust_root();
        proof.map_err(|error| failure::finding(self, &error, root, self.now))
    }

    fn by_keys(&mut self, signer: &'a KeySigner) -> Result<Proof, VerifyError> {
        let mut failure = VerifyError::Signature("there is no key".into());
        for key in signer.keys() {
            match self.by_key(key, signer.log()) {
                Ok(valid_until) => {
                    let mark = Mark::Key(key.fingerprint());
                    return Ok(self.proof([mark], valid_until, signer.log()));
                }
                // Any other failure is by the right key, and so tells more.
                Err(VerifyError::Signature(_)) if !matches!(failure, VerifyError::Signature(_)) => {
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn by_key(
        &mut self,
        key: &'a PublicKey,
        log: Option<&'a TrustedRoot>,
    ) -> Result<Option<Timestamp>, VerifyError> {
        let place = (key, log.map(|root| &root.reference().digest));
        if let Some(known) = self.by_key.get(&place) {
            return known.clone();
        }
        let verified = self.verify_by_key(key, log);
        self.by_key.insert(place, verified.clone());
        verified
    }

    fn verify_by_key(
        &self,
        key: &PublicKey,
        log: Option<&TrustedRoot>,
    ) -> Result<Option<Timestamp>, VerifyError> {
        let log = match log {
            None => LogEntry::NotDemanded,
            Some(root) => LogEntry::Demanded(self.material.root(root)?),
        };
        let keys = std::slice::from_ref(key);
        let accepted = match &self.candidate.signed {
            Signed::Attachment(attachment) => attachment.as_legacy().verify_with_keys(keys, log),
            Signed::Bundle(bundle) => {
                verify_with_keys(bundle, &Artifact::Digest(self.digest), keys, log)
            }
        };
        // Where its log entry has no time of its own, it counts as long as its log does.
        accepted.map(|accepted| accepted.valid_until())
    }

    fn by_identity(&mut self, signer: &'a KeylessSigner) -> Result<Proof, VerifyError> {
        let root = signer.root();
        let (candidate, digest, material) = (self.candidate, self.digest, self.material);
        let verified = self
            .keyless
            .entry(&root.reference().digest)
            .or_insert_with(|| {
                let trust = material.root(root)?;
                match &candidate.signed {
                    Signed::Attachment(attachment) => attachment.as_legacy().verify(trust),
                    Signed::Bundle(bundle) => {
                        verify_bundle(bundle, &Artifact::Digest(digest), trust)
                    }
                }
            });
        let unmatched = verified.as_ref().map_err(Clone::clone)?;
        let accepted = unmatched.accept(|identity| {
            let found = identity.as_signer()?;
            let accepts = |wanted: &policy::keyless::Identity| wanted.accepts(&found);
            let mark = || Mark::of(&identity.subject, identity.issuer.as_deref());
            signer.identities().iter().any(accepts).then(mark)
        })?;
        let mark = accepted.by().clone();
        let key = self.claimed().and_then(|claimed| claimed.key.clone());
        let marks = key.map(Mark::Key).into_iter().chain(mark);
        Ok(self.proof(marks, accepted.valid_until(), Some(root)))
    }

    fn by_certificate(&mut self, signer: &'a CertificateSigner) -> Result<Proof, VerifyError> {
        let index = self.material.index(signer).unwrap_or(usize::MAX);
        let verified = if let Some(known) = self.by_pki.get(&index) {
            known.clone()
        } else {
            let verified = self.verify_by_certificate(index, signer.log());
            self.by_pki.insert(index, verified.clone());
            verified
        };
        let verified = verified?;
        // Behind the signature, what the certificate claims is so.
        let certificate = self.claimed().cloned().unwrap_or_default();
        let names = certificate.names.iter();
        let marks = names.filter_map(|name| Mark::of(name, None));
        let marks = marks.chain(certificate.key.map(Mark::Key));
        Ok(self.proof(marks, verified, signer.log()))
    }

    fn verify_by_certificate(
        &self,
        index: usize,
        log: Option<&TrustedRoot>,
    ) -> Result<Option<Timestamp>, VerifyError> {
        let pki = self.material.pki(index)?;
        let time = match log {
            None => SigningTime::Now(self.now),
            Some(root) => SigningTime::Proven(self.material.root(root)?),
        };
        let accepted = match &self.candidate.signed {
            Signed::Attachment(attachment) => attachment.as_legacy().verify_with_pki(pki, time)?,
            Signed::Bundle(bundle) => {
                verify_with_pki(bundle, &Artifact::Digest(self.digest), pki, time)?
            }
        };
        Ok(accepted.valid_until())
    }

    /// That the signature holds, by a signer who has these marks.
    fn proof(
        &self,
        marks: impl IntoIterator<Item = Mark>,
        valid_until: Option<Timestamp>,
        root: Option<&TrustedRoot>,
    ) -> Proof {
        let mut marks: BTreeSet<Mark> = marks.into_iter().collect();
        let signed = &self.candidate.signed;
        marks.insert(Mark::Signature(Digest::of(signed.signature())));
        let ends = [
            valid_until.map(Timestamp::as_second),
            root.and_then(|root| material::next_expiry(root, self.now)),
        ];
        Proof {
            marks,
            valid_until: ends.into_iter().flatten().min(),
        }
    }

    /// Steps 2 to 4, for a candidate whose signature is good.
    pub(super) fn check(
        &mut self,
        requirement: &Requirement,
        image: &Reference,
    ) -> Result<(), Finding> {
        let signed = &self.candidate.signed;
        let claim = self.claim.get_or_insert_with(|| claim(signed));
        let claim = match claim {
            Ok(claim) => claim,
            Err(NoClaim { reason, message }) => {
                return Err(Finding::new(*reason, message.clone()));
            }
        };
        if !claim.is_about(self.digest) {
            return Err(Finding::new(Reason::WrongDigest, about(claim)));
        }
        requirement
            .signed_identity()
            .accepts(image, claim.name.as_deref())
            .map_err(|mismatch| Finding::new(Reason::WrongIdentity, mismatch.to_string()))
    }
}

/// What was signed.
pub(super) fn claim(signed: &Signed) -> Result<Claim, NoClaim> {
    match signed {
        Signed::Attachment(attachment) => payload::simple_signing(&attachment.payload),
        Signed::Bundle(bundle) => match bundle.statement() {
            Some((payload_type, payload)) => payload::statement(payload_type, payload),
            None => Err(NoClaim {
                reason: Reason::UnsupportedFormat,
                message: "a bare message signature".to_owned(),
            }),
        },
    }
}

/// What a claim is about, where that is another image.
pub(super) fn about(claim: &Claim) -> String {
    let claimed = claim.digests.first();
    let claimed = claimed.map_or("no digest at all", String::as_str);
    format!("it is about {}, not about this image", quoted(claimed))
}
