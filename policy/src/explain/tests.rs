use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::authority::{TrustRootRef, TrustRoots};
use crate::bundle::Settings;
use crate::capability::crio::express;
use crate::crio::document::{PolicyJson, Rule};
use crate::crio::render;
use crate::flatten::tests::{any_bundle, any_image, cases};
use crate::flatten::{self, flatten};
use crate::identity::{SignedIdentity, UnnamedSignatures};
use crate::model::{Mode, OnUnsupported, Policy, PolicyDraft};
use crate::problem::Reason;
use crate::testing::{KEYS, authority, certified, draft, keyless, named, policy, public_good};
use crate::version::Version;

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

#[test]
fn every_kind_of_authority_is_told_in_plain_words() {
    let mut draft = draft("p", &["a.example"], &[]);
    let rotation = format!("{}{}", KEYS[1], KEYS[2]);
    draft.requirement.authorities = vec![
        authority("a-key", KEYS[0]),
        keyless("b-ci", &ROOT.0, ISSUER, WORKFLOW),
        certified("c-pki", "build@corp.example"),
        authority("d-keys", &rotation),
    ];
    draft.requirement.threshold = 2;
    let explanation = of([made(draft)], "a.example/app:v1");
    let demand = &explanation.policies[0].demand;
    assert_eq!(demand.words, "2 of 4 authorities must have signed");
    assert_eq!(
        explanation.verdict.summary,
        "passes if: signed by 2 of `a-key`, `b-ci`, `c-pki`, `d-keys` (policy `p`)"
    );
    let words = |index: usize| demand.authorities[index].words.join("\n");
    assert!(
        words(0).starts_with("key ECDSA P-256 sha256:"),
        "{}",
        words(0)
    );
    assert_eq!(
        words(1),
        format!(
            "identity {WORKFLOW}, vouched for by {ISSUER}\ncertified, and logged, by the trust root `sigstore`"
        )
    );
    assert!(
        words(2).starts_with("a certificate for the e-mail address build@corp.example\nroot "),
        "{}",
        words(2)
    );
    assert!(words(2).contains(" sha256:"), "{}", words(2));
    assert!(
        words(3).starts_with("any one of 2 keys:\n- ECDSA P-256 sha256:"),
        "{}",
        words(3)
    );

    let json = serde_json::to_value(demand).unwrap();
    assert_eq!(
        json["authorities"][0]["key"]["keys"][0]["kind"],
        "ECDSA P-256"
    );
    let keyless = &json["authorities"][1]["keyless"];
    assert_eq!(keyless["identities"][0]["issuer"], ISSUER);
    assert_eq!(keyless["trustRoot"]["name"], "sigstore");
    let certificate = &json["authorities"][2]["certificate"];
    assert_eq!(certificate["subject"]["email"], "build@corp.example");
    assert!(
        certificate["roots"][0]["fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
}

#[test]
fn expressions_claims_and_logs_are_told_too() {
    use crate::authority::{AuthorityDraft, SignerDraft};
    use crate::keyless::{IdentityDraft, PatternDraft};
    let mut draft = draft("p", &["a.example"], &[]);
    let identity = IdentityDraft {
        issuer: PatternDraft::Exact(ISSUER.to_owned()),
        subject: PatternDraft::RegExp("https://github\\.com/acme/.*".to_owned()),
        claims: [("runnerEnvironment".to_owned(), "github-hosted".to_owned())].into(),
    };
    let ci = SignerDraft::Keyless {
        trust_root: ROOT.0.clone(),
        identities: vec![identity],
    };
    let key = SignerDraft::Key {
        keys: KEYS[0].to_owned(),
        transparency_log: Some(ROOT.0.clone()),
    };
    let named = |name: &str, signer| AuthorityDraft {
        name: name.to_owned(),
        signer,
    };
    draft.requirement.authorities = vec![named("ci", ci), named("key", key)];
    let explanation = of([made(draft)], "a.example/app:v1");
    let demand = &explanation.policies[0].demand;
    assert_eq!(demand.words, "one of 2 authorities must have signed");
    assert_eq!(
        demand.authorities[0].words[0],
        format!(
            "identity like https://github\\.com/acme/.*, vouched for by {ISSUER}, with runnerEnvironment=github-hosted"
        )
    );
    assert_eq!(
        demand.authorities[1].words[1],
        "with an entry in a transparency log of the trust root `sigstore`"
    );
    let json = serde_json::to_value(demand).unwrap();
    let identity = &json["authorities"][0]["keyless"]["identities"][0];
    assert_eq!(identity["subjectRegExp"], "https://github\\.com/acme/.*");
    assert_eq!(identity["subject"], serde_json::Value::Null);
    assert_eq!(identity["claims"]["runnerEnvironment"], "github-hosted");
    assert_eq!(
        json["authorities"][1]["key"]["transparencyLog"]["name"],
        "sigstore"
    );
}

#[test]
fn the_name_that_is_told_is_one_that_a_signature_may_carry() {
    let digest = crate::digest::Digest::of(b"x");
    let remapped = SignedIdentity::RemapIdentity {
        prefix: "a.example/mirror".to_owned(),
        signed_prefix: "b.example".to_owned(),
    };
    let exact = SignedIdentity::ExactRepository {
        repository: "b.example/app".to_owned(),
    };
    let any = |unnamed| SignedIdentity::MatchRepository { unnamed };
    for (identity, image, named, wanted) in [
        (
            any(UnnamedSignatures::Accept),
            "a.example/app:v1",
            "a.example/app",
            "a.example/app, with any tag or none; one that names only the digest passes",
        ),
        (
            any(UnnamedSignatures::Refuse),
            "a.example/app:v1",
            "a.example/app:v2",
            "a.example/app, with any tag or none; one that names only the digest is refused",
        ),
        (
            exact,
            "a.example/app:v1",
            "b.example/app",
            "b.example/app, with any tag or none",
        ),
        (
            SignedIdentity::MatchRepoDigestOrExact,
            "a.example/app:v1",
            "a.example/app:v1",
            "a.example/app:v1, with this tag",
        ),
        (
            SignedIdentity::MatchRepoDigestOrExact,
            &format!("a.example/app@{digest}"),
            "a.example/app:v1",
            "a.example/app, with a tag or digest",
        ),
        (
            remapped.clone(),
            "a.example/mirror/app:v1",
            "b.example/app:v1",
            "b.example/app:v1, with this tag",
        ),
        (
            remapped,
            "a.example/mirrored/app:v1",
            "a.example/mirrored/app:v1",
            "a.example/mirrored/app:v1, with this tag",
        ),
    ] {
        let mut draft = draft("p", &["a.example"], &[]);
        draft.requirement.signed_identity = identity.clone();
        let explanation = of([made(draft)], image);
        let words = &explanation.policies[0].demand.identity_words;
        assert_eq!(words, &format!("the signature must name {wanted}"));
        let image = Reference::parse(image).unwrap();
        assert_eq!(identity.accepts(&image, Some(named)), Ok(()), "{named}");
    }
}

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
