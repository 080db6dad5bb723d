use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::bundle::{Bundle, Settings};
use crate::crio::render::tests::facts;
use crate::crio::render::{CrioFacts, Rendered, render};
use crate::flatten::NodeFacts;
use crate::model::{OnUnsupported, PolicyDraft};
use crate::scope::Scope;
use crate::testing::{authority, draft};

fn keys(count: usize) -> String {
    let key = |_| {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        ::pem::encode(&::pem::Pem::new("PUBLIC KEY", der.as_ref().to_vec()))
    };
    (0..count).map(key).collect()
}

/// Ten of eleven authorities with so many keys each have to sign: 55 rules with twice as many.
fn heavy(keys_of_each: usize) -> PolicyDraft {
    let mut heavy = draft("heavy", &["*.example"], &[]);
    heavy.requirement.threshold = 10;
    heavy.requirement.authorities = (0..11)
        .map(|i| authority(&format!("a{i}"), &keys(keys_of_each)))
        .collect();
    heavy
}

/// Scopes inside that of the heavy one, where its rules stand as well.
fn wide(name: &str, scopes: usize) -> PolicyDraft {
    let mut wide = draft(name, &[], &[]);
    wide.scopes = (0..scopes).map(|i| format!("{name}{i}.example")).collect();
    wide
}

fn made(draft: PolicyDraft) -> Policy {
    Policy::try_from(draft).unwrap()
}

fn within(namespace: &str, mut draft: PolicyDraft) -> Policy {
    draft.id = PolicyId::Namespaced {
        namespace: namespace.to_owned(),
        name: draft.id.name().to_owned(),
    };
    made(draft)
}

fn rendered(policies: Vec<Policy>, facts: &CrioFacts) -> Rendered {
    let bundle = Bundle::new(Settings::default(), policies);
    render(&bundle, &NodeFacts::default(), facts)
}

/// Who is too large, as `namespace/name`.
fn too_large(rendered: &Rendered) -> Vec<String> {
    let too_large = rendered.diagnostics.iter();
    let too_large = too_large.filter(|diagnostic| diagnostic.reason == Reason::TooLarge);
    let name = |d: &Diagnostic| format!("{}/{}", d.namespace.as_deref().unwrap_or(""), d.policy);
    too_large.map(name).collect()
}

/// The types of the rules of a scope, where it has any. The file is as its reader would write it.
fn types(file: &File, scope: &str) -> Value {
    let document = PolicyJson::parse(&file.bytes).unwrap();
    assert!(document.to_json() == file.bytes);
    let rules = serde_json::to_value(&document.transports.0["docker"].0[scope]).unwrap();
    let types = rules.as_array().unwrap().iter();
    types.map(|rule| rule["type"].clone()).collect()
}

#[test]
fn rules_that_multiply_at_nested_scopes_of_a_namespace_cost_nothing_and_only_the_heavy_one_goes() {
    // 55 rules of 32 keys at 1,024 scopes: half a gigabyte in the file, twice that in memory.
    let rendered = rendered(
        vec![
            within("team", heavy(16)),
            within("team", wide("x", 256)),
            within("team", wide("y", 256)),
            within("other", wide("z", 1)),
        ],
        &facts(),
    );
    assert_eq!(too_large(&rendered), ["team/heavy"]);
    let message = &rendered.diagnostics[0].message;
    assert!(message.contains("namespace team would add more than 4 MiB"));
    let team = &rendered.namespaces["team"];
    assert!(team.bytes.len() < MAX_NAMESPACE_ADDS);
    assert_eq!(types(team, "y255.example:443"), json!(["sigstoreSigned"]));
    assert_eq!(rendered.namespaces.len(), 2);
    assert!(!rendered.locations.contains("*.example"));
}

#[test]
fn rules_that_multiply_in_the_policy_of_the_cluster_keep_no_other_policy_out() {
    let all = vec![made(wide("x", 256)), made(wide("y", 256)), made(heavy(16))];
    let all = rendered(all, &facts());
    assert_eq!(too_large(&all), ["/heavy"]);
    assert_eq!(all.too_large(), None);
    let file = all.policy.unwrap();
    assert_eq!(types(&file, "x0.example"), json!(["sigstoreSigned"]));
    // Alone it is not too large.
    let alone = rendered(vec![made(heavy(16))], &facts());
    assert_eq!(too_large(&alone), [""; 0]);
}

#[test]
fn what_is_too_large_refuses_where_it_says_so() {
    let mut strict = heavy(16);
    strict.on_unsupported = OnUnsupported::Reject;
    let all = vec![made(strict), made(wide("x", 256)), made(wide("y", 256))];
    let rendered = rendered(all, &facts());
    assert_eq!(too_large(&rendered), ["/heavy"]);
    let file = rendered.policy.unwrap();
    assert_eq!(types(&file, "*.example"), json!(["reject"]));
    assert_eq!(types(&file, "x0.example"), json!(["reject"]));
}

#[test]
fn scopes_of_a_namespace_inside_those_of_the_cluster_are_counted_to_the_namespace() {
    let mut large = heavy(2);
    large.id = PolicyId::Cluster { name: "h".into() };
    let policies = vec![
        made(large),
        within("greedy", wide("x", 256)),
        within("modest", wide("y", 2)),
    ];
    let rendered = rendered(policies, &facts());
    assert_eq!(too_large(&rendered), ["greedy/x"]);
    let modest = &rendered.namespaces["modest"];
    let types = types(modest, "y1.example");
    assert_eq!(types.as_array().unwrap().len(), 56);
    assert_eq!(rendered.namespaces.len(), 1);
}

#[test]
fn the_smallest_files_of_namespaces_are_written_first() {
    let large = heavy(2);
    let copy = |scopes: usize| PolicyDraft {
        scopes: (0..scopes).map(|i| format!("h{i}.example")).collect(),
        ..large.clone()
    };
    // 3 MB each; the first by name takes the most, and the last has next to nothing.
    let mut policies: Vec<Policy> = (0..24)
        .map(|i| within(&format!("b{i:02}"), copy(26)))
        .collect();
    policies.push(within("a", copy(27)));
    policies.push(within("z", wide("small", 1)));
    let rendered = rendered(policies, &facts());
    let written: Vec<&str> = rendered.namespaces.keys().map(String::as_str).collect();
    let dropped = too_large(&rendered);
    assert_eq!(written.last(), Some(&"z"));
    assert_eq!((written[0], dropped[0].as_str()), ("b00", "a/heavy"));
    assert_eq!(dropped.last().unwrap(), "b23/heavy");
    assert_eq!(written.len() + dropped.len(), 26);
    let files = rendered.namespaces.values();
    let bytes: usize = files.map(|file| file.bytes.len()).sum();
    assert!(bytes <= MAX_NAMESPACE_BYTES, "{bytes}");
    // Where nothing is written nothing is looked up.
    assert!(rendered.locations.contains("h25.example"));
    assert!(!rendered.locations.contains("h26.example"));
}

#[test]
fn a_node_whose_own_file_leaves_no_room_gets_nothing_rather_than_less() {
    let own = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"":
            [{{"type":"signedBy","keyType":"GPGKeys","keyPath":"/{}"}}]}}}}}}"#,
        "k".repeat(6 * MIB)
    );
    let node = CrioFacts {
        base: PolicyJson::parse(own.as_bytes()).unwrap(),
        ..facts()
    };
    let names = ["a", "b", "c", "d", "e", "f"].map(|n| format!("{n}.example:1"));
    let settings = Settings {
        exempt_images: names.iter().map(|n| Scope::parse(n).unwrap()).collect(),
        ..Settings::default()
    };
    let strict = PolicyDraft {
        on_unsupported: OnUnsupported::Reject,
        ..wide("x", 1)
    };
    let policies = vec![made(strict), made(wide("y", 1))];
    let rendered = render(
        &Bundle::new(settings, policies),
        &NodeFacts::default(),
        &node,
    );
    assert!(rendered.too_large().unwrap() > MAX_POLICY_JSON);
    assert_eq!(too_large(&rendered), ["/x", "/y"]);
    let file = rendered.policy.unwrap();
    PolicyJson::parse(&file.bytes).unwrap_err();
}

#[test]
fn each_namespace_builds_on_the_file_that_it_had() {
    let own = r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{
        "docker":{"a.example/x":[{"type":"reject"}],"":[{"type":"reject"}]},
        "dir":{},"oci":{"":[{"type":"reject"}]}}}"#;
    let policies = vec![
        made(draft("wide", &["a.example"], &["a.example/y"])),
        within("had", draft("own", &["a.example/y", "b.example"], &[])),
        within("new", draft("own", &["a.example/y", "b.example"], &[])),
    ];
    let bundle = Bundle::new(Settings::default(), policies);
    let base = |namespace: &str| {
        Ok::<_, std::convert::Infallible>(
            (namespace == "had").then(|| PolicyJson::parse(own.as_bytes()).unwrap()),
        )
    };
    let node = NodeFacts::default();
    let Ok(rendered) = crate::crio::render::render_on(&bundle, &node, &facts(), base);
    let [had, new] = ["had", "new"].map(|namespace| &rendered.namespaces[namespace]);
    let (signed, accept) = (json!(["sigstoreSigned"]), json!(["insecureAcceptAnything"]));
    assert_eq!(types(had, "a.example/x"), json!(["reject"]));
    assert_eq!(types(had, ""), json!(["reject"]));
    assert_eq!(types(had, "b.example"), json!(["reject"]));
    assert_eq!(types(new, "b.example"), signed);
    assert_eq!(types(new, "a.example/y"), signed);
    assert_eq!(types(new, ""), accept);
    let policy = rendered.policy.unwrap();
    assert_eq!(types(&policy, "a.example/y"), accept);
}
