//! The same expectations of the library's verification and of this module's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::key::PublicKey;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::super::testing::{
    KINDS, Log, SIGNED, bundle, by_key, envelope, hashedrekord, logged, pem, public_key, root,
    root_with, time,
};
use super::super::{LegacySignature, LogEntry, verify_with_keys};
use super::*;

/// A bundle of one of the kinds of keys, its log, and what may be done to its entry.
struct Scene {
    kind: &'static str,
    key: &'static KeyPair,
    digest: Digest,
    envelope: Value,
    log: Log,
    body: Value,
    entry: Value,
}

impl Scene {
    fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(kind, key)| {
            let digest = Digest::of(b"an image's manifest");
            let envelope = envelope(key, &digest);
            let verifier = pem("PUBLIC KEY", &key.subject_public_key_info());
            let body = logged(&envelope, &verifier);
            let log = Log::new();
            Self {
                kind,
                key,
                digest,
                entry: log.entry(&body, SIGNED),
                envelope,
                log,
                body,
            }
        })
    }

    fn changed(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut entry = self.entry.clone();
        change(&mut entry);
        entry
    }

    fn logged(&self, change: impl FnOnce(&mut Value)) -> Value {
        let mut body = self.body.clone();
        change(&mut body);
        self.log.entry(&body, SIGNED)
    }

    fn verify(&self, entries: &[&Value]) -> Result<Vec<Timestamp>, VerifyError> {
        let entries: Vec<Value> = entries.iter().copied().cloned().collect();
        let bundle = bundle(&by_key(), &entries, &self.envelope);
        let bundle = SigstoreBundle::parse(&bundle)?;
        let trust = root(&[], &[&self.log], &[], &[]);
        let keys = [public_key(self.key)];
        let artifact = Artifact::Digest(&self.digest);
        let demanded = LogEntry::Demanded(&trust);
        let accepted = verify_with_keys(&bundle, &artifact, &keys, demanded)?;
        Ok(accepted.signed_at().to_vec())
    }
}

#[test]
fn evidence_that_was_changed_in_any_part_is_refused() {
    let zeros = Value::from(BASE64.encode([0; 32]));
    for scene in Scene::all() {
        assert_eq!(scene.verify(&[&scene.entry]).unwrap(), [time(SIGNED)]);
        let foreign = Log::new().entry(&scene.body, SIGNED);
        for (what, entry) in [
            (
                "a longer proof",
                scene.changed(|entry| entry["inclusionProof"]["hashes"] = json!([zeros])),
            ),
            (
                "another root",
                scene.changed(|entry| entry["inclusionProof"]["rootHash"] = zeros.clone()),
            ),
            (
                "another log's checkpoint",
                scene.changed(|entry| {
                    let checkpoint = foreign["inclusionProof"]["checkpoint"].clone();
                    entry["inclusionProof"]["checkpoint"] = checkpoint;
                }),
            ),
            (
                "another log's promise",
                scene.changed(|entry| {
                    entry["inclusionPromise"] = foreign["inclusionPromise"].clone();
                }),
            ),
            (
                "another time",
                scene.changed(|entry| entry["integratedTime"] = (SIGNED + 1).to_string().into()),
            ),
            (
                "an unknown log",
                scene.changed(|entry| entry["logId"]["keyId"] = zeros.clone()),
            ),
            (
                "another body",
                scene.changed(|entry| entry["canonicalizedBody"] = BASE64.encode("{}").into()),
            ),
            (
                "a time in the future",
                scene.log.entry(&scene.body, 1 << 34),
            ),
            (
                "another payload",
                scene.logged(|body| {
                    body["spec"]["payloadHash"]["value"] = Digest::of(b"x").hex().into();
                }),
            ),
            (
                "another signature",
                scene.logged(|body| body["spec"]["signatures"][0]["signature"] = "AAAA".into()),
            ),
            (
                "two signatures",
                scene.logged(|body| {
                    let signature = body["spec"]["signatures"][0].clone();
                    body["spec"]["signatures"] = json!([signature, signature]);
                }),
            ),
        ] {
            // Beside a good one it is no better.
            for entries in [&[&entry][..], &[&scene.entry, &entry]] {
                let error = scene.verify(entries).unwrap_err();
                let invalid = matches!(error, VerifyError::LogEntry(_));
                assert!(invalid, "{}, {what}: {error}", scene.kind);
            }
        }
    }
}

#[test]
fn an_entry_needs_its_proof_and_without_a_promise_tells_no_time() {
    for scene in Scene::all() {
        let unpromised = scene.changed(|entry| entry["inclusionPromise"] = Value::Null);
        assert_eq!(scene.verify(&[&unpromised]).unwrap(), []);
        let unproven = scene.changed(|entry| entry["inclusionProof"] = Value::Null);
        let neither = scene.changed(|entry| {
            entry["inclusionProof"] = Value::Null;
            entry["inclusionPromise"] = Value::Null;
        });
        for entries in [&[][..], &[&unproven], &[&neither]] {
            let error = scene.verify(entries).unwrap_err();
            let missing = matches!(error, VerifyError::LogEntryMissing(_));
            assert!(missing, "{}: {error}", scene.kind);
        }
    }
}

#[test]
fn an_entry_for_another_kind_of_signature_is_unsupported() {
    for scene in Scene::all() {
        let record = scene.log.entry(&hashedrekord(b"x", b"y", ""), SIGNED);
        let error = scene.verify(&[&record]).unwrap_err();
        let unsupported = matches!(error, VerifyError::Unsupported(_));
        assert!(unsupported, "{}: {error}", scene.kind);
    }
}

/// See `testdata/sigstore/README.md`.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../testdata/", $name))
    };
}

#[test]
fn a_p521_keys_attachment_is_verified_with_log_entry_and_timestamp() {
    let text = fixture!("keys/p521-sha256.pem");
    let keys = PublicKey::parse_pem(text).unwrap();
    let signature = BASE64
        .decode(fixture!("keys/p521-sha256.sig").replace('\n', ""))
        .unwrap();
    let log = Log::new();
    let entry = log.annotation(&hashedrekord(b"message", &signature, text), SIGNED);
    let annotation = |token: &str| {
        let token = token.replace('\n', "");
        json!({"SignedRFC3161Timestamp": token}).to_string()
    };
    let good = annotation(fixture!("sigstore/p521-sha256.tsr"));
    let foreign = annotation(fixture!("sigstore/p256-sha256.tsr"));
    let legacy = |timestamp| LegacySignature {
        payload: b"message",
        signature: &signature,
        log_entry: Some(&entry),
        timestamp,
        ..LegacySignature::default()
    };
    let authority = [
        fixture!("sigstore/timestamp-authority.pem"),
        fixture!("sigstore/timestamp-root.pem"),
    ];
    let trust = root(&[], &[&log], &[], &[&authority]);
    let verify = |timestamp, trust: &TrustMaterial| {
        let demanded = LogEntry::Demanded(trust);
        let accepted = legacy(timestamp).verify_with_keys(&keys, demanded)?;
        Ok::<_, VerifyError>(accepted.signed_at().len())
    };
    assert_eq!(verify(None, &trust), Ok(1));
    assert_eq!(verify(Some(&good), &trust), Ok(2));
    let untrusting = root(&[], &[&log], &[], &[]);
    for (timestamp, trust) in [(&foreign, &trust), (&good, &untrusting)] {
        let error = verify(Some(timestamp), trust).unwrap_err();
        assert!(matches!(error, VerifyError::Timestamp(_)), "{error}");
    }
    let other = log.annotation(&hashedrekord(b"other", &signature, text), SIGNED);
    let legacy = LegacySignature {
        log_entry: Some(&other),
        ..legacy(None)
    };
    let error = legacy
        .verify_with_keys(&keys, LogEntry::Demanded(&trust))
        .unwrap_err();
    assert!(matches!(error, VerifyError::LogEntry(_)), "{error}");
}

#[test]
fn a_renewed_window_of_the_same_timestamp_authority_counts() {
    let text = fixture!("keys/p521-sha256.pem");
    let keys = PublicKey::parse_pem(text).unwrap();
    let signature = fixture!("keys/p521-sha256.sig").replace('\n', "");
    let signature = BASE64.decode(signature).unwrap();
    let log = Log::new();
    let entry = log.annotation(&hashedrekord(b"message", &signature, text), SIGNED);
    let token = fixture!("sigstore/p521-sha256.tsr").replace('\n', "");
    let token = json!({"SignedRFC3161Timestamp": token}).to_string();
    let legacy = LegacySignature {
        payload: b"message",
        signature: &signature,
        log_entry: Some(&entry),
        timestamp: Some(&token),
        ..LegacySignature::default()
    };
    let authority: &[&str] = &[
        fixture!("sigstore/timestamp-authority.pem"),
        fixture!("sigstore/timestamp-root.pem"),
    ];
    let open = json!({"start": "2020-01-01T00:00:00Z"});
    let over = json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    let verify = |windows: [&Value; 2]| {
        let trust = root_with(&[], &[&log], &[], &[authority, authority], |root| {
            for (index, window) in windows.into_iter().enumerate() {
                root["timestampAuthorities"][index]["validFor"] = window.clone();
            }
        });
        let accepted = legacy.verify_with_keys(&keys, LogEntry::Demanded(&trust))?;
        Ok::<_, VerifyError>(accepted.signed_at().len())
    };
    assert_eq!(verify([&over, &open]), Ok(2));
    assert_eq!(verify([&open, &over]), Ok(2));
    let error = verify([&over, &over]).unwrap_err();
    assert!(matches!(error, VerifyError::Timestamp(_)), "{error}");
    assert!(error.to_string().contains("valid"), "{error}");
}
