//! Signatures in the shapes that cosign makes.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use image_verifier::payload::{IN_TOTO, SIGN_PREDICATE};
use policy::digest::Digest;
use serde_json::{Value, json};

use super::registry::{Content, INDEX, MANIFEST, Reply};

pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Somebody with a P-256 key.
pub struct Signer(EcdsaKeyPair);

impl Signer {
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        let body = BASE64.encode(der.as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    pub fn sign(&self, message: &[u8]) -> String {
        BASE64.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }

    /// A layer of an attachment that signs `digest` under `name`, put into `content`.
    pub fn layer(&self, content: &mut Content, digest: &Digest, name: &str) -> Value {
        let payload = payload(digest, name);
        let blob = content.blob(payload.as_bytes());
        json!({"mediaType": SIMPLE, "digest": blob, "size": payload.len(),
            "annotations": {"dev.cosignproject.cosign/signature": self.sign(payload.as_bytes())}})
    }

    /// A bundle that signs `digest`.
    pub fn bundle(&self, digest: &Digest) -> Value {
        self.statement_bundle(&statement(digest, SIGN_PREDICATE))
    }

    pub fn statement_bundle(&self, statement: &Value) -> Value {
        self.payload_bundle(&statement.to_string())
    }

    /// A bundle that signs this text.
    pub fn payload_bundle(&self, payload: &str) -> Value {
        let pae = format!(
            "DSSEv1 {} {IN_TOTO} {} {payload}",
            IN_TOTO.len(),
            payload.len()
        );
        json!({"mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": "x"}},
            "dsseEnvelope": {"payloadType": IN_TOTO, "payload": BASE64.encode(payload),
                "signatures": [{"sig": self.sign(pae.as_bytes())}]}})
    }
}

pub fn payload(digest: &Digest, name: &str) -> String {
    json!({"critical": {"identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"}, "optional": {}})
    .to_string()
}

pub fn statement(digest: &Digest, predicate: &str) -> Value {
    json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
        "subject": [{"digest": {"sha256": digest.hex()}}], "predicate": {}})
}

/// Puts an attachment with `layers` for `digest` into `content`.
pub fn attach(content: &mut Content, digest: &Digest, layers: &[Value]) {
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(b"{}"), "size": 2},
        "layers": layers});
    let path = format!("manifests/sha256-{}.sig", digest.hex());
    content.put(&path, Reply::ok(MANIFEST, manifest.to_string()));
}

/// Puts a referrer with one layer into `content` and returns its descriptor.
pub fn referrer(content: &mut Content, media_type: &str, layer: &[u8]) -> Value {
    crowded_referrer(content, media_type, layer, 1)
}

/// A referrer that lists one layer many times.
pub fn crowded_referrer(
    content: &mut Content,
    media_type: &str,
    layer: &[u8],
    times: usize,
) -> Value {
    let blob = content.blob(layer);
    let layer = json!({"mediaType": media_type, "digest": blob, "size": layer.len()});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": media_type,
        "layers": vec![layer; times]});
    let digest = content.manifest(&manifest);
    json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "artifactType": media_type})
}

fn index(referrers: &[Value]) -> Reply {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
    Reply::ok(INDEX, index.to_string())
}

/// Lists `referrers` of `digest` by the API.
pub fn list(content: &mut Content, digest: &Digest, referrers: &[Value]) {
    content.put(&format!("referrers/{digest}"), index(referrers));
}

/// Lists `referrers` of `digest` under the tag that stands in for the API.
pub fn list_by_tag(content: &mut Content, digest: &Digest, referrers: &[Value]) {
    content.put(
        &format!("manifests/sha256-{}", digest.hex()),
        index(referrers),
    );
}
