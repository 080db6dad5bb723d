use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::digest::Digest;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

use super::super::testing::{
    Authority, KINDS, Log, SIGNED, bundle, by_key, email, envelope, hashedrekord, pem, public_key,
    root,
};
use super::super::{
    Artifact, LegacySignature, LogEntry, Pki, SigningTime, verify_bundle, verify_with_keys,
};
use super::*;

const PAYLOAD: &[u8] = b"message";

/// What is to be said of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Good,
    Invalid,
    Unsupported,
}

impl Said {
    fn of<T>(result: Result<T, VerifyError>) -> Self {
        match result {
            Ok(_) => Self::Good,
            Err(VerifyError::LogEntry(_)) => Self::Invalid,
            Err(VerifyError::Unsupported(_)) => Self::Unsupported,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The digest of the payload under the name of a hash.
fn digest_by(hash: &str) -> String {
    let algorithm = match hash {
        "sha256" => &SHA256,
        "sha384" => &SHA384,
        _ => &SHA512,
    };
    let bytes = digest::digest(algorithm, PAYLOAD);
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap();
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    bytes.as_ref().iter().flat_map(digits).collect()
}

/// An entry that names one hash and has the digest of another.
fn entry(named: &str, of: &str, signature: &[u8], verifier: &str) -> Value {
    let mut body = hashedrekord(PAYLOAD, signature, verifier);
    body["spec"]["data"]["hash"] = json!({"algorithm": named, "value": digest_by(of)});
    body
}

/// Entries of a signature over the payload's SHA-256, SHA-384 or SHA-512, and what is said of each.
fn entries(signed: &str) -> Vec<(&'static str, &'static str, Said)> {
    let fits = if signed == "sha256" {
        Said::Good
    } else {
        Said::Unsupported
    };
    let hashes = ["sha256", "sha384", "sha512"];
    let mut all = Vec::new();
    for named in hashes {
        for of in hashes {
            let same = named == of && named == signed;
            all.push((named, of, if same { fits } else { Said::Invalid }));
        }
    }
    all
}

/// A key and its signature over the payload, see `testdata/keys/README.md`.
fn openssl(name: &str) -> (PublicKey, Vec<u8>) {
    let read = |end| {
        let folder = env!("CARGO_MANIFEST_DIR");
        std::fs::read_to_string(format!("{folder}/testdata/keys/{name}.{end}")).unwrap()
    };
    let key = PublicKey::parse_pem(&read("pem")).unwrap().remove(0);
    (key, BASE64.decode(read("sig").replace('\n', "")).unwrap())
}

#[test]
fn an_attachment_by_a_key_is_logged_with_the_hash_that_it_is_over_or_not_at_all() {
    let (_, p521) = &KINDS[2];
    let own = (public_key(p521), p521.sign(PAYLOAD).unwrap());
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    for (signed, (key, signature)) in [
        ("sha256", openssl("p256-sha256")),
        ("sha256", openssl("p384-sha256")),
        ("sha384", openssl("p384-sha384")),
        ("sha256", openssl("p521-sha256")),
        ("sha512", own),
        ("sha256", openssl("rsa4096-pss-sha256-max")),
    ] {
        for (named, of, wanted) in entries(signed) {
            let body = entry(named, of, &signature, &key.to_pem());
            let annotation = log.annotation(&body, SIGNED);
            let legacy = LegacySignature {
                payload: PAYLOAD,
                signature: &signature,
                log_entry: Some(&annotation),
                ..LegacySignature::default()
            };
            let keys = std::slice::from_ref(&key);
            let said = Said::of(legacy.verify_with_keys(keys, LogEntry::Demanded(&trust)));
            // What the library knows nothing of is refused before its digest is looked at.
            let by_parts = key.kind() == KeyKind::EcdsaP521 && named != "sha256";
            // Its padding is none that Rekor takes.
            let padding = matches!(key.kind(), KeyKind::Rsa { .. });
            let wanted = if padding { Said::Unsupported } else { wanted };
            let either = by_parts && said == Said::Unsupported;
            assert!(
                said == wanted || either,
                "{:?} over {signed}, named {named} of {of}: {said:?}",
                key.kind()
            );
            // Nobody looks at it where none is demanded.
            let _ = legacy
                .verify_with_keys(keys, LogEntry::NotDemanded)
                .unwrap();
        }
    }
}

#[test]
fn an_attachment_by_a_certificate_is_logged_with_the_hash_that_it_is_over_or_not_at_all() {
    let authority = Authority::new("authority");
    let log = Log::new();
    let trust = root(&[&authority], &[&log], &[], &[]);
    let pki = Pki::new(&authority.pem(), "", Some("dev@corp.example".into()), None).unwrap();
    for (signed, key) in [("sha256", &KINDS[0].1), ("sha384", &KINDS[1].1)] {
        let certificate = pem("CERTIFICATE", &authority.issue(key, |_| {}));
        let signature = key.sign(PAYLOAD).unwrap();
        for (named, of, wanted) in entries(signed) {
            let body = entry(named, of, &signature, &certificate);
            let annotation = log.annotation(&body, SIGNED);
            let legacy = LegacySignature {
                payload: PAYLOAD,
                signature: &signature,
                certificate: Some(&certificate),
                log_entry: Some(&annotation),
                ..LegacySignature::default()
            };
            let what = format!("over {signed}, named {named} of {of}");
            assert_eq!(Said::of(legacy.verify(&trust)), wanted, "keyless, {what}");
            let proven = legacy.verify_with_pki(&pki, SigningTime::Proven(&trust));
            assert_eq!(Said::of(proven), wanted, "pki, {what}");
        }
    }
}

#[test]
fn a_hashedrekord_of_an_ed25519_signature_is_unsupported() {
    let (_, key) = &KINDS[3];
    let signature = key.sign(PAYLOAD).unwrap();
    let public = public_key(key);
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    let body = entry("sha256", "sha256", &signature, &public.to_pem());
    let annotation = log.annotation(&body, SIGNED);
    let legacy = LegacySignature {
        payload: PAYLOAD,
        signature: &signature,
        log_entry: Some(&annotation),
        ..LegacySignature::default()
    };
    let error = legacy
        .verify_with_keys(&[public], LogEntry::Demanded(&trust))
        .unwrap_err();
    assert!(error.to_string().contains("Ed25519ph"), "{error}");
    assert_eq!(Said::of(Err::<(), _>(error)), Said::Unsupported);
}

/// A bundle's bare signature, as `cosign sign-blob` makes it.
#[test]
fn a_bundle_is_logged_with_the_hash_that_it_names_or_not_at_all() {
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    for (signed, name) in [
        ("sha256", "p256-sha256"),
        ("sha256", "p384-sha256"),
        ("sha384", "p384-sha384"),
    ] {
        let (key, signature) = openssl(name);
        for (named, of, wanted) in entries(signed) {
            let entry = log.entry(&entry(named, of, &signature, &key.to_pem()), SIGNED);
            let algorithm = if signed == "sha256" {
                "SHA2_256"
            } else {
                "SHA2_384"
            };
            let declared = match signed {
                "sha256" => digest::digest(&SHA256, PAYLOAD),
                _ => digest::digest(&SHA384, PAYLOAD),
            };
            let json = json!({
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": [entry]},
                "messageSignature": {"signature": BASE64.encode(&signature), "messageDigest":
                    {"algorithm": algorithm, "digest": BASE64.encode(declared)}}});
            let bundle = SigstoreBundle::parse(json.to_string().as_bytes()).unwrap();
            let keys = std::slice::from_ref(&key);
            let artifact = Artifact::Bytes(PAYLOAD);
            let verdict = verify_with_keys(&bundle, &artifact, keys, LogEntry::Demanded(&trust));
            let said = Said::of(verdict);
            assert_eq!(said, wanted, "{name}, named {named} of {of}");
        }
    }
}

/// The body of an entry of Rekor v2 about an envelope.
fn second_version(envelope: &Value, key: &KeyPair, details: &str, algorithm: &str) -> Value {
    let payload = BASE64
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    let pae = sigstore_types::dsse::pae(crate::payload::IN_TOTO, &payload);
    let digest = digest::digest(&SHA256, &pae);
    json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
        "data": {"algorithm": algorithm, "digest": BASE64.encode(digest)},
        "signature": {"content": envelope["signatures"][0]["sig"], "verifier": {
            "keyDetails": details,
            "publicKey": {"rawBytes": BASE64.encode(key.subject_public_key_info())}}}}}})
}

#[test]
fn an_entry_of_rekor_v2_names_the_key_and_the_hash_that_signed() {
    const P384: &str = "PKIX_ECDSA_P384_SHA_384";
    let image = Digest::of(b"an image's manifest");
    let log = Log::new();
    let trust = root(&[], &[&log], &[], &[]);
    for (kind, details, algorithm, wanted) in [
        (0, P256_SHA256, "SHA2_256", Said::Good),
        (0, P256_SHA256, "SHA2_384", Said::Unsupported),
        (0, P384, "SHA2_256", Said::Unsupported),
        (1, P256_SHA256, "SHA2_256", Said::Invalid),
        (1, P384, "SHA2_256", Said::Unsupported),
        (1, P384, "SHA2_384", Said::Unsupported),
        (3, P256_SHA256, "SHA2_256", Said::Invalid),
    ] {
        let (name, key) = &KINDS[kind];
        let envelope = envelope(key, &image);
        let body = second_version(&envelope, key, details, algorithm);
        let mut entry = log.entry(&body, SIGNED);
        entry["integratedTime"] = "0".into();
        entry["inclusionPromise"] = Value::Null;
        let bundle = bundle(&by_key(), &[entry], &envelope);
        let bundle = SigstoreBundle::parse(&bundle).unwrap();
        let keys = [public_key(key)];
        let artifact = Artifact::Digest(&image);
        let said = Said::of(verify_with_keys(
            &bundle,
            &artifact,
            &keys,
            LogEntry::Demanded(&trust),
        ));
        assert_eq!(said, wanted, "{name}, {details}, {algorithm}");
    }
}

#[test]
fn a_certificate_whose_rekor_v2_entry_has_no_timestamp_lacks_a_time_and_not_a_chain() {
    let (_, key) = &KINDS[0];
    let image = Digest::of(b"an image's manifest");
    let authority = Authority::new("fulcio");
    let log = Log::new();
    let certificate = authority.issue(key, |params| {
        params.subject_alt_names = vec![email("dev@corp.example")];
    });
    let envelope = envelope(key, &image);
    let mut body = second_version(&envelope, key, P256_SHA256, "SHA2_256");
    body["spec"]["hashedRekordV002"]["signature"]["verifier"] = json!({"keyDetails": P256_SHA256,
        "x509Certificate": {"rawBytes": BASE64.encode(&certificate)}});
    let mut entry = log.entry(&body, SIGNED);
    entry["integratedTime"] = "0".into();
    entry["inclusionPromise"] = Value::Null;
    let material = super::super::testing::by_certificate(&certificate);
    let bundle = bundle(&material, &[entry], &envelope);
    let bundle = SigstoreBundle::parse(&bundle).unwrap();
    let other = Authority::new("another");
    for (trusted, chained) in [(&authority, true), (&other, false)] {
        let trust = root(&[trusted], &[&log], &[], &[]);
        let error = verify_bundle(&bundle, &Artifact::Digest(&image), &trust).unwrap_err();
        let VerifyError::NoTrustedTime(text) = &error else {
            panic!("{error}");
        };
        assert!(text.contains("no timestamp beside it: add one"), "{text}");
        assert_eq!(
            !text.contains("Nor does its certificate"),
            chained,
            "{text}"
        );
    }
}
