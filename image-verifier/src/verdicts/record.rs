//! The lines of one pull.

use std::time::Duration;

use jiff::Timestamp;
use policy::reference::Reference;
use policy::verdicts::{Kind, Record};

use crate::args::Args;
use crate::evaluate::PolicyVerdict;
use crate::reason::{Refusal, bounded};
use crate::run::Answer;

/// The most bytes of an image's name. One that parses has fewer.
const MAX_IMAGE: usize = 512;
/// The most bytes of a digest, which may be anything in a call that is refused.
const MAX_DIGEST: usize = 128;
/// The most bytes of the line that the runtime shows.
const MAX_SHOWN: usize = 768;
/// The most bytes of a list of names.
const MAX_NAMES: usize = 512;

/// The lines of one pull: its verdict, and one for each policy in audit mode.
#[must_use]
pub fn records(args: &Args, answer: &Answer, taken: Duration, now: Timestamp) -> Vec<Record> {
    let none = Vec::new();
    let (enforced, audited) = match &answer.verdict {
        None => (&none, &none),
        Some(verdict) => (&verdict.enforced, &verdict.audited),
    };
    let image = Reference::parse(&args.name);
    let image = image.map_or_else(|_| args.name.clone(), |image| image.to_string());
    let record = |verdict, refusal: Option<&Refusal>, policies: &[PolicyVerdict], line: &str| {
        let signed_by = policies.iter().flat_map(|policy| &policy.signed_by);
        Record {
            time: now,
            image: bounded(&image, MAX_IMAGE),
            digest: bounded(&args.digest, MAX_DIGEST),
            verdict,
            reason: refusal.map(|refusal| refusal.reason.as_str().to_owned()),
            policies: names(policies.iter().map(|policy| policy.policy.to_string())),
            authorities: names(signed_by.cloned()),
            duration_ms: u64::try_from(taken.as_millis()).unwrap_or(u64::MAX),
            cached: answer.cached,
            line: bounded(line, MAX_SHOWN),
        }
    };
    let refusal = answer.refusal.as_ref();
    let kind = if refusal.is_some() {
        Kind::Refused
    } else {
        Kind::Allowed
    };
    let audits = audited.iter().map(|policy| {
        let refusal = policy.refusal.as_ref();
        let message = refusal.map_or("", |refusal| &refusal.message);
        record(Kind::Audit, refusal, std::slice::from_ref(policy), message)
    });
    let verdict = record(kind, refusal, enforced, &answer.line);
    [verdict].into_iter().chain(audits).collect()
}

/// As many of the names as fit, each once.
fn names(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut room = MAX_NAMES;
    for name in all {
        if names.contains(&name) {
            continue;
        }
        let name = bounded(&name, MAX_NAMES);
        let Some(left) = room.checked_sub(name.len()) else {
            break;
        };
        room = left;
        names.push(name);
    }
    names
}
