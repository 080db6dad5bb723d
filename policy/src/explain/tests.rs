use std::sync::LazyLock;

use super::*;
use crate::authority::{TrustRootRef, TrustRoots};
use crate::bundle::Settings;
use crate::crio::document::Rule;
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::model::{Mode, OnUnsupported, Policy, PolicyDraft};
use crate::problem::Reason;
use crate::testing::{KEYS, authority, certified, draft, keyless, named, policy, public_good};
use crate::version::Version;

mod agreement;
mod words;

const CRIO: Runtime = Runtime::Crio(Version::new(1, 34, 0));
const CONTAINERD: Runtime = Runtime::Containerd(None);
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const WORKFLOW: &str = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1";

static ROOT: LazyLock<(TrustRootRef, TrustRoots)> = LazyLock::new(|| named(&public_good()));

fn made(draft: PolicyDraft) -> Policy {
    Policy::new(draft, &ROOT.1).unwrap()
}

fn namespaced(namespace: &str, name: &str, scopes: &[&str]) -> Policy {
    let mut draft = draft(name, scopes, &[]);
    draft.id = PolicyId::Namespaced {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    made(draft)
}

/// One that CRI-O cannot express.
fn by_workflow(name: &str, scopes: &[&str], on_unsupported: OnUnsupported) -> Policy {
    let mut draft = draft(name, scopes, &[]);
    draft.on_unsupported = on_unsupported;
    draft.requirement.authorities = vec![keyless("ci", &ROOT.0, ISSUER, WORKFLOW)];
    made(draft)
}

fn audit(name: &str, scopes: &[&str]) -> Policy {
    let mut draft = draft(name, scopes, &[]);
    draft.requirement.mode = Mode::Audit;
    made(draft)
}

fn settings(default_action: DefaultAction, exempt: &[&str]) -> Settings {
    Settings {
        default_action,
        exempt_images: exempt
            .iter()
            .map(|text| Scope::parse(text).unwrap())
            .collect(),
        ..Settings::default()
    }
}

fn asked(bundle: &Bundle, image: &str, namespace: Option<&str>) -> Explanation {
    let image = Reference::parse(image).unwrap();
    let runtimes = [CRIO, CONTAINERD];
    explain(bundle, &NodeFacts::default(), &image, namespace, &runtimes)
}

fn of(policies: impl IntoIterator<Item = Policy>, image: &str) -> Explanation {
    asked(&Bundle::new(Settings::default(), policies), image, None)
}

/// Per policy what it is to the image, and by which scope.
fn coverage(explanation: &Explanation) -> Vec<(String, Coverage, &str)> {
    let of = |it: &Relevant| it.id.to_string();
    let policies = explanation.policies.iter();
    policies
        .map(|it| (of(it), it.coverage, it.scope.as_str()))
        .collect()
}

/// What the two runtimes do about the only policy that applies.
fn does(explanation: &Explanation) -> [Does; 2] {
    [0, 1].map(|index| explanation.runtimes[index].policies[0].does)
}

#[test]
fn the_most_specific_scope_of_a_policy_is_the_one_that_is_told() {
    let explanation = of(
        [policy(
            "p",
            &["a.example", "a.example/team", "*.example"],
            &[],
        )],
        "a.example/team/app:v1",
    );
    assert_eq!(
        coverage(&explanation),
        [("p".into(), Coverage::Covers, "a.example/team")]
    );
    assert_eq!(
        explanation.verdict.summary,
        "passes if: signed by `a` (policy `p`)"
    );
    assert_eq!(
        explanation.lookup,
        [
            "a.example/team/app:v1",
            "a.example/team/app",
            "a.example/team",
            "a.example",
            "*.example"
        ]
    );
}

#[test]
fn each_policy_is_told_by_what_it_is_to_the_image() {
    let bundle = Bundle::new(
        Settings::default(),
        [
            policy("covers", &["a.example"], &[]),
            policy(
                "excluded",
                &["a.example"],
                &["a.example/team", "a.example/team/app"],
            ),
            audit("watches", &["*.example"]),
            policy("unrelated", &["b.example"], &[]),
            namespaced("team", "own", &["a.example/team"]),
            namespaced("other", "theirs", &["a.example/team"]),
        ],
    );
    let explanation = asked(&bundle, "a.example/team/app", Some("team"));
    let expected = [
        ("covers", Coverage::Covers, "a.example"),
        ("excluded", Coverage::Excluded, "a.example"),
        ("watches", Coverage::Audit, "*.example"),
        ("other/theirs", Coverage::OtherNamespace, "a.example/team"),
        ("team/own", Coverage::Covers, "a.example/team"),
    ];
    assert_eq!(
        coverage(&explanation),
        expected.map(|(id, is, by)| (id.to_owned(), is, by))
    );
    let exclude = explanation.policies[1].exclude.as_ref().unwrap();
    assert_eq!(exclude.as_str(), "a.example/team/app");
    assert_eq!(explanation.unrelated, 1);
    assert_eq!(
        explanation.verdict.summary,
        "passes if: signed by `a` (policy `covers`); signed by `a` (policy `team/own`)"
    );
    let [crio, containerd] = [0, 1].map(|index| &explanation.runtimes[index].verdict.summary);
    assert_eq!(crio, &explanation.verdict.summary);
    assert_eq!(containerd, "passes if: signed by `a` (policy `covers`)");
}

#[test]
fn without_a_namespace_no_namespaced_policy_takes_part() {
    let explanation = of([namespaced("team", "own", &["a.example"])], "a.example/app");
    assert_eq!(coverage(&explanation)[0].1, Coverage::OtherNamespace);
    let allowed = Outcome::Default {
        action: DefaultAction::Allow,
    };
    assert_eq!(explanation.verdict.outcome, allowed);
    let summary = "passes without a signature (no enforcing policy, default action Allow)";
    assert_eq!(explanation.verdict.summary, summary);
    assert_eq!(explanation.runtimes[0].verdict.outcome, allowed);
    let Some(Compiled::Rules { file: None, .. }) = explanation.runtimes[0].compiled else {
        panic!("{explanation:?}")
    };
}

#[test]
fn an_exempt_image_passes_whatever_covers_it_and_who_says_so_is_told() {
    let bundle = Bundle::new(
        settings(DefaultAction::Reject, &["a.example/tools"]),
        [policy("p", &["a.example"], &[])],
    );
    let explanation = asked(&bundle, "a.example/tools/x:1", None);
    let exemption = explanation.exemption.as_ref().unwrap();
    assert_eq!(
        (exemption.scope.as_str(), exemption.by),
        ("a.example/tools", ExemptBy::ExemptImages)
    );
    let summary = "passes without a signature (`a.example/tools` is exempt)";
    for verdict in explanation
        .runtimes
        .iter()
        .map(|it| &it.verdict)
        .chain([&explanation.verdict])
    {
        assert_eq!(verdict.summary, summary);
    }
    assert!(explanation.runtimes.iter().all(|it| it.policies.is_empty()));

    let node = NodeFacts {
        exempt: [Scope::parse("registry.k8s.io/pause:3.10").unwrap()].into(),
        ..NodeFacts::default()
    };
    let pause = Reference::parse("registry.k8s.io/pause:3.10").unwrap();
    let by = explain(&bundle, &node, &pause, None, &[CRIO])
        .exemption
        .unwrap()
        .by;
    assert_eq!(by, ExemptBy::Node);
}

#[test]
fn what_no_enforcing_policy_covers_is_refused_where_the_default_is_reject() {
    let bundle = Bundle::new(
        settings(DefaultAction::Reject, &[]),
        [audit("watches", &["a.example"])],
    );
    let explanation = asked(&bundle, "a.example/app", None);
    let summary = "is refused (no enforcing policy, default action Reject)";
    for verdict in explanation
        .runtimes
        .iter()
        .map(|it| &it.verdict)
        .chain([&explanation.verdict])
    {
        assert_eq!(verdict.summary, summary);
    }
    assert_eq!(does(&explanation), [Does::LeavesOut, Does::Reports]);
}

#[test]
fn a_policy_that_crio_cannot_express_is_left_out_there_or_refuses() {
    let ignoring = of(
        [by_workflow("ci", &["a.example"], OnUnsupported::Ignore)],
        "a.example/x",
    );
    assert_eq!(does(&ignoring), [Does::LeavesOut, Does::Enforces]);
    let on_crio = &ignoring.runtimes[0];
    assert_eq!(
        on_crio.policies[0].capability.prevents[0].reason,
        Reason::NotExpressible
    );
    assert_eq!(
        on_crio.verdict.summary,
        "passes without a signature (no enforcing policy, default action Allow)"
    );

    let rejecting = of(
        [by_workflow("ci", &["a.example"], OnUnsupported::Reject)],
        "a.example/x",
    );
    assert_eq!(does(&rejecting), [Does::Rejects, Does::Enforces]);
    assert_eq!(
        rejecting.runtimes[0].verdict.summary,
        "is refused (this runtime cannot express `ci`, where onUnsupported is Reject)"
    );
    let Some(Compiled::Rules { rules, scope, .. }) = &rejecting.runtimes[0].compiled else {
        panic!("{rejecting:?}")
    };
    assert_eq!(
        (rules.as_slice(), scope.as_deref()),
        (&[Rule::Reject {}][..], Some("a.example"))
    );
}

#[test]
fn a_containerd_that_calls_no_verifier_pulls_everything() {
    let bundle = Bundle::new(
        settings(DefaultAction::Reject, &[]),
        [by_workflow("ci", &["a.example"], OnUnsupported::Reject)],
    );
    let image = Reference::parse("a.example/x").unwrap();
    let old = Runtime::Containerd(Some(Version::new(2, 0, 4)));
    let explanation = explain(&bundle, &NodeFacts::default(), &image, None, &[old]);
    let on_old = &explanation.runtimes[0];
    assert_eq!(on_old.verdict.outcome, Outcome::Unchecked);
    assert_eq!(
        on_old.verdict.summary,
        "passes unchecked (this runtime calls no verifier)"
    );
    assert_eq!(on_old.policies[0].does, Does::LeavesOut);
    assert_eq!(on_old.compiled, None);
    assert!(on_old.note.as_ref().unwrap().contains("containerd 2.0.4"));
}

#[test]
fn the_entry_that_decides_is_told_for_each_runtime() {
    let bundle = Bundle::new(
        settings(DefaultAction::Allow, &[]),
        [
            policy("wide", &["a.example"], &[]),
            namespaced("team", "own", &["a.example/x"]),
        ],
    );
    let compiled = |namespace| {
        let explanation = asked(&bundle, "a.example/x/y:1", namespace);
        let mut value = serde_json::to_value(&explanation.runtimes).unwrap();
        value[0]["compiled"]["rules"] = value[0]["compiled"]["rules"]
            .as_array()
            .unwrap()
            .len()
            .into();
        [value[0]["compiled"].clone(), value[1]["compiled"].clone()]
    };
    let containerd = serde_json::json!({
        "file": "/etc/nodeseal/verifier/policy.json",
        "scope": "a.example", "action": "Verify", "policies": ["wide"],
    });
    let cluster = serde_json::json!({
        "file": "/etc/crio/policy.json", "scope": "a.example", "rules": 1,
    });
    assert_eq!(compiled(None), [cluster.clone(), containerd.clone()]);
    assert_eq!(compiled(Some("another")), [cluster, containerd.clone()]);
    // Both policies have the same rule here, which stands there once.
    let of_team = serde_json::json!({
        "file": "/etc/crio/policies/team.json", "scope": "a.example/x", "rules": 1,
    });
    assert_eq!(compiled(Some("team")), [of_team, containerd]);
}
