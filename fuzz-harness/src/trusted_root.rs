//! Trust roots.

use std::collections::BTreeSet;

use policy::digest::Digest;
use policy::trust::{Authority, LogKey, MAX_CHAIN, MAX_ENTRIES, MAX_URI, TrustRoot};
use sigstore_trust_root::TrustedRoot as Library;

pub(crate) const WORDS: &[&str] = &[
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    "mediaType",
    "tlogs",
    "ctlogs",
    "logId",
    "keyId",
    "checkpointKeyId",
    "certificateAuthorities",
    "timestampAuthorities",
    "certChain",
    "certificates",
    "rawBytes",
    "publicKey",
    "keyDetails",
    "validFor",
    "start",
    "end",
    "baseUrl",
    "hashAlgorithm",
    "SHA2_256",
    "SHA2_512",
    "PKIX_ECDSA_P256_SHA_256",
    "PKIX_ED25519",
    "PKIX_ECDSA_P384_SHA_384",
    "PKCS1_RSA_PKCS1V5",
    "PKIX_RSA_PKCS1V15_2048_SHA256",
    "null",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e400",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "-0001-01-01T00:00:00Z",
    "2021-02-30T00:00:00Z",
    "\\u0000",
    "\\ud800",
    "AAAA",
    "====",
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
];

/// [`TrustRoot::from_trusted_root_json`], [`TrustRoot::from_pem`] and the form in bundles.
#[must_use]
pub fn trusted_root(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let parsed = TrustRoot::from_trusted_root_json(text);
    match &parsed {
        Ok(parsed) => {
            holds(&parsed.root);
            assert!(
                parsed.filtered.iter().all(|said| shown(said)),
                "{:?}",
                parsed.filtered
            );
        }
        Err(error) => assert!(shown(&error.to_string()), "{error:?}"),
    }
    // The same text where PEM is expected, in every field.
    let logs = [text.to_owned()];
    for pem in [
        TrustRoot::from_pem(Some(text), &[], &[], None),
        TrustRoot::from_pem(None, &logs, &[], None),
        TrustRoot::from_pem(Some(text), &logs, &logs, Some(text)),
    ] {
        match pem {
            Ok(root) => holds(&root),
            Err(error) => assert!(shown(&error.to_string()), "{error:?}"),
        }
    }
    if let Ok(root) = serde_json::from_str::<TrustRoot>(text) {
        holds(&root);
    }
    parsed.is_ok()
}

/// Messages end in terminals and conditions.
fn shown(message: &str) -> bool {
    !message.is_empty() && !message.chars().any(char::is_control)
}

fn holds(root: &TrustRoot) {
    let authorities = || {
        let all = [root.certificate_authorities(), root.timestamp_authorities()];
        all.into_iter().flatten()
    };
    let logs = || {
        [root.transparency_logs(), root.ct_logs()]
            .into_iter()
            .flatten()
    };
    for count in [
        root.certificate_authorities().len(),
        root.timestamp_authorities().len(),
        root.transparency_logs().len(),
        root.ct_logs().len(),
    ] {
        assert!(count <= MAX_ENTRIES, "{count}");
    }
    for authority in authorities() {
        assert!((1..=MAX_CHAIN).contains(&authority.chain().len()));
        assert!(authority.uri().len() <= MAX_URI);
    }
    for log in logs() {
        assert!(log.base_url().len() <= MAX_URI);
        assert!(!log.name().is_empty());
    }
    for window in authorities()
        .filter_map(Authority::valid_for)
        .chain(logs().filter_map(LogKey::valid_for))
    {
        assert!(
            window.end.is_none_or(|end| window.start <= end),
            "{window:?}"
        );
    }

    // What CRI-O is given is a part of what the verifier is given.
    let anchors: BTreeSet<_> = root
        .certificate_authorities()
        .iter()
        .filter_map(|a| a.chain().last())
        .collect();
    assert_eq!(
        root.fulcio_roots().into_iter().collect::<BTreeSet<_>>(),
        anchors
    );
    assert!(
        root.fulcio_intermediates()
            .iter()
            .all(|one| !anchors.contains(one))
    );
    assert_eq!(
        root.p256_rekor_keys().len() + root.other_rekor_logs().len(),
        root.transparency_logs().len()
    );
    let ends = root.expiries();
    assert!(ends.is_sorted_by_key(|(_, unix)| *unix), "{ends:?}");
    assert_eq!(root.earliest_expiry(), ends.first().map(|(_, unix)| *unix));

    // Both files hold all of it, and the verifier's library takes the one that is for it.
    let json = root.to_trusted_root_json();
    let again = TrustRoot::from_trusted_root_json(&json).expect("what was written is read");
    assert_eq!(again.filtered, Vec::<String>::new());
    assert_eq!(&again.root, root);
    assert_eq!(again.root.digest(), root.digest());
    let library = Library::from_json(&json).expect("the library reads it");
    library.rekor_keys().expect("the library reads the keys");
    let wire = serde_json::to_vec(root).expect("a root");
    let carried: TrustRoot = serde_json::from_slice(&wire).expect("what was written is read");
    assert_eq!(&carried, root);
    assert_ne!(root.digest(), Digest::of(b""));
}
