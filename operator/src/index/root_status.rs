//! What is said about a trust root.

use std::sync::Arc;

use crds::types::TrustRootStatus;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use policy::aggregate::{Finding, Truth, reason};
use policy::digest::Digest;
use policy::trust::TrustRoot;

use super::follow::Follow;
use super::forms::InUse;
use super::objects::TrustRootObject;
use super::roots::Made;
use super::status::{Line, whole_seconds, with_times};

/// How much of what was left out, or ends, is named.
const MOST: usize = 10;
/// What ends within this time is told, early enough to renew it: 14 days.
pub(crate) const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// The reason of `Expiring`.
const EXPIRING: &str = "Expiring";

/// Something that ends soon, or has ended and should have been renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiring {
    /// What.
    pub(crate) what: String,
    /// When.
    pub(crate) end: Timestamp,
}

/// What is said about a trust root, and what follows from the time.
pub(crate) struct Said {
    pub(crate) status: TrustRootStatus,
    pub(crate) expiring: Vec<Expiring>,
    /// When something else is to be said, if nothing happens before.
    pub(crate) next: Option<Timestamp>,
}

/// The status of the object. `in_use` is what policies have in force under its name: the last valid
/// content lives on in them.
pub(crate) fn root_status(
    object: &TrustRootObject,
    made: &Made,
    follow: Option<&Follow>,
    in_use: &InUse<'_>,
    now: Timestamp,
) -> Said {
    let kept = || kept(object, in_use);
    let (content, truth, finding) = match made {
        Made::Good { root, filtered } => {
            let embedded = follow.is_some_and(Follow::is_embedded);
            let embedded = if embedded { BUILT_IN } else { "" };
            let left_out = left_out(filtered);
            let message = format!("it is valid, and policies can use it{embedded}{left_out}");
            let finding = Finding::new(reason::RESOLVED, message);
            (Some(root), Truth::True, finding)
        }
        Made::Bad(why) | Made::Waiting(why) => (kept(), Truth::False, why.clone()),
        Made::NotRead(why) => (kept(), Truth::Unknown, why.clone()),
    };
    let meanwhile = match (truth, content) {
        (Truth::True, _) => "",
        (_, Some(_)) => {
            "; until then its last valid content stays in force for the policies that have it"
        }
        (_, None) => "; no policy has a valid content of it, so nothing of it is in force",
    };
    let finding = Finding::new(finding.reason, format!("{}{meanwhile}", finding.message));
    let line = |kind: &'static str, truth| Line {
        kind,
        truth,
        finding: &finding,
    };
    let mut lines = vec![line("Ready", truth)];
    match (truth, made) {
        (Truth::True, _) => {}
        (Truth::Unknown, _) | (_, Made::Waiting(_)) => lines.push(line("Reconciling", Truth::True)),
        (Truth::False, _) => lines.push(line("Stalled", Truth::True)),
    }
    let refreshed = follow.map(Follow::refreshed);
    lines.extend(refreshed.as_ref().map(|(truth, finding)| Line {
        kind: "Refreshed",
        truth: *truth,
        finding,
    }));
    let ends = ends(content.map(AsRef::as_ref), follow, now);
    let soon = |expiring: &&Expiring| expiring.end.duration_since(now) <= SOON;
    let expiring: Vec<Expiring> = ends.iter().filter(soon).cloned().collect();
    let finding = Finding::new(EXPIRING, words(&expiring));
    if !expiring.is_empty() {
        lines.push(Line {
            kind: "Expiring",
            truth: Truth::True,
            finding: &finding,
        });
    }
    let times = ends
        .iter()
        .flat_map(|ends| [Some(ends.end), ends.end.checked_sub(SOON).ok()]);
    let next = times.flatten().filter(|time| *time > now).min();
    let generation = object.meta.generation;
    let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let status = TrustRootStatus {
        observed_generation: Some(generation),
        digest: content.map(|root| root.digest().to_string()),
        certificate_authorities: content.and_then(|c| number(c.certificate_authorities().len())),
        transparency_logs: content.and_then(|c| number(c.transparency_logs().len())),
        timestamp_authorities: content.and_then(|c| number(c.timestamp_authorities().len())),
        earliest_expiry: content.and_then(|root| expiry(root, now)).map(Time),
        last_refresh: follow.and_then(Follow::last_refresh).map(whole_seconds),
        conditions: with_times(&lines, generation, &object.status.conditions, now),
    };
    Said {
        status,
        expiring,
        next,
    }
}

const BUILT_IN: &str = "; it is the one of the public-good instance that this operator was built with, until a refresh succeeds";

/// Everything that ends and has not ended yet, and the signatures of people, which have to be renewed
/// before they do. Material that has ended stays for signatures from before.
fn ends(root: Option<&TrustRoot>, follow: Option<&Follow>, now: Timestamp) -> Vec<Expiring> {
    let material = root.into_iter().flat_map(TrustRoot::expiries);
    let material = material.filter_map(|(what, unix)| {
        let end = Timestamp::from_second(unix).ok().filter(|end| *end > now)?;
        Some(Expiring { what, end })
    });
    let signed = follow.into_iter().flat_map(Follow::ends);
    let signed = signed.map(|(what, end)| Expiring { what, end });
    material.chain(signed).collect()
}

fn words(expiring: &[Expiring]) -> String {
    let one = |expiring: &Expiring| expiring.words();
    let named: Vec<String> = expiring.iter().take(MOST).map(one).collect();
    let more = match expiring.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{}{more}: {EXPIRING_ADVICE}", named.join("; "))
}

/// What to do about it.
pub(crate) const EXPIRING_ADVICE: &str =
    "Renew it before that: over TUF the repository's owner does, otherwise edit the TrustRoot";

impl Expiring {
    /// What, and when.
    pub(crate) fn words(&self) -> String {
        format!("{} ends {}", self.what, self.end)
    }
}

/// The last valid content, as far as it is in force: that of the status where policies have
/// several, as one that was kept for its own mistakes may have an older one.
fn kept<'a>(object: &TrustRootObject, in_use: &InUse<'a>) -> Option<&'a Arc<TrustRoot>> {
    let contents = in_use.get(object.name.as_str())?;
    let digest = object.status.digest.as_deref();
    let last = digest.and_then(|digest| Digest::parse(digest).ok());
    let last = last.and_then(|digest| contents.get(&digest));
    last.or_else(|| contents.values().next()).copied()
}

/// When the next thing in it ends. What has ended already stays in a trust root, for signatures
/// from before, and is nothing to wait for; where everything has ended, the first of it all.
fn expiry(root: &TrustRoot, now: Timestamp) -> Option<Timestamp> {
    let all = root.expiries().into_iter();
    // Certificates that never expire say so with a time that is past the end of all calendars.
    let mut times = all.filter_map(|(_, unix)| Timestamp::from_second(unix).ok());
    let first = times.next()?;
    if first > now {
        return Some(first);
    }
    times.find(|time| *time > now).or(Some(first))
}

fn left_out(filtered: &[String]) -> String {
    let first = filtered.iter().take(MOST).cloned();
    let first = first.collect::<Vec<_>>().join("; ");
    match (filtered.len(), filtered.len().saturating_sub(MOST)) {
        (0, _) => String::new(),
        (_, 0) => format!("; left out: {first}"),
        (_, more) => format!("; left out: {first}; and {more} more"),
    }
}
