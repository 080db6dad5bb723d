//! One pull, from containerd's call to the answer.

use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::reference::Reference;
use policy::verifier::{Access, Limits, VerifierPolicy};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::args::Args;
use crate::cache::Cache;
use crate::candidate::{Finding, Found};
use crate::descriptor;
use crate::environment::Environment;
use crate::evaluate::{Judge, PolicyVerdict, Verdict, signers};
use crate::limits;
use crate::policy_file;
use crate::reason::{MAX_LINE, Reason, Refusal, bounded};
use crate::registry::Registries;
use crate::search::Search;
use crate::state::StateError;

/// The answer to one pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Why the pull is refused; nothing if it is allowed.
    pub refusal: Option<Refusal>,
    /// The line for stdout, without line end.
    pub line: String,
    /// Lines for stderr: what policies in audit mode would have done.
    pub diagnostics: Vec<String>,
    /// What the policies made of the image, where signatures decided.
    pub verdict: Option<Verdict>,
    /// Whether the verdict was kept from an earlier pull.
    pub cached: bool,
}

impl Answer {
    /// A refusal.
    #[must_use]
    pub fn refuse(refusal: Refusal) -> Self {
        let line = refusal.line();
        Self {
            refusal: Some(refusal),
            line,
            diagnostics: Vec::new(),
            verdict: None,
            cached: false,
        }
    }

    fn allow(why: &str, context: &str) -> Self {
        let line = bounded(&format!("nodeseal: allowed: {why} [{context}]"), MAX_LINE);
        Self {
            refusal: None,
            line,
            diagnostics: Vec::new(),
            verdict: None,
            cached: false,
        }
    }
}

/// The image that a pull is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub image: Reference,
    /// The digest of its manifest or index: the only thing that is verified.
    pub digest: Digest,
}

impl Subject {
    /// Checks that the arguments and what stands on stdin describe one image.
    pub fn new(args: &Args, stdin: &[u8]) -> Result<Self, Refusal> {
        let digest = descriptor::check(stdin, &args.stdin_media_type, &args.digest)
            .map_err(|error| Refusal::new(Reason::InvalidRequest, error.to_string()))?;
        let image = Reference::parse(&args.name).map_err(|error| {
            let name = crate::reason::quoted(&args.name);
            Refusal::new(
                Reason::InvalidReference,
                format!("the image name {name}: {error}"),
            )
        })?;
        if image.digest().is_some_and(|named| *named != digest) {
            let message = format!("the image name has another digest than {digest}");
            return Err(Refusal::new(Reason::InvalidRequest, message));
        }
        Ok(Self { image, digest })
    }

    fn context(&self, bundle: &Digest) -> String {
        let Self { image, digest } = self;
        match image.digest() {
            Some(_) => format!("bundle {bundle}, image {image}"),
            None => format!("bundle {bundle}, image {image}@{digest}"),
        }
    }
}

/// Answers a call of containerd. `started` is when the process began: everything counts against
/// the deadline. `on_policy` learns how long that is as soon as it is known.
pub async fn answer(
    args: &Args,
    stdin: impl Read,
    environment: &Environment,
    started: Instant,
    on_policy: impl FnOnce(Duration),
) -> Answer {
    // The policy first, though its errors are told last: it says how long stdin may take.
    let policy = policy_file::read(&environment.root());
    let time = policy.as_ref().map_or_else(
        |_| limits::default_deadline(),
        |policy| limits::deadline(policy.limits()),
    );
    on_policy(time);
    let subject = descriptor::read(stdin)
        .map_err(|error| Refusal::new(Reason::InvalidRequest, error.to_string()))
        .and_then(|stdin| Subject::new(args, &stdin));
    let subject = match subject {
        Ok(subject) => subject,
        Err(refusal) => return Answer::refuse(refusal),
    };
    match policy.and_then(|policy| policy.covering(&subject.image)) {
        Ok(policy) => {
            let max_age = Duration::from_secs(policy.limits.max_verdict_age_seconds);
            let cache = Cache::open(&environment.root(), max_age);
            let known = cache.as_ref().ok();
            let deadline = started + time;
            let mut answer = decide_with(known, &subject, &policy, environment, deadline).await;
            answer.diagnostics.extend(unused(cache.err().as_ref()));
            answer
        }
        Err(error) => {
            let Subject { image, digest } = subject;
            let refusal = Refusal::new(Reason::PolicyError, format!("the policy: {error}"));
            Answer::refuse(refusal.with_context(format!("image {image} {digest}")))
        }
    }
}

/// Why the cache is not used, if there is more to say than that the node has no agent.
fn unused(error: Option<&StateError>) -> Option<String> {
    match error? {
        StateError::Absent(_) => None,
        error => Some(format!("nodeseal: the cache is not used: {error}")),
    }
}

/// Decides about `subject` by `policy`, at the latest at `deadline`. Keeps nothing.
pub async fn decide(
    subject: &Subject,
    policy: &VerifierPolicy,
    environment: &Environment,
    deadline: Instant,
) -> Answer {
    decide_with(None, subject, policy, environment, deadline).await
}

/// As [`decide`], by what is in `cache` where something is, and keeps what may be kept.
pub async fn decide_with(
    cache: Option<&Cache>,
    subject: &Subject,
    policy: &VerifierPolicy,
    environment: &Environment,
    deadline: Instant,
) -> Answer {
    let context = subject.context(&policy.bundle);
    let decision = policy.flat.decide(&subject.image);
    let at = decision
        .scope
        .map_or(String::new(), |scope| format!(" (scope `{scope}`)"));
    let mut answer = match &decision.outcome {
        Outcome::Exempt => return Answer::allow(&format!("the image is exempt{at}"), &context),
        Outcome::Default(DefaultAction::Reject) => {
            let message = format!(
                "no enforcing policy covers this image{at}, and the default action is Reject. Add it to a policy's scopes, or to exemptImages"
            );
            return Answer::refuse(Refusal::new(Reason::NotAllowed, message).with_context(context));
        }
        Outcome::Default(DefaultAction::Allow) => {
            Answer::allow(&format!("no enforcing policy covers it{at}"), &context)
        }
        // Stands until the verdict replaces it.
        Outcome::Verify(_) => {
            let message = "the verdict is missing";
            Answer::refuse(Refusal::new(Reason::Internal, message).with_context(context.clone()))
        }
    };
    let enforced = matches!(decision.outcome, Outcome::Verify(_));
    if !enforced && decision.audit.is_empty() {
        return answer;
    }
    let VerifierPolicy { access, limits, .. } = policy;
    let verify = verify(subject, &decision, access, limits, environment, deadline);
    let (verdict, cached) = match cache {
        None => (verify.await, false),
        Some(cache) => cache.through(subject, &decision, deadline, verify).await,
    };
    if enforced {
        answer = match &verdict.refusal {
            Some(refusal) => Answer::refuse(refusal.clone().with_context(context.clone())),
            None => Answer::allow(&format!("signed by {}{at}", signers(&verdict)), &context),
        };
    }
    let lines = verdict
        .audited
        .iter()
        .map(|policy| audit_line(subject, policy));
    answer.diagnostics.extend(lines);
    answer.verdict = Some(verdict);
    answer.cached = cached;
    answer
}

/// Finds and weighs signatures until the policies are satisfied, nothing is left, or time is up.
pub async fn verify(
    subject: &Subject,
    decision: &Decision<'_>,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    deadline: Instant,
) -> Verdict {
    let mut judge = Judge::new(decision, &subject.image, &subject.digest, Timestamp::now());
    let registries = match Registries::new(&subject.image, access, environment, limits) {
        Ok(registries) => registries,
        Err(error) => {
            judge.add(Found::Finding(Finding::new(
                error.reason(),
                error.to_string(),
            )));
            return judge.verdict();
        }
    };
    let mut search = Search::new(&registries, &subject.digest, limits);
    while !judge.is_settled() {
        match timeout_at(deadline, search.next()).await {
            Ok(Some(found)) => judge.add(found),
            Ok(None) => break,
            Err(_) => {
                let host = subject.image.host();
                let message = format!("time was up before the registry {host} had answered all");
                judge.add(Found::Finding(Finding::new(Reason::TimedOut, message)));
                break;
            }
        }
    }
    judge.verdict()
}

/// One structured line on what a policy in audit mode would have done.
fn audit_line(subject: &Subject, verdict: &PolicyVerdict) -> String {
    let would = if verdict.refusal.is_some() {
        "refuse"
    } else {
        "allow"
    };
    let refusal = verdict.refusal.as_ref();
    json!({
        "event": "audit",
        "image": subject.image.to_string(),
        "digest": subject.digest,
        "policy": verdict.policy,
        "would": would,
        "signedBy": verdict.signed_by,
        "reason": refusal.map(|refusal| refusal.reason.as_str()),
        "message": refusal.map(|refusal| bounded(&refusal.message, MAX_LINE)),
    })
    .to_string()
}
