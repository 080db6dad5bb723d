use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use policy::digest::Digest;
use rcgen::KeyPair;
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::asn1::BitString;

use super::super::testing::{
    Authority, Foreign, Log, SIGNED, bundle, by_certificate, envelope, logged, pem, public_key,
    root, time,
};
use super::super::{Claimed, LegacySignature, Pki, SigningTime, verify_bundle, verify_with_pki};
use super::*;

fn pki(authority: &Authority) -> Pki {
    let email = Some("dev@corp.example".into());
    Pki::new(&authority.pem(), "", email, None).unwrap()
}

/// What tells who signed, by a certificate.
fn mark(certificate: &[u8]) -> Option<Digest> {
    Claimed::by(&DerCertificate::from_bytes(certificate)).key
}

/// A certificate with its key written in another way, signed again.
fn reissue(
    authority: &Authority,
    certificate: &[u8],
    change: impl FnOnce(&mut SubjectPublicKeyInfoOwned),
) -> Vec<u8> {
    let mut certificate = Certificate::from_der(certificate).unwrap();
    change(&mut certificate.tbs_certificate.subject_public_key_info);
    let signed = certificate.tbs_certificate.to_der().unwrap();
    certificate.signature = BitString::from_bytes(&authority.sign(&signed)).unwrap();
    certificate.to_der().unwrap()
}

#[test]
fn a_key_in_another_encoding_is_the_same_signer() {
    let text = include_str!("../../testdata/keys/rsa4096-pss-sha256-max.pem");
    let signature = include_str!("../../testdata/keys/rsa4096-pss-sha256-max.sig");
    let signature = BASE64.decode(signature.replace('\n', "")).unwrap();
    let key = PublicKey::parse_pem(text).unwrap().remove(0);
    let authority = Authority::new("corp");
    let usual = authority.issue(&Foreign(&key), |_| {});
    let bare = reissue(&authority, &usual, |spki| spki.algorithm.parameters = None);
    let spki = |der: &[u8]| super::super::pki::spki(&DerCertificate::from_bytes(der)).unwrap();
    assert_ne!(spki(&usual), spki(&bare));
    for certificate in [&usual, &bare] {
        let text = pem("CERTIFICATE", certificate);
        let legacy = LegacySignature {
            payload: b"message",
            signature: &signature,
            certificate: Some(&text),
            ..LegacySignature::default()
        };
        let now = SigningTime::Now(time(SIGNED));
        let _ = legacy.verify_with_pki(&pki(&authority), now).unwrap();
        // As a policy that names the key alone tells it.
        assert_eq!(mark(certificate), Some(key.fingerprint()));
    }
}

#[test]
fn a_key_that_cannot_be_written_in_the_usual_way_is_refused() {
    let key = KeyPair::generate().unwrap();
    let authority = Authority::new("fulcio");
    let log = Log::new();
    let trust = root(&[&authority], &[&log], &[], &[]);
    let digest = Digest::of(b"an image's manifest");
    let envelope = envelope(&key, &digest);
    let results = |certificate: &[u8]| {
        let body = logged(&envelope, &pem("CERTIFICATE", certificate));
        let entry = log.entry(&body, SIGNED);
        let bundle = bundle(&by_certificate(certificate), &[entry], &envelope);
        let bundle = SigstoreBundle::parse(&bundle).unwrap();
        let artifact = Artifact::Digest(&digest);
        let company = |when| verify_with_pki(&bundle, &artifact, &pki(&authority), when).map(drop);
        [
            verify_bundle(&bundle, &artifact, &trust).map(drop),
            company(SigningTime::Now(time(SIGNED))),
            company(SigningTime::Proven(&trust)),
        ]
    };
    let usual = authority.issue(&key, |_| {});
    assert_eq!(mark(&usual), Some(public_key(&key).fingerprint()));
    for result in results(&usual) {
        result.unwrap();
    }
    // The same point, compressed and hybrid (SEC 1, 2.3.3).
    let point = public_key(&key).raw().to_vec();
    let odd = point[64] & 1;
    let compressed = [&[2 + odd], &point[1..33]].concat();
    let hybrid = [&[6 + odd], &point[1..]].concat();
    for (what, point) in [("compressed", compressed), ("hybrid", hybrid)] {
        let certificate = reissue(&authority, &usual, |spki| {
            spki.subject_public_key = BitString::from_bytes(&point).unwrap();
        });
        assert_eq!(mark(&certificate), None, "{what}");
        for result in results(&certificate) {
            let error = result.unwrap_err();
            let unsupported = matches!(error, VerifyError::Unsupported(_));
            assert!(unsupported, "{what}: {error}");
            assert!(error.to_string().contains("key"), "{what}: {error}");
        }
    }
}
