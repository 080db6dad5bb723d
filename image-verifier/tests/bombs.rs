//! Small documents that would become large ones when they are read. Each case is played by a child of
//! the test program that may take no more memory than it needs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use image_verifier::payload::SIGN_PREDICATE;
use image_verifier::reason::Reason;
use policy::model::{Mode, PolicyId};
use serde_json::{Value, json};

use support::child::is_child;
use support::registry::Content;
use support::sign::{BUNDLE, Signer, list, referrer, statement};
use support::{Pull, assert_allowed, assert_refused, digest, draft};

/// The private memory that a child may take, in KiB: the program of a test, a registry and what that
/// serves are in there. The bombs take 400 MiB.
const MEMORY: u32 = 160 * 1024;

fn play(pull: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(pull);
}

/// So many objects of 7 bytes, each of which takes hundreds as a value; as text, since the values
/// themselves would be what the test must not have room for.
fn many(values: usize) -> String {
    format!("[{}0]", r#"{"":0},"#.repeat(values))
}

/// A bundle with so much in its predicate.
fn bomb(signer: &Signer) -> Vec<u8> {
    let statement = statement_with(&many(400_000));
    let bundle = signer.payload_bundle(&statement).to_string();
    assert!(bundle.len() < 4 * 1024 * 1024, "it would not be read");
    bundle.into_bytes()
}

fn statement_with(predicate: &str) -> String {
    let statement = statement(&digest(), SIGN_PREDICATE).to_string();
    let changed = statement.replace(r#""predicate":{}"#, &format!(r#""predicate":{predicate}"#));
    assert_ne!(changed, statement);
    changed
}

/// A bundle that is a bomb itself, where a log entry says of what kind it is.
fn bomb_of_a_bundle(signer: &Signer, values: usize) -> Vec<u8> {
    let mut bundle = signer.bundle(&digest());
    bundle["verificationMaterial"]["tlogEntries"] = json!([{"kindVersion": "KIND"}]);
    let bundle = bundle.to_string();
    bundle.replace("\"KIND\"", &many(values)).into_bytes()
}

/// Lists bundles, in this order.
fn serve(content: &mut Content, bundles: &[Vec<u8>]) {
    let entries: Vec<Value> = bundles
        .iter()
        .map(|bundle| referrer(content, BUNDLE, bundle))
        .collect();
    list(content, &digest(), &entries);
}

#[test]
fn a_bomb_beside_an_honest_bundle_takes_nothing_from_it() {
    if !is_child(
        "a_bomb_beside_an_honest_bundle_takes_nothing_from_it",
        MEMORY,
    ) {
        return;
    }
    let (signer, attacker) = (Signer::new(), Signer::new());
    // Never satisfied, so that everything is looked at.
    let mut audit = draft(&[("a", &signer), ("b", &attacker), ("c", &Signer::new())]);
    audit.requirement.mode = Mode::Audit;
    audit.requirement.threshold = 3;
    audit.id = PolicyId::Cluster {
        name: "audit".to_owned(),
    };
    let honest = signer.bundle(&digest()).to_string().into_bytes();
    for bomb in [
        // By the same signer it would be a signature, but for its size.
        bomb(&signer),
        bomb(&attacker),
        bomb_of_a_bundle(&attacker, 60_000),
        bomb_of_a_bundle(&attacker, 400_000),
    ] {
        for bundles in [[bomb.clone(), honest.clone()], [honest.clone(), bomb]] {
            play(async {
                let pull = Pull::by([draft(&[("a", &signer)]), audit.clone()]);
                let (answer, _) = pull.run(|content, _| serve(content, &bundles)).await;
                assert_allowed(&answer);
            });
        }
    }
}

#[test]
fn a_bomb_alone_is_refused_as_beyond_the_limits() {
    if !is_child("a_bomb_alone_is_refused_as_beyond_the_limits", MEMORY) {
        return;
    }
    let signer = Signer::new();
    for (bomb, part) in [
        (bomb(&signer), "more than 524288 bytes"),
        (bomb_of_a_bundle(&signer, 400_000), "more than 524288 bytes"),
        (bomb_of_a_bundle(&signer, 60_000), "more than 8192 values"),
    ] {
        play(async {
            let pull = Pull::by([draft(&[("a", &signer)])]);
            let (answer, _) = pull.run(|content, _| serve(content, &[bomb])).await;
            assert_refused(&answer, Reason::LimitExceeded, part);
        });
    }
}

/// With the predicate `predicate`, as JSON that no library has to write.
async fn pull_with_predicate(signer: &Signer, predicate: &str) -> image_verifier::run::Answer {
    let statement = statement_with(predicate);
    let bundle = signer.payload_bundle(&statement).to_string();
    let bundle = bundle.into_bytes();
    let pull = Pull::by([draft(&[("a", signer)])]);
    pull.run(|content, _| serve(content, &[bundle])).await.0
}

#[tokio::test]
async fn a_payload_that_is_too_large_or_too_deep_is_refused_and_one_with_annotations_is_not() {
    let signer = Signer::new();
    let annotations = r#"{"annotations":{"commit":"abc","creator":"ci"}}"#;
    assert_allowed(&pull_with_predicate(&signer, annotations).await);
    let long = format!("\"{}\"", "x".repeat(64 * 1024));
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    let deepest = "[".repeat(30_000);
    for (predicate, part) in [
        (long, "a signed payload of more than 65536 bytes"),
        (deep, "values more than 32 levels deep"),
        (deepest, "values more than 32 levels deep"),
    ] {
        let answer = pull_with_predicate(&signer, &predicate).await;
        assert_refused(&answer, Reason::LimitExceeded, part);
    }
}

#[tokio::test]
async fn a_bundle_that_is_too_deep_is_refused() {
    let signer = Signer::new();
    let pull = Pull::by([draft(&[("a", &signer)])]);
    let deep = "[".repeat(100_000).into_bytes();
    let (answer, _) = pull.run(|content, _| serve(content, &[deep])).await;
    let part = "values more than 32 levels deep";
    assert_refused(&answer, Reason::LimitExceeded, part);
}

#[tokio::test]
async fn a_large_attestation_is_called_that_and_takes_nothing_from_a_signature() {
    let signer = Signer::new();
    let mut sbom = statement(&digest(), "https://spdx.dev/Document");
    sbom["predicate"] = json!("x".repeat(2 * 1024 * 1024));
    let sbom = signer.statement_bundle(&sbom).to_string().into_bytes();
    let honest = signer.bundle(&digest()).to_string().into_bytes();
    let pull = || Pull::by([draft(&[("a", &signer)])]);
    let alone = [sbom.clone()];
    let (answer, _) = pull().run(|content, _| serve(content, &alone)).await;
    let part = "an attestation of type `https://spdx.dev/Document`";
    assert_refused(&answer, Reason::NoSignature, part);
    let both = [sbom, honest];
    let (answer, _) = pull().run(|content, _| serve(content, &both)).await;
    assert_allowed(&answer);
}
