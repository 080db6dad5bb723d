//! Signatures without keys: an authority, a log, and a policy that trusts both.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::authority::{AuthorityDraft, SignerDraft, TrustRootRef, TrustRoots};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::model::PolicyDraft;
use policy::trust::TrustRoot;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use crate::support::sign::{SIMPLE, payload};
use crate::support::{digest, draft};
use crate::testing::{self, Authority, Log, SIGNED, hashedrekord, logged, pem};

/// A Fulcio, a Rekor, and somebody with a certificate.
pub(crate) struct World {
    log: Log,
    root: Arc<TrustRoot>,
    key: KeyPair,
    certificate: Vec<u8>,
    authority: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let (authority, log) = (Authority::new("ca"), Log::new());
        let log_key = pem("PUBLIC KEY", &log.0.subject_public_key_info());
        let root = TrustRoot::from_pem(Some(&authority.pem()), &[log_key], &[], None).unwrap();
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: authority.issue(&key, |_| ()),
            authority: authority.pem(),
            root: Arc::new(root),
            log,
            key,
        }
    }

    /// A policy that wants this somebody.
    pub(crate) fn draft(&self) -> PolicyDraft {
        let exact = |text: &str| PatternDraft::Exact(text.to_owned());
        let signer = SignerDraft::Keyless {
            trust_root: TrustRootRef {
                name: "root".to_owned(),
                digest: self.root.digest(),
            },
            identities: vec![IdentityDraft {
                issuer: exact("https://issuer.example"),
                subject: exact("dev@corp.example"),
                claims: BTreeMap::new(),
            }],
        };
        let name = "dev".to_owned();
        let mut draft = draft(&[]);
        draft.requirement.authorities = vec![AuthorityDraft { name, signer }];
        draft
    }

    pub(crate) fn roots(&self) -> TrustRoots {
        [(self.root.digest(), Arc::clone(&self.root))].into()
    }

    /// A bundle that signs the image, with all the evidence that there may be.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        let envelope = testing::envelope(&self.key, &digest());
        let certificate = pem("CERTIFICATE", &self.certificate);
        let entry = self.log.entry(&logged(&envelope, &certificate), SIGNED);
        let material = testing::by_certificate(&self.certificate);
        testing::bundle(&material, &[entry], &envelope)
    }

    /// A payload that names the image, and the layer of an attachment that signs it.
    pub(crate) fn layer(&self, name: &str) -> (Vec<u8>, Value) {
        let payload = payload(&digest(), name).into_bytes();
        let signature = self.key.sign(&payload).unwrap();
        let certificate = pem("CERTIFICATE", &self.certificate);
        let entry = hashedrekord(&payload, &signature, &certificate);
        let layer = json!({"mediaType": SIMPLE, "size": payload.len(),
        "digest": policy::digest::Digest::of(&payload),
        "annotations": {
            "dev.cosignproject.cosign/signature": BASE64.encode(&signature),
            "dev.sigstore.cosign/certificate": certificate,
            "dev.sigstore.cosign/chain": self.authority,
            "dev.sigstore.cosign/bundle": self.log.annotation(&entry, SIGNED),
        }});
        (payload, layer)
    }
}
