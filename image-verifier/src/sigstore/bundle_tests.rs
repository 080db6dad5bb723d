use rcgen::KeyPair;
use serde_json::{Value, json};

use super::super::testing::{
    Authority, Log, SIGNED, bundle, by_certificate, by_key, email, envelope, logged, pem, root,
    time,
};
use super::*;
use policy::digest::Digest;

const MANIFEST: &[u8] = b"an image's manifest";

/// A bundle as cosign 3 makes it, and the root that it is verified by.
fn keyless(envelope: impl FnOnce(&KeyPair) -> Value) -> (Vec<u8>, TrustMaterial) {
    let authority = Authority::new("fulcio");
    let key = KeyPair::generate().unwrap();
    let certificate = authority.issue(&key, |params| {
        params.subject_alt_names = vec![email("dev@corp.example")];
    });
    let envelope = envelope(&key);
    let log = Log::new();
    let entry = log.entry(
        &logged(&envelope, &pem("CERTIFICATE", &certificate)),
        SIGNED,
    );
    let bundle = bundle(&by_certificate(&certificate), &[entry], &envelope);
    (bundle, root(&[&authority], &[&log], &[], &[]))
}

fn verify(json: &[u8], digest: &Digest, trust: &TrustMaterial) -> Result<(), VerifyError> {
    let bundle = SigstoreBundle::parse(json)?;
    let signature = verify_bundle(&bundle, &Artifact::Digest(digest), trust)?;
    let accepted = signature
        .accept(|signer| (signer.subject.as_str() == "dev@corp.example").then_some("dev"))?;
    assert_eq!(accepted.by(), &"dev");
    assert_eq!(accepted.signed_at(), [time(SIGNED)]);
    let Content::Dsse { payload, .. } = accepted.content() else {
        panic!("no statement");
    };
    assert!(String::from_utf8_lossy(payload).contains(digest.hex()));
    Ok(())
}

#[test]
fn a_keyless_bundle_counts_for_its_own_digest_and_none_other() {
    let digest = Digest::of(MANIFEST);
    let (bundle, trust) = keyless(|key| envelope(key, &digest));
    verify(&bundle, &digest, &trust).unwrap();
    let error = verify(&bundle, &Digest::of(b"another"), &trust).unwrap_err();
    assert!(matches!(error, VerifyError::OtherArtifact(_)), "{error}");
}

#[test]
fn a_statement_is_not_replaced_behind_its_signature() {
    let (mine, other) = (Digest::of(MANIFEST), Digest::of(b"another"));
    let (json, trust) = keyless(|key| envelope(key, &mine));
    let stranger = envelope(&KeyPair::generate().unwrap(), &other);
    let mut changed: Value = serde_json::from_slice(&json).unwrap();
    changed["dsseEnvelope"]["payload"] = stranger["payload"].clone();
    let error = verify(changed.to_string().as_bytes(), &other, &trust).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(_)), "{error}");
    changed["dsseEnvelope"] = stranger;
    let error = verify(changed.to_string().as_bytes(), &other, &trust).unwrap_err();
    assert!(matches!(error, VerifyError::Signature(_)), "{error}");
}

#[test]
fn a_bundle_of_a_key_is_no_keyless_one() {
    let digest = Digest::of(MANIFEST);
    let (_, trust) = keyless(|key| envelope(key, &digest));
    let by_key = bundle(
        &by_key(),
        &[],
        &envelope(&KeyPair::generate().unwrap(), &digest),
    );
    let error = verify(&by_key, &digest, &trust).unwrap_err();
    assert_eq!(error, VerifyError::NoCertificate);
}

#[test]
fn an_envelope_or_version_that_is_not_known_is_unsupported() {
    let digest = Digest::of(MANIFEST);
    let (json, trust) = keyless(|key| envelope(key, &digest));
    let good: Value = serde_json::from_slice(&json).unwrap();
    let mut version = good.clone();
    version["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.9+json".into();
    let mut entry = good.clone();
    entry["verificationMaterial"]["tlogEntries"][0]["kindVersion"]["version"] = "0.0.9".into();
    let mut payload = good;
    payload["dsseEnvelope"]["payloadType"] = "text/plain".into();
    for changed in [version, entry, payload] {
        let error = verify(changed.to_string().as_bytes(), &digest, &trust).unwrap_err();
        assert!(matches!(error, VerifyError::Unsupported(_)), "{error}");
    }
}

#[test]
fn what_is_no_bundle_is_malformed() {
    let digest = Digest::of(MANIFEST);
    let (json, trust) = keyless(|key| envelope(key, &digest));
    let good: Value = serde_json::from_slice(&json).unwrap();
    let mut chain = good.clone();
    chain["verificationMaterial"] = json!({"x509CertificateChain": {"certificates": [
        good["verificationMaterial"]["certificate"]]},
        "tlogEntries": good["verificationMaterial"]["tlogEntries"]});
    let mut two = good.clone();
    two["dsseEnvelope"]["signatures"] = json!([
        good["dsseEnvelope"]["signatures"][0],
        good["dsseEnvelope"]["signatures"][0]
    ]);
    let mut certificate = good;
    certificate["verificationMaterial"]["certificate"]["rawBytes"] = "AAAA".into();
    let deep = "[".repeat(100_000).into_bytes();
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("no UTF-8", vec![0xff]),
        ("no bundle", b"{}".to_vec()),
        ("deep", deep),
        ("cut", json[..json.len() - 1].to_vec()),
        ("a chain in v0.3", chain.to_string().into_bytes()),
        ("two signatures", two.to_string().into_bytes()),
        ("no certificate", certificate.to_string().into_bytes()),
    ] {
        let error = verify(&bytes, &digest, &trust).unwrap_err();
        assert!(
            matches!(error, VerifyError::Malformed(_)),
            "{what}: {error}"
        );
    }
}

#[test]
fn more_evidence_than_the_limit_is_refused_before_any_of_it_is_verified() {
    let digest = Digest::of(MANIFEST);
    let (json, _) = keyless(|key| envelope(key, &digest));
    let good: Value = serde_json::from_slice(&json).unwrap();
    let entry = good["verificationMaterial"]["tlogEntries"][0].clone();
    let repeated = |entries: usize, tokens: usize| {
        let mut changed = good.clone();
        let token = json!({"signedTimestamp": "AAAA"});
        changed["verificationMaterial"]["tlogEntries"] = vec![entry.clone(); entries].into();
        changed["verificationMaterial"]["timestampVerificationData"] =
            json!({"rfc3161Timestamps": vec![token; tokens]});
        SigstoreBundle::parse(changed.to_string().as_bytes())
    };
    assert!(repeated(MAX_EVIDENCE, MAX_EVIDENCE).is_ok());
    for (entries, tokens) in [(MAX_EVIDENCE + 1, 0), (0, MAX_EVIDENCE + 1)] {
        let error = repeated(entries, tokens).unwrap_err();
        assert!(matches!(error, VerifyError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_root_that_cannot_be_used_is_refused_and_a_log_of_an_unknown_kind_is_left_out() {
    for json in ["", "{}", r#"{"mediaType": "x", "tlogs": [{}]}"#] {
        let error = TrustMaterial::parse(json).unwrap_err();
        assert!(matches!(error, VerifyError::TrustRoot(_)), "{error}");
    }
    let log = |key: &str| {
        json!({"baseUrl": "", "hashAlgorithm": "SHA2_256", "publicKey":
            {"rawBytes": key, "keyDetails": "X"},
            "logId": {"keyId": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}})
    };
    let text = json!({"mediaType": "x", "tlogs": [log("AAAA")], "ctlogs": [log("AAAA")]});
    let trust = TrustMaterial::parse(&text.to_string()).unwrap();
    assert!(trust.demands_log_entry());
    let digest = Digest::of(MANIFEST);
    let (json, _) = keyless(|key| envelope(key, &digest));
    assert!(verify(&json, &digest, &trust).is_err());
    assert!(TrustMaterial::public_good().unwrap().demands_log_entry());
}
