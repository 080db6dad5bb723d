//! Authorities of every kind.

use std::collections::BTreeMap;

use policy::authority::{AuthorityDraft, SignerDraft};
use policy::digest::Digest;
use policy::keyless::IdentityDraft;
use rcgen::{
    BasicConstraints, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};

use super::testing::*;
use crate::candidate::Attachment;
use crate::reason::Reason;
use crate::sigstore::testing::{
    Authority as Ca, LATER, SIGNED, email, fulcio, hashedrekord, pem, public_key,
};

#[test]
fn the_right_identity_passes_in_either_format() {
    let world = World::new();
    let maker = world.maker(|_| {});
    let bundle = maker.bundle(&world.log, &digest(), crate::payload::SIGN_PREDICATE);
    for found in [attached(&world.good()), bundle] {
        let verdict = world.judge(&[world.dev()], &[found]);
        allowed(&verdict, "dev");
        assert_eq!(verdict.trust_roots, [world.root.digest()].into());
        // The certificate has had its time; the authority's has not.
        assert_eq!(verdict.valid_until, world.root.earliest_expiry());
    }
}

#[test]
fn another_identity_is_told_from_the_wanted_one() {
    let world = World::new();
    let found = [attached(&world.good())];
    let dev = |issuer, subject| [world.keyless("dev", issuer, subject)];
    let claim = |value: &str| IdentityDraft {
        issuer: exact(ISSUER),
        subject: exact(DEV),
        claims: [("sourceRepositoryURI".to_owned(), value.to_owned())].into(),
    };
    for authority in [
        dev(exact("https://other.example"), exact(DEV)),
        dev(exact(ISSUER), exact("ops@corp.example")),
        dev(exact("https://issuer.example/"), exact(DEV)),
        dev(exact(ISSUER), exact("DEV@corp.example")),
        // Expressions are for the whole text, not for the beginning or the end of it.
        dev(exact(ISSUER), expression("dev@corp")),
        dev(exact(ISSUER), expression("@corp\\.example")),
        dev(exact(ISSUER), expression("x|dev@corp")),
        dev(expression("https://issuer"), exact(DEV)),
        [world.identities("dev", vec![claim("https://git.example/a")])],
    ] {
        let verdict = world.judge(&authority, &found);
        let who = "it was signed by `dev@corp.example` (`https://issuer.example`)";
        refused(&verdict, Reason::NoMatchingSignature, who);
    }
    let verdict = world.judge(&dev(exact(ISSUER), expression("dev@.*")), &found);
    allowed(&verdict, "dev");
    let with_claim = world.maker(|params| {
        let claim = fulcio(12, "https://git.example/a");
        params.custom_extensions.push(claim);
    });
    let found = [attached(&world.logged(with_claim.attachment(&digest())))];
    for (value, passes) in [
        ("https://git.example/a", true),
        ("https://git.example/", false),
    ] {
        let verdict = world.judge(&[world.identities("dev", vec![claim(value)])], &found);
        assert_eq!(verdict.refusal.is_none(), passes, "{value}");
    }
}

#[test]
fn any_of_several_identities_passes_and_an_unnameable_one_never() {
    let world = World::new();
    let identity = |subject| IdentityDraft {
        issuer: exact(ISSUER),
        subject,
        claims: BTreeMap::new(),
    };
    let two = [identity(exact("ops@corp.example")), identity(exact(DEV))];
    let found = [attached(&world.good())];
    allowed(
        &world.judge(&[world.identities("two", two.to_vec())], &found),
        "two",
    );
    let address = rcgen::SanType::IpAddress([1, 2, 3, 4].into());
    let maker = world.maker(|params| params.subject_alt_names = vec![address]);
    let found = [attached(&world.logged(maker.attachment(&digest())))];
    // Not even the empty text is its subject.
    let any = world.keyless("any", exact(ISSUER), expression("(x@y)?"));
    let verdict = world.judge(&[any], &found);
    refused(&verdict, Reason::NoMatchingSignature, "unknown kind");
}

#[test]
fn a_missing_log_entry_is_told_from_one_that_does_not_hold() {
    let world = World::new();
    let other = World::new();
    let maker = world.maker(|_| {});
    let bare = maker.attachment(&digest());
    let key = KeyPair::generate().unwrap();
    let by_key = by_key(&key, &digest());
    let pem = public_key(&key).to_pem();
    let certificate = world.certificate("c", DEV, true);
    for (authority, without, entered) in [
        (
            world.dev(),
            &bare,
            other.entered(bare.clone(), &maker.pem()),
        ),
        (
            certificate,
            &bare,
            other.entered(bare.clone(), &maker.pem()),
        ),
        (
            world.key("k", &key, true),
            &by_key,
            other.entered(by_key.clone(), &pem),
        ),
    ] {
        let verdict = world.judge(std::slice::from_ref(&authority), &[attached(without)]);
        refused(&verdict, Reason::LogEntryMissing, "Sign again");
        let verdict = world.judge(std::slice::from_ref(&authority), &[attached(&entered)]);
        refused(&verdict, Reason::LogEntryInvalid, "claims to be by");
    }
    let good = world.entered(by_key, &pem);
    allowed(
        &world.judge(&[world.key("k", &key, true)], &[attached(&good)]),
        "k",
    );
}

#[test]
fn evidence_that_is_not_demanded_is_not_looked_at() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let found = [attached(&Attachment {
        log_entry: Some("{".into()),
        timestamp: Some("{".into()),
        ..by_key(&key, &digest())
    })];
    let verdict = world.judge(&[world.key("k", &key, false)], &found);
    allowed(&verdict, "k");
    assert_eq!((verdict.valid_until, verdict.trust_roots.len()), (None, 0));
    let verdict = world.judge(&[world.key("k", &key, true)], &found);
    refused(&verdict, Reason::MalformedSignature, "log entry");
}

#[test]
fn a_certificate_of_another_authority_is_only_claimed_to_be_by_somebody() {
    let (world, other) = (World::new(), World::new());
    let forged = other.maker(|params| {
        params.subject_alt_names = vec![email("a\n`is signed by` b@corp.example")];
    });
    let found = [attached(&other.logged(forged.attachment(&digest())))];
    for authority in [world.dev(), world.certificate("c", DEV, false)] {
        let verdict = world.judge(&[authority], &found);
        let claims = r"it claims to be by `a\u{a}`is signed by` b@corp.example`";
        refused(&verdict, Reason::NoMatchingSignature, claims);
    }
}

#[test]
fn an_expired_certificate_needs_a_proof_of_its_time() {
    let world = World::new();
    let maker = world.maker(|_| {});
    let bare = maker.attachment(&digest());
    let now = world.certificate("c", DEV, false);
    let proven = world.certificate("c", DEV, true);
    let judge = |at, authority: &AuthorityDraft, found: &Attachment| {
        let authority = std::slice::from_ref(authority);
        world.judge_at(at, 1, authority, &[attached(found)])
    };
    let verdict = judge(SIGNED, &now, &bare);
    allowed(&verdict, "c");
    assert_eq!(verdict.valid_until, Some(END));
    let verdict = judge(LATER, &now, &bare);
    refused(&verdict, Reason::CertificateExpired, "proves when");
    let logged = world.logged(bare.clone());
    let verdict = judge(LATER, &now, &logged);
    refused(&verdict, Reason::CertificateExpired, "proves when");
    allowed(&judge(LATER, &proven, &logged), "c");
    // The log took it down after the certificate's end.
    let body = hashedrekord(&bare.payload, &bare.signature, &maker.pem());
    let late = Attachment {
        log_entry: Some(world.log.annotation(&body, LATER)),
        ..bare
    };
    let verdict = judge(LATER + 60, &world.dev(), &late);
    refused(&verdict, Reason::CertificateExpired, "claims to be by");
    let verdict = judge(LATER + 60, &proven, &late);
    let what = "is after certificate validity";
    refused(&verdict, Reason::LogEntryInvalid, what);
}

#[test]
fn a_company_certificate_must_carry_the_name() {
    let world = World::new();
    let found = [attached(&world.maker(|_| {}).attachment(&digest()))];
    let verdict = world.judge(&[world.certificate("c", "ops@corp.example", false)], &found);
    let who = "it was signed by `dev@corp.example`";
    refused(&verdict, Reason::NoMatchingSignature, who);
    let verdict = world.judge(
        &[world.key("k", &KeyPair::generate().unwrap(), false)],
        &found,
    );
    refused(&verdict, Reason::NoMatchingSignature, "by another key");
}

#[test]
fn a_replayed_signature_of_another_image_is_wrong_digest() {
    let world = World::new();
    let other = Digest::of(b"another");
    let maker = world.maker(|_| {});
    let attachment = world.logged(maker.attachment(&other));
    let bundle = maker.bundle(&world.log, &other, crate::payload::SIGN_PREDICATE);
    for found in [attached(&attachment), bundle] {
        for authority in [world.dev(), world.certificate("c", DEV, true)] {
            let verdict = world.judge(&[authority], std::slice::from_ref(&found));
            refused(&verdict, Reason::WrongDigest, other.as_str());
        }
    }
}

#[test]
fn an_attestation_by_the_right_identity_is_no_signature() {
    let world = World::new();
    let maker = world.maker(|_| {});
    let found = [maker.bundle(&world.log, &digest(), "https://spdx.dev/Document")];
    for authority in [world.dev(), world.certificate("c", DEV, true)] {
        let verdict = world.judge(&[authority], &found);
        refused(&verdict, Reason::NoSignature, "attestation");
    }
}

#[test]
fn a_trust_root_that_has_ended_is_named() {
    let world = World::of(Ca::until("ca", 2021));
    let verdict = world.judge(&[world.dev()], &[attached(&world.good())]);
    let what = "of the trust root `root`, all its certificate authorities have ended";
    refused(&verdict, Reason::TrustRootUnusable, what);
}

/// Why the policy warns of such roots (`policy::capability`): the library has no rule for addresses.
#[test]
fn below_a_root_with_an_email_constraint_no_address_is_accepted() {
    let judge = |constraints: Option<NameConstraints>| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.name_constraints = constraints;
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![email(DEV)];
        params.not_before = date_time_ymd(2025, 6, 1);
        params.not_after = date_time_ymd(2025, 6, 4);
        let der_of_signer = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        let maker = Maker {
            key,
            der: der_of_signer,
        };
        let world = World::new();
        let mut company = world.certificate("company", DEV, false);
        if let SignerDraft::Certificate { roots, .. } = &mut company.signer {
            *roots = pem("CERTIFICATE", &der);
        }
        world.judge(&[company], &[attached(&maker.attachment(&digest()))])
    };
    allowed(&judge(None), "company");
    let permitted = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::Rfc822Name("corp.example".to_owned())],
        excluded_subtrees: Vec::new(),
    };
    let verdict = judge(Some(permitted));
    refused(&verdict, Reason::NoMatchingSignature, "claims to be by");
}

#[test]
fn signatures_of_the_other_kind_are_named() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let found = [attached(&by_key(&key, &digest()))];
    let verdict = world.judge(&[world.dev()], &found);
    refused(&verdict, Reason::NoMatchingSignature, "it is by a key");
    let wants = "wants a signature by `dev` (`dev@corp.example` by `https://issuer.example`)";
    refused(&verdict, Reason::NoMatchingSignature, wants);
    let maker = world.maker(|_| {});
    let found = [maker.bundle(&world.log, &digest(), crate::payload::SIGN_PREDICATE)];
    let verdict = world.judge(&[world.key("k", &key, false)], &found);
    refused(&verdict, Reason::NoMatchingSignature, "it is keyless");
}
