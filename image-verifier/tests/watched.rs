//! When a pull passes whatever is still found, and that the watchdog says so if nobody else does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use image_verifier::environment::Environment;
use image_verifier::limits::deadline;
use image_verifier::run::{Answer, IndexSignature, Options, Subject, Watch as _, decide_watched};
use image_verifier::watchdog::Watchdog;
use policy::bundle::DefaultAction;
use policy::model::{Mode, PolicyDraft, PolicyId};
use policy::reference::Reference;
use policy::verifier::VerifierPolicy;
use serde_json::Value;

use support::registry::{Content, Registry, Reply};
use support::sign::{Signer, attach};
use support::{assert_allowed, digest, draft, limits, policy_of};

fn audit(signer: &Signer) -> PolicyDraft {
    let mut audit = draft(&[("auditor", signer)]);
    audit.requirement.mode = Mode::Audit;
    audit.id = PolicyId::Cluster {
        name: "audit".to_owned(),
    };
    audit
}

/// A registry with an attachment by `signer`, and nothing else that it would ever answer.
async fn stalling(signer: &Signer) -> (Registry, String) {
    let port = {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        reserved.local_addr().unwrap().port()
    };
    let name = format!("127.0.0.1:{port}/app");
    let mut content = Content::default();
    let layer = signer.layer(&mut content, &digest(), &name);
    attach(&mut content, &digest(), &[layer]);
    content.put(&format!("referrers/{}", digest()), Reply::Stall);
    (Registry::start_on(port, content).await, name)
}

/// The answer to a pull, and those that were held ready before there was one.
async fn decided(
    policies: &[PolicyDraft],
    by: &Signer,
    options: &Options,
) -> (Answer, Vec<Answer>) {
    let (registry, name) = stalling(by).await;
    let limits = limits(Duration::from_secs(4));
    let policy: VerifierPolicy = policy_of(policies, DefaultAction::Allow, &[], limits);
    let subject = Subject {
        image: Reference::parse(&format!("{name}:v1")).unwrap(),
        digest: digest(),
    };
    let ready = Mutex::new(Vec::new());
    let answer = decide_watched(
        None,
        &subject,
        &policy,
        &Environment::default(),
        tokio::time::Instant::now() + deadline(&limits),
        options,
        &|answer| ready.lock().unwrap().push(answer.clone()),
    )
    .await;
    drop(registry);
    (answer, ready.into_inner().unwrap())
}

#[track_caller]
fn assert_unfinished(answer: &Answer) {
    let [line] = answer.diagnostics.as_slice() else {
        panic!("{answer:?}")
    };
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["policy"], "audit");
    assert_eq!(line["would"], "unknown");
    assert_eq!(line["reason"], "TimedOut");
}

#[tokio::test]
async fn an_image_that_only_audits_cover_passes_before_anything_is_looked_for() {
    let policies = [audit(&Signer::new())];
    let (answer, ready) = decided(&policies, &Signer::new(), &Options::default()).await;
    let [ready] = ready.as_slice() else {
        panic!("{ready:?}")
    };
    assert_allowed(ready);
    assert_eq!(ready.line, answer.line);
    assert_unfinished(ready);
}

#[tokio::test]
async fn an_image_passes_once_all_that_is_enforced_does() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let policies = [draft(&[("a", &signer)]), audit(&auditor)];
    let (answer, ready) = decided(&policies, &signer, &Options::default()).await;
    let [ready] = ready.as_slice() else {
        panic!("{ready:?}")
    };
    assert_allowed(ready);
    assert!(ready.line.contains("signed by a"), "{}", ready.line);
    assert_eq!(ready.line, answer.line);
    assert_unfinished(ready);
}

#[tokio::test]
async fn an_image_that_may_still_be_refused_has_no_answer_ready() {
    let (signer, auditor) = (Signer::new(), Signer::new());
    let policies = [draft(&[("a", &signer)]), audit(&auditor)];
    // That the audit passes says nothing.
    let (answer, ready) = decided(&policies, &auditor, &Options::default()).await;
    assert!(answer.refusal.is_some(), "{answer:?}");
    assert_eq!(ready, []);
    // Where the manifests decide, the index does not.
    let alone = Options {
        index_signature: IndexSignature::PlatformAlone,
        ..Options::default()
    };
    let (_, ready) = decided(&policies, &signer, &alone).await;
    assert_eq!(ready, []);
}

/// Says to a child what the answer in waiting is.
const CHILD: &str = "NODESEAL_TEST_WATCHED";

/// Not a test of its own: what the children of the next one do.
#[test]
fn child() {
    let Ok(ready) = std::env::var(CHILD) else {
        return;
    };
    let time = Duration::from_millis(50);
    let watchdog = Watchdog::start(Instant::now(), Duration::from_mins(10)).unwrap();
    let allowed = Answer {
        refusal: None,
        line: "nodeseal: allowed: by a test".to_owned(),
        diagnostics: vec!["an audit".to_owned()],
        verdict: None,
        cached: false,
    };
    let watched = &watchdog;
    match ready.as_str() {
        "allowed" => watched.passes(&allowed),
        "refused" => {
            let reason = image_verifier::reason::Reason::Internal;
            let refusal = image_verifier::reason::Refusal::new(reason, "by a test");
            watched.passes(&Answer::refuse(refusal));
        }
        _ => {}
    }
    // Changes when, and not what.
    watched.time(time);
    loop {
        std::thread::park();
    }
}

#[test]
fn what_passes_is_not_refused_for_taking_long() {
    for (ready, code, line) in [
        ("allowed", 0, "nodeseal: allowed: by a test"),
        (
            "refused",
            1,
            "SignatureValidationFailed: TimedOut (transient)",
        ),
        ("none", 1, "SignatureValidationFailed: TimedOut (transient)"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(CHILD, ready)
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stdout}");
        let said = stdout.lines().any(|said| said.starts_with(line));
        assert!(said, "{stdout}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.contains("an audit"), ready == "allowed", "{stderr}");
    }
}
