//! From what a runtime leaves out to the policies that it cannot enforce: each once, whatever the
//! number of things that stand in its way.

use std::collections::BTreeMap;

use policy::aggregate::severity;
use policy::files::Diagnostic;

use super::UnsupportedPolicy;

/// The worst first, then by namespace and name. The message says everything, the worst first.
pub(super) fn of(diagnostics: &[Diagnostic]) -> Vec<UnsupportedPolicy> {
    let worst_first = |diagnostic: &&Diagnostic| severity(diagnostic.reason.as_str());
    let mut of_policy: BTreeMap<(Option<&str>, &str), Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in diagnostics {
        let id = (diagnostic.namespace.as_deref(), diagnostic.policy.as_str());
        of_policy.entry(id).or_default().push(diagnostic);
    }
    let mut policies = Vec::new();
    for ((namespace, policy), mut limits) in of_policy {
        limits.sort_by_key(worst_first);
        let words: Vec<String> = limits.iter().map(|limit| limit.words()).collect();
        policies.extend(limits.first().map(|worst| UnsupportedPolicy {
            policy: policy.to_owned(),
            namespace: namespace.map(str::to_owned),
            reason: worst.reason.to_string(),
            message: words.join("; "),
        }));
    }
    policies.sort_by_key(|policy| severity(&policy.reason));
    policies
}

#[cfg(test)]
mod tests {
    use policy::problem::Reason;

    use super::*;
    use crate::testing::id;

    #[test]
    fn a_policy_counts_once_and_says_everything_that_stands_in_its_way() {
        let of_field = |policy: &str, authority: &str, field: &str| Diagnostic {
            authority: Some(authority.to_owned()),
            field: field.to_owned(),
            ..Diagnostic::of(&id(policy), Reason::NotExpressible, "why".to_owned())
        };
        let diagnostics = [
            of_field("b", "ci", "keyless.identities"),
            of_field("a", "x", ""),
            of_field("b", "pki", "certificate"),
        ];
        let found = super::of(&diagnostics);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|policy| (policy.policy.as_str(), policy.message.as_str()))
            .collect();
        let wanted = [
            ("a", "authority `x`: why"),
            (
                "b",
                "authority `ci`, keyless.identities: why; authority `pki`, certificate: why",
            ),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn the_worst_stands_first() {
        let of = |policy: &str, reason| Diagnostic::of(&id(policy), reason, reason.to_string());
        let found = super::of(&[
            of("a", Reason::AuditUnsupported),
            of("b", Reason::AuditUnsupported),
            of("b", Reason::NotEnforcing),
        ]);
        assert_eq!(
            (found[0].policy.as_str(), found[0].reason.as_str()),
            ("b", "NotEnforcing")
        );
        assert_eq!(found[0].message, "NotEnforcing; AuditUnsupported");
    }
}
