//! What was signed, read only after the signature over it was found good.

use policy::digest::Digest;
use serde::Deserialize;

use crate::reason::{Reason, quoted};

/// `critical.type` of a cosign signature.
const COSIGN_TYPE: &str = "cosign container image signature";
/// The payload type of an in-toto statement in a DSSE envelope.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// The predicate type of cosign's image signatures. Any other is an attestation about the image,
/// and must not count as a signature of it, whoever signed it.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The accepted versions of the in-toto statement.
const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];

/// What a payload claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The digests of the images it is about.
    pub digests: Vec<String>,
    /// The image's name in the signature; nothing if it names only a digest.
    pub name: Option<String>,
}

impl Claim {
    /// Whether the claim is about the image with this digest.
    #[must_use]
    pub fn is_about(&self, digest: &Digest) -> bool {
        self.digests
            .iter()
            .any(|claimed| claimed == digest.as_str())
    }
}

/// Why a validly signed payload is no image signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoClaim {
    /// The stable word.
    pub reason: Reason,
    /// What it is instead.
    pub message: String,
}

impl NoClaim {
    fn new(reason: Reason, message: String) -> Self {
        Self { reason, message }
    }
}

#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

/// Reads a simple-signing payload. Unknown fields are ignored outside of `critical` only in so far
/// as they say nothing that is compared; a repeated field is an error.
pub fn simple_signing(payload: &[u8]) -> Result<Claim, NoClaim> {
    let SimpleSigning { critical } = serde_json::from_slice(payload).map_err(|error| {
        let message = format!("the signed payload is no simple-signing document: {error}");
        NoClaim::new(Reason::MalformedSignature, message)
    })?;
    if critical.kind != COSIGN_TYPE {
        let message = format!(
            "the payload's type is {}, not `{COSIGN_TYPE}`",
            quoted(&critical.kind)
        );
        return Err(NoClaim::new(Reason::UnsupportedFormat, message));
    }
    let name = critical.identity.docker_reference;
    // cosign always writes one, and CRI-O refuses a signature for the identity "".
    if name.is_empty() {
        let message = "the signed payload names no image: its docker-reference is empty".to_owned();
        return Err(NoClaim::new(Reason::MalformedSignature, message));
    }
    Ok(Claim {
        digests: vec![critical.image.docker_manifest_digest],
        name: Some(name),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: Option<String>,
}

/// Reads an in-toto statement that signs an image.
pub fn statement(payload_type: &str, payload: &[u8]) -> Result<Claim, NoClaim> {
    if payload_type != IN_TOTO {
        let message = format!(
            "the envelope holds {}, not `{IN_TOTO}`",
            quoted(payload_type)
        );
        return Err(NoClaim::new(Reason::UnsupportedFormat, message));
    }
    let statement: Statement = serde_json::from_slice(payload).map_err(|error| {
        let message = format!("the signed payload is no in-toto statement: {error}");
        NoClaim::new(Reason::MalformedSignature, message)
    })?;
    if !STATEMENT_TYPES.contains(&statement.kind.as_str()) {
        let message = format!("the statement's type is {}", quoted(&statement.kind));
        return Err(NoClaim::new(Reason::UnsupportedFormat, message));
    }
    if statement.predicate_type != SIGN_PREDICATE {
        let kind = quoted(&statement.predicate_type);
        let message = format!("an attestation of type {kind} is no image signature");
        return Err(NoClaim::new(Reason::NoSignature, message));
    }
    let digests = statement
        .subject
        .into_iter()
        .filter_map(|subject| subject.digest.sha256);
    Ok(Claim {
        digests: digests.map(|hex| format!("sha256:{hex}")).collect(),
        name: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn simple(value: &serde_json::Value) -> Result<Claim, Reason> {
        simple_signing(value.to_string().as_bytes()).map_err(|error| error.reason)
    }

    fn payload(kind: &str, digest: &str, name: &str) -> serde_json::Value {
        json!({"critical": {"identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest}, "type": kind}, "optional": null})
    }

    #[test]
    fn a_cosign_payload_claims_one_digest_and_a_name() {
        let claim = simple(&payload(COSIGN_TYPE, "sha256:1", "a/b")).unwrap();
        assert_eq!(
            claim,
            Claim {
                digests: vec!["sha256:1".into()],
                name: Some("a/b".into())
            }
        );
    }

    #[test]
    fn an_empty_name_is_no_statement_that_there_is_none() {
        let error = simple_signing(payload(COSIGN_TYPE, "sha256:1", "").to_string().as_bytes());
        let error = error.unwrap_err();
        assert_eq!(error.reason, Reason::MalformedSignature);
        assert!(error.message.contains("docker-reference is empty"));
    }

    #[test]
    fn payloads_of_another_type_or_shape_claim_nothing() {
        let other = payload("atomic container signature", "sha256:1", "a/b");
        assert_eq!(simple(&other), Err(Reason::UnsupportedFormat));
        assert_eq!(
            simple(&json!({"critical": {}})),
            Err(Reason::MalformedSignature)
        );
        let twice = r#"{"critical":{"type":"a","type":"b"}}"#;
        assert_eq!(
            simple_signing(twice.as_bytes()).unwrap_err().reason,
            Reason::MalformedSignature
        );
        let deep = "[".repeat(100_000);
        assert_eq!(
            simple_signing(deep.as_bytes()).unwrap_err().reason,
            Reason::MalformedSignature
        );
    }

    #[test]
    fn a_statement_claims_its_subjects_and_no_name() {
        let value = json!({"_type": STATEMENT_TYPES[0], "predicateType": SIGN_PREDICATE,
            "subject": [{"name": "x", "digest": {"sha256": "1"}}, {"digest": {"sha512": "2"}}]});
        let claim = statement(IN_TOTO, value.to_string().as_bytes()).unwrap();
        assert_eq!(
            claim,
            Claim {
                digests: vec!["sha256:1".into()],
                name: None
            }
        );
    }

    #[test]
    fn an_attestation_is_no_image_signature() {
        let value = json!({"_type": STATEMENT_TYPES[0], "subject": [],
            "predicateType": "https://spdx.dev/Document"});
        let error = statement(IN_TOTO, value.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.reason, Reason::NoSignature);
        assert!(error.message.contains("spdx"), "{}", error.message);
        let error = statement("text/plain", b"{}").unwrap_err();
        assert_eq!(error.reason, Reason::UnsupportedFormat);
    }
}
