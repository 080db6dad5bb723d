//! Manifests of signatures: simple-signing payloads with cosign's annotations, and bundles.

use std::collections::BTreeSet;

use image_verifier::candidate::{Candidate, Finding, Found, Signed};
use image_verifier::discover::layer;
use image_verifier::evaluate::PolicyVerdict;
use image_verifier::reason::{Reason, Refusal};
use image_verifier::registry::manifest::{MANIFEST_TYPES, Manifest, parse};
use policy::digest::Digest;

use super::is_one_line;
use super::world::{SIGNED, WORLD};

/// The most layers that are looked at; the verifier has a limit of its own.
const MAX_LAYERS: usize = 16;

pub(crate) const WORDS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle.v0.4+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json; version=0.2",
    "dev.cosignproject.cosign/signature",
    "dev.sigstore.cosign/certificate",
    "dev.sigstore.cosign/chain",
    "dev.sigstore.cosign/bundle",
    "dev.sigstore.cosign/rfc3161timestamp",
    "SignedRFC3161Timestamp",
    "SignedEntryTimestamp",
    "Payload",
    "integratedTime",
    "logIndex",
    "logID",
    "body",
    "hashedrekord",
    "intoto",
    "dsse",
    "critical",
    "docker-reference",
    "docker-manifest-digest",
    "cosign container image signature",
    "atomic container signature",
    "example.com/app",
    "example.com/other",
    "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d",
    "layers",
    "annotations",
    "mediaType",
    "dsseEnvelope",
    "messageSignature",
    "verificationMaterial",
    "x509CertificateChain",
    "certificate",
    "publicKey",
    "tlogEntries",
    "inclusionPromise",
    "inclusionProof",
    "timestampVerificationData",
    "payloadType",
    "application/vnd.in-toto+json",
    "https://sigstore.dev/cosign/sign/v1",
    "https://spdx.dev/Document",
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----\\n",
    "null",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e400",
    "9223372036854775807",
    "\\u0000",
    "\\ud800",
    "AAAA",
    "====",
];

/// A layer's content in the first line, and a manifest that names it below. All digests fit, as they
/// do for somebody who owns the registry.
///
/// Whatever they are, a policy passes only by what its authorities have signed, byte by byte.
#[must_use]
pub fn signature_manifest(data: &[u8]) -> bool {
    let Some(found) = found(data) else {
        return false;
    };
    let verdict = WORLD.judge(&found);
    let backwards: Vec<Found> = found.iter().rev().cloned().collect();
    let backwards = WORLD.judge(&backwards);
    let passing = |policies: &[PolicyVerdict]| -> BTreeSet<String> {
        let passing = policies.iter().filter(|policy| policy.refusal.is_none());
        passing.map(|policy| policy.policy.to_string()).collect()
    };
    let passed = passing(&verdict.enforced);
    assert_eq!(passed, passing(&backwards.enforced), "in another order");
    if found.len() < 2 {
        assert_eq!(verdict, backwards, "at another time");
    }
    assert_eq!(
        verdict.refusal.is_none(),
        passed.len() == verdict.enforced.len()
    );
    let parts: BTreeSet<_> = found.iter().filter_map(parts).collect();
    for policy in &verdict.enforced {
        match &policy.refusal {
            Some(refusal) => is_told(refusal),
            None => is_signed(policy, &parts),
        }
    }
    verdict.refusal.iter().for_each(is_told);
    if passed.is_empty() {
        return false;
    }

    // What else is found takes nothing away, and it is all for this image alone.
    let noise = Finding::new(Reason::RegistryError, "a mirror is down");
    let mut more = vec![Found::Finding(noise)];
    more.extend(found.iter().cloned());
    assert_eq!(passing(&WORLD.judge(&more).enforced), passed);
    let other = WORLD.judge_as(&found, &Digest::of(b"some other image"));
    assert_eq!(passing(&other.enforced), BTreeSet::new());
    true
}

fn is_told(refusal: &Refusal) {
    assert!(!refusal.message.is_empty());
    let context = format!("image {}@{}", WORLD.subject.image, WORLD.subject.digest);
    is_one_line(&refusal.clone().with_context(context));
}

fn is_signed(policy: &PolicyVerdict, found: &BTreeSet<(Vec<u8>, Vec<u8>)>) {
    assert!(!policy.signed_by.is_empty(), "{policy:?}");
    for authority in &policy.signed_by {
        let signed = &SIGNED[authority];
        assert!(
            !signed.is_disjoint(found),
            "{authority} has signed none of what {} passes by",
            policy.policy
        );
    }
}

/// What the layers of a manifest are; nothing where it is none.
pub(super) fn found(data: &[u8]) -> Option<Vec<Found>> {
    let end = data.iter().position(|&byte| byte == b'\n')?;
    let (content, manifest) = (&data[..end], &data[end + 1..]);
    let manifest: Manifest = match parse(Some(MANIFEST_TYPES[0]), manifest) {
        Ok(manifest) => manifest,
        Err(error) => {
            is_one_line(&Refusal::new(error.reason(), error.to_string()));
            return None;
        }
    };
    let layers = manifest.layers.iter().take(MAX_LAYERS).enumerate();
    let found = layers.filter_map(|(number, descriptor)| {
        let origin = format!("layer {number} of tag sha256-x.sig");
        Some(match layer::kind(descriptor, &origin)? {
            Ok(kind) => layer::read(kind, content.to_vec(), origin),
            Err(finding) => Found::Finding(finding),
        })
    });
    let found: Vec<Found> = found.collect();
    for item in &found {
        if let Found::Finding(finding) = item {
            is_one_line(&Refusal::new(finding.reason, finding.message.clone()));
        }
    }
    Some(found)
}

/// The bytes that were signed, and the signature.
pub(super) fn parts(found: &Found) -> Option<(Vec<u8>, Vec<u8>)> {
    let Found::Candidate(Candidate { signed, .. }) = found else {
        return None;
    };
    let bytes = match signed {
        Signed::Attachment(attachment) => attachment.payload.clone(),
        Signed::Bundle(bundle) => bundle.statement()?.1.to_vec(),
    };
    Some((bytes, signed.signature().to_vec()))
}
