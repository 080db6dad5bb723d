use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::digest::Digest;
use policy::key::PublicKey;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};

use super::super::testing::{
    Authority, Foreign, KINDS, LATER, Log, SIGNED, bundle, by_certificate, email, envelope,
    hashedrekord, logged, pem, root, time,
};
use super::super::{LegacySignature, verify_bundle};
use super::*;

const PAYLOAD: &[u8] = br#"{"critical":{}}"#;

fn by_email(authority: &Authority) -> Pki {
    let email = Some("dev@corp.example".into());
    Pki::new(&authority.pem(), "", email, None).unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// Verifies an attachment with a certificate that is made as told.
fn verify(
    authority: &Authority,
    pki: &Pki,
    now: i64,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<Accepted<()>, VerifyError> {
    let key = KeyPair::generate().unwrap();
    let certificate = pem("CERTIFICATE", &authority.issue(&key, change));
    let legacy = LegacySignature {
        payload: PAYLOAD,
        signature: &key.sign(PAYLOAD).unwrap(),
        certificate: Some(&certificate),
        ..LegacySignature::default()
    };
    legacy.verify_with_pki(pki, SigningTime::Now(time(now)))
}

#[test]
fn a_certificate_of_the_authority_holds_until_the_first_of_its_chain_ends() {
    let authority = Authority::new("corp");
    let accepted = verify(&authority, &by_email(&authority), SIGNED, |_| {}).unwrap();
    assert_eq!(accepted.valid_until(), Some(time(1_748_995_200)));
    let authority = Authority::until("corp", 2026);
    let accepted = verify(&authority, &by_email(&authority), SIGNED, |params| {
        params.not_after = date_time_ymd(2030, 1, 1);
    });
    assert_eq!(accepted.unwrap().valid_until(), Some(time(1_767_225_600)));
}

#[test]
fn all_names_that_are_demanded_must_be_there_exactly() {
    let authority = Authority::new("corp");
    let pki = |email: Option<&str>, dns: Option<&str>| {
        let own = |name: Option<&str>| name.map(str::to_owned);
        Pki::new(&authority.pem(), "", own(email), own(dns)).unwrap()
    };
    let both = || {
        vec![
            email("x@a.example"),
            email("dev@a.example"),
            dns("CI.a.example"),
        ]
    };
    let with = |pki: &Pki, names: Vec<SanType>| {
        verify(&authority, pki, SIGNED, |params| {
            params.subject_alt_names = names;
        })
    };
    for pki in [
        pki(Some("dev@a.example"), None),
        pki(None, Some("ci.a.example")),
        pki(Some("dev@a.example"), Some("ci.a.example")),
    ] {
        let _ = with(&pki, both()).unwrap();
    }
    for (pki, names) in [
        (pki(Some("Dev@a.example"), None), both()),
        (pki(Some("a.example"), None), both()),
        (pki(None, Some("b.ci.a.example")), both()),
        (pki(Some("dev@a.example"), Some("b.example")), both()),
        (pki(None, Some("ci.a.example")), vec![dns("*.a.example")]),
        (pki(None, Some("dev@a.example")), both()),
        (pki(Some("ci.a.example"), None), both()),
        (pki(Some("dev@a.example"), None), vec![]),
    ] {
        let error = with(&pki, names).unwrap_err();
        assert!(matches!(error, VerifyError::Identity { .. }), "{error}");
    }
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let authority = Authority::new("corp");
    let other = Authority::new("corp");
    let error = verify(&authority, &by_email(&other), SIGNED, |_| {}).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
}

#[test]
fn a_certificate_or_root_that_is_not_valid_now_is_refused() {
    let authority = Authority::until("corp", 2026);
    let pki = by_email(&authority);
    for now in [SIGNED - 10 * 86_400, LATER] {
        let error = verify(&authority, &pki, now, |_| {}).unwrap_err();
        assert!(matches!(error, VerifyError::CertificateTime(_)), "{error}");
    }
    let error = verify(&authority, &pki, 1_767_225_601, |params| {
        params.not_after = date_time_ymd(2030, 1, 1);
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::CertificateTime(_)), "{error}");
    assert!(error.to_string().contains("root"), "{error}");
}

#[test]
fn code_signing_must_be_among_the_usages_where_any_are_stated() {
    let authority = Authority::new("corp");
    let pki = by_email(&authority);
    let with = |usages| {
        verify(&authority, &pki, SIGNED, |params| {
            params.extended_key_usages = usages;
        })
    };
    let _ = with(vec![]).unwrap();
    for usage in [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::Any,
    ] {
        let error = with(vec![usage]).unwrap_err();
        assert!(matches!(error, VerifyError::Chain(_)), "{error}");
    }
}

#[test]
fn a_certificate_of_an_authority_signs_nothing() {
    let authority = Authority::new("corp");
    let error = verify(&authority, &by_email(&authority), SIGNED, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    })
    .unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
}

#[test]
fn intermediates_come_from_the_policy_or_along_with_the_signature() {
    let corp = Authority::new("corp");
    let intermediate = corp.intermediate("team");
    let key = KeyPair::generate().unwrap();
    let certificate = pem("CERTIFICATE", &intermediate.issue(&key, |_| {}));
    let signature = key.sign(PAYLOAD).unwrap();
    let chain = format!("{}{}", intermediate.pem(), corp.pem());
    let legacy = |chain| LegacySignature {
        payload: PAYLOAD,
        signature: &signature,
        certificate: Some(&certificate),
        chain,
        ..LegacySignature::default()
    };
    let pki = |intermediates: &str| {
        let email = Some("dev@corp.example".into());
        Pki::new(&corp.pem(), intermediates, email, None).unwrap()
    };
    let now = SigningTime::Now(time(SIGNED));
    let given = pki(&intermediate.pem());
    let _ = legacy(None).verify_with_pki(&given, now).unwrap();
    let _ = legacy(Some(&chain)).verify_with_pki(&pki(""), now).unwrap();
    let error = legacy(None).verify_with_pki(&pki(""), now).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
}

/// What a company's authority, and a keyless one, say to a certificate that `issuer` has given out, with
/// `chain` beside it; `roots` are trusted.
fn chained(roots: &[&Authority], chain: &str, issuer: &Authority) -> [Result<(), VerifyError>; 2] {
    let key = KeyPair::generate().unwrap();
    let certificate = pem("CERTIFICATE", &issuer.issue(&key, |_| {}));
    let signature = key.sign(PAYLOAD).unwrap();
    let log = Log::new();
    let entry = log.annotation(&hashedrekord(PAYLOAD, &signature, &certificate), SIGNED);
    let legacy = LegacySignature {
        payload: PAYLOAD,
        signature: &signature,
        certificate: Some(&certificate),
        chain: (!chain.is_empty()).then_some(chain),
        log_entry: Some(&entry),
        timestamp: None,
    };
    let pems: String = roots.iter().map(|root| root.pem()).collect();
    let pki = Pki::new(&pems, "", Some("dev@corp.example".into()), None).unwrap();
    let now = SigningTime::Now(time(SIGNED));
    let trust = root(roots, &[&log], &[], &[]);
    [
        legacy.verify_with_pki(&pki, now).map(drop),
        legacy.verify(&trust).map(drop),
    ]
}

#[test]
fn a_roots_own_limits_hold() {
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        Authority::with(KeyPair::generate().unwrap(), "corp", change)
    };
    let below = |most: u8| {
        with(&move |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most)))
    };
    let usage = |usage: ExtendedKeyUsagePurpose| {
        with(&move |params| params.extended_key_usages = vec![usage.clone()])
    };
    let refused = |results: [Result<(), VerifyError>; 2], part: &str| {
        for result in results {
            let error = result.unwrap_err();
            assert!(matches!(error, VerifyError::Chain(_)), "{part}: {error}");
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    };
    let good = |results: [Result<(), VerifyError>; 2]| {
        for result in results {
            result.unwrap();
        }
    };
    let two = |root: &Authority| {
        let intermediate = root.intermediate("team");
        chained(&[root], &intermediate.pem(), &intermediate)
    };

    let root = below(0);
    good(chained(&[&root], "", &root));
    refused(two(&root), "allows 0 authorities below it, and there are 1");
    good(two(&below(1)));

    let root = usage(ExtendedKeyUsagePurpose::CodeSigning);
    good(chained(&[&root], "", &root));
    good(two(&root));
    for other in [
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::Any,
    ] {
        let root = usage(other);
        refused(chained(&[&root], "", &root), "the root is not for code");
        refused(two(&root), "the root is not for code");
    }

    let unsigning = with(&|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let none = with(&|params| params.is_ca = IsCa::ExplicitNoCa);
    for root in [unsigning, none] {
        refused(chained(&[&root], "", &root), "may not sign certificates");
    }
    // A certificate of the same authority that allows it is another way to go.
    let root = below(0);
    let renewed = root.renewed("corp", |_| {});
    let intermediate = root.intermediate("team");
    for roots in [[&root, &renewed], [&renewed, &root]] {
        good(chained(&roots, &intermediate.pem(), &intermediate));
    }
}

#[test]
fn an_authority_on_the_way_must_be_one_for_signing_certificates() {
    let corp = Authority::new("corp");
    let team = corp.intermediate_with("team", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    for result in chained(&[&corp], &team.pem(), &team) {
        let error = result.unwrap_err();
        assert!(matches!(error, VerifyError::Chain(_)), "{error}");
        assert!(error.to_string().contains("may not sign"), "{error}");
    }
}

#[test]
fn a_bundle_is_verified_with_every_kind_of_key_and_for_its_digest_alone() {
    let authority = Authority::new("corp");
    let pki = by_email(&authority);
    let now = SigningTime::Now(time(SIGNED));
    let digest = Digest::of(b"an image's manifest");
    let other = Digest::of(b"another");
    for (kind, key) in KINDS.iter() {
        let certificate = authority.issue(key, |_| {});
        let envelope = envelope(key, &digest);
        let bundle = bundle(&by_certificate(&certificate), &[], &envelope);
        let bundle = SigstoreBundle::parse(&bundle).unwrap();
        let verify = |digest| verify_with_pki(&bundle, &Artifact::Digest(digest), &pki, now);
        assert!(verify(&digest).is_ok(), "{kind}");
        let error = verify(&other).unwrap_err();
        assert!(matches!(error, VerifyError::OtherArtifact(_)), "{error}");
    }
    let (_, key) = &KINDS[0];
    let stranger = by_certificate(&authority.issue(&KINDS[1].1, |_| {}));
    let bundle = bundle(&stranger, &[], &envelope(key, &digest));
    let bundle = SigstoreBundle::parse(&bundle).unwrap();
    let error = verify_with_pki(&bundle, &Artifact::Digest(&digest), &pki, now).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(_)), "{error}");
}

#[test]
fn an_expired_certificate_holds_if_a_log_proves_that_it_signed_in_time() {
    let authority = Authority::new("corp");
    let pki = by_email(&authority);
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    for (_, key) in KINDS.iter() {
        expired(&authority, &pki, &log, &trust, key);
    }
}

fn expired(authority: &Authority, pki: &Pki, log: &Log, trust: &TrustMaterial, key: &KeyPair) {
    let der = authority.issue(key, |_| {});
    let digest = Digest::of(PAYLOAD);
    let envelope = envelope(key, &digest);
    let body = logged(&envelope, &pem("CERTIFICATE", &der));
    let verify = |entry: Option<Value>| {
        let entries: Vec<Value> = entry.into_iter().collect();
        let bundle = bundle(&by_certificate(&der), &entries, &envelope);
        let bundle = SigstoreBundle::parse(&bundle).unwrap();
        let proven = SigningTime::Proven(trust);
        verify_with_pki(&bundle, &Artifact::Digest(&digest), pki, proven)
    };
    let accepted = verify(Some(log.entry(&body, SIGNED))).unwrap();
    assert_eq!(accepted.signed_at(), [time(SIGNED)]);
    assert_eq!(accepted.valid_until(), None);
    let error = verify(None).unwrap_err();
    assert!(matches!(error, VerifyError::LogEntryMissing(_)), "{error}");
    let error = verify(Some(Log::new().entry(&body, SIGNED))).unwrap_err();
    assert!(matches!(error, VerifyError::LogEntry(_)), "{error}");
    // The library compares the log's time with the certificate, too, and calls that the entry's.
    let error = verify(Some(log.entry(&body, LATER))).unwrap_err();
    let late = matches!(
        error,
        VerifyError::LogEntry(_) | VerifyError::CertificateTime(_)
    );
    assert!(late, "{error}");
}

/// See `testdata/sigstore/README.md`.
const AUTHORITY: &str = include_str!("../../testdata/sigstore/timestamp-authority.pem");
const ROOT: &str = include_str!("../../testdata/sigstore/timestamp-root.pem");
const TOKEN: &str = include_str!("../../testdata/sigstore/p256-sha256.tsr");

#[test]
fn a_timestamp_proves_when_it_was_signed_keyless_and_with_a_companys_authority() {
    let key = include_str!("../../testdata/keys/p256-sha256.pem");
    let key = PublicKey::parse_pem(key).unwrap().remove(0);
    let key = Foreign(&key);
    let signature = include_str!("../../testdata/keys/p256-sha256.sig").replace('\n', "");
    let signature = BASE64.decode(signature).unwrap();
    let authority = Authority::new("corp");
    let year = |first| {
        let certificate = authority.issue(&key, |params| {
            params.not_before = date_time_ymd(first, 1, 1);
            params.not_after = date_time_ymd(first + 1, 1, 1);
        });
        pem("CERTIFICATE", &certificate)
    };
    let (then, before) = (year(2026), year(2025));
    let annotation = |token: &str| json!({"SignedRFC3161Timestamp": token}).to_string();
    let token = TOKEN.replace('\n', "");
    let mut broken = BASE64.decode(&token).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let (good, broken) = (annotation(&token), annotation(&BASE64.encode(broken)));
    let legacy = |certificate, timestamp| LegacySignature {
        payload: b"message",
        signature: &signature,
        certificate: Some(certificate),
        timestamp,
        ..LegacySignature::default()
    };
    let trust = root(&[&authority], &[], &[], &[&[AUTHORITY, ROOT]]);
    let stranger = root(&[&authority], &[], &[], &[&[ROOT]]);
    let both = |legacy: &LegacySignature<'_>, trust: &TrustMaterial| {
        let pki = legacy.verify_with_pki(&by_email(&authority), SigningTime::Proven(trust));
        let keyless = legacy
            .verify(trust)
            .and_then(|signature| signature.accept(|_| Some(())));
        match (keyless, pki) {
            (Ok(keyless), Ok(pki)) => {
                assert_eq!(keyless.signed_at(), pki.signed_at());
                assert_eq!(keyless.signed_at().len(), 1);
                Ok(())
            }
            (Err(keyless), Err(pki)) => {
                assert_eq!(
                    std::mem::discriminant(&keyless),
                    std::mem::discriminant(&pki),
                    "{keyless}, {pki}"
                );
                Err(keyless)
            }
            (keyless, pki) => panic!("{keyless:?}, {pki:?}"),
        }
    };
    both(&legacy(&then, Some(&good)), &trust).unwrap();
    let error = both(&legacy(&then, Some(&broken)), &trust).unwrap_err();
    assert!(matches!(error, VerifyError::Timestamp(_)), "{error}");
    let error = both(&legacy(&then, Some(&good)), &stranger).unwrap_err();
    assert!(matches!(error, VerifyError::Timestamp(_)), "{error}");
    let error = both(&legacy(&before, Some(&good)), &trust).unwrap_err();
    assert!(matches!(error, VerifyError::CertificateTime(_)), "{error}");
    assert!(both(&legacy(&then, None), &trust).is_err());
}

#[test]
fn what_is_no_authority_is_refused_when_it_is_read() {
    let authority = Authority::new("corp");
    let email = || Some("a@b.example".to_owned());
    let many = authority.pem().repeat(11);
    for (roots, intermediates, email) in [
        ("", "", email()),
        ("x", "", email()),
        (authority.pem().as_str(), "x", email()),
        (authority.pem().as_str(), "", None),
        (many.as_str(), "", email()),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "",
            email(),
        ),
    ] {
        let error = Pki::new(roots, intermediates, email, None).unwrap_err();
        assert!(matches!(error, VerifyError::TrustRoot(_)), "{error}");
    }
}

#[test]
fn a_companys_certificate_is_no_keyless_one() {
    let authority = Authority::new("corp");
    let (_, key) = &KINDS[0];
    let digest = Digest::of(b"x");
    let certificate = by_certificate(&authority.issue(key, |_| {}));
    let bundle = bundle(&certificate, &[], &envelope(key, &digest));
    let bundle = SigstoreBundle::parse(&bundle).unwrap();
    let trust = root(&[&authority], &[&Log::new()], &[], &[]);
    let error = verify_bundle(&bundle, &Artifact::Digest(&digest), &trust).unwrap_err();
    assert!(matches!(error, VerifyError::LogEntryMissing(_)), "{error}");
}
