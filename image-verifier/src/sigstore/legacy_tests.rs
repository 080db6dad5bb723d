use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType, SigningKey as _};
use serde_json::json;

use super::super::testing::{
    Authority, LATER, Log, SIGNED, email, fulcio, hashedrekord, pem, public_key, root, time,
};
use super::super::{San, SignerIdentity};
use super::*;

const PAYLOAD: &[u8] = br#"{"critical":{}}"#;

/// A keyless signature as cosign 2 attaches it, and the world that made it.
struct Keyless {
    authority: Authority,
    log: Log,
    certificate: String,
    signature: Vec<u8>,
    entry: String,
}

impl Keyless {
    fn new(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority = Authority::new("fulcio");
        let key = KeyPair::generate().unwrap();
        let certificate = pem("CERTIFICATE", &authority.issue(&key, change));
        let signature = key.sign(PAYLOAD).unwrap();
        let log = Log::new();
        let body = hashedrekord(PAYLOAD, &signature, &certificate);
        Self {
            entry: log.annotation(&body, SIGNED),
            authority,
            log,
            certificate,
            signature,
        }
    }

    fn legacy(&self) -> LegacySignature<'_> {
        LegacySignature {
            payload: PAYLOAD,
            signature: &self.signature,
            certificate: Some(&self.certificate),
            log_entry: Some(&self.entry),
            ..LegacySignature::default()
        }
    }

    fn root(&self) -> TrustMaterial {
        root(&[&self.authority], &[&self.log], &[], &[])
    }

    fn verify(&self) -> Result<SignerIdentity, VerifyError> {
        identity(&self.legacy().verify(&self.root())?)
    }
}

fn identity(signature: &Unmatched) -> Result<SignerIdentity, VerifyError> {
    let accepted = signature.accept(|signer| Some(signer.clone()))?;
    assert_eq!(accepted.signed_at(), [time(SIGNED)]);
    Ok(accepted.by().clone())
}

#[test]
fn a_keyless_signature_tells_who_signed_and_when() {
    let keyless = Keyless::new(|params| {
        params.subject_alt_names = vec![SanType::URI(
            "https://ci.example/w@main".try_into().unwrap(),
        )];
        params
            .custom_extensions
            .push(fulcio(12, "https://git.example/a"));
        params.custom_extensions.push(fulcio(11, "self-hosted"));
    });
    let signer = keyless.verify().unwrap();
    assert_eq!(signer.subject, San::Uri("https://ci.example/w@main".into()));
    assert_eq!(signer.issuer.as_deref(), Some("https://issuer.example"));
    let claims: Vec<(&str, &str)> = signer
        .claims
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("runnerEnvironment", "self-hosted"),
        ("sourceRepositoryURI", "https://git.example/a"),
    ];
    assert_eq!(claims, expected);
    assert_eq!(signer.not_after, time(1_748_995_200));
}

#[test]
fn a_signature_that_holds_is_nothing_until_its_signer_is_accepted() {
    let keyless = Keyless::new(|_| {});
    let signature = keyless.legacy().verify(&keyless.root()).unwrap();
    let refused = signature.accept(|_| None::<()>).unwrap_err();
    let found = "`dev@corp.example` (`https://issuer.example`)".to_owned();
    assert_eq!(refused, VerifyError::Identity { found });
    assert!(!format!("{signature:?}").contains("dev@corp.example"));
}

#[test]
fn every_kind_of_name_is_read_as_what_it_is() {
    let other = ([1, 3, 6, 1, 4, 1, 57264, 1, 7].to_vec(), "root".into());
    for (san, expected) in [
        (email("a@b.example"), San::Email("a@b.example".into())),
        (
            SanType::DnsName("b.example".try_into().unwrap()),
            San::Dns("b.example".into()),
        ),
        (SanType::OtherName(other), San::UserName("root".into())),
        (SanType::IpAddress([1, 2, 3, 4].into()), San::Other),
    ] {
        let keyless = Keyless::new(|params| params.subject_alt_names = vec![san]);
        assert_eq!(keyless.verify().unwrap().subject, expected);
    }
}

#[test]
fn a_certificate_with_no_name_or_several_is_refused() {
    for names in [vec![], vec![email("a@b.example"), email("c@b.example")]] {
        let keyless = Keyless::new(|params| params.subject_alt_names = names);
        let error = keyless.verify().unwrap_err();
        assert!(matches!(error, VerifyError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_certificate_of_another_authority_or_for_another_use_is_refused() {
    let keyless = Keyless::new(|_| {});
    let other = Authority::new("fulcio");
    let trust = root(&[&other], &[&keyless.log], &[], &[]);
    let error = keyless.legacy().verify(&trust).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
    for usages in [vec![], vec![ExtendedKeyUsagePurpose::ServerAuth]] {
        let keyless = Keyless::new(|params| params.extended_key_usages = usages);
        let error = keyless.verify().unwrap_err();
        assert!(matches!(error, VerifyError::Chain(_)), "{error}");
    }
}

#[test]
fn a_certificate_that_was_not_valid_when_the_log_took_the_entry_is_refused() {
    let mut keyless = Keyless::new(|_| {});
    let body = hashedrekord(PAYLOAD, &keyless.signature, &keyless.certificate);
    for seconds in [LATER, SIGNED - 10 * 86_400] {
        keyless.entry = keyless.log.annotation(&body, seconds);
        let error = keyless.verify().unwrap_err();
        assert!(matches!(error, VerifyError::CertificateTime(_)), "{error}");
        assert!(
            error.to_string().contains("2025-06-01T00:00:00Z"),
            "{error}"
        );
    }
}

#[test]
fn an_authority_that_had_ended_certifies_nobody() {
    for (year, holds) in [(2025, false), (2026, true)] {
        let mut keyless = Keyless::new(|_| {});
        keyless.authority = Authority::until("fulcio", year);
        let key = KeyPair::generate().unwrap();
        keyless.certificate = pem("CERTIFICATE", &keyless.authority.issue(&key, |_| {}));
        keyless.signature = key.sign(PAYLOAD).unwrap();
        let body = hashedrekord(PAYLOAD, &keyless.signature, &keyless.certificate);
        keyless.entry = keyless.log.annotation(&body, SIGNED);
        match keyless.verify() {
            Ok(_) => assert!(holds, "{year}"),
            Err(VerifyError::CertificateTime(text)) => {
                assert!(!holds && text.contains("of its authority"), "{text}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_certificate_without_sct_is_refused_where_the_root_has_ct_logs() {
    let keyless = Keyless::new(|_| {});
    let trust = root(&[&keyless.authority], &[&keyless.log], &[&Log::new()], &[]);
    let error = keyless.legacy().verify(&trust).unwrap_err();
    assert!(matches!(error, VerifyError::Sct(_)), "{error}");
}

#[test]
fn a_log_entry_is_demanded_where_the_root_has_logs() {
    let keyless = Keyless::new(|_| {});
    let without = LegacySignature {
        log_entry: None,
        ..keyless.legacy()
    };
    let error = without.verify(&keyless.root()).unwrap_err();
    assert!(matches!(error, VerifyError::LogEntryMissing(_)), "{error}");
    // Without logs something else has to say when it was signed.
    let trust = root(&[&keyless.authority], &[], &[], &[]);
    assert!(without.verify(&trust).is_err());
}

#[test]
fn a_log_entry_of_another_log_or_about_something_else_is_refused() {
    let keyless = Keyless::new(|_| {});
    let trust = keyless.root();
    let body = |payload, signature, verifier| {
        keyless
            .log
            .annotation(&hashedrekord(payload, signature, verifier), SIGNED)
    };
    let (signature, certificate) = (&keyless.signature[..], &keyless.certificate[..]);
    let other = Keyless::new(|_| {});
    let forged = keyless.entry.replace(
        &format!("\"integratedTime\":{SIGNED}"),
        &format!("\"integratedTime\":{}", SIGNED + 1),
    );
    assert_ne!(forged, keyless.entry);
    for (what, entry) in [
        ("another log", other.entry.clone()),
        ("another payload", body(b"x", signature, certificate)),
        (
            "another signature",
            body(PAYLOAD, &other.signature, certificate),
        ),
        (
            "another certificate",
            body(PAYLOAD, signature, &other.certificate),
        ),
        ("another time than was promised", forged),
    ] {
        let legacy = LegacySignature {
            log_entry: Some(&entry),
            ..keyless.legacy()
        };
        let error = legacy.verify(&trust).unwrap_err();
        assert!(matches!(error, VerifyError::LogEntry(_)), "{what}: {error}");
    }
}

#[test]
fn a_signature_over_other_bytes_is_refused() {
    let keyless = Keyless::new(|_| {});
    let legacy = LegacySignature {
        payload: b"another payload",
        ..keyless.legacy()
    };
    let error = legacy.verify(&keyless.root()).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(_)), "{error}");
}

#[test]
fn annotations_that_cannot_be_read_are_told_apart_from_such_that_are_not_supported() {
    let keyless = Keyless::new(|_| {});
    let trust = keyless.root();
    let rekor2 = json!({"apiVersion": "0.0.9", "kind": "hashedrekord"});
    let unsupported = keyless.log.annotation(&rekor2, SIGNED);
    let two = keyless.certificate.repeat(2);
    let many = keyless.certificate.repeat(10);
    let key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    for (what, legacy) in [
        ("no JSON", with_entry(&keyless, "{")),
        ("no entry", with_entry(&keyless, "{}")),
        (
            "a certificate that is none",
            with_certificate(&keyless, key),
        ),
        ("no PEM", with_certificate(&keyless, "x")),
        ("two certificates", with_certificate(&keyless, &two)),
        (
            "too many certificates",
            LegacySignature {
                chain: Some(&many),
                ..keyless.legacy()
            },
        ),
        (
            "a timestamp that is none",
            LegacySignature {
                timestamp: Some("{}"),
                ..keyless.legacy()
            },
        ),
    ] {
        let error = legacy.verify(&trust).unwrap_err();
        assert!(
            matches!(error, VerifyError::Malformed(_)),
            "{what}: {error}"
        );
    }
    let error = with_entry(&keyless, &unsupported)
        .verify(&trust)
        .unwrap_err();
    assert!(matches!(error, VerifyError::Unsupported(_)), "{error}");
    let bare = LegacySignature {
        certificate: None,
        ..keyless.legacy()
    };
    assert_eq!(bare.verify(&trust).unwrap_err(), VerifyError::NoCertificate);
}

fn with_entry<'a>(keyless: &'a Keyless, entry: &'a str) -> LegacySignature<'a> {
    LegacySignature {
        log_entry: Some(entry),
        ..keyless.legacy()
    }
}

fn with_certificate<'a>(keyless: &'a Keyless, certificate: &'a str) -> LegacySignature<'a> {
    LegacySignature {
        certificate: Some(certificate),
        ..keyless.legacy()
    }
}

#[test]
fn intermediates_of_the_chain_annotation_are_used_and_not_trusted() {
    let fulcio_root = Authority::new("root");
    let intermediate = fulcio_root.intermediate("intermediate");
    let keyless = Keyless {
        authority: intermediate,
        ..Keyless::new(|_| {})
    };
    let key = KeyPair::generate().unwrap();
    let certificate = pem("CERTIFICATE", &keyless.authority.issue(&key, |_| {}));
    let signature = key.sign(PAYLOAD).unwrap();
    let entry = hashedrekord(PAYLOAD, &signature, &certificate);
    let entry = keyless.log.annotation(&entry, SIGNED);
    let chain = format!("{}{}", keyless.authority.pem(), fulcio_root.pem());
    let legacy = LegacySignature {
        payload: PAYLOAD,
        signature: &signature,
        certificate: Some(&certificate),
        chain: Some(&chain),
        log_entry: Some(&entry),
        timestamp: None,
    };
    let trust = root(&[&fulcio_root], &[&keyless.log], &[], &[]);
    identity(&legacy.verify(&trust).unwrap()).unwrap();
    let without = LegacySignature {
        chain: None,
        ..legacy
    };
    let error = without.verify(&trust).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
    let trust = root(&[&Authority::new("root")], &[&keyless.log], &[], &[]);
    let error = legacy.verify(&trust).unwrap_err();
    assert!(matches!(error, VerifyError::Chain(_)), "{error}");
}

/// A signature by a P-384 key with SHA-256, as cosign 2 makes it; the library takes SHA-384, which
/// no entry that cosign reads can be about.
#[test]
fn a_p384_key_may_have_signed_with_either_hash_but_is_logged_with_sha256() {
    let openssl = |name: &str| {
        let read = |end| {
            std::fs::read_to_string(format!(
                "{}/testdata/keys/{name}.{end}",
                env!("CARGO_MANIFEST_DIR")
            ))
            .unwrap()
        };
        let signature = BASE64.decode(read("sig").replace('\n', "")).unwrap();
        (PublicKey::parse_pem(&read("pem")).unwrap(), signature)
    };
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    for name in ["p256-sha256", "p384-sha256", "p384-sha384"] {
        let (keys, signature) = openssl(name);
        let entry = hashedrekord(b"message", &signature, &keys[0].to_pem());
        let entry = log.annotation(&entry, SIGNED);
        let legacy = LegacySignature {
            payload: b"message",
            signature: &signature,
            log_entry: Some(&entry),
            ..LegacySignature::default()
        };
        let demanded = legacy.verify_with_keys(&keys, LogEntry::Demanded(&trust));
        match demanded {
            Ok(accepted) => assert_eq!(accepted.signed_at(), [time(SIGNED)], "{name}"),
            Err(error) => {
                assert_eq!(name, "p384-sha384", "{error}");
                assert!(error.to_string().contains("is over sha384"), "{error}");
            }
        }
        let other = root(&[], &[&Log::new()], &[], &[]);
        let error = legacy
            .verify_with_keys(&keys, LogEntry::Demanded(&other))
            .unwrap_err();
        assert!(matches!(error, VerifyError::LogEntry(_)), "{name}: {error}");
        let bare = LegacySignature {
            log_entry: None,
            ..legacy
        };
        let accepted = bare.verify_with_keys(&keys, LogEntry::NotDemanded).unwrap();
        assert_eq!(accepted.by(), &&keys[0], "{name}");
        let error = bare
            .verify_with_keys(&keys, LogEntry::Demanded(&trust))
            .unwrap_err();
        assert!(
            matches!(error, VerifyError::LogEntryMissing(_)),
            "{name}: {error}"
        );
    }
}

#[test]
fn of_several_keys_the_one_that_signed_is_named_and_none_other_passes() {
    let (mine, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let signature = mine.sign(PAYLOAD).unwrap();
    let keys = [public_key(&other), public_key(&mine)];
    let legacy = LegacySignature {
        payload: PAYLOAD,
        signature: &signature,
        // Not read: nothing is there to check it with.
        log_entry: Some("{"),
        ..LegacySignature::default()
    };
    let accepted = legacy
        .verify_with_keys(&keys, LogEntry::NotDemanded)
        .unwrap();
    assert_eq!(accepted.by(), &&keys[1]);
    for keys in [&keys[..1], &[]] {
        let error = legacy
            .verify_with_keys(keys, LogEntry::NotDemanded)
            .unwrap_err();
        assert!(matches!(error, VerifyError::Signature(_)), "{error}");
    }
}
