//! The answer to a pull, and what it says of policies in audit mode.

use policy::model::PolicyId;
use serde_json::json;

use super::Subject;
use crate::evaluate::{PolicyVerdict, Verdict};
use crate::reason::{MAX_LINE, Reason, Refusal, bounded};

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

    pub(super) fn allow(why: &str, context: &str) -> Self {
        let line = bounded(&format!("nodeseal: allowed: {why} [{context}]"), MAX_LINE);
        Self {
            refusal: None,
            line,
            diagnostics: Vec::new(),
            verdict: None,
            cached: false,
        }
    }

    /// With a line on each of these policies in audit mode.
    pub(super) fn with_audits(
        mut self,
        subject: &Subject,
        audits: impl IntoIterator<Item = PolicyVerdict>,
    ) -> Self {
        let audits = audits.into_iter();
        let lines = audits.map(|audit| audit_line(subject, &audit));
        self.diagnostics.extend(lines);
        self
    }
}

/// Of a policy in audit mode, that nobody waited for it.
pub(super) fn unfinished(policy: &PolicyId) -> PolicyVerdict {
    let message = "not finished: time was up, and a pull waits no longer for an audit";
    PolicyVerdict {
        policy: policy.clone(),
        signed_by: Vec::new(),
        refusal: Some(Refusal::new(Reason::TimedOut, message)),
        valid_until: None,
    }
}

/// One structured line on what a policy in audit mode would have done.
fn audit_line(subject: &Subject, verdict: &PolicyVerdict) -> String {
    let refusal = verdict.refusal.as_ref();
    let would = match refusal.map(|refusal| refusal.reason) {
        None => "allow",
        // It was not finished, or could not be begun.
        Some(Reason::TimedOut | Reason::PolicyError) => "unknown",
        Some(_) => "refuse",
    };
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
