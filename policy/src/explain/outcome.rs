//! What happens to an image, in one word and in one line.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Coverage, Exemption, Relevant};
use crate::bundle::{Bundle, DefaultAction};
use crate::model::{PolicyId, Requirement};
use crate::scope::Scope;

/// What happens to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// It passes, whatever covers it.
    Exempt {
        /// The scope that says so.
        scope: Scope,
    },
    /// No enforcing policy covers it, or none that the runtime can express.
    Default {
        /// What happens then.
        action: DefaultAction,
    },
    /// It passes if every one of these policies passes. Never empty.
    Verify {
        /// By id.
        policies: Vec<PolicyId>,
    },
    /// It is refused, because the runtime cannot express these policies and their `onUnsupported`
    /// is `Reject`. Never empty.
    Reject {
        /// By id.
        policies: Vec<PolicyId>,
    },
    /// It is pulled, whatever the policies say: the runtime calls no verifier.
    Unchecked,
}

/// An outcome, and the same in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// For scripts.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// For people: what follows the image in a sentence.
    pub summary: String,
}

/// What the policies mean, apart from any runtime.
pub(super) fn meant(
    bundle: &Bundle,
    exemption: Option<&Exemption>,
    policies: &[Relevant],
) -> Verdict {
    let covering = policies
        .iter()
        .filter(|relevant| relevant.coverage == Coverage::Covers)
        .map(|relevant| relevant.id.clone())
        .collect();
    verdict(bundle, decided(bundle, exemption, covering))
}

/// What follows where these policies are enforced and nothing else is.
pub(super) fn decided(
    bundle: &Bundle,
    exemption: Option<&Exemption>,
    enforced: Vec<PolicyId>,
) -> Outcome {
    match exemption {
        Some(Exemption { scope, .. }) => Outcome::Exempt {
            scope: scope.clone(),
        },
        None if enforced.is_empty() => Outcome::Default {
            action: bundle.settings().default_action,
        },
        None => Outcome::Verify { policies: enforced },
    }
}

pub(super) fn verdict(bundle: &Bundle, outcome: Outcome) -> Verdict {
    let summary = match &outcome {
        Outcome::Exempt { scope } => format!("passes without a signature (`{scope}` is exempt)"),
        Outcome::Default {
            action: DefaultAction::Allow,
        } => "passes without a signature (no enforcing policy, default action Allow)".to_owned(),
        Outcome::Default {
            action: DefaultAction::Reject,
        } => "is refused (no enforcing policy, default action Reject)".to_owned(),
        Outcome::Verify { policies } => {
            let conditions = policies.iter().filter_map(|id| {
                let signers = signers(bundle.policy(id)?.requirement());
                Some(format!("signed by {signers} (policy `{id}`)"))
            });
            format!("passes if: {}", conditions.collect::<Vec<_>>().join("; "))
        }
        Outcome::Reject { policies } => {
            let names: Vec<String> = policies.iter().map(|id| format!("`{id}`")).collect();
            let names = names.join(", ");
            format!(
                "is refused (this runtime cannot express {names}, where onUnsupported is Reject)"
            )
        }
        Outcome::Unchecked => "passes unchecked (this runtime calls no verifier)".to_owned(),
    };
    Verdict { outcome, summary }
}

/// `a`; `a` or `b`; `a` and `b`; 2 of `a`, `b`, `c`.
fn signers(requirement: &Requirement) -> String {
    let names: Vec<String> = requirement
        .authorities()
        .iter()
        .map(|authority| format!("`{}`", authority.name()))
        .collect();
    let threshold = requirement.threshold();
    if threshold == names.len() {
        return enumerate(&names, "and");
    }
    if threshold == 1 {
        return enumerate(&names, "or");
    }
    format!("{threshold} of {}", names.join(", "))
}

/// `a, b and c`.
pub(super) fn enumerate(parts: &[String], word: &str) -> String {
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        let before = match index {
            0 => "",
            _ if index + 1 == parts.len() => &format!(" {word} "),
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{before}{part}");
    }
    text
}
