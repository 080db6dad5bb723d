//! From when to when a log is trusted.
//!
//! A trust root says so for each log, and ends the window of one whose key is lost. The library compares
//! that with the time in a log's promise alone. Of the key that signed the checkpoint of a proof it asks
//! no more than that its window has begun, so that whoever has an old log's key could go on proving
//! entries with it. Here the window has to hold one of the times that the bundle proves, or the present
//! where it proves none: a key's entry of Rekor v2 without a timestamp counts as long as its log does.
//!
//! What a stolen key signs with an earlier time is beyond this: against that a timestamp is demanded, or
//! a certificate that was valid for minutes.

use std::fmt;

use jiff::Timestamp;
use sigstore_verify::crypto::{Checkpoint, VerificationKey};
use sigstore_verify::trust_root::TransparencyLog;
use sigstore_verify::types::TransparencyLogEntry;

use super::{SigstoreBundle, TrustMaterial, VerifyError};

/// Checks every log entry of a bundle whose proofs and promises were verified, against the times that
/// it proves. Gives until when that holds where the present was what counted.
pub(super) fn check(
    bundle: &SigstoreBundle,
    trust: &TrustMaterial,
    times: &[Timestamp],
) -> Result<Option<Timestamp>, VerifyError> {
    let now = Timestamp::now();
    let mut end = None;
    for entry in &bundle.0.verification_material.tlog_entries {
        if entry.inclusion_promise.is_some() && entry.integrated_time.is_none() {
            // No log makes such a one, and any time would do for its key.
            return Err(invalid("the promise: it has no time"));
        }
        // Without one there is a promise, and the key of that is looked up by its time.
        if entry.inclusion_proof.is_none() {
            continue;
        }
        let logs = signers(entry, trust)?;
        if times.is_empty() {
            end = earlier(end, until(&logs, now)?);
        } else if !logs
            .iter()
            .any(|log| times.iter().any(|time| holds(log, *time)))
        {
            let message = format!("the proof: {}, at none of the proven times", told(&logs));
            return Err(invalid(message));
        }
    }
    Ok(end)
}

fn invalid(message: impl Into<String>) -> VerifyError {
    VerifyError::LogEntry(message.into())
}

/// The trusted logs that have signed the checkpoint of an entry's proof: more than one only where two of
/// them have the same key.
fn signers<'a>(
    entry: &TransparencyLogEntry,
    trust: &'a TrustMaterial,
) -> Result<Vec<&'a TransparencyLog>, VerifyError> {
    let proof = entry.inclusion_proof.as_ref();
    let envelope = proof.map_or("", |proof| proof.checkpoint.envelope());
    let checkpoint = Checkpoint::from_text(envelope)
        .map_err(|error| invalid(format!("the checkpoint: {error}")))?;
    let has_signed = |log: &&TransparencyLog| {
        let id = log.log_id.key_id.as_bytes();
        let mut hinted = checkpoint
            .signatures()
            .iter()
            .filter(|signature| id.starts_with(signature.key_id.as_bytes()));
        VerificationKey::from_spki(&log.public_key.raw_bytes).is_ok_and(|key| {
            hinted.any(|one| key.verify(checkpoint.signed_data(), &one.signature).is_ok())
        })
    };
    Ok(trust.root.tlogs.iter().filter(has_signed).collect())
}

fn holds(log: &TransparencyLog, time: Timestamp) -> bool {
    let window = log.public_key.valid_for;
    window.is_none_or(|window| window.contains(time))
}

/// Until when one of the logs is trusted that are so now.
fn until(logs: &[&TransparencyLog], now: Timestamp) -> Result<Option<Timestamp>, VerifyError> {
    let ends = logs
        .iter()
        .filter(|log| holds(log, now))
        .map(|log| log.public_key.valid_for.and_then(|window| window.end));
    // None is later than any.
    let last = ends.reduce(|one, other| Some(one?.max(other?)));
    last.ok_or_else(|| {
        invalid(format!(
            "the proof: {}, and nothing proves that it is from then: sign again, with a timestamp",
            told(logs)
        ))
    })
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// The windows of logs, in words.
fn told(logs: &[&TransparencyLog]) -> impl fmt::Display {
    let windows: Vec<String> = logs
        .iter()
        .filter_map(|log| log.public_key.valid_for)
        .map(|window| match window.end {
            Some(end) => format!("from {} to {end}", window.start),
            None => format!("from {}", window.start),
        })
        .collect();
    match windows.as_slice() {
        [] => "no trusted log has signed the checkpoint".to_owned(),
        windows => format!("its log is trusted {}", windows.join(" and ")),
    }
}

#[cfg(test)]
#[path = "log_window_tests.rs"]
mod tests;
