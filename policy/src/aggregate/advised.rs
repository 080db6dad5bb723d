//! Advice in conditions. A warning never makes a policy less ready, so it has no condition of its own:
//! it stands in the message of `Accepted`.

use super::Summary;
use super::conditions::{ConditionType, Truth};
use crate::advice::Advice;

/// The most pieces of advice that a message has.
pub const MAX_ADVICE: usize = 5;

/// What follows a message: nothing, or how many warnings there are and the first [`MAX_ADVICE`].
#[must_use]
pub fn warnings(all: &[Advice]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let first = all.iter().take(MAX_ADVICE);
    let first: Vec<String> = first
        .map(|advice| format!("{} at {}: {}", advice.word, advice.field, advice.message))
        .collect();
    let more = match all.len() - first.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let (count, plural) = (all.len(), if all.len() == 1 { "" } else { "s" });
    format!("; {count} warning{plural}: {}{more}", first.join("; "))
}

impl Summary {
    /// Says it in `Accepted`, where that is true.
    #[must_use]
    pub fn advised(mut self, all: &[Advice]) -> Self {
        let mut conditions = self.conditions.iter_mut();
        let accepted = conditions.find(|condition| condition.kind == ConditionType::Accepted);
        if let Some(accepted) = accepted.filter(|accepted| accepted.status == Truth::True) {
            accepted.finding.message.push_str(&warnings(all));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason;
    use super::*;
    use crate::advice::{Advice, Word};
    use crate::problem::Reason;

    fn advice(field: &str) -> Advice {
        Advice {
            field: field.to_owned(),
            word: Word::TagScope,
            message: "mend it".to_owned(),
        }
    }

    #[test]
    fn the_first_warnings_are_said_and_the_rest_counted() {
        assert_eq!(warnings(&[]), "");
        let one = warnings(&[advice("a")]);
        assert_eq!(one, "; 1 warning: TagScope at a: mend it");
        let many: Vec<Advice> = (0..7).map(|n| advice(&format!("f{n}"))).collect();
        let said = warnings(&many);
        assert!(said.starts_with("; 7 warnings: TagScope at f0: mend it; TagScope at f1"));
        assert!(
            said.ends_with("TagScope at f4: mend it; and 2 more"),
            "{said}"
        );
        assert_eq!(said.matches("TagScope").count(), MAX_ADVICE);
    }

    #[test]
    fn the_table_of_docs_has_every_reason_of_a_policy() {
        let text = include_str!("../../../docs/conditions.md");
        let own = [
            reason::VALID,
            reason::RESOLVED,
            reason::TRUST_ROOT_NOT_READY,
            reason::NOT_READ,
            reason::COMPATIBLE,
            reason::RUNTIME_UNKNOWN,
            reason::PROGRAMMED,
            reason::NO_NODES,
            reason::ROLLING_OUT,
            reason::NODES_FAILED,
            reason::ROLLOUT_HALTED,
            reason::READY,
            reason::CONFIG_DELETED,
        ];
        let problems = [
            Reason::Invalid,
            Reason::InvalidScope,
            Reason::InvalidKey,
            Reason::InvalidCertificate,
            Reason::InvalidRegExp,
            Reason::NotFound,
            Reason::NotPermitted,
            Reason::NotEnforcing,
            Reason::NotExpressible,
            Reason::NamespacedUnsupported,
            Reason::AuditUnsupported,
            Reason::TooLarge,
        ];
        for word in own.into_iter().chain(problems.map(Reason::as_str)) {
            assert!(text.contains(&format!("`{word}`")), "{word}");
        }
        let kinds = [
            ConditionType::Accepted,
            ConditionType::Resolved,
            ConditionType::Compatible,
            ConditionType::Programmed,
            ConditionType::Ready,
            ConditionType::Reconciling,
            ConditionType::Stalled,
        ];
        for kind in kinds {
            assert!(text.contains(&format!("`{}`", kind.as_str())), "{kind:?}");
        }
    }
}
