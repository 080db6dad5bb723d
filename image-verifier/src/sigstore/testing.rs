//! What tests sign with: an authority, a transparency log, and the trust root that goes with them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use policy::digest::Digest;
use policy::key::{KeyKind, PublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};

use super::TrustMaterial;

/// A time within the validity of [`Authority::issue`]'s certificates: 2025-06-02T00:00:00Z.
pub(crate) const SIGNED: i64 = 1_748_822_400;
/// A time long after it, 2025-06-12T00:00:00Z.
pub(crate) const LATER: i64 = SIGNED + 10 * 86_400;

pub(crate) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

pub(crate) fn public_key(key: &KeyPair) -> PublicKey {
    let pem = pem("PUBLIC KEY", &key.subject_public_key_info());
    PublicKey::parse_pem(&pem).unwrap().remove(0)
}

/// An authority for certificates: Fulcio, or a company's.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

impl Authority {
    /// One with a self-signed root that is valid from 2020 to 2040.
    pub(crate) fn new(name: &str) -> Self {
        Self::until(name, 2040)
    }

    pub(crate) fn until(name: &str, year: i32) -> Self {
        Self::with(KeyPair::generate().unwrap(), name, |params| {
            params.not_after = date_time_ymd(year, 1, 1);
        })
    }

    /// One whose root is made as told.
    pub(crate) fn with(
        key: KeyPair,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = ca_params(name, 2040);
        change(&mut params);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        Self { issuer, der }
    }

    /// The same authority with another root certificate.
    pub(crate) fn renewed(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::try_from(self.issuer.key().serialize_der()).unwrap();
        Self::with(key, name, change)
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| {})
    }

    /// An authority below this one, made as told.
    pub(crate) fn intermediate_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(name, 2040);
        // The library wants it of every certificate that comes along with a signature.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap();
        let der = der.der().to_vec();
        let issuer = Issuer::new(params, key);
        Self { issuer, der }
    }

    /// A signature by the authority's own key, which a certificate may be made of.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.issuer.key().sign(message).unwrap()
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// A certificate of a signer, valid on the first three days of June 2025.
    pub(crate) fn issue(
        &self,
        key: &impl PublicKeyData,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2025, 6, 1);
        params.not_after = date_time_ymd(2025, 6, 4);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names = vec![email("dev@corp.example")];
        params.custom_extensions = vec![fulcio(8, "https://issuer.example")];
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

/// A key whose private half is elsewhere: RSA, or else P-256.
pub(crate) struct Foreign<'a>(pub(crate) &'a PublicKey);

impl PublicKeyData for Foreign<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.raw()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        match self.0.kind() {
            KeyKind::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        }
    }
}

fn ca_params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn email(address: &str) -> SanType {
    SanType::Rfc822Name(address.try_into().unwrap())
}

/// A Fulcio extension that holds a `UTF8String`.
pub(crate) fn fulcio(number: u64, value: &str) -> CustomExtension {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 0x80, "short form of a DER length");
    let der = [&[0x0c, length], value.as_bytes()].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, number], der)
}

/// A Rekor v1 with one entry.
pub(crate) struct Log(pub(crate) KeyPair);

impl Log {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    fn id(&self) -> Digest {
        Digest::of(&self.0.subject_public_key_info())
    }

    fn id_bytes(&self) -> Vec<u8> {
        hex(self.id().hex())
    }

    fn promise(&self, body: &str, seconds: i64) -> String {
        // Canonical as it stands: sorted, and nothing to escape.
        let id = self.id();
        let set = format!(
            r#"{{"body":"{body}","integratedTime":{seconds},"logID":"{}","logIndex":0}}"#,
            id.hex()
        );
        BASE64.encode(self.0.sign(set.as_bytes()).unwrap())
    }

    /// cosign's annotation with an entry.
    pub(crate) fn annotation(&self, body: &Value, seconds: i64) -> String {
        let body = BASE64.encode(body.to_string());
        let promise = self.promise(&body, seconds);
        json!({"SignedEntryTimestamp": promise, "Payload": {"body": body,
            "integratedTime": seconds, "logIndex": 0, "logID": self.id().hex()}})
        .to_string()
    }

    /// A bundle's entry, with proof, checkpoint and promise.
    pub(crate) fn entry(&self, body: &Value, seconds: i64) -> Value {
        let text = body.to_string();
        let encoded = BASE64.encode(&text);
        let root = hex(Digest::of(&[&[0], text.as_bytes()].concat()).hex());
        let root = BASE64.encode(root);
        let note = format!("log.example\n1\n{root}\n");
        let signature = self.0.sign(note.as_bytes()).unwrap();
        let signature = BASE64.encode([&self.id_bytes()[..4], &signature].concat());
        json!({
            "logIndex": "0", "logId": {"keyId": BASE64.encode(self.id_bytes())},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": seconds.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": self.promise(&encoded, seconds)},
            "inclusionProof": {"logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {signature}\n")}},
            "canonicalizedBody": encoded,
        })
    }

    fn trusted(&self) -> Value {
        json!({"baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": BASE64.encode(self.0.subject_public_key_info()),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"}},
            "logId": {"keyId": BASE64.encode(self.id_bytes())}})
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The body of a `hashedrekord` entry. `verifier` is the PEM text of a key or certificate.
pub(crate) fn hashedrekord(payload: &[u8], signature: &[u8], verifier: &str) -> Value {
    json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": {"hash": {"algorithm": "sha256", "value": Digest::of(payload).hex()}},
        "signature": {"content": BASE64.encode(signature),
            "publicKey": {"content": BASE64.encode(verifier)}}}})
}

/// The body of a `dsse` entry about the signature in an envelope. `verifier` is the PEM text of a
/// key or certificate.
pub(crate) fn logged(envelope: &Value, verifier: &str) -> Value {
    let payload = BASE64
        .decode(envelope["payload"].as_str().unwrap())
        .unwrap();
    json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "envelopeHash": {"algorithm": "sha256", "value": "00"},
        "payloadHash": {"algorithm": "sha256", "value": Digest::of(&payload).hex()},
        "signatures": [{"signature": envelope["signatures"][0]["sig"],
            "verifier": BASE64.encode(verifier)}]}})
}

/// A trust root; each of the arguments may be empty.
pub(crate) fn root(
    authorities: &[&Authority],
    logs: &[&Log],
    ct_logs: &[&Log],
    timestamps: &[&[&str]],
) -> TrustMaterial {
    root_with(authorities, logs, ct_logs, timestamps, |_| {})
}

/// A trust root that is changed before it is read.
pub(crate) fn root_with(
    authorities: &[&Authority],
    logs: &[&Log],
    ct_logs: &[&Log],
    timestamps: &[&[&str]],
    change: impl FnOnce(&mut Value),
) -> TrustMaterial {
    let window = json!({"start": "2020-01-01T00:00:00Z"});
    let chain = |certificates: Vec<String>| {
        let certificates: Vec<Value> = certificates
            .into_iter()
            .map(|raw| json!({"rawBytes": raw}))
            .collect();
        json!({"uri": "https://ca.example", "certChain": {"certificates": certificates},
            "validFor": window})
    };
    let bare = |pem: &&str| {
        let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        body.concat()
    };
    let mut value = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": logs.iter().map(|log| log.trusted()).collect::<Vec<_>>(),
        "ctlogs": ct_logs.iter().map(|log| log.trusted()).collect::<Vec<_>>(),
        "certificateAuthorities": authorities.iter()
            .map(|authority| chain(vec![BASE64.encode(&authority.der)])).collect::<Vec<_>>(),
        "timestampAuthorities": timestamps.iter()
            .map(|pems| chain(pems.iter().map(bare).collect())).collect::<Vec<_>>(),
    });
    change(&mut value);
    TrustMaterial::parse(&value.to_string()).unwrap()
}

/// A DSSE envelope with a statement about `subject`, signed by `key`.
pub(crate) fn envelope(key: &KeyPair, subject: &Digest) -> Value {
    envelope_of(key, subject, crate::payload::SIGN_PREDICATE)
}

/// A DSSE envelope with a statement of any type.
pub(crate) fn envelope_of(key: &KeyPair, subject: &Digest, predicate: &str) -> Value {
    let payload = json!({"_type": "https://in-toto.io/Statement/v1",
        "predicateType": predicate, "predicate": {},
        "subject": [{"digest": {"sha256": subject.hex()}}]})
    .to_string();
    let pae = sigstore_types::dsse::pae(crate::payload::IN_TOTO, payload.as_bytes());
    json!({"payloadType": crate::payload::IN_TOTO, "payload": BASE64.encode(payload),
        "signatures": [{"sig": BASE64.encode(key.sign(&pae).unwrap())}]})
}

/// A v0.3 bundle around an envelope.
pub(crate) fn bundle(material: &Value, entries: &[Value], envelope: &Value) -> Vec<u8> {
    let mut material = material.clone();
    material["tlogEntries"] = entries.into();
    json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material, "dsseEnvelope": envelope})
    .to_string()
    .into_bytes()
}

pub(crate) fn by_key() -> Value {
    json!({"publicKey": {"hint": "x"}})
}

pub(crate) fn by_certificate(der: &[u8]) -> Value {
    json!({"certificate": {"rawBytes": BASE64.encode(der)}})
}

/// A key pair of each kind that a policy may name and the tests can make.
pub(crate) static KINDS: LazyLock<Vec<(&str, KeyPair)>> = LazyLock::new(|| {
    [
        ("P-256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("P-384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("P-521", &rcgen::PKCS_ECDSA_P521_SHA512),
        ("Ed25519", &rcgen::PKCS_ED25519),
    ]
    .into_iter()
    .map(|(name, algorithm)| (name, KeyPair::generate_for(algorithm).unwrap()))
    .collect()
});
