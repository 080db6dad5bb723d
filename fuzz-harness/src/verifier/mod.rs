//! What the verifier reads: containerd's call, what registries serve, and files of the node.

pub(crate) mod attachment;
pub(crate) mod bundle;
pub(crate) mod call;
pub(crate) mod challenge;
pub(crate) mod credentials;
pub(crate) mod hosts;
pub(crate) mod kept;
pub(crate) mod log;
mod place;
pub(crate) mod referrers;
mod world;

use image_verifier::reason::{MAX_LINE, Reason, Refusal};
use serde_json::Value;

/// The most bytes that containerd keeps of a verifier's output.
const RUNTIME_KEEPS: usize = 32 * 1024;

/// What a refusal is told with: one short line that a terminal shows as it is.
fn is_one_line(refusal: &Refusal) {
    let line = refusal.line();
    let start = format!("SignatureValidationFailed: {} (", refusal.reason);
    assert!(line.starts_with(&start), "{line:?}");
    assert!(line.len() <= MAX_LINE, "{} bytes: {line}", line.len());
    const { assert!(MAX_LINE < RUNTIME_KEEPS) };
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

/// The same of what is noted on the way, which ends in refusals.
fn are_lines(notes: &[String]) {
    for note in notes {
        assert!(!note.is_empty());
        is_one_line(&Refusal::new(Reason::RegistryError, note.clone()));
    }
}

/// What JSON says, by another reader than the verifier's. What that skips need be neither UTF-8 nor
/// whole surrogates; nothing where this reader wants more than those.
fn value_of(json: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(json);
    let halves = || text.replace("\\ud", "\\ue").replace("\\uD", "\\uE");
    let value = serde_json::from_str(&text);
    value.or_else(|_| serde_json::from_str(&halves())).ok()
}

/// Whether a pattern of the kubelet may be for a host: by its very name, or with a wildcard in it.
fn may_cover(pattern: &str, host: &str) -> bool {
    let bare = pattern.strip_prefix("https://");
    let bare = bare.or_else(|| pattern.strip_prefix("http://"));
    let bare = bare.unwrap_or(pattern);
    let named = bare.split('/').next().unwrap_or_default();
    named == host || named.contains(['*', '?', '[', '\\'])
}
