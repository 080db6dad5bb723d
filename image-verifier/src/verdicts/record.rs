//! One line of the log.

use std::time::Duration;

use jiff::Timestamp;
use policy::reference::Reference;
use serde::{Deserialize, Serialize};

use super::MAX_RECORD;
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

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It may be pulled.
    Allowed,
    /// It may not be pulled.
    Refused,
    /// What one policy in audit mode makes of it, without consequence: with a reason if it would
    /// have refused.
    Audit,
}

/// One line of the log.
///
/// Texts are as [`bounded`] leaves them: no control characters, and no more than some hundred bytes.
/// None of them comes from where secrets are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When the answer was given.
    pub time: Timestamp,
    /// The normalised name; as it was given where it does not parse.
    pub image: String,
    /// The digest of the image's manifest or index.
    pub digest: String,
    /// What became of it.
    pub verdict: Kind,
    /// The code of `docs/reasons.md`, where something speaks against the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that decided; in an audit the one that it is about. Empty where none covers the
    /// image, or nothing got that far.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The authorities that have signed, by name.
    #[serde(default)]
    pub authorities: Vec<String>,
    /// From the start of the process to its answer, in milliseconds.
    pub duration_ms: u64,
    /// Whether the verdict was kept from an earlier pull.
    #[serde(default)]
    pub cached: bool,
    /// The line that the runtime shows; in an audit what the policy would have said.
    pub line: String,
}

impl Record {
    /// The lines of one pull: its verdict, and one for each policy in audit mode.
    #[must_use]
    pub fn of(args: &Args, answer: &Answer, taken: Duration, now: Timestamp) -> Vec<Self> {
        let none = Vec::new();
        let (enforced, audited) = match &answer.verdict {
            None => (&none, &none),
            Some(verdict) => (&verdict.enforced, &verdict.audited),
        };
        let image = Reference::parse(&args.name);
        let image = image.map_or_else(|_| args.name.clone(), |image| image.to_string());
        let record =
            |verdict, refusal: Option<&Refusal>, policies: &[PolicyVerdict], line: &str| {
                let signed_by = policies.iter().flat_map(|policy| &policy.signed_by);
                Self {
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

    /// The line as it is written, with its end: at most [`MAX_RECORD`] bytes.
    #[must_use]
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = self.to_json();
        if line.len() >= MAX_RECORD {
            // Quotes and backslashes, which are written as two characters, and nothing else.
            let short = Self {
                line: String::new(),
                image: bounded(&self.image, MAX_IMAGE / 4),
                ..self.clone()
            };
            line = short.to_json();
        }
        line.push(b'\n');
        line
    }

    fn to_json(&self) -> Vec<u8> {
        // Strings and numbers cannot fail; a reader skips an empty line.
        serde_json::to_vec(self).unwrap_or_default()
    }
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
