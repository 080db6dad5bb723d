//! One pull, from containerd's call to the answer.

mod answer;
mod index;
mod platforms;
mod watch;

use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::flatten::{Decision, Outcome};
use policy::reference::Reference;
use policy::verifier::{Access, Limits, VerifierPolicy};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

pub use self::answer::Answer;
use self::answer::unfinished;
pub use self::index::{Platform, PlatformError};
pub(crate) use self::platforms::Lookup;
pub use self::platforms::{IndexSignature, Options};
pub use self::watch::Watch;
use crate::args::Args;
use crate::cache::Cache;
use crate::candidate::{Finding, Found};
use crate::descriptor;
use crate::environment::Environment;
use crate::evaluate::{Judge, PolicyVerdict, Verdict, signers};
use crate::limits;
use crate::policy_file;
use crate::reason::{Reason, Refusal};
use crate::registry::Registries;
use crate::registry::image::LIST_TYPE;
use crate::registry::manifest::INDEX_TYPE;
use crate::search::Search;
use crate::state::StateError;

/// How much longer policies in audit mode may take once nothing else holds up the pull. A lookup over a
/// slow network takes one second, and a pod that starts should wait for no report beyond that.
const AUDIT_PATIENCE: Duration = Duration::from_secs(2);

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
/// the deadline. `watch` learns how long that is as soon as it is known.
pub async fn answer(
    args: &Args,
    stdin: impl Read,
    environment: &Environment,
    started: Instant,
    watch: impl Watch,
) -> Answer {
    // The policy first, though its errors are told last: it says how long stdin may take.
    let policy = policy_file::read(&environment.root());
    let time = policy.as_ref().map_or_else(
        |_| limits::default_deadline(),
        |policy| limits::deadline(policy.limits()),
    );
    watch.time(time);
    let subject = descriptor::read(stdin)
        .map_err(|error| Refusal::new(Reason::InvalidRequest, error.to_string()))
        .and_then(|stdin| Ok((Subject::new(args, &stdin)?, is_index(&stdin))));
    let (subject, is_index) = match subject {
        Ok(subject) => subject,
        Err(refusal) => return Answer::refuse(refusal),
    };
    match policy.and_then(|policy| policy.covering_without_invalid_audits(&subject.image)) {
        Ok((policy, left_out)) => {
            let max_age = Duration::from_secs(policy.limits.max_verdict_age_seconds);
            let cache = Cache::open(&environment.root(), max_age);
            let known = cache.as_ref().ok();
            let deadline = started + time;
            let options = Options {
                explains: is_index,
                ..Options::default()
            };
            let invalid = left_out
                .into_iter()
                .map(|(policy, problems)| PolicyVerdict {
                    policy,
                    signed_by: Vec::new(),
                    refusal: Some(Refusal::new(Reason::PolicyError, problems.to_string())),
                    valid_until: None,
                });
            let invalid: Vec<PolicyVerdict> = invalid.collect();
            let passes = |answer: &Answer| {
                watch.passes(&answer.clone().with_audits(&subject, invalid.clone()));
            };
            let answer = decide_watched(
                known,
                &subject,
                &policy,
                environment,
                deadline,
                &options,
                &passes,
            );
            let mut answer = answer.await;
            answer.diagnostics.extend(unused(cache.err().as_ref()));
            answer.with_audits(&subject, invalid)
        }
        Err(error) => {
            let Subject { image, digest } = subject;
            let refusal = Refusal::new(Reason::PolicyError, format!("the policy: {error}"));
            Answer::refuse(refusal.with_context(format!("image {image} {digest}")))
        }
    }
}

/// Whether a descriptor is that of an index. It was checked before, and changes only explanations.
fn is_index(stdin: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Descriptor {
        media_type: String,
    }
    let descriptor: Result<Descriptor, _> = serde_json::from_slice(stdin);
    descriptor.is_ok_and(|it| [INDEX_TYPE, LIST_TYPE].contains(&it.media_type.as_str()))
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
    let options = Options::default();
    decide_as(cache, subject, policy, environment, deadline, &options).await
}

/// As [`decide_with`], looking at the image as `options` say. What is kept was found by the default
/// [`IndexSignature`], so another one neither keeps nor believes it.
pub async fn decide_as(
    cache: Option<&Cache>,
    subject: &Subject,
    policy: &VerifierPolicy,
    environment: &Environment,
    deadline: Instant,
    options: &Options,
) -> Answer {
    decide_watched(
        cache,
        subject,
        policy,
        environment,
        deadline,
        options,
        &|_| {},
    )
    .await
}

/// As [`decide_as`]; `passes` is told as soon as nothing that enforces is left to decide, with an answer
/// that holds whatever policies in audit mode come to say ([`Watch::passes`]).
pub async fn decide_watched(
    cache: Option<&Cache>,
    subject: &Subject,
    policy: &VerifierPolicy,
    environment: &Environment,
    deadline: Instant,
    options: &Options,
    passes: &dyn Fn(&Answer),
) -> Answer {
    let cache = cache.filter(|_| options.index_signature == IndexSignature::default());
    let context = subject.context(&policy.bundle);
    let decision = policy.flat.decide(&subject.image);
    let at = decision
        .scope
        .map_or(String::new(), |scope| format!(" (scope `{scope}`)"));
    // What holds whatever the signatures are; nothing where they decide.
    let settled = match &decision.outcome {
        Outcome::Exempt => return Answer::allow(&format!("the image is exempt{at}"), &context),
        Outcome::Refused => {
            let message = format!("this image is always refused on this node{at}");
            return Answer::refuse(Refusal::new(Reason::NotAllowed, message).with_context(context));
        }
        Outcome::Default(DefaultAction::Reject) => {
            let message = format!(
                "no enforcing policy covers this image{at}, and the default action is Reject. Add it to a policy's scopes, or to exemptImages"
            );
            return Answer::refuse(Refusal::new(Reason::NotAllowed, message).with_context(context));
        }
        Outcome::Default(DefaultAction::Allow) => {
            let answer = Answer::allow(&format!("no enforcing policy covers it{at}"), &context);
            if decision.audit.is_empty() {
                return answer;
            }
            let audits = decision.audit.iter().map(|(id, _)| unfinished(id));
            passes(&answer.clone().with_audits(subject, audits));
            Some(answer)
        }
        Outcome::Verify(_) => None,
    };
    let by =
        |verdict: &Verdict| Answer::allow(&format!("signed by {}{at}", signers(verdict)), &context);
    let enforced_passes = |verdict: &Verdict| {
        // Where manifests count, a verdict on the index alone says nothing yet.
        if settled.is_none() && options.index_signature == IndexSignature::Itself {
            let audits = verdict.audited.iter().map(|audit| match audit.refusal {
                None => audit.clone(),
                Some(_) => unfinished(&audit.policy),
            });
            passes(&by(verdict).with_audits(subject, audits));
        }
    };
    let VerifierPolicy { access, limits, .. } = policy;
    let verify = verify_watched(
        subject,
        &decision,
        access,
        limits,
        environment,
        deadline,
        options,
        &enforced_passes,
    );
    let (verdict, cached) = match cache {
        None => (verify.await, false),
        Some(cache) => cache.through(subject, &decision, deadline, verify).await,
    };
    let answer = match (&settled, &verdict.refusal) {
        (Some(settled), _) => settled.clone(),
        (None, Some(refusal)) => Answer::refuse(refusal.clone().with_context(context.clone())),
        (None, None) => by(&verdict),
    };
    Answer {
        verdict: Some(verdict.clone()),
        cached,
        ..answer.with_audits(subject, verdict.audited)
    }
}

/// Finds and weighs signatures until the policies are satisfied, nothing is left, or time is up. Where
/// only policies in audit mode are left, time is up sooner: the finding [`Reason::TimedOut`] says then
/// that the audit was not finished.
pub async fn verify(
    subject: &Subject,
    decision: &Decision<'_>,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    deadline: Instant,
    options: &Options,
) -> Verdict {
    verify_watched(
        subject,
        decision,
        access,
        limits,
        environment,
        deadline,
        options,
        &|_| {},
    )
    .await
}

/// As [`verify`]; `passes` is told as soon as what enforces passes, and only policies in audit mode are
/// left.
#[allow(clippy::too_many_arguments, reason = "as verify, and who is told")]
async fn verify_watched(
    subject: &Subject,
    decision: &Decision<'_>,
    access: &Access,
    limits: &Limits,
    environment: &Environment,
    deadline: Instant,
    options: &Options,
    passes: &dyn Fn(&Verdict),
) -> Verdict {
    let now = Timestamp::now();
    let mut judge = Judge::new(decision, &subject.image, &subject.digest, now);
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
    let host = subject.image.host();
    judged(&mut judge, &mut search, host, deadline, passes).await;
    let lookup = Lookup {
        registries: &registries,
        image: &subject.image,
        digest: &subject.digest,
        decision,
        limits,
        now,
        deadline,
    };
    // Large, and seldom under way.
    Box::pin(lookup.verdict(judge, options)).await.0
}

/// Weighs what is found until the policies are satisfied, nothing is left, or time is up. `passes` is
/// told the verdict once only policies in audit mode are left.
async fn judged(
    judge: &mut Judge<'_>,
    search: &mut Search<'_>,
    host: &str,
    deadline: Instant,
    passes: &dyn Fn(&Verdict),
) {
    let mut audits_end = None;
    while !judge.is_settled() {
        if audits_end.is_none() && judge.passes() {
            audits_end = Some(Instant::now() + AUDIT_PATIENCE);
            passes(&judge.verdict());
        }
        let end = audits_end.map_or(deadline, |end| deadline.min(end));
        match timeout_at(end, search.next()).await {
            Ok(Some(found)) => judge.add(found),
            Ok(None) => break,
            Err(_) => {
                let message = if judge.passes() {
                    format!(
                        "not finished: the registry {host} had not answered all when the pull, which waits no longer for an audit, was let through"
                    )
                } else {
                    format!("time was up before the registry {host} had answered all")
                };
                judge.add(Found::Finding(Finding::new(Reason::TimedOut, message)));
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_containerd_calls_an_index_may_cost_a_look_at_its_manifests() {
        let manifest = crate::registry::manifest::MANIFEST_TYPES[0];
        for (kind, is) in [(INDEX_TYPE, true), (LIST_TYPE, true), (manifest, false)] {
            let stdin = format!(r#"{{"mediaType":"{kind}","digest":"","size":1}}"#);
            assert_eq!(is_index(stdin.as_bytes()), is, "{kind}");
        }
        assert!(!is_index(b""));
    }
}
