//! Kinds of key, and what a payload says.

use anyhow::Result;
use e2e::keys::Kind;
use e2e::sigstore::{Payload, Signer};
use policy::crio::sigstore::SigstoreSigned;
use serde_json::json;

use crate::world::{Case, World, data, rule};

const FORGED: &str = "cryptographic signature verification failed";

fn by(signer: &Signer) -> Result<SigstoreSigned> {
    Ok(SigstoreSigned {
        key_data: Some(data(&signer.public_pem()?)),
        ..rule()
    })
}

/// The library verifies ECDSA and RSA over SHA-256, whatever the key is.
pub(crate) fn kinds(world: &World) -> Result<Vec<Case>> {
    let case = |what, signer: Signer| world.case(what, &by(&signer)?)?.signed(&signer);
    let kind = Signer::generate_kind;
    Ok(vec![
        case("P-256", kind(Kind::P256)?)?,
        case("P-384 in SHA-384", kind(Kind::P384)?)?.refused(FORGED),
        case("P-521 in SHA-512", kind(Kind::P521)?)?.refused(FORGED),
        case("P-521 in SHA-256", kind(Kind::P521)?.with_sha256()?)?,
        case("RSA", kind(Kind::Rsa2048)?)?,
        case("Ed25519", kind(Kind::Ed25519)?)?,
    ])
}

/// What the payload must say, and how strictly it is read.
pub(crate) fn payloads(world: &World) -> Result<Vec<Case>> {
    let signer = Signer::generate()?;
    let rule = by(&signer)?;
    let case = |what, change: &dyn Fn(Payload) -> Payload| -> Result<Case> {
        let case = world.case(what, &rule)?;
        let signature = signer.sign(&change(case.payload()))?;
        Ok(case.with(signature))
    };
    let tagged = case("reference with a tag", &|mut payload| {
        payload.reference.push_str(":v2");
        payload
    })?;
    let another = case("reference of another repository", &|mut payload| {
        payload.reference.push_str("-2");
        payload
    })?;
    let empty = case("reference that is empty", &|mut payload| {
        payload.reference.clear();
        payload
    })?;
    let digest = case("another digest", &|mut payload| {
        payload.digest = format!("sha256:{}", "0".repeat(64));
        payload
    })?;
    let kind = case("another type", &|mut payload| {
        payload.kind = "atomic container signature".into();
        payload
    })?;
    let annotated = case("annotations", &|mut payload| {
        payload.optional = json!({"commit": "abc", "creator": "cosign", "timestamp": 1});
        payload
    })?;
    let extra = |what, pointer: &str| case(what, &|payload| payload.with(pointer, "x", json!(1)));
    let unsigned = world.case("no signature", &rule)?;
    let text = world.case("payload that is no JSON", &rule)?;
    let text = text.with(signer.sign_bytes(b"no JSON".to_vec())?);
    Ok(vec![
        tagged,
        another.refused("is not accepted"),
        empty.refused(r#"Signature for identity "" is not accepted"#),
        digest.refused("does not match"),
        kind.refused("Unrecognized signature type atomic container signature"),
        annotated,
        extra("member beside critical", "")?.refused(r#"Unknown key "x""#),
        extra("member in critical", "/critical")?.refused(r#"Unknown key "x""#),
        extra("member in the image", "/critical/image")?.refused(r#"Unknown key "x""#),
        extra("member in the identity", "/critical/identity")?.refused(r#"Unknown key "x""#),
        unsigned.refused("A signature was required, but no signature exists"),
        text.refused("invalid character"),
    ])
}
