//! Authorities with certificates and logs, from the registry to the verdict: what the annotations of
//! an attachment carry arrives where it is judged.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image_verifier::reason::Reason;
use policy::authority::{
    AuthorityDraft, CertificateSubject, SignerDraft, TrustRootRef, TrustRoots,
};
use policy::digest::Digest;
use policy::keyless::{IdentityDraft, PatternDraft};
use policy::trust::TrustRoot;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SigningKey as _,
};
use serde_json::{Value, json};

use support::sign::{SIMPLE, attach, payload};
use support::{Pull, assert_allowed, assert_refused, digest, draft};

const EMAIL: &str = "dev@corp.example";
const ISSUER: &str = "https://issuer.example";

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// An authority, a log, and a signer with a certificate.
struct World {
    root: String,
    log: KeyPair,
    key: KeyPair,
    certificate: String,
}

impl World {
    fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names = vec![SanType::Rfc822Name(EMAIL.try_into().unwrap())];
        let length = u8::try_from(ISSUER.len()).unwrap();
        let text = [&[0x0c, length], ISSUER.as_bytes()].concat();
        let oid = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
        params.custom_extensions = vec![CustomExtension::from_oid_content(&oid, text)];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self {
            root: pem("CERTIFICATE", root.der()),
            log: KeyPair::generate().unwrap(),
            certificate: pem("CERTIFICATE", certificate.der()),
            key,
        }
    }

    fn roots(&self) -> (TrustRootRef, TrustRoots) {
        let log = pem("PUBLIC KEY", &self.log.subject_public_key_info());
        let root = TrustRoot::from_pem(Some(&self.root), &[log], &[], None).unwrap();
        let (name, digest) = ("root".to_owned(), root.digest());
        let roots = [(digest.clone(), root.into())].into();
        (TrustRootRef { name, digest }, roots)
    }

    /// What Rekor v1 would have answered just now.
    fn log_entry(&self, payload: &str, signature: &[u8], verifier: &str) -> String {
        let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256",
                "value": Digest::of(payload.as_bytes()).hex()}},
            "signature": {"content": BASE64.encode(signature),
                "publicKey": {"content": BASE64.encode(verifier)}}}});
        let id = Digest::of(&self.log.subject_public_key_info());
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let entry = json!({"body": BASE64.encode(body.to_string()), "integratedTime": now,
            "logID": id.hex(), "logIndex": 0});
        let promise = self.log.sign(entry.to_string().as_bytes()).unwrap();
        json!({"SignedEntryTimestamp": BASE64.encode(promise), "Payload": entry}).to_string()
    }

    /// Pulls an image with one signature by `authority`; `change` is given its annotations.
    async fn pull(
        &self,
        authority: SignerDraft,
        change: impl FnOnce(&mut Value),
    ) -> image_verifier::run::Answer {
        let mut draft = draft(&[]);
        draft.requirement.authorities = vec![AuthorityDraft {
            name: "a".to_owned(),
            signer: authority,
        }];
        let pull = Pull {
            roots: self.roots().1,
            ..Pull::by([draft])
        };
        let fill = |content: &mut support::registry::Content, name: &str| {
            let payload = payload(&digest(), name);
            let signature = self.key.sign(payload.as_bytes()).unwrap();
            let entry = self.log_entry(&payload, &signature, &self.certificate);
            let mut annotations = json!({
                "dev.cosignproject.cosign/signature": BASE64.encode(&signature),
                "dev.sigstore.cosign/certificate": self.certificate,
                "dev.sigstore.cosign/chain": self.root,
                "dev.sigstore.cosign/bundle": entry,
            });
            change(&mut annotations);
            let blob = content.blob(payload.as_bytes());
            let layer = json!({"mediaType": SIMPLE, "digest": blob, "size": payload.len(),
                "annotations": annotations});
            attach(content, &digest(), &[layer]);
        };
        pull.run(fill).await.0
    }

    fn keyless(&self, subject: &str) -> SignerDraft {
        SignerDraft::Keyless {
            trust_root: self.roots().0,
            identities: vec![IdentityDraft {
                issuer: PatternDraft::Exact(ISSUER.to_owned()),
                subject: PatternDraft::Exact(subject.to_owned()),
                claims: std::collections::BTreeMap::new(),
            }],
        }
    }

    fn company(&self, email: &str) -> SignerDraft {
        SignerDraft::Certificate {
            roots: self.root.clone(),
            intermediates: String::new(),
            subject: CertificateSubject {
                email: Some(email.to_owned()),
                dns_name: None,
            },
            transparency_log: None,
        }
    }
}

#[tokio::test]
async fn a_keyless_signature_and_a_company_certificate_are_accepted() {
    let world = World::new();
    for signer in [world.keyless(EMAIL), world.company(EMAIL)] {
        let answer = world.pull(signer, |_| ()).await;
        assert_allowed(&answer);
        assert!(answer.line.contains("signed by a"), "{}", answer.line);
    }
}

#[tokio::test]
async fn another_person_is_refused_and_named() {
    let world = World::new();
    let other = "ops@corp.example";
    for signer in [world.keyless(other), world.company(other)] {
        let answer = world.pull(signer, |_| ()).await;
        let who = "it was signed by `dev@corp.example`";
        assert_refused(&answer, Reason::NoMatchingSignature, who);
    }
}

#[tokio::test]
async fn an_annotation_that_is_missing_or_damaged_is_told() {
    let world = World::new();
    let entry = "dev.sigstore.cosign/bundle";
    let certificate = "dev.sigstore.cosign/certificate";
    for (annotation, value, reason) in [
        (entry, None, Reason::LogEntryMissing),
        (entry, Some("{}"), Reason::MalformedSignature),
        (certificate, None, Reason::NoMatchingSignature),
        (certificate, Some("x"), Reason::MalformedSignature),
        (
            "dev.sigstore.cosign/rfc3161timestamp",
            Some("x"),
            Reason::MalformedSignature,
        ),
    ] {
        let change = |annotations: &mut Value| match value {
            Some(value) => annotations[annotation] = value.into(),
            None => drop(annotations.as_object_mut().unwrap().remove(annotation)),
        };
        let answer = world.pull(world.keyless(EMAIL), change).await;
        assert_refused(&answer, reason, "tag sha256-");
    }
}

#[tokio::test]
async fn an_annotation_past_the_limit_is_refused_unread() {
    let world = World::new();
    for name in ["certificate", "chain", "bundle", "rfc3161timestamp"] {
        let change = |annotations: &mut Value| {
            annotations[format!("dev.sigstore.cosign/{name}")] = "x".repeat(65 * 1024).into();
        };
        let answer = world.pull(world.company(EMAIL), change).await;
        assert_refused(&answer, Reason::LimitExceeded, "an annotation of more than");
    }
}
