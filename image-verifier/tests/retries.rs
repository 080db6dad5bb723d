//! What is tried again, and what is not.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_verifier::reason::Reason;
use image_verifier::run::Answer;

use support::registry::Reply;
use support::sign::{Signer, attach};
use support::{Pull, assert_allowed, assert_refused, digest, draft};

/// Pulls a signed image from a registry that answers the first `failures` requests for the
/// signature with this reply; returns how often it was asked for it, too.
async fn failing(failures: usize, reply: Reply) -> (Answer, usize) {
    let signer = Signer::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = signer.layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
            content.handle(move |path, _| {
                let wanted = path.contains(".sig");
                let fails = wanted && count.fetch_add(1, Ordering::SeqCst) < failures;
                fails.then(|| reply.clone())
            });
        })
        .await;
    (answer, asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn failures_that_pass_are_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (answer, asked) = failing(2, Reply::status(status)).await;
        assert_allowed(&answer);
        assert_eq!(asked, 3, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_goes_on_failing_is_not_asked_forever() {
    let (answer, asked) = failing(usize::MAX, Reply::status(503)).await;
    assert_refused(&answer, Reason::RegistryError, "503");
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn refusals_are_final() {
    for status in [400, 403, 404, 405, 410, 418, 501] {
        let (answer, asked) = failing(1, Reply::status(status)).await;
        assert!(answer.refusal.is_some(), "{}", answer.line);
        assert_eq!(asked, 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_may_ask_for_a_pause_within_reason() {
    let (answer, asked) = failing(1, Reply::status(429).with("Retry-After", "0")).await;
    assert_allowed(&answer);
    assert_eq!(asked, 2);
    for long in [
        "3600",
        "99999999999999999999",
        "Fri, 31 Dec 2100 23:59:59 GMT",
    ] {
        let (answer, asked) = failing(1, Reply::status(429).with("Retry-After", long)).await;
        assert_refused(&answer, Reason::RegistryError, "429");
        assert_eq!(asked, 1, "{long}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_again() {
    let (answer, asked) = failing(2, Reply::HangUp).await;
    assert_allowed(&answer);
    assert_eq!(asked, 3);
}
