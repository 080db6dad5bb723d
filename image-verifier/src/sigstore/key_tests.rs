use policy::digest::Digest;
use rcgen::{KeyPair, PublicKeyData as _};

use super::super::testing::{
    Authority, KINDS, Log, SIGNED, bundle, by_certificate, by_key, envelope, hashedrekord, logged,
    pem, public_key, root, time,
};
use super::super::{Content, SigstoreBundle};
use super::*;

const MANIFEST: &[u8] = b"an image's manifest";

fn parse(json: &[u8]) -> SigstoreBundle {
    SigstoreBundle::parse(json).unwrap()
}

fn verifier(key: &KeyPair) -> String {
    pem("PUBLIC KEY", &key.subject_public_key_info())
}

#[test]
fn an_air_gapped_bundle_is_verified_by_every_kind_of_key() {
    let digest = Digest::of(MANIFEST);
    for (kind, key) in KINDS.iter() {
        let bundle = parse(&bundle(&by_key(), &[], &envelope(key, &digest)));
        let keys = [public_key(&KINDS[0].1), public_key(key)];
        for artifact in [Artifact::Digest(&digest), Artifact::Bytes(MANIFEST)] {
            let accepted =
                verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded).unwrap();
            assert_eq!(accepted.by(), &&public_key(key), "{kind}");
            let Content::Dsse { payload, .. } = accepted.content() else {
                panic!("{kind}: no statement");
            };
            assert!(String::from_utf8_lossy(payload).contains(digest.hex()));
            assert_eq!(accepted.signed_at(), []);
        }
        let other = [public_key(&KeyPair::generate().unwrap())];
        let artifact = Artifact::Digest(&digest);
        let error =
            verify_with_keys(&bundle, &artifact, &other, LogEntry::NotDemanded).unwrap_err();
        assert!(
            matches!(error, VerifyError::Signature(_)),
            "{kind}: {error}"
        );
    }
}

#[test]
fn rsa_pss_is_verified_and_no_log_entry_of_it_is_one_of_rekors() {
    let text = include_str!("../../testdata/keys/rsa4096-pss-sha256-max.pem");
    let keys = PublicKey::parse_pem(text).unwrap();
    let signature = include_str!("../../testdata/keys/rsa4096-pss-sha256-max.sig");
    let signature = signature.replace('\n', "");
    let log = Log::new();
    let entry = {
        use base64::Engine as _;
        let raw = base64::engine::general_purpose::STANDARD
            .decode(&signature)
            .unwrap();
        log.entry(&hashedrekord(b"message", &raw, text), SIGNED)
    };
    let json = serde_json::json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": [entry]},
        "messageSignature": {"signature": signature}});
    let bundle = parse(json.to_string().as_bytes());
    let artifact = Artifact::Bytes(b"message");
    let accepted = verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded).unwrap();
    assert_eq!(accepted.content(), &Content::Message);
    let trust = root(&[], &[&log], &[], &[]);
    let error =
        verify_with_keys(&bundle, &artifact, &keys, LogEntry::Demanded(&trust)).unwrap_err();
    assert!(matches!(error, VerifyError::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("PKCS#1 v1.5 alone"), "{error}");
    let trust = root(&[], &[&Log::new()], &[], &[]);
    let error =
        verify_with_keys(&bundle, &artifact, &keys, LogEntry::Demanded(&trust)).unwrap_err();
    assert!(matches!(error, VerifyError::LogEntry(_)), "{error}");
    let digest = Digest::of(b"message");
    let artifact = Artifact::Digest(&digest);
    let error = verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded).unwrap_err();
    assert!(matches!(error, VerifyError::Unsupported(_)), "{error}");
}

#[test]
fn a_bundle_replayed_onto_another_digest_is_refused() {
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    let (_, key) = &KINDS[0];
    let envelope = envelope(key, &Digest::of(MANIFEST));
    let bundle = parse(&bundle(
        &by_key(),
        &[log.entry(&logged(&envelope, &verifier(key)), SIGNED)],
        &envelope,
    ));
    let keys = [public_key(key)];
    let other = Digest::of(b"another image's manifest");
    for demand in [LogEntry::NotDemanded, LogEntry::Demanded(&trust)] {
        let digest = Digest::of(MANIFEST);
        let _ = verify_with_keys(&bundle, &Artifact::Digest(&digest), &keys, demand).unwrap();
        let error =
            verify_with_keys(&bundle, &Artifact::Digest(&other), &keys, demand).unwrap_err();
        assert!(matches!(error, VerifyError::OtherArtifact(_)), "{error}");
    }
}

#[test]
fn a_changed_statement_or_signature_is_refused() {
    let digest = Digest::of(MANIFEST);
    let (_, key) = &KINDS[0];
    let keys = [public_key(key)];
    let other = Digest::of(b"another");
    let mut changed = envelope(key, &digest);
    changed["payload"] = envelope(key, &other)["payload"].clone();
    let mut foreign = envelope(key, &digest);
    foreign["signatures"] = envelope(key, &other)["signatures"].clone();
    let mut retyped = envelope(key, &digest);
    retyped["payloadType"] = "text/plain".into();
    for envelope in [changed, foreign, retyped] {
        let bundle = parse(&bundle(&by_key(), &[], &envelope));
        let error = verify_with_keys(
            &bundle,
            &Artifact::Digest(&other),
            &keys,
            LogEntry::NotDemanded,
        )
        .unwrap_err();
        assert!(matches!(error, VerifyError::Signature(_)), "{error}");
    }
}

#[test]
fn a_demanded_log_entry_is_verified() {
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    let demanded = LogEntry::Demanded(&trust);
    let digest = Digest::of(MANIFEST);
    let artifact = Artifact::Digest(&digest);
    for (kind, key) in KINDS.iter() {
        let keys = [public_key(key)];
        let envelope = envelope(key, &digest);
        let entry = log.entry(&logged(&envelope, &verifier(key)), SIGNED);
        let good = parse(&bundle(&by_key(), &[entry], &envelope));
        let accepted = verify_with_keys(&good, &artifact, &keys, demanded).unwrap();
        assert_eq!(accepted.signed_at(), [time(SIGNED)], "{kind}");

        let bare = parse(&bundle(&by_key(), &[], &envelope));
        let error = verify_with_keys(&bare, &artifact, &keys, demanded).unwrap_err();
        let missing = matches!(error, VerifyError::LogEntryMissing(_));
        assert!(missing, "{kind}: {error}");

        let other = KeyPair::generate().unwrap();
        for (what, entry) in [
            (
                "of another log",
                Log::new().entry(&logged(&envelope, &verifier(key)), SIGNED),
            ),
            (
                "by another key",
                log.entry(&logged(&envelope, &verifier(&other)), SIGNED),
            ),
        ] {
            let bundle = parse(&bundle(&by_key(), &[entry], &envelope));
            let error = verify_with_keys(&bundle, &artifact, &keys, demanded).unwrap_err();
            let invalid = matches!(error, VerifyError::LogEntry(_));
            assert!(invalid, "{kind}, {what}: {error}");
        }
    }
}

#[test]
fn a_bundle_with_a_certificate_is_none_of_a_keys() {
    let (_, key) = &KINDS[0];
    let digest = Digest::of(MANIFEST);
    let certificate = Authority::new("a").issue(key, |_| {});
    let envelope = envelope(key, &digest);
    let bundle = parse(&bundle(&by_certificate(&certificate), &[], &envelope));
    let artifact = Artifact::Digest(&digest);
    let keys = [public_key(key)];
    let error = verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded);
    assert_eq!(error.unwrap_err(), VerifyError::NoKey);
}
