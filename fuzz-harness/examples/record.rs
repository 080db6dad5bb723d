//! Makes the signatures in `recorded/`, with keys that are thrown away: `cargo run -p fuzz-harness
//! --example record`. It needs `openssl` for the timestamp. They are kept as files so that every run
//! of the tests has the same inputs.

#![allow(
    clippy::unwrap_used,
    reason = "a program for whoever changes the tests"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::digest::Digest;
use policy::trust::TrustRoot;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _, date_time_ymd};
use serde_json::{Value, json};

// What the verifier's own tests sign with. It names these by their paths there.
use image_verifier::payload;
use image_verifier::sigstore::TrustMaterial;
#[path = "../../image-verifier/src/sigstore/testing.rs"]
#[allow(dead_code, reason = "not all of it is for here")]
mod testing;

use testing::{Authority, Log, SIGNED, hashedrekord, logged, pem, public_key};

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IMAGE: &str = "example.com/app";

fn main() {
    let digest = Digest::of(fuzz_harness::IMAGE);
    let payload = payload_of(&digest, IMAGE);
    let key = KeyPair::generate().unwrap();
    let second = KeyPair::generate().unwrap();
    let (fulcio, corp, log) = (Authority::new("ca"), Authority::new("corp"), Log::new());
    let log_key = pem("PUBLIC KEY", &log.0.subject_public_key_info());
    let stamps = Stamps::new();
    let chain = stamps.chain();
    let root = TrustRoot::from_pem(Some(&fulcio.pem()), &[log_key], &[], Some(&chain)).unwrap();
    write("root.json", root.to_trusted_root_json());
    write("corp.pem", corp.pem());
    write("key.pem", public_key(&key).to_pem());
    write("logged.pem", public_key(&second).to_pem());

    let mut layers = Vec::new();
    let plain = attachment(&key, &payload, None, None, None);
    keep("key-attachment", &payload, std::slice::from_ref(&plain));
    layers.push(plain);
    let envelope = testing::envelope(&key, &digest);
    keep_bundle("key-bundle", &testing::by_key(), &[], &envelope);

    let verifier = public_key(&second).to_pem();
    let signed = attachment(&second, &payload, Some((&log, &verifier)), None, None);
    keep("logged-attachment", &payload, &[signed]);
    let envelope = testing::envelope(&second, &digest);
    let entry = log.entry(&logged(&envelope, &verifier), SIGNED);
    keep_bundle("logged-bundle", &testing::by_key(), &[entry], &envelope);

    let (dev, der) = maker(&fulcio);
    let certificate = pem("CERTIFICATE", &der);
    let by = Some((certificate.as_str(), fulcio.pem()));
    let entered = Some((&log, certificate.as_str()));
    let signed = attachment(&dev, &payload, entered, by.clone(), None);
    keep("dev-attachment", &payload, std::slice::from_ref(&signed));
    layers.push(signed);
    let signed = attachment(&dev, &payload, entered, by, Some(&stamps));
    keep("dev-attachment-timestamp", &payload, &[signed]);
    keep("both-attachment", &payload, &layers);
    let envelope = testing::envelope(&dev, &digest);
    let entry = log.entry(&logged(&envelope, &certificate), SIGNED);
    let material = testing::by_certificate(&der);
    keep_bundle(
        "dev-bundle",
        &material,
        std::slice::from_ref(&entry),
        &envelope,
    );
    let chain =
        json!({"x509CertificateChain": {"certificates": [{"rawBytes": BASE64.encode(&der)}]}});
    for version in ["0.1", "0.2"] {
        let mut bundle = bundle(&chain, std::slice::from_ref(&entry), &envelope);
        let media_type = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
        bundle["mediaType"] = media_type.into();
        put_bundle(&format!("dev-bundle-v{version}"), &bundle);
    }

    for (name, entered) in [("corp", false), ("corplog", true)] {
        let (key, der) = maker(&corp);
        let certificate = pem("CERTIFICATE", &der);
        let log = entered.then_some((&log, certificate.as_str()));
        let by = Some((certificate.as_str(), corp.pem()));
        let signed = attachment(&key, &payload, log, by, None);
        keep(&format!("{name}-attachment"), &payload, &[signed]);
        let envelope = testing::envelope(&key, &digest);
        let entries: Vec<Value> = log
            .map(|(log, _)| log.entry(&logged(&envelope, &certificate), SIGNED))
            .into_iter()
            .collect();
        let material = testing::by_certificate(&der);
        keep_bundle(&format!("{name}-bundle"), &material, &entries, &envelope);
    }

    // By the right signers, and no signatures of the image.
    let other = Digest::of(b"another image");
    let replayed = payload_of(&other, IMAGE);
    let signed = attachment(&key, &replayed, None, None, None);
    keep("wrong-digest", &replayed, &[signed]);
    let elsewhere = payload_of(&digest, "example.com/other");
    let signed = attachment(&key, &elsewhere, None, None, None);
    keep("wrong-name", &elsewhere, &[signed]);
    for (name, envelope) in [
        ("wrong-subject", testing::envelope(&key, &other)),
        (
            "wrong-attestation",
            testing::envelope_of(&key, &digest, "https://spdx.dev/Document"),
        ),
    ] {
        keep_bundle(name, &testing::by_key(), &[], &envelope);
    }
    let envelope = testing::envelope(&dev, &other);
    let entry = log.entry(&logged(&envelope, &certificate), SIGNED);
    keep_bundle("wrong-keyless", &material, &[entry], &envelope);
}

/// A signer with a certificate that is valid for long, so that a timestamp of today is within it.
fn maker(authority: &Authority) -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let der = authority.issue(&key, |params| {
        params.not_before = date_time_ymd(2021, 1, 1);
        params.not_after = date_time_ymd(2039, 1, 1);
    });
    (key, der)
}

fn payload_of(digest: &Digest, name: &str) -> String {
    json!({"critical": {"identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"}, "optional": null})
    .to_string()
}

fn attachment(
    key: &KeyPair,
    payload: &str,
    log: Option<(&Log, &str)>,
    certificate: Option<(&str, String)>,
    stamps: Option<&Stamps>,
) -> Value {
    let signature = key.sign(payload.as_bytes()).unwrap();
    let mut annotations = json!({"dev.cosignproject.cosign/signature": BASE64.encode(&signature)});
    if let Some((log, verifier)) = log {
        let body = hashedrekord(payload.as_bytes(), &signature, verifier);
        annotations["dev.sigstore.cosign/bundle"] = log.annotation(&body, SIGNED).into();
    }
    if let Some((certificate, chain)) = certificate {
        annotations["dev.sigstore.cosign/certificate"] = certificate.into();
        annotations["dev.sigstore.cosign/chain"] = chain.into();
    }
    if let Some(stamps) = stamps {
        let answer = json!({"SignedRFC3161Timestamp": BASE64.encode(stamps.over(&signature))});
        annotations["dev.sigstore.cosign/rfc3161timestamp"] = answer.to_string().into();
    }
    json!({"mediaType": SIMPLE, "size": payload.len(), "annotations": annotations,
        "digest": Digest::of(payload.as_bytes())})
}

fn bundle(material: &Value, entries: &[Value], envelope: &Value) -> Value {
    serde_json::from_slice(&testing::bundle(material, entries, envelope)).unwrap()
}

fn keep_bundle(name: &str, material: &Value, entries: &[Value], envelope: &Value) {
    put_bundle(name, &bundle(material, entries, envelope));
}

fn put_bundle(name: &str, bundle: &Value) {
    let text = bundle.to_string();
    let layer = json!({"mediaType": BUNDLE, "digest": Digest::of(text.as_bytes()),
        "size": text.len()});
    keep(name, &text, &[layer]);
}

/// The layer's content in the first line, the manifest below.
fn keep(name: &str, content: &str, layers: &[Value]) {
    let manifest = json!({"schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(b"{}"), "size": 2},
        "layers": layers});
    let manifest = serde_json::to_string_pretty(&manifest).unwrap();
    write(
        &format!("signatures/{name}"),
        format!("{content}\n{manifest}\n"),
    );
}

fn write(name: &str, text: String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("recorded")
        .join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A timestamp authority.
struct Stamps(tempfile::TempDir);

impl Stamps {
    fn new() -> Self {
        let own = Self(tempfile::tempdir().unwrap());
        own.write(
            "ts.cnf",
            "[ext]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=critical,timeStamping\n[ca]\nbasicConstraints=critical,CA:true\n\
             keyUsage=critical,keyCertSign\n[req]\ndistinguished_name=dn\n[dn]\n\
             [tsa]\ndefault_tsa=own\n[own]\nserial=serial\ncrypto_device=builtin\nsigner_digest=sha256\n\
             default_policy=1.2.3.4\ndigests=sha256\ness_cert_id_alg=sha256\n",
        );
        own.write("serial", "01\n");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ts.cnf";
        own.run(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 7300 -subj /CN=stamps-root -extensions ca"
        ));
        own.run(&format!(
            "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout ts.key -out ts.pem -days 7000 -subj /CN=stamps -extensions ext"
        ));
        own
    }

    fn chain(&self) -> String {
        let text = |name: &str| fs::read_to_string(self.0.path().join(name)).unwrap();
        text("ts.pem") + &text("ca.pem")
    }

    /// The answer over `data`.
    fn over(&self, data: &[u8]) -> Vec<u8> {
        fs::write(self.0.path().join("data"), data).unwrap();
        self.run("ts -query -data data -sha256 -cert -out query");
        self.run(
            "ts -reply -config ts.cnf -queryfile query -signer ts.pem -inkey ts.key -out reply",
        );
        fs::read(self.0.path().join("reply")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(self.0.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {line}: {said}");
    }
}
