//! The public conformance vectors for sigstore bundles, every case with the file and with its
//! digest, through the function that `nodeseal verify-bundle` calls.
//!
//! They are the data of github.com/sigstore/sigstore-conformance at commit a73de497, one folder per
//! case; one whose name ends in `_fail` must be refused. `NODESEAL_CONFORMANCE` names the folder.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use image_verifier::sigstore::file::{Wanted, verify_file};
use image_verifier::sigstore::{Artifact, VerifyError};
use policy::digest::Digest;

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// As many as there are at that commit.
const CASES: usize = 70;

/// One folder.
struct Case {
    name: String,
    bundle: Vec<u8>,
    artifact: Vec<u8>,
    key: Option<String>,
    identity: String,
    issuer: String,
    root: Option<String>,
}

impl Case {
    fn read(folder: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let line = |name: &str, default: &str| {
            text(name).map_or_else(|| default.to_owned(), |text| text.trim().to_owned())
        };
        let artifact = fs::read(folder.join("artifact"))
            .or_else(|_| fs::read(folder.parent().unwrap().join("a.txt")));
        Self {
            name: folder.file_name().unwrap().to_str().unwrap().to_owned(),
            bundle: fs::read(folder.join("bundle.sigstore.json")).unwrap(),
            artifact: artifact.unwrap(),
            key: text("key.pub"),
            identity: line("identity", IDENTITY),
            issuer: line("issuer", ISSUER),
            root: text("trusted_root.json"),
        }
    }

    fn verify(&self, artifact: &Artifact<'_>) -> Result<(), VerifyError> {
        let wanted = match &self.key {
            Some(key) => Wanted::Key(key),
            None => Wanted::Identity {
                subject: &self.identity,
                issuer: &self.issuer,
            },
        };
        verify_file(&self.bundle, artifact, wanted, self.root.as_deref()).map(|_| ())
    }
}

fn cases() -> Option<Vec<Case>> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let folder = std::env::var_os("NODESEAL_CONFORMANCE").map_or(default, PathBuf::from);
    if !folder.is_dir() {
        let how = format!(
            "not run: there are no conformance vectors in {}. Get those of \
             github.com/sigstore/sigstore-conformance at commit a73de497 and name their folder in \
             NODESEAL_CONFORMANCE",
            folder.display()
        );
        assert!(std::env::var_os("CI").is_none(), "{how}");
        eprintln!("{how}");
        return None;
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("bundle.sigstore.json").is_file())
        .collect();
    folders.sort();
    assert_eq!(folders.len(), CASES, "cases in {}", folder.display());
    Some(folders.iter().map(|folder| Case::read(folder)).collect())
}

/// The word of the error, for who can do what about it; the suite knows none.
const REASONS: [(&str, &[&str]); 13] = [
    (
        "Malformed",
        &[
            "bundle-empty-certificate-chain_fail",
            "bundle-invalid-base64-signature_fail",
            "bundle-malformed-json_fail",
            "bundle-negative-log-index_fail",
            "rekor2-checkpoint-missing-log-signature_fail",
            "rekor2-checkpoint-missing-origin_fail",
            "rekor2-checkpoint-missing-root-hash_fail",
            "rekor2-checkpoint-missing-size_fail",
            "rekor2-timestamp-with-incorrect-time_fail",
        ],
    ),
    ("Unsupported", &["bundle-unknown-version_fail"]),
    ("NoCertificate", &["managed-key-no-key_fail"]),
    (
        "OtherArtifact",
        &["message-digest-mismatch_fail", "wrong-material_fail"],
    ),
    (
        "Signature",
        &[
            "dsse-invalid-sig_fail",
            "rekor2-dsse-invalid-sig_fail",
            "signature-mismatch_fail",
        ],
    ),
    (
        "CertificateTime",
        &[
            "integrated-time-in-future_fail",
            "intoto-expired-certificate_fail",
            "intoto-set-outside-signing-cert-validity_fail",
            "intoto-tsa-timestamp-outside-cert-validity_fail",
        ],
    ),
    ("Sct", &["invalid-ct-key_fail"]),
    ("Chain", &["bundle-from-wrong-instance_fail"]),
    (
        "LogEntryMissing",
        &[
            "intoto-missing-inclusion-proof_fail",
            "rekor2-no-inclusion-proof_fail",
        ],
    ),
    (
        "LogEntry",
        &[
            "bundle-with-root-cert_fail",
            "checkpoint-bad-keyhint_fail",
            "checkpoint-wrong-roothash_fail",
            "dsse-mismatch-envelope_fail",
            "dsse-mismatch-sig_fail",
            "inclusion-proof-corrupted-hash_fail",
            "incorrect-public-key_fail",
            "intoto-log-entry-mismatch_fail",
            "invalid-checkpoint-signature_fail",
            "invalid-inclusion-proof_fail",
            "rekor2-checkpoint-no-matching-signature_fail",
            "rekor2-dsse-mismatch-envelope_fail",
            "rekor2-dsse-mismatch-sig_fail",
            "set-invalid-signature_fail",
            "wrong-hashedrekord-artifact_fail",
            "wrong-hashedrekord-cert-and-sig_fail",
            "wrong-hashedrekord-entry_fail",
        ],
    ),
    (
        "Timestamp",
        &[
            "rekor2-timestamp-outside-trust-root-tsa-validity_fail",
            "rekor2-timestamp-outside-tsa-cert-validity_fail",
            "rekor2-timestamp-payload-mismatch_fail",
            "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail",
            "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail",
        ],
    ),
    ("NoTrustedTime", &["rekor2-no-timestamp_fail"]),
    (
        "TrustRoot",
        &[
            // The key's PEM is damaged there.
            "managed-key-wrong-key_fail",
            "trust-root-tlog-missing-validity-start_fail",
        ],
    ),
];

fn word(error: &VerifyError) -> String {
    let debug = format!("{error:?}");
    let end = debug.find(['(', ' ', '{']).unwrap_or(debug.len());
    debug[..end].to_owned()
}

#[test]
fn every_refusal_has_the_reason_that_tells_what_to_do() {
    let known: usize = REASONS.iter().map(|(_, names)| names.len()).sum();
    let mut refused = 0;
    for case in cases().unwrap_or_default() {
        if !case.name.ends_with("_fail") {
            continue;
        }
        refused += 1;
        let error = case.verify(&Artifact::Bytes(&case.artifact)).unwrap_err();
        let word = word(&error);
        let (expected, _) = REASONS
            .iter()
            .find(|(_, names)| names.contains(&case.name.as_str()))
            .unwrap_or_else(|| panic!("{}: {word}", case.name));
        assert_eq!(*expected, word, "{}: {error}", case.name);
    }
    assert!(refused == 0 || refused == known, "{refused} of {known}");
}

#[test]
fn a_case_of_another_signer_or_key_is_refused() {
    const KEY: &str = include_str!("../testdata/keys/p256-sha256.pem");
    for mut case in cases().unwrap_or_default() {
        if case.name.ends_with("_fail") {
            continue;
        }
        let artifact = case.artifact.clone();
        let artifact = Artifact::Bytes(&artifact);
        if case.key.is_some() {
            case.key = Some(KEY.to_owned());
            let error = case.verify(&artifact).unwrap_err();
            assert!(matches!(error, VerifyError::Signature(_)), "{error}");
            continue;
        }
        let (identity, issuer) = (case.identity.clone(), case.issuer.clone());
        for (other_identity, other_issuer) in [
            (&identity[..identity.len() - 1], &issuer[..]),
            ("", &issuer[..]),
            (&identity[..], ""),
            (&identity[..], "https://accounts.example"),
        ] {
            case.identity = other_identity.to_owned();
            case.issuer = other_issuer.to_owned();
            let error = case.verify(&artifact).unwrap_err();
            let VerifyError::Identity { found } = &error else {
                panic!("{}: {error}", case.name);
            };
            assert!(found.contains("https://"), "{found}");
        }
    }
}

#[test]
fn every_case_is_refused_for_another_artifact() {
    let digest = Digest::of(b"another artifact");
    for case in cases().unwrap_or_default() {
        for artifact in [
            Artifact::Bytes(b"another artifact"),
            Artifact::Digest(&digest),
        ] {
            let error = case.verify(&artifact).unwrap_err();
            if !case.name.ends_with("_fail") {
                let replayed = matches!(
                    error,
                    VerifyError::OtherArtifact(_) | VerifyError::Signature(_)
                );
                assert!(replayed, "{}: {error}", case.name);
            }
        }
    }
}

#[test]
fn every_case_is_judged_as_the_suite_says_by_file_and_by_digest() {
    let mut wrong = Vec::new();
    for case in cases().unwrap_or_default() {
        let refused = case.name.ends_with("_fail");
        let digest = Digest::of(&case.artifact);
        for (mode, artifact) in [
            ("file", Artifact::Bytes(&case.artifact)),
            ("digest", Artifact::Digest(&digest)),
        ] {
            let verdict = case.verify(&artifact);
            if verdict.is_err() != refused {
                wrong.push(format!("{} by {mode}: {verdict:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
