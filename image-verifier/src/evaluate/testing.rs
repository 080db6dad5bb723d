//! What the tests of authorities share. The certificates and logs are those of `sigstore::testing`.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::authority::{
    AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef, TrustRoots,
};
use policy::bundle::{Bundle, Settings};
use policy::flatten::{Flat, NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::model::{Mode, OnUnsupported, Policy, PolicyDraft, RequirementDraft};
use policy::trust::TrustRoot;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::json;

use super::*;
use crate::candidate::{Attachment, Signed};
use crate::reason::Reason;
use crate::sigstore::SigstoreBundle;
use crate::sigstore::testing::{
    self, Authority as Ca, Log, SIGNED, hashedrekord, logged, pem, public_key, time,
};

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const DEV: &str = "dev@corp.example";
/// The end of the certificates that `Ca::issue` makes.
pub(super) const END: i64 = 1_748_995_200;

pub(super) fn digest() -> Digest {
    Digest::of(b"image")
}

pub(super) fn payload(digest: &Digest) -> Vec<u8> {
    json!({"critical": {"identity": {"docker-reference": "example.com/app"},
        "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature"}})
    .to_string()
    .into_bytes()
}

/// A Fulcio or a company's authority, a log, and the trust root of both.
pub(super) struct World {
    pub(super) ca: Ca,
    pub(super) log: Log,
    pub(super) root: Arc<TrustRoot>,
}

/// A key with its certificate.
pub(super) struct Maker {
    pub(super) key: KeyPair,
    pub(super) der: Vec<u8>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(Ca::new("ca"))
    }

    pub(super) fn of(ca: Ca) -> Self {
        let log = Log::new();
        let key = pem("PUBLIC KEY", &log.0.subject_public_key_info());
        let root = TrustRoot::from_pem(Some(&ca.pem()), &[key], &[], None).unwrap();
        let root = Arc::new(root);
        Self { ca, log, root }
    }

    pub(super) fn reference(&self) -> TrustRootRef {
        TrustRootRef {
            name: "root".to_owned(),
            digest: self.root.digest(),
        }
    }

    pub(super) fn maker(&self, change: impl FnOnce(&mut CertificateParams)) -> Maker {
        let key = KeyPair::generate().unwrap();
        let der = self.ca.issue(&key, change);
        Maker { key, der }
    }

    /// The commonest keyless signature, with its log entry.
    pub(super) fn good(&self) -> Attachment {
        self.logged(self.maker(|_| {}).attachment(&digest()))
    }

    /// With an entry in the log, whoever made it.
    pub(super) fn logged(&self, attachment: Attachment) -> Attachment {
        let verifier = attachment.certificate.clone().unwrap();
        self.entered(attachment, &verifier)
    }

    pub(super) fn entered(&self, attachment: Attachment, verifier: &str) -> Attachment {
        let body = hashedrekord(&attachment.payload, &attachment.signature, verifier);
        Attachment {
            log_entry: Some(self.log.annotation(&body, SIGNED)),
            ..attachment
        }
    }

    pub(super) fn keyless(
        &self,
        name: &str,
        issuer: PatternDraft,
        subject: PatternDraft,
    ) -> AuthorityDraft {
        let identity = IdentityDraft {
            issuer,
            subject,
            claims: BTreeMap::new(),
        };
        self.identities(name, vec![identity])
    }

    pub(super) fn dev(&self) -> AuthorityDraft {
        self.keyless("dev", exact(ISSUER), exact(DEV))
    }

    pub(super) fn identities(&self, name: &str, identities: Vec<IdentityDraft>) -> AuthorityDraft {
        let trust_root = self.reference();
        let signer = SignerDraft::Keyless {
            trust_root,
            identities,
        };
        let name = name.to_owned();
        AuthorityDraft { name, signer }
    }

    pub(super) fn certificate(&self, name: &str, email: &str, logged: bool) -> AuthorityDraft {
        let signer = SignerDraft::Certificate {
            roots: self.ca.pem(),
            intermediates: String::new(),
            subject: CertificateSubject {
                email: Some(email.to_owned()),
                dns_name: None,
            },
            transparency_log: logged.then(|| self.reference()),
        };
        let name = name.to_owned();
        AuthorityDraft { name, signer }
    }

    pub(super) fn key(&self, name: &str, key: &KeyPair, logged: bool) -> AuthorityDraft {
        let signer = SignerDraft::Key {
            keys: public_key(key).to_pem(),
            transparency_log: logged.then(|| self.reference()),
        };
        let name = name.to_owned();
        AuthorityDraft { name, signer }
    }

    pub(super) fn flat(&self, threshold: u32, authorities: Vec<AuthorityDraft>) -> Flat {
        let draft = PolicyDraft {
            on_unsupported: OnUnsupported::Ignore,
            id: PolicyId::Cluster { name: "p".into() },
            scopes: vec!["example.com".into()],
            exclude: Vec::new(),
            requirement: RequirementDraft {
                mode: Mode::Enforce,
                threshold,
                authorities,
                signed_identity: SignedIdentity::MatchRepository {
                    unnamed: UnnamedSignatures::Accept,
                },
            },
        };
        let roots: TrustRoots = [(self.root.digest(), Arc::clone(&self.root))].into();
        let policy = Policy::new(draft, &roots).unwrap();
        let bundle = Bundle::new(Settings::default(), [policy]);
        flatten(&bundle, &NodeFacts::default())
    }

    pub(super) fn judge(&self, authorities: &[AuthorityDraft], found: &[Found]) -> Verdict {
        self.judge_at(SIGNED + 60, 1, authorities, found)
    }

    pub(super) fn judge_at(
        &self,
        now: i64,
        threshold: u32,
        authorities: &[AuthorityDraft],
        found: &[Found],
    ) -> Verdict {
        let flat = self.flat(threshold, authorities.to_vec());
        let image = Reference::parse("example.com/app:v1").unwrap();
        evaluate(&flat.decide(&image), found, &image, &digest(), time(now))
    }
}

impl Maker {
    pub(super) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// A signature with the certificate and without log entry.
    pub(super) fn attachment(&self, digest: &Digest) -> Attachment {
        Attachment {
            certificate: Some(self.pem()),
            ..by_key(&self.key, digest)
        }
    }

    pub(super) fn bundle(&self, log: &Log, digest: &Digest, predicate: &str) -> Found {
        let envelope = testing::envelope_of(&self.key, digest, predicate);
        let entry = log.entry(&logged(&envelope, &self.pem()), SIGNED);
        let json = testing::bundle(&testing::by_certificate(&self.der), &[entry], &envelope);
        bundle(&json)
    }
}

pub(super) fn exact(text: &str) -> PatternDraft {
    PatternDraft::Exact(text.to_owned())
}

pub(super) fn expression(text: &str) -> PatternDraft {
    PatternDraft::RegExp(text.to_owned())
}

/// A signature by a bare key.
pub(super) fn by_key(key: &KeyPair, digest: &Digest) -> Attachment {
    let payload = payload(digest);
    Attachment {
        signature: key.sign(&payload).unwrap(),
        payload,
        ..Attachment::default()
    }
}

pub(super) fn attached(attachment: &Attachment) -> Found {
    Found::Candidate(Candidate {
        origin: "tag x".into(),
        signed: Signed::Attachment(attachment.clone()),
    })
}

pub(super) fn bundle(json: &[u8]) -> Found {
    Found::Candidate(Candidate {
        origin: "referrer x".into(),
        signed: Signed::Bundle(Box::new(SigstoreBundle::parse(json).unwrap())),
    })
}

#[track_caller]
pub(super) fn refused(verdict: &Verdict, reason: Reason, part: &str) {
    let refusal = verdict.refusal.as_ref().expect("it passes");
    assert_eq!(refusal.reason, reason, "{}", refusal.message);
    assert!(refusal.message.contains(part), "{}", refusal.message);
    assert_eq!(verdict.valid_until, None);
}

#[track_caller]
pub(super) fn allowed(verdict: &Verdict, by: &str) {
    assert_eq!(verdict.refusal, None);
    assert_eq!(signers(verdict), by);
}
