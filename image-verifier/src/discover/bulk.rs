//! How much a bundle may be, before anything takes it apart.
//!
//! The library reads a statement's predicate into a tree of values, and does so before it knows whose
//! signature that is. Such a tree takes up to 130 times the bytes of its text, so that a few megabytes
//! which anybody may push beside an image would take all memory that the process has, and with it the
//! good signature that was found as well.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::payload;
use crate::reason::Reason;
use crate::sigstore;

/// The most bytes of a bundle. cosign's have below 20 KiB: a certificate, a log entry, and a statement
/// of below 1 KiB.
pub(super) const MAX_BUNDLE: usize = 512 * 1024;
/// The most bytes of the payload in a bundle's envelope. The statement that cosign signs an image by has
/// below 1 KiB; annotations (`cosign sign -a`) stand in it and add to that. As a tree of values it is
/// below 9 MiB.
pub(super) const MAX_PAYLOAD: usize = 64 * 1024;
/// What is wrong, under its word and in words.
type Refused = (Reason, String);

/// Refuses a bundle that is too large to be read.
pub(super) fn check_bundle(json: &[u8]) -> Result<(), Refused> {
    if json.len() > MAX_BUNDLE {
        // Bills of materials are large and common, and are no signature that is missing.
        if let Some(Err(other)) =
            enclosed(json).map(|(kind, payload)| is_signature(&kind, &payload))
        {
            return Err(other);
        }
        return Err(exceeds(&format!("more than {MAX_BUNDLE} bytes")));
    }
    check_shape(json)
}

/// Refuses a payload that is too large to be read, or is plainly no signature of an image. Nothing is
/// signed so far: this only sorts out what could never count, under its right name.
pub(super) fn check_payload(payload_type: &str, payload: &[u8]) -> Result<(), Refused> {
    is_signature(payload_type, payload)?;
    if payload.len() > MAX_PAYLOAD {
        let what = format!("a signed payload of more than {MAX_PAYLOAD} bytes");
        return Err(exceeds(&what));
    }
    check_shape(payload)
}

/// Whether it is anything but an attestation. Takes no memory for what a predicate holds.
fn is_signature(payload_type: &str, payload: &[u8]) -> Result<(), Refused> {
    match payload::statement(payload_type, payload) {
        Err(error) if error.reason == Reason::NoSignature => Err((error.reason, error.message)),
        // Whatever else is wrong with it has its own name later on.
        _ => Ok(()),
    }
}

fn exceeds(what: &str) -> Refused {
    let message = format!("a bundle with {what}, which no signature of an image has");
    (Reason::LimitExceeded, message)
}

/// The type and the bytes of a bundle's payload, with nothing else of the bundle taken up.
fn enclosed(json: &[u8]) -> Option<(String, Vec<u8>)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle<'a> {
        #[serde(borrow)]
        dsse_envelope: Envelope<'a>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope<'a> {
        payload_type: String,
        #[serde(borrow)]
        payload: Cow<'a, str>,
    }
    let Bundle { dsse_envelope } = serde_json::from_slice(json).ok()?;
    let payload = BASE64.decode(dsse_envelope.payload.as_bytes()).ok()?;
    Some((dsse_envelope.payload_type, payload))
}

fn check_shape(json: &[u8]) -> Result<(), Refused> {
    sigstore::shape::excess(json).map_or(Ok(()), |what| Err(exceeds(&what)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::{IN_TOTO, SIGN_PREDICATE};
    use crate::sigstore::shape::{MAX_DEPTH, MAX_VALUES};

    fn statement(predicate_type: &str, predicate: &str) -> Vec<u8> {
        let kind = "https://in-toto.io/Statement/v1";
        format!(
            r#"{{"_type":"{kind}","predicateType":"{predicate_type}","subject":[],"predicate":{predicate}}}"#
        )
        .into_bytes()
    }

    fn bundle(payload: &[u8]) -> Vec<u8> {
        let envelope = json!({"payloadType": IN_TOTO, "payload": BASE64.encode(payload)});
        json!({"dsseEnvelope": envelope}).to_string().into_bytes()
    }

    #[test]
    fn a_payload_is_as_large_as_a_signature_of_an_image_may_be() {
        let of = |predicate: &str| {
            let payload = statement(SIGN_PREDICATE, predicate);
            check_payload(IN_TOTO, &payload).map_err(|(reason, what)| {
                assert!(
                    what.contains("which no signature of an image has"),
                    "{what}"
                );
                reason
            })
        };
        let text = |bytes| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        let exceeded = Err(Reason::LimitExceeded);
        assert_eq!(of("{}"), Ok(()));
        assert_eq!(of(&text(MAX_PAYLOAD - 1000)), Ok(()));
        assert_eq!(of(&text(MAX_PAYLOAD)), exceeded);
        assert_eq!(of(&format!("[{}0]", "0,".repeat(MAX_VALUES))), exceeded);
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(of(&deep(MAX_DEPTH - 1)), Ok(()));
        assert_eq!(of(&deep(MAX_DEPTH)), exceeded);
    }

    #[test]
    fn a_bundle_is_as_large_as_a_signature_of_an_image_may_be() {
        let of = |json: &[u8]| check_bundle(json).map_err(|(reason, _)| reason);
        let padded = |bytes: usize| format!(r#"{{"x":"{}"}}"#, "y".repeat(bytes - 8)).into_bytes();
        assert_eq!(of(&padded(MAX_BUNDLE)), Ok(()));
        assert_eq!(of(&padded(MAX_BUNDLE + 1)), Err(Reason::LimitExceeded));
        let many = format!("[{}0]", "{\"\":0},".repeat(MAX_VALUES / 2));
        assert_eq!(of(many.as_bytes()), Err(Reason::LimitExceeded));
        let deep = "[".repeat(100_000);
        assert_eq!(of(deep.as_bytes()), Err(Reason::LimitExceeded));
    }

    #[test]
    fn a_large_attestation_is_called_that() {
        let sbom = statement(
            "https://spdx.dev/Document",
            &format!("[{}0]", "0,".repeat(400_000)),
        );
        let json = bundle(&sbom);
        assert!(json.len() > MAX_BUNDLE);
        let (reason, what) = check_bundle(&json).unwrap_err();
        assert_eq!(reason, Reason::NoSignature, "{what}");
        let signature = statement(SIGN_PREDICATE, &format!("[{}0]", "0,".repeat(400_000)));
        let (reason, _) = check_bundle(&bundle(&signature)).unwrap_err();
        assert_eq!(reason, Reason::LimitExceeded);
    }
}
