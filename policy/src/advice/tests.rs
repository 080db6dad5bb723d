use super::*;
use crate::identity::UnnamedSignatures;

const ACCEPT: SignedIdentity = SignedIdentity::MatchRepository {
    unnamed: UnnamedSignatures::Accept,
};

fn scopes(field: &str, texts: &[&str]) -> Vec<(String, Scope)> {
    let parsed = texts.iter().enumerate().map(|(index, text)| {
        let scope = Scope::parse(text).unwrap();
        (format!("spec.{field}[{index}]"), scope)
    });
    parsed.collect()
}

fn input(name: &str, covers: &[&str], exclude: &[&str]) -> Input {
    Input {
        id: PolicyId::Cluster {
            name: name.to_owned(),
        },
        mode: Mode::Enforce,
        scopes: scopes("scopes", covers),
        exclude: scopes("exclude", exclude),
        signed_identity: ACCEPT,
        identities: Vec::new(),
        nodes: None,
    }
}

fn of_namespace(mut input: Input, namespace: &str) -> Input {
    input.id = PolicyId::Namespaced {
        namespace: namespace.to_owned(),
        name: input.id.name().to_owned(),
    };
    input
}

fn exactly(mut input: Input, repository: &str) -> Input {
    input.signed_identity = SignedIdentity::ExactRepository {
        repository: repository.to_owned(),
    };
    input
}

fn remapping(mut input: Input, prefix: &str, signed_prefix: &str) -> Input {
    input.signed_identity = SignedIdentity::RemapIdentity {
        prefix: prefix.to_owned(),
        signed_prefix: signed_prefix.to_owned(),
    };
    input
}

fn audit(mut input: Input) -> Input {
    input.mode = Mode::Audit;
    input
}

fn set(texts: &[&str]) -> BTreeSet<Scope> {
    texts
        .iter()
        .map(|text| Scope::parse(text).unwrap())
        .collect()
}

fn rejecting(exempt: &[&str]) -> Around {
    Around {
        exempt: set(exempt),
        default_action: DefaultAction::Reject,
        ..Around::default()
    }
}

/// `field Word` of each piece of advice.
fn words(all: &[Advice]) -> Vec<String> {
    all.iter()
        .map(|advice| format!("{} {}", advice.field, advice.word))
        .collect()
}

/// What is said about the first of the policies.
fn said(inputs: &[Input], around: &Around) -> Vec<String> {
    let all = together(inputs, around);
    all.get(&inputs[0].id)
        .map_or_else(Vec::new, |all| words(all))
}

fn pair(one: &Input, two: &Input) -> (bool, bool) {
    let all = together(&[one.clone(), two.clone()], &Around::default());
    let has = |input: &Input| {
        let said = all.get(&input.id).into_iter().flatten();
        said.into_iter()
            .any(|advice| advice.word == Word::SeveralSignaturesNeeded)
    };
    (has(one), has(two))
}

#[test]
fn every_word_is_itself() {
    let names: BTreeSet<&str> = Word::ALL.iter().map(|word| word.as_str()).collect();
    assert_eq!(names.len(), Word::ALL.len());
}

#[test]
fn tag_scope() {
    let tag = input("p", &["a.example/app:v1"], &[]);
    assert_eq!(words(&alone(&tag)), ["spec.scopes[0] TagScope"]);
    let digest = format!("a.example/app@sha256:{}", "a".repeat(64));
    assert_eq!(alone(&input("p", &["a.example/app", &digest], &[])), []);
}

#[test]
fn tag_in_signature_and_remap_without_effect() {
    let base = input("p", &["a.example/app"], &[]);
    let exact = Input {
        signed_identity: SignedIdentity::MatchRepoDigestOrExact,
        ..base.clone()
    };
    assert_eq!(
        words(&alone(&exact)),
        ["spec.signedIdentity.type TagInSignature"]
    );
    assert_eq!(alone(&exactly(base.clone(), "b.example/app")), []);
    for (prefix, effect) in [
        ("a.example", true),
        ("a.example/app", true),
        ("a.example/app/sub", true),
        ("a.example/apple", false),
        ("b.example", false),
    ] {
        let said = words(&alone(&remapping(base.clone(), prefix, "c.example")));
        let without = "spec.signedIdentity.remapIdentity.prefix RemapWithoutEffect";
        assert_eq!(said.iter().any(|word| word == without), !effect, "{prefix}");
    }
}

#[test]
fn covers_nothing() {
    let all_out = input("p", &["a.example/x", "a.example/y"], &["a.example/x"]);
    assert_eq!(words(&alone(&all_out)), ["spec.scopes[0] CoversNothing"]);
    assert_eq!(alone(&input("p", &["a.example"], &["a.example/x"])), []);
}

#[test]
fn covers_sandbox_image() {
    let none = Around::default();
    for scope in SANDBOX_IMAGES {
        let (host, _) = scope.split_once('/').unwrap();
        let wide = said(&[input("p", &[host], &[])], &none);
        assert!(
            wide.contains(&"spec.scopes[0] CoversSandboxImage".to_owned()),
            "{host}"
        );
        let out = said(&[input("p", &[host], &[scope])], &none);
        assert!(
            !out.contains(&"spec.scopes[0] CoversSandboxImage".to_owned()),
            "{host}"
        );
    }
    let tag = input("p", &["registry.k8s.io/pause:3.10"], &[]);
    assert_eq!(
        said(std::slice::from_ref(&tag), &none),
        ["spec.scopes[0] CoversSandboxImage"]
    );
    assert_eq!(said(&[audit(tag.clone())], &none), [""; 0]);
    let around = Around {
        exempt: set(&["registry.k8s.io/pause"]),
        ..Around::default()
    };
    assert_eq!(said(&[tag], &around), ["spec.scopes AllExempt"]);
    assert_eq!(
        said(&[input("p", &["a.example/pause"], &[])], &none),
        [""; 0]
    );
}

#[test]
fn covers_system_images() {
    let none = Around::default();
    let word = "spec.scopes[0] CoversSystemImages";
    for scope in [
        "registry.k8s.io/kube-proxy",
        "registry.k8s.io/sig-storage/x",
    ] {
        assert_eq!(said(&[input("p", &[scope], &[])], &none), [word], "{scope}");
    }
    let wide = input("p", &["*.k8s.io"], &["registry.k8s.io/pause"]);
    assert_eq!(said(std::slice::from_ref(&wide), &none), [word]);
    let tenant = of_namespace(wide.clone(), "team");
    assert_eq!(said(&[tenant], &none), [""; 0]);
    assert_eq!(
        said(&[of_namespace(wide.clone(), "kube-system")], &none),
        [word]
    );
    let around = Around {
        exempt: set(&["registry.k8s.io"]),
        ..Around::default()
    };
    assert_eq!(said(std::slice::from_ref(&wide), &around), [""; 0]);
    assert_eq!(
        said(&[input("p", &["*.k8s.io"], &["registry.k8s.io"])], &none),
        [""; 0]
    );
}

#[test]
fn images_of_the_system_are_well_covered_by_their_own_signer() {
    let mut wide = input("p", &["registry.k8s.io"], &["registry.k8s.io/pause"]);
    for (exact, expression, good) in [
        (Some(SYSTEM_SIGNER), None, true),
        (
            None,
            Some("krel-.*@k8s-releng-prod\\.iam\\.gserviceaccount\\.com"),
            true,
        ),
        (Some("me@corp.example"), None, false),
        (None, Some(".*@corp\\.example"), false),
    ] {
        wide.identities = vec![Identity {
            subject: exact.map(str::to_owned),
            subject_reg_exp: expression.map(str::to_owned),
            ..Identity::default()
        }];
        let said = said(std::slice::from_ref(&wide), &Around::default());
        assert_eq!(said.is_empty(), good, "{exact:?} {expression:?}");
    }
}

#[test]
fn covers_own_images() {
    let around = Around {
        own: set(&["ghcr.io/nodeseal/operator"]),
        ..Around::default()
    };
    let word = ["spec.scopes[0] CoversOwnImages"];
    assert_eq!(
        said(&[input("p", &["ghcr.io/nodeseal"], &[])], &around),
        word
    );
    let out = input("p", &["ghcr.io"], &["ghcr.io/nodeseal/operator"]);
    assert_eq!(said(&[out], &around), [""; 0]);
    assert_eq!(
        said(&[input("p", &["ghcr.io/other"], &[])], &around),
        [""; 0]
    );
}

#[test]
fn all_exempt() {
    let around = Around {
        exempt: set(&["a.example"]),
        ..Around::default()
    };
    let one = input("p", &["a.example/x", "a.example/y"], &[]);
    assert_eq!(said(&[one], &around), ["spec.scopes AllExempt"]);
    let both = input("p", &["a.example/x", "b.example/y"], &[]);
    assert_eq!(said(&[both], &around), [""; 0]);
}

#[test]
fn audit_under_reject() {
    let one = audit(input("p", &["a.example/x"], &[]));
    let word = ["spec.scopes[0] AuditUnderReject"];
    let reject = rejecting(&["b.example"]);
    assert_eq!(said(std::slice::from_ref(&one), &reject), word);
    assert_eq!(
        said(std::slice::from_ref(&one), &Around::default()),
        [""; 0]
    );
    let other = input("q", &["a.example"], &[]);
    assert_eq!(said(&[one.clone(), other.clone()], &reject), [""; 0]);
    assert_eq!(said(&[one.clone(), audit(other)], &reject), word);
    let hole = input("q", &["a.example"], &["a.example/x"]);
    assert_eq!(said(&[one, hole], &reject), word);
}

#[test]
fn exclude_under_reject() {
    let one = input("p", &["a.example"], &["a.example/x"]);
    let word = ["spec.exclude[0] ExcludeUnderReject"];
    assert_eq!(
        said(std::slice::from_ref(&one), &rejecting(&["b.example"])),
        word
    );
    assert_eq!(
        said(std::slice::from_ref(&one), &rejecting(&["a.example/x"])),
        [""; 0]
    );
    assert_eq!(
        said(std::slice::from_ref(&one), &Around::default()),
        [""; 0]
    );
    let other = input("q", &["a.example/x"], &[]);
    assert_eq!(said(&[one, other], &rejecting(&["b.example"])), [""; 0]);
}

#[test]
fn several_signatures_needed() {
    let plain = |scope: &str| input("p", &[scope], &[]);
    let other = |scope: &str| input("q", &[scope], &[]);
    for (one, two, expected) in [
        // Two names that differ, on the same scope and on nested ones.
        (
            exactly(plain("a.example/x"), "b.example/x"),
            exactly(other("a.example/x"), "c.example/x"),
            true,
        ),
        (
            exactly(plain("a.example/x/y"), "b.example/x"),
            exactly(other("a.example"), "c.example/x"),
            true,
        ),
        (
            exactly(plain("a.example/x"), "b.example/x"),
            exactly(other("a.example/x"), "b.example/x"),
            false,
        ),
        (
            exactly(plain("a.example/x"), "b.example/x"),
            exactly(other("a.example/y"), "c.example/x"),
            false,
        ),
        // A copy's name, where the other wants its own.
        (
            exactly(plain("a.example/x"), "b.example/x"),
            other("a.example"),
            true,
        ),
        (
            exactly(plain("a.example/x"), "a.example/x"),
            other("a.example"),
            false,
        ),
        // The one image that the name is of may pass by one signature.
        (
            exactly(plain("a.example"), "a.example/x"),
            other("a.example"),
            false,
        ),
        (plain("a.example/x"), other("a.example/x"), false),
        // Mirrors.
        (
            remapping(plain("a.example/x"), "a.example", "b.example"),
            other("a.example/x"),
            true,
        ),
        (
            remapping(plain("a.example/x"), "a.example", "b.example"),
            remapping(other("a.example"), "a.example", "b.example"),
            false,
        ),
        (
            remapping(plain("a.example/x"), "a.example", "b.example"),
            remapping(other("a.example"), "a.example", "c.example"),
            true,
        ),
        (
            remapping(plain("a.example/x"), "a.example", "b.example"),
            exactly(other("a.example/x"), "b.example/x"),
            false,
        ),
        (
            remapping(plain("a.example/x"), "a.example/z", "b.example"),
            other("a.example/x"),
            false,
        ),
        (
            remapping(plain("a.example"), "a.example/z", "b.example"),
            other("a.example"),
            false,
        ),
    ] {
        assert_eq!(pair(&one, &two), (expected, expected), "{one:#?} {two:#?}");
    }
}

#[test]
fn names_are_compared_only_where_both_policies_hold() {
    let one = exactly(input("p", &["a.example/x"], &[]), "b.example/x");
    let two = exactly(input("q", &["a.example"], &[]), "c.example/x");
    assert_eq!(pair(&one, &two), (true, true));
    assert_eq!(pair(&one, &audit(two.clone())), (false, false));
    let hole = exactly(input("q", &["a.example"], &["a.example/x"]), "c.example/x");
    assert_eq!(pair(&one, &hole), (false, false));
    let nodes = |input: &Input, nodes: &str| Input {
        nodes: Some(nodes.to_owned()),
        ..input.clone()
    };
    let (there, elsewhere) = (nodes(&one, "a"), nodes(&two, "b"));
    assert_eq!(pair(&there, &elsewhere), (false, false));
    assert_eq!(pair(&there, &nodes(&two, "a")), (true, true));
    assert_eq!(pair(&there, &two), (true, true));
}

#[test]
fn a_tenant_is_told_of_the_clusters_policies_and_never_the_reverse() {
    let cluster = exactly(input("p", &["a.example/x"], &[]), "b.example/x");
    for scope in ["a.example/x/y", "a.example/x", "a.example"] {
        let tenant = exactly(input("q", &[scope], &[]), "c.example/x");
        let tenant = of_namespace(tenant, "team");
        assert_eq!(pair(&cluster, &tenant), (false, true), "{scope}");
    }
    let tenant = |name: &str, namespace: &str, repository: &str| {
        of_namespace(
            exactly(input(name, &["a.example"], &[]), repository),
            namespace,
        )
    };
    let one = tenant("q", "one", "b.example/x");
    assert_eq!(
        pair(&one, &tenant("r", "two", "c.example/x")),
        (false, false)
    );
    assert_eq!(pair(&one, &tenant("r", "one", "c.example/x")), (true, true));
}

#[test]
fn nothing_exempt() {
    let none: [&str; 0] = [];
    let word = ["spec.defaultAction NothingExempt"];
    assert_eq!(words(&settings(DefaultAction::Reject, &none)), word);
    assert_eq!(settings(DefaultAction::Allow, &none), []);
    assert_eq!(settings(DefaultAction::Reject, &["registry.k8s.io"]), []);
}

#[test]
fn broad_exemption() {
    for open in OPEN_REGISTRIES.into_iter().chain(["*.io"]) {
        let said = words(&settings(DefaultAction::Allow, &["a.example", open]));
        assert_eq!(said, ["spec.exemptImages[1] BroadExemption"], "{open}");
    }
    let fine = ["ghcr.io/acme", "*.corp.example", "registry.k8s.io"];
    assert_eq!(settings(DefaultAction::Reject, &fine), []);
}

#[test]
fn a_thousand_policies_over_one_scope_are_looked_at_and_each_is_told() {
    let policies: Vec<Input> = (0..1000)
        .map(|n| {
            let one = input(&format!("p{n}"), &["a.example/x"], &[]);
            exactly(one, &format!("b.example/x{n}"))
        })
        .collect();
    assert_eq!(together(&policies, &Around::default()).len(), 1000);
}

#[test]
fn the_table_of_docs_has_every_word_as_the_api_server_has_it() {
    let text = include_str!("../../../docs/warnings.md");
    let expressions = include_str!("../../../config/base/warnings.yaml");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split(" | ").collect())
        .collect();
    let documented: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row[0].trim_start_matches("| ").trim_matches('`'), row[1]))
        .collect();
    let known: Vec<(&str, &str)> = Word::ALL
        .iter()
        .map(|word| {
            let message = format!("message: \"{word}: ");
            let at_apply = if expressions.contains(&message) {
                "yes"
            } else {
                "no"
            };
            (word.as_str(), at_apply)
        })
        .collect();
    assert_eq!(documented, known);
    assert!(text.contains(&format!("more than {} policies", across::MOST)));
}

#[test]
#[ignore = "a measurement: cargo test --release -p policy -- --ignored --nocapture warnings_of"]
fn the_warnings_of_very_many_policies() {
    for count in [1000, 2000, 4000] {
        let policies: Vec<Input> = (0..count)
            .map(|n| {
                let scopes: Vec<String> = (0..16)
                    .map(|m| format!("a.example/team-{n}/app-{m}"))
                    .collect();
                let mut scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
                scopes.push("a.example/shared");
                let one = input(&format!("p{n}"), &scopes, &[]);
                exactly(one, &format!("b.example/x{n}"))
            })
            .collect();
        let began = std::time::Instant::now();
        let told = together(&policies, &rejecting(&["b.example"])).len();
        println!("{count} policies: {told} told, {:?}", began.elapsed());
    }
}

#[test]
fn the_order_of_scopes_and_excludes_changes_no_word() {
    let names = ["a.example/x", "b.example/y", "c.example/z"];
    let told = |order: [usize; 3]| {
        let texts = order.map(|at| names[at]);
        let mut one = input("one", &["*.example"], &texts);
        let mut two = audit(input("two", &texts, &[]));
        // What is said is compared, and not where the list has it.
        for (field, _) in one.exclude.iter_mut().chain(&mut two.scopes) {
            field.clear();
        }
        together(&[one, two], &rejecting(&["d.example/w"]))
    };
    let first = told([0, 1, 2]);
    assert_eq!(first.len(), 2, "{first:?}");
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(told(order), first, "{order:?}");
    }
}
