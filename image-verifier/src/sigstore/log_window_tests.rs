use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::digest::Digest;
use policy::key::PublicKey;
use rcgen::{PublicKeyData as _, date_time_ymd};
use serde_json::{Value, json};

use super::super::testing::{
    Authority, Foreign, KINDS, Log, SIGNED, bundle, by_key, envelope, hashedrekord, logged, pem,
    public_key, root_with, time,
};
use super::super::{
    Accepted, Artifact, LogEntry, Pki, SigningTime, verify_bundle, verify_with_keys,
    verify_with_pki,
};
use super::*;

/// See `testdata/sigstore/README.md`. The timestamps are of 2026.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../testdata/", $name))
    };
}

/// Before the timestamps, after [`SIGNED`].
const OVER: &str = "2025-12-31T00:00:00Z";
/// After all of them, and after whenever this runs.
const OPEN: &str = "2100-01-01T00:00:00Z";

fn ends(root: &mut Value, end: Option<&str>) {
    if let Some(end) = end {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = end.into();
    }
}

/// The entry as whoever has a log's key makes it today: with a proof, and no time of its own.
fn unpromised(log: &Log, body: &Value) -> Value {
    let mut entry = log.entry(body, SIGNED);
    let entry_fields = entry.as_object_mut().unwrap();
    entry_fields.remove("inclusionPromise");
    entry_fields.remove("integratedTime");
    entry
}

fn is_of_its_log<T: std::fmt::Debug>(result: Result<T, VerifyError>, who: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, VerifyError::LogEntry(_)), "{who}: {error}");
    let text = error.to_string();
    assert!(text.contains("its log is trusted"), "{who}: {text}");
    assert!(text.contains("to 2025-12-31T00:00:00Z"), "{who}: {text}");
}

/// A signature over `message` with a timestamp, and by whom it is accepted under a window of the log.
struct Stamped {
    key: PublicKey,
    signature: Vec<u8>,
    token: String,
    log: Log,
    authority: Authority,
    certificate: Vec<u8>,
}

impl Stamped {
    fn new(pem: &str, signature: &str, token: &str) -> Self {
        let key = PublicKey::parse_pem(pem).unwrap().remove(0);
        let authority = Authority::new("authority");
        let certificate = authority.issue(&Foreign(&key), |params| {
            params.not_before = date_time_ymd(2026, 1, 1);
            params.not_after = date_time_ymd(2027, 1, 1);
        });
        Self {
            key,
            signature: BASE64.decode(signature.replace('\n', "")).unwrap(),
            token: token.replace('\n', ""),
            log: Log::new(),
            authority,
            certificate,
        }
    }

    fn bundle(&self, material: &Value, verifier: &str) -> SigstoreBundle {
        let body = hashedrekord(b"message", &self.signature, verifier);
        let mut material = material.clone();
        material["tlogEntries"] = json!([unpromised(&self.log, &body)]);
        material["timestampVerificationData"] =
            json!({"rfc3161Timestamps": [{"signedTimestamp": self.token}]});
        let json = json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            "messageSignature": {"signature": BASE64.encode(&self.signature)}});
        SigstoreBundle::parse(json.to_string().as_bytes()).unwrap()
    }

    fn trust(&self, end: Option<&str>) -> TrustMaterial {
        let authority: &[&str] = &[
            fixture!("sigstore/timestamp-authority.pem"),
            fixture!("sigstore/timestamp-root.pem"),
        ];
        root_with(
            &[&self.authority],
            &[&self.log],
            &[],
            &[authority],
            |root| {
                ends(root, end);
            },
        )
    }

    fn by_key(&self, end: Option<&str>) -> Result<(), VerifyError> {
        let bundle = self.bundle(&by_key(), &self.key.to_pem());
        let trust = self.trust(end);
        let keys = std::slice::from_ref(&self.key);
        let artifact = Artifact::Bytes(b"message");
        let accepted = verify_with_keys(&bundle, &artifact, keys, LogEntry::Demanded(&trust))?;
        // A time that is proven holds for ever.
        assert_eq!(accepted.valid_until(), None);
        Ok(())
    }

    fn by_certificate(&self, end: Option<&str>) -> [Result<(), VerifyError>; 2] {
        let material = json!({"certificate": {"rawBytes": BASE64.encode(&self.certificate)}});
        let bundle = self.bundle(&material, &pem("CERTIFICATE", &self.certificate));
        let trust = self.trust(end);
        let artifact = Artifact::Bytes(b"message");
        let email = Some("dev@corp.example".into());
        let pki = Pki::new(&self.authority.pem(), "", email, None).unwrap();
        let proven = SigningTime::Proven(&trust);
        [
            verify_bundle(&bundle, &artifact, &trust).map(drop),
            verify_with_pki(&bundle, &artifact, &pki, proven).map(drop),
        ]
    }
}

#[test]
fn a_log_whose_window_has_ended_proves_no_new_entry() {
    let p256 = Stamped::new(
        fixture!("keys/p256-sha256.pem"),
        fixture!("keys/p256-sha256.sig"),
        fixture!("sigstore/p256-sha256.tsr"),
    );
    for end in [None, Some(OPEN)] {
        p256.by_key(end).unwrap();
        for result in p256.by_certificate(end) {
            result.unwrap();
        }
    }
    is_of_its_log(p256.by_key(Some(OVER)), "a key");
    let [keyless, company] = p256.by_certificate(Some(OVER));
    is_of_its_log(keyless, "keyless");
    is_of_its_log(company, "a company");

    // By the library for the one, and by `evidence` for the other.
    let p521 = Stamped::new(
        fixture!("keys/p521-sha256.pem"),
        fixture!("keys/p521-sha256.sig"),
        fixture!("sigstore/p521-sha256.tsr"),
    );
    p521.by_key(Some(OPEN)).unwrap();
    is_of_its_log(p521.by_key(Some(OVER)), "a P-521 key");
}

/// Entries of every kind of key without a timestamp.
fn by_keys(
    end: Option<&str>,
    entry: impl Fn(&Log, &Value) -> Value,
    check: impl Fn(Result<Accepted<&PublicKey>, VerifyError>, &str),
) {
    let digest = Digest::of(b"an image's manifest");
    for (kind, key) in KINDS.iter() {
        let envelope = envelope(key, &digest);
        let log = Log::new();
        let body = logged(
            &envelope,
            &pem("PUBLIC KEY", &key.subject_public_key_info()),
        );
        let bundle = bundle(&by_key(), &[entry(&log, &body)], &envelope);
        let bundle = SigstoreBundle::parse(&bundle).unwrap();
        let trust = root_with(&[], &[&log], &[], &[], |root| ends(root, end));
        let keys = [public_key(key)];
        let demanded = LogEntry::Demanded(&trust);
        let artifact = Artifact::Digest(&digest);
        check(verify_with_keys(&bundle, &artifact, &keys, demanded), kind);
    }
}

#[test]
fn an_entry_that_was_made_in_time_counts_when_its_log_has_ended() {
    let promised = |log: &Log, body: &Value| log.entry(body, SIGNED);
    by_keys(Some(OVER), promised, |accepted, kind| {
        let accepted = accepted.unwrap();
        assert_eq!(accepted.signed_at(), [time(SIGNED)], "{kind}");
        assert_eq!(accepted.valid_until(), None, "{kind}");
    });
}

#[test]
fn an_entry_without_any_time_counts_as_long_as_its_log_is_trusted() {
    for end in [None, Some(OPEN)] {
        by_keys(end, unpromised, |accepted, kind| {
            let accepted = accepted.unwrap();
            assert_eq!(accepted.signed_at(), [], "{kind}");
            let end = end.map(|end| end.parse().unwrap());
            assert_eq!(accepted.valid_until(), end, "{kind}");
        });
    }
    by_keys(Some(OVER), unpromised, |accepted, kind| {
        is_of_its_log(accepted, kind);
    });
}

#[test]
fn a_promise_without_a_time_is_none() {
    // For the time zero, which JSON leaves out; the log's key would be the right one at any time.
    let timeless = |log: &Log, body: &Value| {
        let mut entry = log.entry(body, 0);
        entry.as_object_mut().unwrap().remove("integratedTime");
        entry
    };
    by_keys(None, timeless, |accepted, kind| {
        let error = accepted.unwrap_err();
        assert!(matches!(error, VerifyError::LogEntry(_)), "{kind}: {error}");
        assert!(error.to_string().contains("no time"), "{kind}: {error}");
    });
}
