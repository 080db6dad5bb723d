//! Many files together: references between them, duplicates, and what is left of a broken set.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use crds::Severity;
use crds::files::Read;
use crds::load::{Loaded, Source, load, load_read};
use policy::bundle::{Bundle, Settings};
use policy::model::PolicyId;
use policy::trust::TrustRoot;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\nURdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n-----END PUBLIC KEY-----\n";

const ROOT: &str = include_str!("../../policy/testdata/certificates/root-a.pem");

/// A policy that takes its key from the `ConfigMap` named `keys`.
fn policy(kind: &str, metadata: &str, reference: &str) -> String {
    format!(
        "apiVersion: nodeseal.dev/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec:\n  scopes: [registry.example.com]\n  authorities:\n    - name: a\n      key: {{configMapKeyRef: {reference}}}\n"
    )
}

fn keys(namespace: &str) -> String {
    let key = KEY.replace('\n', "\\n");
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: keys, namespace: {namespace}}}\ndata: {{k: \"{key}\"}}\n"
    )
}

fn cluster(name: &str) -> String {
    let reference = "{name: keys, key: k, namespace: signing}";
    policy(
        "ClusterImageSignaturePolicy",
        &format!("{{name: {name}}}"),
        reference,
    )
}

fn namespaced(namespace: &str) -> String {
    let metadata = format!("{{name: p, namespace: {namespace}}}");
    policy("ImageSignaturePolicy", &metadata, "{name: keys, key: k}")
}

fn set(files: &[(&str, String)]) -> Loaded {
    let source = |(name, text): &(&str, String)| Source {
        name: (*name).into(),
        text: text.clone(),
    };
    load(&files.iter().map(source).collect::<Vec<_>>())
}

fn ids(loaded: &Loaded) -> Vec<String> {
    loaded
        .policies
        .iter()
        .map(|loaded| loaded.policy.id().to_string())
        .collect()
}

#[test]
fn keys_are_found_in_other_files_whatever_the_order() {
    let loaded = set(&[("b.yaml", cluster("p")), ("a.yaml", keys("signing"))]);
    assert_eq!(loaded.problems, []);
    assert_eq!(ids(&loaded), ["p"]);
    assert_eq!(
        (
            loaded.policies[0].source.file.as_str(),
            loaded.policies[0].source.line
        ),
        ("b.yaml", 1)
    );
}

#[test]
fn a_namespaced_policy_reads_its_own_namespace_only() {
    let loaded = set(&[
        ("a", keys("one")),
        ("b", namespaced("one")),
        ("c", namespaced("two")),
    ]);
    assert_eq!(ids(&loaded), ["one/p"]);
    assert_eq!(loaded.problems[0].reason, "NotFound");
    let id = PolicyId::Namespaced {
        namespace: "two".into(),
        name: "p".into(),
    };
    assert_eq!(loaded.invalid[0].policy, Some(id));
}

#[test]
fn of_an_object_that_stands_twice_none_is_used() {
    let loaded = set(&[
        ("a", cluster("p")),
        ("b", cluster("p")),
        ("k", keys("signing")),
    ]);
    assert_eq!(ids(&loaded), [""; 0]);
    assert_eq!(loaded.invalid.len(), 2);
    assert!(
        loaded.problems[0].message.contains("first in a:1"),
        "{}",
        loaded.problems[0]
    );
    let loaded = set(&[
        ("a", cluster("p")),
        ("k", keys("signing")),
        ("l", keys("signing")),
    ]);
    assert_eq!(
        loaded
            .problems
            .iter()
            .map(|p| p.reason.as_str())
            .collect::<Vec<_>>(),
        ["NotFound", "Duplicate"]
    );
}

#[test]
fn one_broken_policy_does_not_stop_the_others() {
    let text = format!(
        "{}---\n{}---\nkind: [\n",
        cluster("p"),
        cluster("q").replace("[registry.example.com]", "[busybox]")
    );
    let loaded = set(&[("a", text), ("k", keys("signing"))]);
    assert_eq!(ids(&loaded), ["p"]);
    assert_eq!(loaded.invalid[0].object, "ClusterImageSignaturePolicy/q");
    assert_eq!(loaded.broken_files, ["a"]);
}

#[test]
fn what_may_have_been_a_policy_is_never_passed_over_in_silence() {
    let renamed = |from: &str, to: &str| set(&[("a", cluster("p").replace(from, to))]);
    let id = Some(PolicyId::Cluster { name: "p".into() });
    for (from, to) in [
        ("v1alpha1", "v1"),
        ("nodeseal.dev/v1alpha1", "v1"),
        ("nodeseal.dev/v1alpha1", "v1alpha1"),
        ("nodeseal.dev/v1alpha1", "policies.example.com"),
        ("nodeseal.dev/v1alpha1", "nodeseal.dev"),
        ("nodeseal.dev", "nodeseal.de"),
        ("SignaturePolicy", "SignaturPolicy"),
    ] {
        let loaded = renamed(from, to);
        assert_eq!(loaded.invalid[0].policy, id, "{to}");
        assert!(loaded.has_errors());
    }
    assert_eq!(
        renamed("kind: ClusterImageSignaturePolicy", "x: y").broken_files,
        ["a"]
    );
    assert_eq!(
        renamed("ClusterImageSignaturePolicy", "Whatever").broken_files,
        ["a"]
    );
    let neither = cluster("p").split_once("metadata").unwrap().1.to_owned();
    let loaded = set(&[("a", format!("metadata{neither}"))]);
    assert!(loaded.has_errors());
    assert_eq!(loaded.broken_files, ["a"]);
    let other = renamed("nodeseal.dev", "policies.example.com");
    assert!(!other.has_errors() && other.has_warnings());
}

#[test]
fn a_policy_in_no_namespace_that_can_be_is_not_one_of_the_default_namespace() {
    let loaded = set(&[
        ("a", namespaced("Team_A")),
        ("b", namespaced("default")),
        ("k", keys("default")),
    ]);
    assert_eq!(ids(&loaded), ["default/p"]);
    assert_eq!(loaded.invalid[0].object, "ImageSignaturePolicy/Team_A/p");
    assert_eq!(loaded.invalid[0].policy, None);
}

#[test]
fn objects_of_others_are_no_fault() {
    let text = "apiVersion: v1\nkind: Service\n---\nreplicas: 1\n---\nkind: Kustomization\n";
    let loaded = set(&[("a", text.to_owned())]);
    assert_eq!(loaded.problems.len(), 3);
    assert!(
        loaded
            .problems
            .iter()
            .all(|problem| problem.severity == Severity::Note)
    );
    assert_eq!((loaded.invalid, loaded.broken_files), (vec![], vec![]));
}

#[test]
fn files_that_could_not_be_read_are_broken() {
    let read = Read {
        sources: Vec::new(),
        problems: set(&[("a", "[".into())]).problems,
    };
    assert_eq!(load_read(&read).broken_files, ["a"]);
}

/// A policy whose signer has a certificate of a trust root.
fn keyless(name: &str, root: &str) -> String {
    format!(
        "apiVersion: nodeseal.dev/v1alpha1\nkind: ClusterImageSignaturePolicy\nmetadata: {{name: {name}}}\nspec:\n  scopes: [registry.example.com/{name}]\n  authorities:\n    - name: a\n      keyless:\n        trustRoot: {root}\n        identities: [{{issuer: \"https://issuer.example.com\", subject: a@example.com}}]\n"
    )
}

fn root_of(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: nodeseal.dev/v1alpha1\nkind: TrustRoot\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// One that can be used.
fn root(name: &str) -> String {
    let pem = |text: &str| text.replace('\n', "\\n");
    let (fulcio, rekor) = (pem(ROOT), pem(KEY));
    root_of(
        name,
        &format!("{{keys: {{fulcio: \"{fulcio}\", rekor: [\"{rekor}\"]}}}}"),
    )
}

fn reasons(loaded: &Loaded) -> Vec<(&str, &str)> {
    let problems = loaded.problems.iter();
    problems
        .map(|problem| (problem.object.as_str(), problem.reason.as_str()))
        .collect()
}

#[test]
fn trust_roots_are_found_in_other_files_whatever_the_order() {
    let map = {
        let json = root_of_pem().to_trusted_root_json();
        let json = serde_json::to_string(&json).unwrap();
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: signing}}\ndata: {{k: {json}}}\n"
        )
    };
    let by_reference = root_of(
        "corp",
        "{trustedRoot: {configMapKeyRef: {name: roots, key: k, namespace: signing}}}",
    );
    let files = [
        ("a", keyless("p", "sigstore")),
        ("b", keyless("q", "corp")),
        ("c", root("sigstore")),
        ("d", by_reference),
        ("e", map),
    ];
    let loaded = set(&files);
    assert_eq!(loaded.problems, []);
    assert_eq!(ids(&loaded), ["p", "q"]);
    let names: Vec<_> = loaded.trust_roots.iter().map(|root| &root.name).collect();
    assert_eq!(names, ["corp", "sigstore"]);
    // The same content has the same digest, however it came in.
    assert_eq!(loaded.trust_roots[0].digest, root_of_pem().digest());
    assert_eq!(loaded.trust_roots[1].digest, root_of_pem().digest());
    assert_eq!(loaded.trust_roots[1].source.file, "c");
    let policies = loaded.policies.iter().map(|loaded| loaded.policy.clone());
    let bundle = Bundle::new(Settings::default(), policies);
    assert_eq!(bundle.trust_roots().len(), 1);
    let mut reversed = files;
    reversed.reverse();
    assert_eq!(set(&reversed), loaded);
}

fn root_of_pem() -> TrustRoot {
    TrustRoot::from_pem(Some(ROOT), &[KEY.to_owned()], &[], None).unwrap()
}

#[test]
fn a_broken_trust_root_is_said_there_and_at_its_policies_and_nothing_else_stops() {
    let broken = root_of("corp", "{trustedRoot: {data: \"{,\"}}");
    let loaded = set(&[
        ("a", keyless("p", "sigstore")),
        ("b", keyless("q", "corp")),
        ("c", keyless("r", "other")),
        ("d", root("sigstore")),
        ("e", broken),
    ]);
    assert_eq!(ids(&loaded), ["p"]);
    assert_eq!(
        reasons(&loaded),
        [
            ("ClusterImageSignaturePolicy/q", "TrustRootNotReady"),
            ("ClusterImageSignaturePolicy/r", "NotFound"),
            ("TrustRoot/corp", "Invalid"),
        ]
    );
    let invalid: Vec<_> = loaded
        .invalid
        .iter()
        .map(|one| one.object.as_str())
        .collect();
    assert_eq!(
        invalid,
        [
            "ClusterImageSignaturePolicy/q",
            "ClusterImageSignaturePolicy/r",
            "TrustRoot/corp"
        ]
    );
    let said = &loaded.problems[0].message;
    assert!(said.contains("the one in e:1 is not valid"), "{said}");
    assert_eq!(loaded.invalid[2].policy, None);
}

#[test]
fn of_a_trust_root_that_stands_twice_none_is_used() {
    let loaded = set(&[
        ("a", keyless("p", "sigstore")),
        ("b", root("sigstore")),
        ("c", root("sigstore")),
    ]);
    assert_eq!((ids(&loaded), loaded.trust_roots.len()), (vec![], 0));
    assert_eq!(
        reasons(&loaded),
        [
            ("ClusterImageSignaturePolicy/p", "TrustRootNotReady"),
            ("TrustRoot/sigstore", "Duplicate"),
        ]
    );
}

#[test]
fn a_trust_root_of_another_version_is_not_ready() {
    let other = root("sigstore").replace("v1alpha1", "v1");
    let loaded = set(&[("a", keyless("p", "sigstore")), ("b", other)]);
    assert_eq!(loaded.problems[0].reason, "TrustRootNotReady");
    assert_eq!(loaded.invalid[1].object, "TrustRoot/sigstore");
}

#[test]
fn what_a_trust_root_leaves_out_is_a_warning_there() {
    let mut json: serde_json::Value =
        serde_json::from_str(&root_of_pem().to_trusted_root_json()).unwrap();
    let mut log = json["tlogs"][0].clone();
    log["hashAlgorithm"] = "SHA2_512".into();
    json["tlogs"].as_array_mut().unwrap().push(log);
    let data = serde_json::to_string(&json.to_string()).unwrap();
    let spec = format!("{{trustedRoot: {{data: {data}}}}}");
    let loaded = set(&[
        ("a", keyless("p", "sigstore")),
        ("b", root_of("sigstore", &spec)),
    ]);
    assert_eq!(ids(&loaded), ["p"]);
    assert_eq!(reasons(&loaded), [("TrustRoot/sigstore", "LeftOut")]);
    assert_eq!(loaded.problems[0].severity, Severity::Warning);
    assert_eq!(loaded.trust_roots[0].filtered.len(), 1);
    assert!(!loaded.has_errors() && loaded.has_warnings());
}

#[test]
fn a_thousand_policies_are_checked_in_bounded_time() {
    let all: Vec<String> = (0..1000)
        .map(|number| cluster(&format!("p{number}")))
        .collect();
    let start = std::time::Instant::now();
    let loaded = set(&[("a", all.join("---\n")), ("k", keys("signing"))]);
    assert_eq!(loaded.policies.len(), 1000);
    // About 1 s in a debug build: quadratic behaviour would be far above.
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    println!("{:?}", start.elapsed());
}

#[test]
fn a_thousand_policies_of_one_trust_root_share_it() {
    let all: Vec<String> = (0..1000)
        .map(|number| keyless(&format!("p{number}"), "sigstore"))
        .collect();
    let start = std::time::Instant::now();
    let loaded = set(&[("a", all.join("---\n")), ("r", root("sigstore"))]);
    println!("{:?}", start.elapsed());
    assert_eq!((loaded.policies.len(), loaded.problems.len()), (1000, 0));
    let policies = loaded.policies.into_iter().map(|loaded| loaded.policy);
    let bundle = Bundle::new(Settings::default(), policies);
    assert_eq!(bundle.trust_roots().len(), 1);
}
