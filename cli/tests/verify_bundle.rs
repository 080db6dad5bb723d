//! `nodeseal verify-bundle` where nothing is verified: wrong usage, unreadable files, damaged
//! bundles. What verifies, and what must not, is in `conformance.rs`.

#![allow(clippy::unwrap_used, reason = "it is how a test fails")]

use std::fs;
use std::process::Output;

use support::{json, nodeseal, text};
use tempfile::TempDir;

mod support;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SIGNER: [&str; 4] = [
    "--certificate-identity",
    "dev@corp.example",
    "--certificate-oidc-issuer",
    "https://accounts.example",
];

/// A folder with an empty bundle, a file and a text that is no key.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("bundle", &b"{}"[..]),
        ("file", b"content"),
        ("binary", &[0xff, 0xfe]),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// With `@` in front of what lies in the folder.
fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| match argument.strip_prefix('@') {
            Some(name) => folder.path().join(name).display().to_string(),
            None => (*argument).to_owned(),
        })
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    nodeseal(&[&["verify-bundle"], &arguments[..]].concat(), "")
}

#[test]
fn a_call_that_names_no_signer_or_two_is_wrong_usage() {
    let folder = folder();
    let [identity, name, issuer, url] = SIGNER;
    for arguments in [
        &["--bundle", "@bundle", DIGEST][..],
        &["--bundle", "@bundle", identity, name, DIGEST],
        &["--bundle", "@bundle", issuer, url, DIGEST],
        &[
            "--bundle", "@bundle", identity, name, issuer, url, "--key", "@file", DIGEST,
        ],
        &["--bundle", "@bundle", issuer, url, "--key", "@file", DIGEST],
        &[identity, name, issuer, url, DIGEST],
        &["--bundle", "@bundle", identity, name, issuer, url],
    ] {
        let output = run(&folder, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn what_cannot_be_read_is_named_and_is_no_verdict() {
    let folder = folder();
    let signed = |more: &[&'static str]| [&SIGNER[..], more].concat();
    for (arguments, part) in [
        (
            signed(&["--bundle", "@none", "@file"]),
            "none: No such file",
        ),
        (
            signed(&["--bundle", "@bundle", "@none"]),
            "none: No such file",
        ),
        (signed(&["--bundle", "@bundle", "@"]), "Is a directory"),
        (
            signed(&["--bundle", "@bundle", "--trusted-root", "@none", "@file"]),
            "none: No such file",
        ),
        (
            signed(&["--bundle", "@bundle", "--trusted-root", "@binary", "@file"]),
            "binary: not UTF-8",
        ),
        (
            vec!["--bundle", "@bundle", "--key", "@none", "@file"],
            "none: No such file",
        ),
        (
            signed(&["--bundle", "@bundle", "sha256:abc"]),
            "nor is it a digest",
        ),
    ] {
        let output = run(&folder, &arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains(part), "{said}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn a_bundle_without_end_is_not_read_to_the_end() {
    let output = run(
        &folder(),
        &[&SIGNER[..], &["--bundle", "/dev/zero", DIGEST]].concat(),
    );
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(
        said.contains("/dev/zero: more than 16777216 bytes"),
        "{said}"
    );
}

#[test]
fn a_damaged_bundle_is_refused_with_what_to_do() {
    let arguments = [&SIGNER[..], &["--bundle", "@bundle", DIGEST]].concat();
    let output = run(&folder(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.starts_with(&format!("refused {DIGEST}\n")), "{said}");
    assert!(said.contains("  Malformed: "), "{said}");
    assert!(said.contains("sign again"), "{said}");
    let output = run(&folder(), &[&arguments[..], &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!(report["verified"], false);
    assert_eq!(report["digest"], DIGEST);
    assert_eq!(report["reason"], "Malformed");
    assert!(report["message"].is_string() && report["advice"].is_string());
}

#[test]
fn a_key_that_is_none_is_refused() {
    let output = run(
        &folder(),
        &["--bundle", "@bundle", "--key", "@file", "@file"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}
