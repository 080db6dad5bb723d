//! The conditions of a node, from what a look found out.

use node_runtime::probe::Proof;

use super::{Failure, Left, Report};

const NOT_PROBED: &str = "nothing on this node has proven yet that pulls are held to the policies";
const LEFT: &str = "enforcement is Disabled in the EnforcementConfig, and the node is as it was \
                    before nodeseal: set it to Enabled";

const FAILED: &str = "what was asked for failed on this node and nothing worked here before, so the \
                      node is as it was before nodeseal";

/// A condition without its time.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) r#type: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Found {
    fn new(
        r#type: &'static str,
        status: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self {
            r#type,
            status,
            reason,
            message,
        }
    }
}

/// `Detected`, `Applied`, `Enforcing` and `Ready`; and only while it is so, `Reconciling` where the node
/// is on its way, or `Stalled` where it needs a person. That is how kstatus reads conditions.
pub(super) fn of(report: &Report) -> Vec<Found> {
    let (status, reason, message) = report.detected.condition();
    let detected = match &report.silent {
        Some(why) => Found::new("Detected", "Unknown", "NoAnswer", why.clone()),
        None => Found::new("Detected", status, reason, message),
    };
    let applied = applied(report);
    let enforcing = enforcing(report);
    let ready = match (applied.status, enforcing.status) {
        ("True", "False") => Found::new(
            "Ready",
            "False",
            enforcing.reason,
            enforcing.message.clone(),
        ),
        ("True", _) => Found::new("Ready", "True", "Ready", applied.message.clone()),
        _ => Found::new("Ready", "False", applied.reason, applied.message.clone()),
    };
    let standing = standing(report, &applied, &ready);
    let mut all = vec![detected, applied, enforcing, ready];
    all.extend(standing);
    all
}

/// Whether a node that is not ready waits for something that comes by itself or is being done.
fn standing(report: &Report, applied: &Found, ready: &Found) -> Option<Found> {
    if ready.status == "True" {
        return None;
    }
    let waits = match &report.failure {
        Some((failure, _)) => matches!(failure, Failure::Pending | Failure::StaleImages),
        None => applied.status == "False",
    };
    let kind = if waits { "Reconciling" } else { "Stalled" };
    Some(Found::new(
        kind,
        "True",
        ready.reason,
        ready.message.clone(),
    ))
}

fn applied(report: &Report) -> Found {
    let found = |status, reason, message: &str| Found::new("Applied", status, reason, message);
    match (&report.failure, &report.pending) {
        (Some((failure, message)), _) => found("False", failure.as_str(), message),
        (None, Some(pending)) => found("False", "Pending", pending),
        (None, None) if report.left.is_some() => found("True", "Applied", LEFT),
        (None, None) => found("True", "Applied", "the policies in force are on the node"),
    }
}

fn enforcing(report: &Report) -> Found {
    let found = |status, reason, message: String| Found::new("Enforcing", status, reason, message);
    match report.left {
        Some(Left::Disabled) => return found("False", "Disabled", LEFT.to_owned()),
        Some(Left::Failed) => return found("False", "RolledBack", FAILED.to_owned()),
        None => {}
    }
    let proven = report
        .proven
        .as_ref()
        .filter(|proven| Some(&proven.bundle) == report.bundle.as_ref());
    match (proven.map(|proven| &proven.proof), &report.not_enforcing) {
        (Some(Proof::Enforcing), _) if let Some(why) = &report.silent => {
            found("Unknown", "NoAnswer", why.clone())
        }
        // What was seen goes before what was concluded.
        (Some(proof @ Proof::Enforcing), _) => found("True", "Enforcing", proof.to_string()),
        (Some(Proof::Unknown { .. }) | None, Some(why)) => {
            found("False", "NotEnforcing", why.clone())
        }
        (Some(proof @ Proof::Unknown { .. }), None) => {
            found("Unknown", proof.reason(), proof.to_string())
        }
        (Some(proof), why) => {
            let why = why.as_ref().map_or(String::new(), |why| format!("; {why}"));
            found("False", proof.reason(), format!("{proof}{why}"))
        }
        (None, None) => found("Unknown", "NotProbed", NOT_PROBED.to_owned()),
    }
}
