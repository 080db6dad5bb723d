//! What is said about a trust root.

use std::sync::Arc;

use crds::types::TrustRootStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use policy::aggregate::{Finding, Truth, reason};
use policy::digest::Digest;
use policy::trust::TrustRoot;

use super::forms::InUse;
use super::objects::TrustRootObject;
use super::roots::Made;
use super::status::{Line, with_times};

/// How much of what was left out is named.
const MOST: usize = 10;

/// The status of the object. `in_use` is what policies have in force under its name: the last valid
/// content lives on in them.
pub(crate) fn root_status(
    object: &TrustRootObject,
    made: &Made,
    in_use: &InUse<'_>,
    now: Timestamp,
) -> TrustRootStatus {
    let kept = || kept(object, in_use);
    let (content, truth, finding) = match made {
        Made::Good { root, filtered } => {
            let message = format!("it is valid, and policies can use it{}", left_out(filtered));
            let finding = Finding::new(reason::RESOLVED, message);
            (Some(root), Truth::True, finding)
        }
        Made::Bad(why) => (kept(), Truth::False, why.clone()),
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
    match truth {
        Truth::True => {}
        Truth::False => lines.push(line("Stalled", Truth::True)),
        Truth::Unknown => lines.push(line("Reconciling", Truth::True)),
    }
    let generation = object.meta.generation;
    let number = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    TrustRootStatus {
        observed_generation: Some(generation),
        digest: content.map(|root| root.digest().to_string()),
        certificate_authorities: content.and_then(|c| number(c.certificate_authorities().len())),
        transparency_logs: content.and_then(|c| number(c.transparency_logs().len())),
        timestamp_authorities: content.and_then(|c| number(c.timestamp_authorities().len())),
        earliest_expiry: content.and_then(|root| expiry(root, now)).map(Time),
        // Nothing is refreshed before TUF is followed.
        last_refresh: None,
        conditions: with_times(&lines, generation, &object.status.conditions, now),
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
