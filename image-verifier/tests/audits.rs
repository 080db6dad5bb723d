//! How long policies in audit mode may hold up a pull, and what is said of those that took longer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use image_verifier::args::Args;
use image_verifier::reason::Reason;
use image_verifier::run::Answer;
use image_verifier::verdicts::records;
use jiff::Timestamp;
use policy::model::{Mode, PolicyDraft, PolicyId};
use policy::verdicts::Kind;
use serde_json::{Value, json};
use tokio::time::timeout;

use support::registry::{Content, Reply};
use support::sign::{Signer, attach};
use support::{Pull, assert_allowed, assert_refused, digest, draft, limits};

/// What no verdict on an image that passes may come near, and the machine's own slowness does not.
const PATIENCE: Duration = Duration::from_mins(2);

fn audit(signer: &Signer) -> PolicyDraft {
    let mut audit = draft(&[("auditor", signer)]);
    audit.requirement.mode = Mode::Audit;
    audit.id = PolicyId::Cluster {
        name: "audit".to_owned(),
    };
    audit
}

/// A pull whose deadline is far beyond what the test waits for.
async fn unhurried(pull: Pull, fill: impl FnOnce(&mut Content, &str)) -> Answer {
    let limits = limits(PATIENCE * 10);
    let pull = Pull { limits, ..pull };
    in_time(Box::pin(pull.run(fill))).await.0
}

async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    // Otherwise an audit holds up the pull.
    timeout(PATIENCE, answer).await.unwrap()
}

fn attach_by(signer: &Signer, content: &mut Content, name: &str) {
    let layer = signer.layer(content, &digest(), name);
    attach(content, &digest(), &[layer]);
}

fn stall(content: &mut Content) {
    content.put(&format!("referrers/{}", digest()), Reply::Stall);
}

fn diagnostic(answer: &Answer) -> Value {
    let [line] = answer.diagnostics.as_slice() else {
        panic!("{:?}", answer.diagnostics)
    };
    serde_json::from_str(line).unwrap()
}

#[tokio::test]
async fn an_audit_that_takes_long_does_not_hold_up_an_image_that_passes() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull::by([draft(&[("a", &signer)]), audit(&auditor)]);
    let answer = unhurried(pull, |content, name| {
        attach_by(&signer, content, name);
        stall(content);
    })
    .await;
    assert_allowed(&answer);
    let line = diagnostic(&answer);
    assert_eq!(line["would"], "unknown", "{line}");
    assert_eq!(line["policy"], "audit");
    assert_eq!(line["reason"], "TimedOut");
    let said = line["message"].as_str().unwrap();
    assert!(said.contains("not finished: the registry"), "{said}");
    assert!(said.contains("The next pull of the image looks"), "{said}");
}

#[tokio::test]
async fn an_audit_alone_does_not_hold_up_a_pull_either() {
    let answer = unhurried(Pull::by([audit(&Signer::new())]), |content, _| {
        content.handle(|_, _| Some(Reply::Stall));
    })
    .await;
    assert_allowed(&answer);
    assert_eq!(diagnostic(&answer)["would"], "unknown");
}

#[tokio::test]
async fn an_audit_that_is_not_finished_is_in_the_log_as_that_and_the_pull_as_allowed() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull::by([draft(&[("a", &signer)]), audit(&auditor)]);
    let answer = unhurried(pull, |content, name| {
        attach_by(&signer, content, name);
        stall(content);
    })
    .await;
    let args = Args {
        name: "127.0.0.1:1/app:v1".to_owned(),
        digest: digest().to_string(),
        stdin_media_type: String::new(),
    };
    let records = records(&args, &answer, Duration::ZERO, Timestamp::UNIX_EPOCH);
    let [pull, audit] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!((pull.verdict, &pull.reason), (Kind::Allowed, &None));
    assert_eq!(pull.policies, ["release"]);
    assert_eq!(audit.verdict, Kind::Audit);
    assert_eq!(audit.reason.as_deref(), Some("TimedOut"));
    assert_eq!(audit.policies, ["audit"]);
    assert!(audit.line.contains("not finished"), "{}", audit.line);
}

#[tokio::test]
async fn an_audit_that_passes_before_the_registry_is_done_is_finished() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull::by([draft(&[("a", &signer)]), audit(&auditor)]);
    let answer = unhurried(pull, |content, name| {
        let layers = [&signer, &auditor].map(|signer| signer.layer(content, &digest(), name));
        attach(content, &digest(), &layers);
        stall(content);
    })
    .await;
    assert_allowed(&answer);
    let line = diagnostic(&answer);
    assert_eq!(line["would"], "allow", "{line}");
    assert_eq!(line["signedBy"], json!(["auditor"]));
}

#[tokio::test]
async fn an_audit_that_fails_is_finished_once_the_registry_has_answered_all() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull::by([draft(&[("a", &signer)]), audit(&auditor)]);
    let answer = unhurried(pull, |content, name| attach_by(&signer, content, name)).await;
    assert_allowed(&answer);
    let line = diagnostic(&answer);
    assert_eq!(line["would"], "refuse", "{line}");
    assert_eq!(line["reason"], "NoMatchingSignature");
}

/// The registry asks for pauses that are longer together than audits are waited for.
#[tokio::test]
async fn what_is_enforced_is_waited_for_longer() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull::by([draft(&[("a", &signer)]), audit(&auditor)]);
    let asked = AtomicUsize::new(0);
    let answer = unhurried(pull, |content, name| {
        attach_by(&signer, content, name);
        content.handle(move |path, _| {
            let busy = path.contains(".sig") && asked.fetch_add(1, Ordering::SeqCst) < 2;
            let reply = Reply::status(429).with("Retry-After", "2");
            busy.then_some(reply)
        });
    })
    .await;
    assert_allowed(&answer);
    assert_eq!(diagnostic(&answer)["would"], "refuse");
}

#[tokio::test]
async fn what_is_enforced_is_waited_for_until_the_deadline() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let pull = Pull {
        limits: limits(Duration::from_secs(1)),
        ..Pull::by([draft(&[("a", &signer)]), audit(&auditor)])
    };
    let pull = pull.run(|content, name| {
        attach_by(&auditor, content, name);
        stall(content);
    });
    let (answer, _) = in_time(Box::pin(pull)).await;
    let part = "time was up before the registry";
    assert_refused(&answer, Reason::TimedOut, part);
    assert_eq!(diagnostic(&answer)["would"], "allow");
}
