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
