//! The public conformance vectors for sigstore bundles through `nodeseal verify-bundle`, every case
//! with the file and with its digest, called as the suite calls a client.
//!
//! They are the data of github.com/sigstore/sigstore-conformance at commit a73de497, one folder per
//! case; one whose name ends in `_fail` must be refused. `NODESEAL_CONFORMANCE` names the folder.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use policy::digest::Digest;

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// As many as there are at that commit.
const CASES: usize = 70;

/// The folders of all cases; none where they are not there, which is a failure under CI.
fn cases() -> Vec<PathBuf> {
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
        return Vec::new();
    }
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("bundle.sigstore.json").is_file())
        .collect();
    cases.sort();
    assert_eq!(cases.len(), CASES, "cases in {}", folder.display());
    cases
}

fn artifact(case: &Path) -> PathBuf {
    let own = case.join("artifact");
    if own.exists() {
        own
    } else {
        case.parent().unwrap().join("a.txt")
    }
}

/// The arguments in the order of the suite's protocol.
fn verify(case: &Path, artifact: impl Into<OsString>) -> Output {
    let line = |name: &str, default: &str| {
        let text = fs::read_to_string(case.join(name));
        text.map_or_else(|_| default.to_owned(), |text| text.trim().to_owned())
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal"));
    command
        .args(["verify-bundle", "--bundle"])
        .arg(case.join("bundle.sigstore.json"));
    let key = case.join("key.pub");
    if key.exists() {
        command.arg("--key").arg(key);
    } else {
        command.args(["--certificate-identity", &line("identity", IDENTITY)]);
        command.args(["--certificate-oidc-issuer", &line("issuer", ISSUER)]);
    }
    let root = case.join("trusted_root.json");
    if root.exists() {
        command.arg("--trusted-root").arg(root);
    }
    command.arg(artifact.into()).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn every_case_ends_with_the_exit_code_that_the_suite_wants_by_file_and_by_digest() {
    let mut wrong = Vec::new();
    let (mut runs, mut verified) = (0, 0);
    let cases = cases();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let file = artifact(case);
        let digest = Digest::of(&fs::read(&file).unwrap());
        for artifact in [file.into_os_string(), digest.to_string().into()] {
            let output = verify(case, &artifact);
            runs += 1;
            let wanted = i32::from(name.ends_with("_fail"));
            verified += usize::from(wanted == 0);
            if output.status.code() != Some(wanted) {
                let (out, err) = (&output.stdout, &output.stderr);
                wrong.push(format!(
                    "{name} of {}: {}: {}{}",
                    artifact.display(),
                    output.status,
                    String::from_utf8_lossy(out),
                    String::from_utf8_lossy(err)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(runs, 2 * cases.len());
    if !cases.is_empty() {
        // Both kinds are there, so neither "always" nor "never" passes.
        assert!(verified > 0 && verified < runs, "{verified} of {runs}");
    }
}

/// The case of this name; nothing where the vectors are not there.
fn case(name: &str) -> Option<PathBuf> {
    let found = cases().into_iter().find(|case| case.ends_with(name));
    assert!(found.is_some() || cases().is_empty(), "there is no {name}");
    found
}

/// Runs a case with more arguments, which win where they come again in front of the file.
fn run(arguments: &[&str], case: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodeseal"));
    command.arg("verify-bundle").args(arguments);
    command
        .arg("--bundle")
        .arg(case.join("bundle.sigstore.json"));
    command.arg(artifact(case)).stdin(Stdio::null());
    command.output().unwrap()
}

const SIGNER: [&str; 4] = [
    "--certificate-identity",
    IDENTITY,
    "--certificate-oidc-issuer",
    ISSUER,
];

#[test]
fn who_else_signed_is_told_with_what_to_do() {
    let Some(case) = case("happy-path-v0.3") else {
        return;
    };
    let other = [SIGNER[0], "dev@corp.example", SIGNER[2], SIGNER[3]];
    let output = run(&other, &case);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("refused sha256:"), "{said}");
    assert!(said.contains("  Identity: it was signed by "), "{said}");
    assert!(said.contains(IDENTITY), "{said}");
    assert!(
        said.contains("name it with --certificate-identity"),
        "{said}"
    );
}

#[test]
fn the_staging_instance_has_not_signed_for_the_public_one_and_a_trusted_root_wins() {
    let Some(case) = case("happy-path-v0.3") else {
        return;
    };
    let staging = [&SIGNER[..], &["--staging", "--output", "json"]].concat();
    let output = run(&staging, &case);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["reason"], "Chain", "{report}");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.json");
    fs::write(&root, sigstore_trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    let both = [&staging[..], &["--trusted-root", root.to_str().unwrap()]].concat();
    assert_eq!(run(&both, &case).status.code(), Some(0));
}

#[test]
fn scripts_read_when_and_what_was_signed() {
    let Some(case) = case("happy-path-intoto-in-dsse-v3") else {
        return;
    };
    let output = run(&[&SIGNER[..], &["--output", "json"]].concat(), &case);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["content"], "statement");
    assert!(
        report["predicateType"]
            .as_str()
            .unwrap()
            .starts_with("http")
    );
    assert!(report["signedAt"][0].as_str().unwrap().ends_with('Z'));
    let digest = Digest::of(&fs::read(artifact(&case)).unwrap());
    assert_eq!(report["digest"], digest.as_str());
}
