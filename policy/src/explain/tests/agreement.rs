//! What is told is what the verifier and CRI-O do.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::capability::crio::express;
use crate::crio::document::PolicyJson;
use crate::crio::render;
use crate::flatten::tests::{any_bundle, any_image, cases};
use crate::flatten::{self, flatten};

/// The bundle with some policies made namespaced, or made such that CRI-O cannot express them.
fn varied(bundle: &Bundle, dice: &[u8]) -> Bundle {
    let policies = bundle.policies().zip(dice).map(|(policy, die)| {
        let mut draft = PolicyDraft::from(policy.clone());
        let namespace = ["", "", "team", "other"][usize::from(die % 4)];
        if !namespace.is_empty() {
            draft.id = PolicyId::Namespaced {
                namespace: namespace.to_owned(),
                name: draft.id.name().to_owned(),
            };
        } else if die & 4 != 0 {
            draft.on_unsupported = OnUnsupported::Reject;
        }
        draft.requirement.authorities = match (die / 8) % 4 {
            0 => vec![keyless("ci", &ROOT.0, ISSUER, WORKFLOW)],
            1 => vec![authority("a", KEYS[1]), authority("b", KEYS[2])],
            2 => vec![authority("a", KEYS[2])],
            _ => draft.requirement.authorities,
        };
        made(draft)
    });
    Bundle::new(bundle.settings().clone(), policies.collect::<Vec<_>>())
}

/// The rules of the file that CRI-O reads for a pull of this namespace.
fn decided_by_crio(
    bundle: &Bundle,
    namespace: Option<&str>,
    image: &Reference,
    version: Version,
) -> Vec<Rule> {
    let facts = packaged_crio(version);
    let rendered = render::render(bundle, &NodeFacts::default(), &facts);
    let own = namespace.and_then(|namespace| rendered.namespaces.get(namespace));
    let document = match own.or(rendered.policy.as_ref()) {
        Some(file) => PolicyJson::parse(&file.bytes).unwrap(),
        None => facts.base,
    };
    document.docker_rules(&image.lookup()).as_slice().to_vec()
}

/// What a verdict makes of signatures, as the rules that CRI-O would need for it.
fn as_rules(bundle: &Bundle, outcome: &Outcome, version: Version) -> BTreeSet<String> {
    let rules = match outcome {
        Outcome::Exempt { .. }
        | Outcome::Default {
            action: DefaultAction::Allow,
        } => vec![Rule::InsecureAcceptAnything {}],
        Outcome::Default { .. } | Outcome::Reject { .. } => vec![Rule::Reject {}],
        Outcome::Verify { policies } => {
            let of = |id| express(bundle.policy(id).unwrap(), version).unwrap();
            policies.iter().flat_map(of).collect()
        }
        Outcome::Unchecked => panic!("CRI-O always asks"),
    };
    texts(&rules)
}

fn texts(rules: &[Rule]) -> BTreeSet<String> {
    rules
        .iter()
        .map(|rule| serde_json::to_string(rule).unwrap())
        .collect()
}

/// As the verifier's table puts it.
fn as_table(outcome: &flatten::Outcome<'_>) -> Outcome {
    match outcome {
        flatten::Outcome::Exempt => Outcome::Exempt {
            scope: Scope::parse("any.example").unwrap(),
        },
        flatten::Outcome::Refused => panic!("nothing of a node's is explained"),
        flatten::Outcome::Default(action) => Outcome::Default { action: *action },
        flatten::Outcome::Verify(policies) => Outcome::Verify {
            policies: policies.iter().map(|(id, _)| (*id).clone()).collect(),
        },
    }
}

/// The table does not say which scope exempts.
fn without_scope(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Exempt { .. } => as_table(&flatten::Outcome::Exempt),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_the_compiled_forms_decide(
        drawn in any_bundle(),
        dice in prop::collection::vec(any::<u8>(), 5),
        name in any_image(),
        namespace in select(vec![None, Some("team"), Some("none")]),
        minor in select(vec![24, 25, 30, 31, 32, 38]),
    ) {
        let bundle = varied(&drawn, &dice);
        let image = Reference::parse(&name).unwrap();
        let version = Version::new(1, minor, 0);
        let node = NodeFacts::default();
        let explanation = explain(&bundle, &node, &image, namespace, &[Runtime::Crio(version), CONTAINERD]);
        let [crio, containerd] = &explanation.runtimes[..] else { panic!("two were asked") };

        let flat = flatten(&bundle, &node);
        let decision = flat.decide(&image);
        prop_assert_eq!(without_scope(&containerd.verdict.outcome), as_table(&decision.outcome));
        let reporting: Vec<&PolicyId> = containerd.policies.iter()
            .filter(|policy| policy.does == Does::Reports).map(|policy| &policy.id).collect();
        let audit: Vec<&PolicyId> = decision.audit.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(reporting, audit);

        let rules = decided_by_crio(&bundle, namespace, &image, version);
        prop_assert_eq!(as_rules(&bundle, &crio.verdict.outcome, version), texts(&rules));
        let Some(Compiled::Rules { rules: told, .. }) = &crio.compiled else { panic!("CRI-O has rules") };
        prop_assert_eq!(told.as_slice(), &rules[..]);

        // Of cluster policies alone the meaning is that of the table.
        if explanation.policies.iter().all(|policy| policy.id.namespace().is_none()) {
            prop_assert_eq!(without_scope(&explanation.verdict.outcome), as_table(&decision.outcome));
        }
    }
}
