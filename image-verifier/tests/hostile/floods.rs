//! More of everything than anybody needs: referrers, layers, pages, descriptors without content.

use std::sync::Arc;

use image_verifier::reason::Reason;
use policy::digest::Digest;

use crate::scene::{Honest, Signed, What, pull};
use crate::support::digest;
use crate::support::registry::{INDEX, MANIFEST};
use crate::support::sign::{BUNDLE, SIMPLE, Signer, payload};
use crate::wire::{Act, Script, head, reply};

/// A document that consists of `count` parts between `start` and `end`, made as it is sent.
fn document(
    kind: &str,
    start: &str,
    count: usize,
    end: &str,
    make: impl Fn(usize) -> String + Send + Sync + 'static,
) -> Script {
    let mut acts = head(200, &[("Content-Type", kind)]);
    acts.push(Act::Send(start.as_bytes().to_vec()));
    let make = move |index| {
        let comma = if index == 0 { "" } else { "," };
        format!("{comma}{}", make(index)).into_bytes()
    };
    acts.push(Act::Each(count, Arc::new(make)));
    acts.push(Act::Send(end.as_bytes().to_vec()));
    acts
}

fn list(count: usize, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Script {
    let start = format!(r#"{{"mediaType":"{INDEX}","manifests":["#);
    document(INDEX, &start, count, "]}", make)
}

fn manifest(count: usize, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Script {
    let start = format!(r#"{{"mediaType":"{MANIFEST}","layers":["#);
    document(MANIFEST, &start, count, "]}", make)
}

/// A referrer that is nowhere.
fn referrer(index: usize) -> String {
    let digest = Digest::of(&index.to_le_bytes());
    format!(
        r#"{{"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","digest":"{digest}","size":1}}"#
    )
}

#[tokio::test]
async fn thousands_of_referrers_are_looked_at_up_to_the_limit() {
    // Nowhere to be found; and all there, by another key.
    let absent = |honest: &Honest| (honest.what == What::Referrers).then(|| list(15_000, referrer));
    let outcome = pull(Signed::Bundle, absent).await;
    outcome.refused("15000 that are not there", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 80, "{}", outcome.asked.len());

    let bundle = Signer::new().bundle(&digest()).to_string();
    let layer = format!(
        r#"{{"mediaType":"{BUNDLE}","digest":"{}","size":1}}"#,
        Digest::of(bundle.as_bytes())
    );
    // Each its own by a number in it.
    let one = move |index: usize| {
        format!(r#"{{"mediaType":"{MANIFEST}","n":{index},"layers":[{layer}]}}"#)
    };
    let attack = move |honest: &Honest| match honest.what {
        What::Referrers => {
            let one = one.clone();
            Some(list(5_000, move |index| {
                let digest = Digest::of(one(index).as_bytes());
                format!(
                    r#"{{"mediaType":"{MANIFEST}","artifactType":"{BUNDLE}","digest":"{digest}","size":1}}"#
                )
            }))
        }
        What::Referrer => {
            let wanted = |index: &usize| {
                honest
                    .path
                    .ends_with(Digest::of(one(*index).as_bytes()).as_str())
            };
            let index = (0..5_000).find(wanted)?;
            Some(reply(
                200,
                &[("Content-Type", MANIFEST)],
                one(index).as_bytes(),
            ))
        }
        What::Blob => Some(reply(200, &[], bundle.as_bytes())),
        _ => None,
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("5000 by another key", Reason::LimitExceeded);
}

#[tokio::test]
async fn pages_without_end_are_read_up_to_the_limit() {
    let attack = |honest: &Honest| {
        let next = format!("<{}?more>; rel=\"next\"", honest.path);
        let headers = [("Content-Type", INDEX), ("Link", &next)];
        let empty = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
        (honest.what == What::Referrers).then(|| reply(200, &headers, empty.as_bytes()))
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("pages", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 20, "{:?}", outcome.asked);
}

#[tokio::test]
async fn thousands_of_layers_are_looked_at_up_to_the_limit() {
    let other = Signer::new();
    let payload = payload(&digest(), "127.0.0.1/app");
    let signature = other.sign(payload.as_bytes());
    let blob = Digest::of(payload.as_bytes());
    let layer = format!(
        r#"{{"mediaType":"{SIMPLE}","digest":"{blob}","size":1,"annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}"#
    );
    let attack = move |honest: &Honest| match honest.what {
        What::Manifest => {
            let layer = layer.clone();
            Some(manifest(10_000, move |_| layer.clone()))
        }
        What::Blob => Some(reply(200, &[], payload.as_bytes())),
        _ => None,
    };
    let outcome = pull(Signed::Attachment, attack).await;
    outcome.refused("10000 by another key", Reason::LimitExceeded);
    assert!(outcome.asked.len() < 80, "{}", outcome.asked.len());
}

/// The smallest descriptor that parses.
const SMALLEST: &str = r#"{"mediaType":"","digest":""}"#;
/// As many as fit into the largest object that is read.
const AS_MANY: usize = 4 * 1024 * 1024 / (SMALLEST.len() + 1) - 10;

#[tokio::test]
async fn layers_without_content_take_no_more_memory_than_the_limit() {
    let attack = |honest: &Honest| {
        (honest.what == What::Manifest).then(|| manifest(AS_MANY, |_| SMALLEST.to_owned()))
    };
    let outcome = pull(Signed::Attachment, attack).await;
    outcome.refused("empty layers", Reason::LimitExceeded);
}

#[tokio::test]
async fn referrers_without_content_take_no_more_memory_than_the_limit() {
    let page = |honest: &Honest| {
        let next = format!("<{}?more>; rel=\"next\"", honest.path);
        let mut acts = list(AS_MANY, |_| SMALLEST.to_owned());
        let headers = [("Content-Type", INDEX), ("Link", next.as_str())];
        acts[0] = head(200, &headers).remove(0);
        acts
    };
    let attack = move |honest: &Honest| match honest.what {
        What::Referrers | What::FallbackIndex => Some(page(honest)),
        _ => None,
    };
    let outcome = pull(Signed::Bundle, attack).await;
    outcome.refused("empty referrers", Reason::LimitExceeded);
}

#[tokio::test]
async fn documents_that_are_deep_or_odd_are_refused() {
    let deep = |open: &'static str| {
        move |honest: &Honest| {
            (honest.what == What::Manifest).then(|| {
                let start = format!(r#"{{"mediaType":"{MANIFEST}","x":"#);
                let mut acts = head(200, &[("Content-Type", MANIFEST)]);
                acts.push(Act::Send(start.into_bytes()));
                acts.push(Act::Each(
                    1_000,
                    Arc::new(move |_| open.repeat(1_000).into_bytes()),
                ));
                acts
            })
        }
    };
    for open in ["[", r#"{"a":"#, "\"\\u0041"] {
        let outcome = pull(Signed::Attachment, deep(open)).await;
        let reason = if open.len() * 1_000_000 > 4 * 1024 * 1024 {
            Reason::LimitExceeded
        } else {
            Reason::MalformedSignature
        };
        outcome.refused(&format!("a million of {open}"), reason);
    }
    let long = |honest: &Honest| {
        (honest.what == What::Manifest).then(|| {
            let layer = format!(r#"{{"mediaType":"{SIMPLE}","digest":"{}","annotations":{{"dev.cosignproject.cosign/signature":""#, digest());
            document(MANIFEST, &format!(r#"{{"layers":[{layer}"#), 1, r#""}}]}"#, |_| "A".repeat(4_000_000))
        })
    };
    let outcome = pull(Signed::Attachment, long).await;
    outcome.refused("a signature of 4 MB", Reason::MalformedSignature);
}
