//! A trust root as the `trusted_root.json` that the verifier's library and sigstore's tools read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{Authority, LogKey, TrustRoot, Window, keys};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireRoot<'a> {
    media_type: &'static str,
    tlogs: Vec<WireLog<'a>>,
    certificate_authorities: Vec<WireCa<'a>>,
    ctlogs: Vec<WireLog<'a>>,
    timestamp_authorities: Vec<WireCa<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireLog<'a> {
    base_url: &'a str,
    hash_algorithm: &'static str,
    #[serde(rename = "publicKey")]
    key: WireKey,
    log_id: WireId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireKey {
    raw_bytes: String,
    key_details: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_for: Option<Window>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireId {
    key_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireCa<'a> {
    uri: &'a str,
    cert_chain: WireChain,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_for: Option<Window>,
}

#[derive(Serialize)]
struct WireChain {
    certificates: Vec<WireEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireEntry {
    raw_bytes: String,
}

impl TrustRoot {
    /// The root as a `trusted_root.json` of version 0.1, indented, in canonical order: the same
    /// material with the same windows. RSA keys are always written as `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn to_trusted_root_json(&self) -> String {
        let json = crate::verifier::json(&WireRoot {
            media_type: MEDIA_TYPE,
            tlogs: self.transparency_logs.iter().map(log).collect(),
            certificate_authorities: self.certificate_authorities.iter().map(authority).collect(),
            ctlogs: self.ct_logs.iter().map(log).collect(),
            timestamp_authorities: self.timestamp_authorities.iter().map(authority).collect(),
        });
        String::from_utf8(json).unwrap_or_default()
    }
}

fn log(log: &LogKey) -> WireLog<'_> {
    WireLog {
        base_url: &log.base_url,
        hash_algorithm: "SHA2_256",
        key: WireKey {
            raw_bytes: STANDARD.encode(log.key.spki_der()),
            key_details: keys::details(log.key.kind()),
            valid_for: log.valid_for,
        },
        log_id: WireId {
            key_id: log.key_id.to_string(),
        },
    }
}

fn authority(authority: &Authority) -> WireCa<'_> {
    let entry = |der: &[u8]| WireEntry {
        raw_bytes: STANDARD.encode(der),
    };
    WireCa {
        uri: &authority.uri,
        cert_chain: WireChain {
            certificates: authority.chain.iter().map(|one| entry(one.der())).collect(),
        },
        valid_for: authority.valid_for,
    }
}
