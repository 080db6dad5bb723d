use proptest::prelude::*;
use proptest::sample::{Index as Pick, select, subsequence};

use super::*;
use crate::bundle::Settings;
use crate::testing::{draft, policy};

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn image(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

fn table(policies: Vec<Policy>, settings: Settings) -> Flat {
    flatten(&Bundle::new(settings, policies), &NodeFacts::default())
}

/// The names of the enforcing policies that decide about an image.
fn verified_by(flat: &Flat, name: &str) -> Vec<String> {
    match flat.decide(&image(name)).outcome {
        Outcome::Verify(policies) => policies.iter().map(|(id, _)| id.to_string()).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

fn audit(name: &str, scopes: &[&str]) -> Policy {
    let mut draft = draft(name, scopes, &[]);
    draft.requirement.mode = Mode::Audit;
    Policy::try_from(draft).unwrap()
}

#[test]
fn a_narrower_policy_adds_to_a_wider_one_and_never_replaces_it() {
    let flat = table(
        vec![
            policy("wide", &["*.example.com"], &[]),
            policy("narrow", &["reg.example.com/app"], &[]),
        ],
        Settings::default(),
    );
    assert_eq!(
        verified_by(&flat, "reg.example.com/app:v1"),
        ["narrow", "wide"]
    );
    assert_eq!(verified_by(&flat, "reg.example.com/other"), ["wide"]);
}

#[test]
fn an_exclude_wins_over_a_narrower_scope_of_the_same_policy() {
    let flat = table(
        vec![policy(
            "p",
            &["a.example", "a.example/x/y"],
            &["a.example/x"],
        )],
        Settings::default(),
    );
    assert_eq!(
        flat.decide(&image("a.example/x/y")).outcome,
        Outcome::Default(DefaultAction::Allow)
    );
    assert_eq!(verified_by(&flat, "a.example/z"), ["p"]);
}

#[test]
fn an_exemption_wins_over_every_policy() {
    let settings = Settings {
        default_action: DefaultAction::Reject,
        exempt_images: [scope("a.example/tools")].into(),
        ..Settings::default()
    };
    let flat = table(
        vec![policy("p", &["a.example", "a.example/tools/x"], &[])],
        settings,
    );
    assert_eq!(
        flat.decide(&image("a.example/tools/x:1")).outcome,
        Outcome::Exempt
    );
    assert_eq!(verified_by(&flat, "a.example/toolsmith"), ["p"]);
}

#[test]
fn images_that_no_enforcing_policy_covers_get_the_default_action() {
    let reject = Settings {
        default_action: DefaultAction::Reject,
        exempt_images: BTreeSet::default(),
        ..Settings::default()
    };
    let flat = table(
        vec![
            policy("p", &["a.example"], &["a.example/x"]),
            audit("watch", &["b.example"]),
        ],
        reject,
    );
    let rejected = Outcome::Default(DefaultAction::Reject);
    assert_eq!(flat.decide(&image("c.example/x")).outcome, rejected);
    assert_eq!(flat.decide(&image("a.example/x")).outcome, rejected);
    let watched = flat.decide(&image("b.example/x"));
    assert_eq!(watched.outcome, rejected);
    assert_eq!(watched.audit.len(), 1);
}

#[test]
fn an_audit_policy_beside_an_enforcing_one_only_reports() {
    let flat = table(
        vec![
            policy("p", &["a.example"], &[]),
            audit("watch", &["a.example/x"]),
        ],
        Settings::default(),
    );
    let decision = flat.decide(&image("a.example/x"));
    assert_eq!(verified_by(&flat, "a.example/x"), ["p"]);
    assert_eq!(decision.audit[0].0.name(), "watch");
}

#[test]
fn the_port_443_written_out_changes_nothing() {
    let flat = table(
        vec![policy("p", &["a.example/x"], &["a.example/x/y"])],
        Settings::default(),
    );
    assert_eq!(verified_by(&flat, "a.example:443/x"), ["p"]);
    let excluded = flat.decide(&image("a.example:443/x/y"));
    assert_eq!(excluded.outcome, Outcome::Default(DefaultAction::Allow));
}

#[test]
fn the_nodes_own_images_are_exempt() {
    let bundle = Bundle::new(Settings::default(), [policy("p", &["*.k8s.io"], &[])]);
    let facts = NodeFacts {
        exempt: [scope("registry.k8s.io/pause:3.10")].into(),
        ..NodeFacts::default()
    };
    let flat = flatten(&bundle, &facts);
    assert_eq!(
        flat.decide(&image("registry.k8s.io/pause:3.10")).outcome,
        Outcome::Exempt
    );
    assert_eq!(verified_by(&flat, "registry.k8s.io/pause:3.9"), ["p"]);
}

#[test]
fn a_namespaced_policy_never_reaches_the_cluster_table() {
    let mut draft = draft("p", &["a.example"], &[]);
    draft.id = PolicyId::Namespaced {
        namespace: "ns".into(),
        name: "p".into(),
    };
    let flat = table(vec![Policy::try_from(draft).unwrap()], Settings::default());
    assert_eq!(flat, Flat::default());
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let empty = [(scope("a.example"), Entry::Verify(BTreeSet::new()))].into();
    assert!(matches!(
        Flat::from_parts(DefaultAction::Allow, empty, BTreeMap::new()),
        Err(FlatError::EmptyEntry(_))
    ));
    let id = PolicyId::Cluster { name: "p".into() };
    let unknown = [(scope("a.example"), Entry::Verify([id].into()))].into();
    assert!(matches!(
        Flat::from_parts(DefaultAction::Allow, unknown, BTreeMap::new()),
        Err(FlatError::UnknownPolicy { .. })
    ));
}

// Random policies over a small world in which scopes nest, meet and miss each other often.

const HOSTS: [&str; 5] = [
    "a.corp.example",
    "b.corp.example",
    "c.example",
    "localhost",
    "c.example:5000",
];
const PATHS: [&str; 5] = ["x", "x/y", "x/y/z", "xy", "w"];
const WILDCARDS: [&str; 2] = ["*.corp.example", "*.example"];
const TAGS: [&str; 2] = ["v1", "v2"];

fn digest(index: usize) -> String {
    crate::digest::Digest::of(&[u8::try_from(index % 2).unwrap()]).to_string()
}

/// Every scope of the small world; the first ones have no version.
fn world() -> (Vec<String>, Vec<String>) {
    let mut plain: Vec<String> = WILDCARDS
        .iter()
        .chain(&HOSTS)
        .map(ToString::to_string)
        .collect();
    let mut versions = Vec::new();
    for host in HOSTS {
        for path in PATHS {
            plain.push(format!("{host}/{path}"));
            versions.extend(TAGS.map(|tag| format!("{host}/{path}:{tag}")));
            versions.extend([0, 1].map(|i| format!("{host}/{path}@{}", digest(i))));
        }
    }
    (plain, versions)
}

pub(crate) fn any_image() -> impl Strategy<Value = String> {
    let hosts: Vec<String> = HOSTS
        .iter()
        .map(ToString::to_string)
        .chain(["c.example:443".to_owned()])
        .collect();
    (
        select(hosts),
        select(PATHS.to_vec()),
        any::<bool>(),
        0..2usize,
    )
        .prop_map(|(host, path, by_digest, index)| {
            if by_digest {
                format!("{host}/{path}@{}", digest(index))
            } else {
                format!("{host}/{path}:{}", TAGS[index])
            }
        })
}

fn any_policy(name: String) -> impl Strategy<Value = Policy> {
    let (plain, versions) = world();
    let all: Vec<String> = plain.iter().chain(&versions).cloned().collect();
    let excludes = subsequence(plain, 0..4);
    (subsequence(all, 1..6), excludes, any::<bool>()).prop_map(move |(scopes, exclude, audit)| {
        let parsed: Vec<Scope> = scopes.iter().map(|text| scope(text)).collect();
        let mut draft = draft(&name, &[], &[]);
        draft.exclude = exclude
            .into_iter()
            .filter(|text| parsed.iter().any(|wider| scope(text).is_within(wider)))
            .collect();
        draft.scopes = scopes;
        draft.requirement.mode = if audit { Mode::Audit } else { Mode::Enforce };
        Policy::try_from(draft).unwrap()
    })
}

pub(crate) fn any_bundle() -> impl Strategy<Value = Bundle> {
    let policies = (0..5usize).prop_flat_map(|n| {
        (0..n)
            .map(|i| any_policy(format!("p{i}")))
            .collect::<Vec<_>>()
    });
    let exempt = subsequence(world().0, 0..3);
    (policies, exempt, any::<bool>()).prop_map(|(policies, exempt, reject)| {
        let settings = Settings {
            default_action: if reject {
                DefaultAction::Reject
            } else {
                DefaultAction::Allow
            },
            exempt_images: exempt.iter().map(|text| scope(text)).collect(),
            ..Settings::default()
        };
        Bundle::new(settings, policies)
    })
}

/// Whether `scope` covers `image`, told from the meaning and not from any table.
fn covers(scope: &Scope, image: &Reference) -> bool {
    let host = image.host().strip_suffix(":443").unwrap_or(image.host());
    let text = scope.as_str();
    if let Some(domain) = text.strip_prefix("*.") {
        let name = host.split(':').next().unwrap_or(host);
        return name
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'));
    }
    let repository = format!("{host}/{}", image.path());
    let exact = match (image.tag(), image.digest()) {
        (Some(tag), _) => format!("{repository}:{tag}"),
        (None, Some(digest)) => format!("{repository}@{digest}"),
        (None, None) => unreachable!("an image has a tag or a digest"),
    };
    text == exact || text == repository || repository.starts_with(&format!("{text}/"))
}

fn naive<'a>(bundle: &'a Bundle, image: &Reference) -> (Outcome<'a>, Vec<&'a PolicyId>) {
    if bundle
        .settings()
        .exempt_images
        .iter()
        .any(|scope| covers(scope, image))
    {
        return (Outcome::Exempt, Vec::new());
    }
    let covering: Vec<&Policy> = bundle
        .policies()
        .filter(|p| p.scopes().iter().any(|scope| covers(scope, image)))
        .filter(|p| !p.exclude().iter().any(|scope| covers(scope, image)))
        .collect();
    let (enforce, audit): (Vec<&Policy>, Vec<&Policy>) = covering
        .into_iter()
        .partition(|p| p.requirement().mode() == Mode::Enforce);
    let outcome = if enforce.is_empty() {
        Outcome::Default(bundle.settings().default_action)
    } else {
        Outcome::Verify(
            enforce
                .into_iter()
                .map(|p| (p.id(), p.requirement()))
                .collect(),
        )
    };
    (outcome, audit.into_iter().map(Policy::id).collect())
}

/// A sample, or the full number under `cargo xtask test --full`.
pub(crate) fn cases() -> u32 {
    if std::env::var_os("NODESEAL_FULL").is_some() {
        100_000
    } else {
        2_000
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_most_specific_entry_equals_the_naive_meaning(bundle in any_bundle(), name in any_image()) {
        let image = image(&name);
        let flat = flatten(&bundle, &NodeFacts::default());
        let decision = flat.decide(&image);
        let (outcome, audit) = naive(&bundle, &image);
        prop_assert_eq!(decision.outcome, outcome);
        prop_assert_eq!(decision.audit.iter().map(|(id, _)| *id).collect::<Vec<_>>(), audit);
    }

    #[test]
    fn the_order_of_input_never_changes_a_byte(bundle in any_bundle(), picks in prop::collection::vec(any::<Pick>(), 8)) {
        let mut policies: Vec<Policy> = bundle.policies().cloned().collect();
        for (index, pick) in picks.iter().enumerate() {
            if !policies.is_empty() {
                let (a, b) = (index % policies.len(), pick.index(policies.len()));
                policies.swap(a, b);
            }
        }
        let shuffled = Bundle::new(bundle.settings().clone(), policies);
        prop_assert_eq!(shuffled.to_json(), bundle.to_json());
        let facts = crate::containerd::ContainerdFacts::default();
        let render = |bundle: &Bundle| crate::containerd::render(
            &flatten(bundle, &NodeFacts::default()), &bundle.digest(), &facts);
        prop_assert_eq!(render(&shuffled), render(&bundle));
    }
}

#[test]
fn what_a_node_refuses_no_exemption_lets_pass() {
    let settings = Settings {
        exempt_images: [scope("127.0.0.1:5000")].into(),
        ..Settings::default()
    };
    let bundle = Bundle::new(settings, [policy("p", &["127.0.0.1:5000/probe"], &[])]);
    let facts = NodeFacts {
        exempt: [scope("127.0.0.1:5000/probe/x")].into(),
        refused: [scope("127.0.0.1:5000/probe/x")].into(),
        ..NodeFacts::default()
    };
    let flat = flatten(&bundle, &facts);
    for (name, outcome) in [
        ("127.0.0.1:5000/probe/x:nonce", Outcome::Refused),
        ("127.0.0.1:5000/probe/y", Outcome::Exempt),
    ] {
        assert_eq!(flat.decide(&image(name)).outcome, outcome, "{name}");
    }
}
