//! One candidate, step by step. What it says is looked at only behind its signature.

use std::borrow::Cow;
use std::collections::BTreeMap;

use policy::digest::Digest;
use policy::key::PublicKey;
use policy::model::Requirement;
use policy::reference::Reference;

use crate::candidate::{Candidate, Finding, Material, Signed};
use crate::keys;
use crate::payload::{self, Claim, NoClaim};
use crate::reason::{Reason, quoted};

/// What is known of one candidate without regard to a policy; each part is worked out once.
pub(super) struct Examined<'c> {
    pub(super) candidate: &'c Candidate,
    message: Cow<'c, [u8]>,
    by_key: BTreeMap<PublicKey, bool>,
    claim: Option<Result<Claim, NoClaim>>,
}

impl<'c> Examined<'c> {
    pub(super) fn new(candidate: &'c Candidate) -> Self {
        let message = match &candidate.signed {
            Signed::SimpleSigning { payload, .. } => Cow::Borrowed(payload.as_slice()),
            Signed::Dsse {
                payload_type,
                payload,
                ..
            } => Cow::Owned(sigstore_types::dsse::pae(payload_type, payload)),
        };
        Self {
            candidate,
            message,
            by_key: BTreeMap::new(),
            claim: None,
        }
    }

    /// Step 1. A bundle that says it was signed with a certificate is none of a key's: its
    /// certificate has to be verified, or nothing of it may count.
    pub(super) fn is_signed_by(&mut self, key: &PublicKey) -> bool {
        let bundle = matches!(self.candidate.signed, Signed::Dsse { .. });
        if bundle && self.candidate.material == Material::Certificate {
            return false;
        }
        if let Some(&known) = self.by_key.get(key) {
            return known;
        }
        let good = keys::verify(key, &self.message, self.candidate.signed.signature());
        self.by_key.insert(key.clone(), good);
        good
    }

    /// Steps 2 to 4, for a candidate whose signature is good.
    pub(super) fn check(
        &mut self,
        requirement: &Requirement,
        image: &Reference,
        digest: &Digest,
    ) -> Result<(), Finding> {
        let signed = &self.candidate.signed;
        let claim = self.claim.get_or_insert_with(|| match signed {
            Signed::SimpleSigning { payload, .. } => payload::simple_signing(payload),
            Signed::Dsse {
                payload_type,
                payload,
                ..
            } => payload::statement(payload_type, payload),
        });
        let claim = match claim {
            Ok(claim) => claim,
            Err(NoClaim { reason, message }) => {
                return Err(Finding::new(*reason, message.clone()));
            }
        };
        if !claim.is_about(digest) {
            let claimed = claim
                .digests
                .first()
                .map_or("no digest at all", String::as_str);
            let message = format!("it is about {}, not about this image", quoted(claimed));
            return Err(Finding::new(Reason::WrongDigest, message));
        }
        requirement
            .signed_identity()
            .accepts(image, claim.name.as_deref())
            .map_err(|mismatch| Finding::new(Reason::WrongIdentity, mismatch.to_string()))
    }

    pub(super) fn by_nobody(&self) -> Finding {
        let origin = &self.candidate.origin;
        let message = match self.candidate.material {
            Material::Key => format!("{origin} is by another key, or not over what it carries"),
            Material::Certificate => {
                format!("{origin} is keyless (it has a certificate), and the policy wants a key")
            }
        };
        Finding::new(Reason::NoMatchingSignature, message)
    }
}
