//! A transparency log with the promises of Rekor v1.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::keys::{Key, Kind};
use crate::sigstore::from_pem;
use crate::sigstore::signer::Signature;

/// A log. It remembers no entries, only how many there were.
#[derive(Debug)]
pub struct Log {
    key: Key,
    next: AtomicI64,
}

/// An entry as it is attached to a signature: `Payload` of the bundle, and the log's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was taken down: canonical JSON.
    pub body: Vec<u8>,
    /// When, in seconds since 1970.
    pub integrated_time: i64,
    /// Its place in the log.
    pub index: i64,
    /// The log that says so: the SHA-256 of its key, hexadecimal.
    pub log_id: String,
    /// The signed entry timestamp (SET) over all of these.
    pub timestamp: Vec<u8>,
}

impl Log {
    /// A log with a new P-256 key, as Rekor has.
    pub fn new() -> Result<Self> {
        Self::with_key(Key::generate(Kind::P256)?)
    }

    /// A log with this key.
    pub fn with_key(key: Key) -> Result<Self> {
        // A key that cannot be exported is found out here.
        key.public_pem()?;
        Ok(Self {
            key,
            next: AtomicI64::new(0),
        })
    }

    /// Its public key, PEM.
    pub fn public_pem(&self) -> Result<String> {
        self.key.public_pem()
    }

    /// The SHA-256 of its public key (`SubjectPublicKeyInfo`), hexadecimal.
    pub fn id(&self) -> Result<String> {
        let der = from_pem(&self.public_pem()?)?;
        Ok(hex::encode(digest(&SHA256, &der)))
    }

    /// Takes down a signature at this time.
    pub fn enter(&self, signature: &Signature, at: SystemTime) -> Result<Entry> {
        let body = hashedrekord(
            &signature.payload,
            &signature.signature,
            &signature.verifier,
        );
        self.enter_body(body.to_string().into_bytes(), at)
    }

    /// Takes down anything.
    pub fn enter_body(&self, body: Vec<u8>, at: SystemTime) -> Result<Entry> {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let mut entry = Entry {
            body,
            integrated_time: seconds(since.context("an entry from before 1970")?)?,
            index: self.next.fetch_add(1, Ordering::Relaxed),
            log_id: self.id()?,
            timestamp: Vec::new(),
        };
        self.sign(&mut entry)?;
        Ok(entry)
    }

    /// Signs an entry as it stands, whatever it says.
    pub fn sign(&self, entry: &mut Entry) -> Result<()> {
        entry.timestamp = self.key.sign(entry.payload().to_string().as_bytes())?;
        Ok(())
    }
}

impl Entry {
    /// The annotation `dev.sigstore.cosign/bundle`.
    #[must_use]
    pub fn bundle(&self) -> String {
        let bundle = json!({
            "SignedEntryTimestamp": STANDARD.encode(&self.timestamp),
            "Payload": self.payload(),
        });
        bundle.to_string()
    }

    /// What the log signs. Members stand in the order of their names, with no space between, and
    /// hold ASCII only: that is its canonical form (RFC 8785).
    fn payload(&self) -> Value {
        json!({
            "body": STANDARD.encode(&self.body),
            "integratedTime": self.integrated_time,
            "logID": self.log_id,
            "logIndex": self.index,
        })
    }
}

/// The entry of a signature over a payload by a key or certificate (PEM), in the form that Rekor
/// takes down: its members in the order of their names.
#[must_use]
pub fn hashedrekord(payload: &[u8], signature: &[u8], verifier: &str) -> Value {
    json!({
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {
                "hash": { "algorithm": "sha256", "value": hex::encode(digest(&SHA256, payload)) },
            },
            "signature": {
                "content": STANDARD.encode(signature),
                "publicKey": { "content": STANDARD.encode(verifier) },
            },
        },
    })
}

fn seconds(since: Duration) -> Result<i64> {
    i64::try_from(since.as_secs()).context("an entry from too far in the future")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Log, hashedrekord};

    #[test]
    fn what_is_signed_is_canonical() {
        let log = Log::new().expect("a log");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        let entry = log.enter_body(b"{}".to_vec(), at).expect("an entry");
        let wanted = format!(
            r#"{{"body":"e30=","integratedTime":5,"logID":"{}","logIndex":0}}"#,
            log.id().expect("an identity")
        );
        assert_eq!(entry.payload().to_string(), wanted);
    }

    #[test]
    fn an_entry_is_what_rekor_takes_down() {
        let body = hashedrekord(b"payload", b"signature", "key").to_string();
        let wanted = r#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5"}},"signature":{"content":"c2lnbmF0dXJl","publicKey":{"content":"a2V5"}}}}"#;
        assert_eq!(body, wanted);
    }

    #[test]
    fn entries_are_counted() {
        let log = Log::new().expect("a log");
        let enter = || {
            log.enter_body(Vec::new(), SystemTime::now())
                .expect("an entry")
        };
        assert_eq!((enter().index, enter().index), (0, 1));
    }
}
