//! Bundles of nested values, which take up to a hundred times their bytes when they are kept: read by a
//! child of the test program that may take no more memory than it needs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use image_verifier::payload::SIGN_PREDICATE;
use image_verifier::sigstore::{Artifact, LogEntry, SigstoreBundle, VerifyError, verify_with_keys};
use policy::key::PublicKey;

use support::child::is_child;
use support::sign::{BUNDLE, Signer, list, referrer, statement};
use support::{Pull, assert_allowed, digest, draft};

/// The private memory that a child may take, in KiB: the program of a test and a few bundles are in
/// there. The values of one bundle would take 300 MiB.
const MEMORY: u32 = 128 * 1024;
/// The most bytes of a bundle that discovery reads.
const SIZE: usize = 4 * 1024 * 1024 - 4096;

/// A list of so many bytes of one thing.
fn list_of(thing: &str) -> String {
    let mut list = String::with_capacity(SIZE);
    list.push('[');
    while list.len() + thing.len() + 3 < SIZE {
        list.push_str(thing);
        list.push(',');
    }
    list.push_str("0]");
    list
}

/// Lists and objects in each other, to so many bytes.
fn deep() -> String {
    let half = SIZE / 2;
    format!("{}{}", "[".repeat(half), "]".repeat(half))
}

/// Where something is kept of a bundle, with `BOMB` in place of the bomb.
const PLACES: [&str; 5] = [
    r#""verificationMaterial":{"tlogEntries":[{"kindVersion":BOMB}],"#,
    r#""verificationMaterial":{"tlogEntries":[{"kindVersion":{"kind":BOMB,"version":"1"}}],"#,
    r#""verificationMaterial":{"tlogEntries":BOMB,"#,
    r#""x":BOMB,"verificationMaterial":{"#,
    r#""verificationMaterial":{"x":BOMB,"#,
];

fn with_bomb(honest: &str, place: &str, bomb: &str) -> String {
    let changed = honest.replacen("\"verificationMaterial\":{", place, 1);
    assert_ne!(changed, honest);
    changed.replacen("BOMB", bomb, 1)
}

#[test]
fn a_bundle_of_nested_objects_takes_no_memory() {
    if !is_child("a_bundle_of_nested_objects_takes_no_memory", MEMORY) {
        return;
    }
    let signer = Signer::new();
    let keys = PublicKey::parse_pem(&signer.pem()).unwrap();
    let honest = signer.bundle(&digest()).to_string();
    // One after the other: they are large themselves.
    let things = ["{}", "[]", r#"{"":0}"#, r#"{"":{"":{}}}"#, "[[[[]]]]"].into_iter();
    let bombs = things.map(list_of).chain(std::iter::once_with(deep));
    for bomb in bombs {
        for place in PLACES {
            let bundle = with_bomb(&honest, place, &bomb);
            let error = SigstoreBundle::parse(bundle.as_bytes()).unwrap_err();
            let malformed = matches!(error, VerifyError::Malformed(_));
            assert!(malformed, "{place}: {error}");
        }
    }
    // And goes on to the one that counts.
    let bundle = SigstoreBundle::parse(honest.as_bytes()).unwrap();
    let artifact = digest();
    let artifact = Artifact::Digest(&artifact);
    let _ = verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded).unwrap();
}

#[test]
fn a_predicate_of_nested_objects_takes_no_memory() {
    if !is_child("a_predicate_of_nested_objects_takes_no_memory", MEMORY) {
        return;
    }
    let signer = Signer::new();
    let keys = PublicKey::parse_pem(&signer.pem()).unwrap();
    let artifact = digest();
    let artifact = Artifact::Digest(&artifact);
    let empty = statement(&digest(), SIGN_PREDICATE).to_string();
    let with = |bomb: &str| {
        let predicate = format!(r#""predicate":{bomb}"#);
        let statement = empty.replace(r#""predicate":{}"#, &predicate);
        assert_ne!(statement, empty);
        let bundle = signer.payload_bundle(&statement).to_string();
        SigstoreBundle::parse(bundle.as_bytes()).unwrap()
    };
    let bundle = with(&list_of(r#"{"":0}"#));
    let _ = verify_with_keys(&bundle, &artifact, &keys, LogEntry::NotDemanded).unwrap();
}

#[test]
fn a_bundle_of_nested_objects_takes_nothing_from_an_honest_one() {
    if !is_child(
        "a_bundle_of_nested_objects_takes_nothing_from_an_honest_one",
        MEMORY,
    ) {
        return;
    }
    let signer = Signer::new();
    let honest = signer.bundle(&digest()).to_string();
    let nested = with_bomb(&honest, PLACES[0], &list_of(r#"{"":0}"#));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for bundles in [[&nested, &honest], [&honest, &nested]] {
        runtime.block_on(async {
            let pull = Pull::by([draft(&[("a", &signer)])]);
            let serve = |content: &mut support::registry::Content| {
                let entries: Vec<_> = bundles
                    .iter()
                    .map(|bundle| referrer(content, BUNDLE, bundle.as_bytes()))
                    .collect();
                list(content, &digest(), &entries);
            };
            let (answer, _) = pull.run(|content, _| serve(content)).await;
            assert_allowed(&answer);
        });
    }
}
