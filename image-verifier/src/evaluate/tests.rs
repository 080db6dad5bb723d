use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::authority::AuthorityDraft;
use policy::bundle::{Bundle, Settings};
use policy::flatten::{Flat, NodeFacts, flatten};
use policy::identity::{SignedIdentity, UnnamedSignatures};
use policy::model::{Mode, Policy, PolicyDraft, RequirementDraft};

use super::*;
use crate::candidate::{Attachment, Signed};
use crate::reason::Reason;

const IMAGE: &str = "example.com/app:v1";

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        let body = BASE64.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    fn simple(&self, kind: &str, digest: &Digest, name: &str) -> Candidate {
        let payload = serde_json::json!({"critical": {"identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest}, "type": kind}})
        .to_string()
        .into_bytes();
        let signature = self
            .0
            .sign(&SystemRandom::new(), &payload)
            .unwrap()
            .as_ref()
            .to_vec();
        Candidate {
            origin: "tag x".into(),
            signed: Signed::Attachment(Attachment {
                payload,
                signature,
                ..Attachment::default()
            }),
        }
    }

    fn good(&self) -> Candidate {
        self.simple(
            "cosign container image signature",
            &digest(),
            "example.com/app",
        )
    }
}

fn digest() -> Digest {
    Digest::of(b"image")
}

fn flat(mode: Mode, signers: &[&Signer]) -> Flat {
    let authorities = signers
        .iter()
        .enumerate()
        .map(|(index, signer)| AuthorityDraft::key(format!("a{index}"), signer.pem()));
    let draft = PolicyDraft {
        on_unsupported: policy::model::OnUnsupported::Ignore,
        id: PolicyId::Cluster { name: "p".into() },
        scopes: vec!["example.com".into()],
        exclude: Vec::new(),
        requirement: RequirementDraft {
            mode,
            threshold: 1,
            authorities: authorities.collect(),
            signed_identity: SignedIdentity::MatchRepository {
                unnamed: UnnamedSignatures::Accept,
            },
        },
    };
    let bundle = Bundle::new(Settings::default(), [Policy::try_from(draft).unwrap()]);
    flatten(&bundle, &NodeFacts::default())
}

fn judge(flat: &Flat, found: &[Found]) -> Verdict {
    let image = Reference::parse(IMAGE).unwrap();
    evaluate(
        &flat.decide(&image),
        found,
        &image,
        &digest(),
        jiff::Timestamp::UNIX_EPOCH,
    )
}

fn reason(flat: &Flat, found: &[Found]) -> Option<Reason> {
    judge(flat, found).refusal.map(|refusal| refusal.reason)
}

fn finding(reason: Reason) -> Found {
    Found::Finding(Finding::new(reason, "x"))
}

#[test]
fn a_good_candidate_passes_and_names_its_signer() {
    let (a, b) = (Signer::new(), Signer::new());
    let verdict = judge(
        &flat(Mode::Enforce, &[&a, &b]),
        &[Found::Candidate(b.good())],
    );
    assert_eq!(verdict.refusal, None);
    assert_eq!(signers(&verdict), "a1");
}

#[test]
fn nothing_found_never_passes() {
    let flat = flat(Mode::Enforce, &[&Signer::new()]);
    assert_eq!(reason(&flat, &[]), Some(Reason::NoSignature));
}

#[test]
fn content_is_believed_only_behind_a_good_signature() {
    let (signer, other) = (Signer::new(), Signer::new());
    let flat = flat(Mode::Enforce, &[&signer]);
    // Unsigned claims must not even shape the message: by another key, about another digest.
    let unsigned = other.simple("x", &Digest::of(b"evil"), "example.com/evil");
    let verdict = judge(&flat, &[Found::Candidate(unsigned)]);
    let refusal = verdict.refusal.unwrap();
    assert_eq!(refusal.reason, Reason::NoMatchingSignature);
    assert!(!refusal.message.contains("evil"), "{}", refusal.message);
    // A good signature moved onto another payload.
    let mut moved = signer.good();
    let Signed::Attachment(attachment) = &mut moved.signed else {
        unreachable!()
    };
    attachment.payload.push(b' ');
    let found = [Found::Candidate(moved)];
    assert_eq!(reason(&flat, &found), Some(Reason::NoMatchingSignature));
}

#[test]
fn a_payload_of_another_type_does_not_count() {
    let signer = Signer::new();
    let atomic = signer.simple("atomic container signature", &digest(), "example.com/app");
    let found = [Found::Candidate(atomic)];
    assert_eq!(
        reason(&flat(Mode::Enforce, &[&signer]), &found),
        Some(Reason::UnsupportedFormat)
    );
}

#[test]
fn a_good_candidate_passes_whatever_else_was_found_and_in_any_order() {
    let signer = Signer::new();
    let flat = flat(Mode::Enforce, &[&signer]);
    let good = Found::Candidate(signer.good());
    for other in Reason::ALL {
        assert_eq!(
            reason(&flat, &[finding(other), good.clone()]),
            None,
            "{other}"
        );
        assert_eq!(
            reason(&flat, &[good.clone(), finding(other)]),
            None,
            "{other}"
        );
    }
}

#[test]
fn the_reason_that_explains_the_most_is_given_in_any_order() {
    use Reason as R;
    let flat = flat(Mode::Enforce, &[&Signer::new()]);
    let order = [
        R::TimedOut,
        R::RegistryError,
        R::WrongIdentity,
        R::WrongDigest,
        R::TrustRootUnusable,
        R::DigestMismatch,
        R::LimitExceeded,
        R::RegistryDenied,
        R::LogEntryInvalid,
        R::CertificateExpired,
        R::LogEntryMissing,
        R::NoMatchingSignature,
        R::MalformedSignature,
        R::UnsupportedFormat,
        R::NoSignature,
    ];
    for (index, &stronger) in order.iter().enumerate() {
        for &weaker in &order[index..] {
            for pair in [[stronger, weaker], [weaker, stronger]] {
                assert_eq!(
                    reason(&flat, &pair.map(finding)),
                    Some(stronger),
                    "{pair:?}"
                );
            }
        }
    }
}

#[test]
fn a_transient_error_wins_over_signatures_that_do_not_count() {
    let (signer, other) = (Signer::new(), Signer::new());
    let flat = flat(Mode::Enforce, &[&signer]);
    let wrong = signer.simple(
        "cosign container image signature",
        &digest(),
        "example.com/b",
    );
    let found = [
        Found::Candidate(other.good()),
        Found::Candidate(wrong),
        finding(Reason::RegistryError),
    ];
    assert_eq!(reason(&flat, &found), Some(Reason::RegistryError));
    assert_eq!(reason(&flat, &found[..2]), Some(Reason::WrongIdentity));
}

#[test]
fn audit_is_reported_and_never_refuses() {
    let (signer, other) = (Signer::new(), Signer::new());
    let flat = flat(Mode::Audit, &[&signer]);
    let verdict = judge(&flat, &[Found::Candidate(other.good())]);
    assert_eq!(verdict.refusal, None);
    let [audited] = verdict.audited.as_slice() else {
        panic!("{verdict:?}")
    };
    let reason = audited.refusal.as_ref().map(|refusal| refusal.reason);
    assert_eq!(reason, Some(Reason::NoMatchingSignature));
}
