use serde_json::{Value, json};

use super::*;
use crate::bundle::Settings;
use crate::model::{Policy, PolicyId};
use crate::scope::Scope;
use crate::testing::{draft, policy};

const DISTRIBUTION: &str = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;

pub(in crate::crio) fn facts() -> CrioFacts {
    CrioFacts {
        version: Version::new(1, 34, 1),
        policy_path: "etc/crio/policy.json".to_owned(),
        namespace_dir: "etc/crio/policies".to_owned(),
        base: PolicyJson::parse(DISTRIBUTION.as_bytes()).unwrap(),
        taken_locations: BTreeSet::new(),
    }
}

pub(in crate::crio) fn namespaced(namespace: &str, name: &str, scopes: &[&str]) -> Policy {
    let mut draft = draft(name, scopes, &[]);
    draft.id = PolicyId::Namespaced {
        namespace: namespace.into(),
        name: name.into(),
    };
    Policy::try_from(draft).unwrap()
}

fn on(base: &str) -> CrioFacts {
    CrioFacts {
        base: PolicyJson::parse(base.as_bytes()).unwrap(),
        ..facts()
    }
}

fn rendered(policies: Vec<Policy>, settings: Settings, facts: &CrioFacts) -> Rendered {
    render(
        &Bundle::new(settings, policies),
        &NodeFacts::default(),
        facts,
    )
}

fn reject() -> Settings {
    Settings {
        default_action: DefaultAction::Reject,
        ..Settings::default()
    }
}

fn document(file: &File) -> Value {
    PolicyJson::parse(&file.bytes).unwrap();
    serde_json::from_slice(&file.bytes).unwrap()
}

/// For each scope of the docker transport the types of its rules.
fn docker(rendered: &Rendered) -> Value {
    let document = document(rendered.policy.as_ref().unwrap());
    let scopes = document["transports"]["docker"].as_object().unwrap();
    let types = |rules: &Value| -> Value {
        rules
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["type"].clone())
            .collect()
    };
    scopes
        .iter()
        .map(|(scope, rules)| (scope.clone(), types(rules)))
        .collect()
}

const ACCEPT: &str = "insecureAcceptAnything";
const SIGNED: &str = "sigstoreSigned";

#[test]
fn a_policy_is_written_at_its_scope_and_its_twin_with_its_identity() {
    let rendered = rendered(
        vec![policy("p", &["a.example"], &[])],
        Settings::default(),
        &facts(),
    );
    assert_eq!(
        docker(&rendered),
        json!({"": [ACCEPT], "a.example": [SIGNED], "a.example:443": [SIGNED]})
    );
    let document = document(rendered.policy.as_ref().unwrap());
    let rule = &document["transports"]["docker"]["a.example"][0];
    assert_eq!(rule["signedIdentity"], json!({"type": "matchRepository"}));
    assert!(rule["keyData"].is_string());
    assert_eq!(
        document["transports"]["docker-daemon"],
        json!({"": [{"type": ACCEPT}]})
    );
    assert_eq!(
        rendered.locations,
        ["a.example", "a.example:443"].map(str::to_owned).into()
    );
}

#[test]
fn what_an_exclude_takes_out_gets_the_default_action() {
    let policies = || vec![policy("p", &["a.example:5000"], &["a.example:5000/x"])];
    let allow = rendered(policies(), Settings::default(), &facts());
    assert_eq!(docker(&allow)["a.example:5000/x"], json!([ACCEPT]));
    let reject = rendered(policies(), reject(), &facts());
    assert_eq!(docker(&reject)["a.example:5000/x"], json!(["reject"]));
    assert_eq!(docker(&reject)[""], json!(["reject"]));
}

#[test]
fn exempt_images_pass_under_a_rejecting_default() {
    let exempt = ["registry.k8s.io/pause"]
        .map(|s| Scope::parse(s).unwrap())
        .into();
    let settings = Settings {
        exempt_images: exempt,
        ..reject()
    };
    let rendered = rendered(Vec::new(), settings, &facts());
    assert_eq!(docker(&rendered)["registry.k8s.io/pause"], json!([ACCEPT]));
    assert_eq!(docker(&rendered)[""], json!(["reject"]));
}

#[test]
fn what_a_node_accepts_passes_though_its_own_file_refuses() {
    let base = on(r#"{"default":[{"type":"reject"}]}"#);
    let hex = "1".repeat(64);
    let name = format!("127.0.0.1:5000/probe/allow@sha256:{hex}");
    let node = NodeFacts {
        exempt: [Scope::parse("registry.k8s.io/pause").unwrap()].into(),
        accepted: [Scope::parse_compiled(&name).unwrap()].into(),
        ..NodeFacts::default()
    };
    let own = namespaced("team", "own", &["127.0.0.1:5000/probe"]);
    let bundle = Bundle::new(Settings::default(), [policy("p", &["a.example"], &[]), own]);
    let rendered = render(&bundle, &node, &base);
    for file in [
        rendered.policy.as_ref().unwrap(),
        &rendered.namespaces["team"],
    ] {
        let document = document(file);
        let docker = &document["transports"]["docker"];
        assert_eq!(docker[&name], json!([{"type": ACCEPT}]));
        let pause = json!([{"type": "reject"}]);
        assert_eq!(docker["registry.k8s.io/pause"], pause);
    }
}

#[test]
fn what_a_node_refuses_is_refused_in_every_file() {
    let probe = Scope::parse("127.0.0.1:5000/probe/x").unwrap();
    let node = NodeFacts {
        refused: [probe].into(),
        ..NodeFacts::default()
    };
    let settings = Settings {
        exempt_images: [Scope::parse("127.0.0.1:5000").unwrap()].into(),
        ..Settings::default()
    };
    let own = namespaced("team", "own", &["127.0.0.1:5000/probe"]);
    let bundle = Bundle::new(settings, [policy("p", &["a.example"], &[]), own]);
    let rendered = render(&bundle, &node, &facts());
    let namespace = &rendered.namespaces["team"];
    for file in [rendered.policy.as_ref().unwrap(), namespace] {
        let document = document(file);
        let docker = &document["transports"]["docker"];
        let refused = json!([{"type": "reject"}]);
        assert_eq!(docker["127.0.0.1:5000/probe/x"], refused);
        assert_eq!(docker["127.0.0.1:5000"], json!([{"type": ACCEPT}]));
    }
}

#[test]
fn the_nodes_own_rules_are_kept_and_never_loosened() {
    let base = on(r#"{"default":[{"type":"reject"}],"transports":{
        "docker":{"a.example":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}],
                  "a.example/closed":[{"type":"reject"}],"":[{"type":"insecureAcceptAnything"}]},
        "dir":{"":[{"type":"insecureAcceptAnything"}]}}}"#);
    let exempt = ["a.example/closed/tool"]
        .map(|s| Scope::parse(s).unwrap())
        .into();
    let settings = Settings {
        exempt_images: exempt,
        ..Settings::default()
    };
    let policies = vec![policy("p", &["a.example/team", "*.example"], &[])];
    let rendered = rendered(policies, settings, &base);
    let docker = docker(&rendered);
    assert_eq!(docker["a.example/team"], json!([SIGNED, "signedBy"]));
    assert_eq!(docker["a.example"], json!([SIGNED, "signedBy"]));
    assert_eq!(docker["a.example/closed"], json!(["reject"]));
    assert_eq!(docker["a.example/closed/tool"], json!(["reject"]));
    assert_eq!(docker["*.example"], json!([SIGNED]));
    assert_eq!(docker[""], json!([ACCEPT]));
    let document = document(rendered.policy.as_ref().unwrap());
    assert_eq!(document["default"], json!([{"type": "reject"}]));
    assert_eq!(document["transports"]["docker-daemon"], Value::Null);
    assert_eq!(
        document["transports"]["dir"],
        json!({"": [{"type": ACCEPT}]})
    );
}

#[test]
fn a_namespace_file_is_the_cluster_policy_plus_the_namespaces_own() {
    let policies = vec![
        policy("wide", &["a.example:1"], &[]),
        namespaced("team", "own", &["a.example:1/app:v1"]),
        namespaced("other", "own", &["b.example:1"]),
    ];
    let rendered = rendered(policies, Settings::default(), &facts());
    assert_eq!(
        docker(&rendered),
        json!({"": [ACCEPT], "a.example:1": [SIGNED]})
    );
    let team = document(&rendered.namespaces["team"]);
    let scopes: Vec<&String> = team["transports"]["docker"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(scopes, ["", "a.example:1", "a.example:1/app:v1"]);
    assert_eq!(rendered.namespaces.len(), 2);
    assert_eq!(rendered.files(&facts()).len(), 4);
}

#[test]
fn namespaced_policies_alone_leave_the_nodes_policy_as_it_is() {
    let policies = vec![namespaced("team", "own", &["a.example"])];
    let rendered = rendered(policies, Settings::default(), &facts());
    assert_eq!(rendered.policy, None);
    assert_eq!(rendered.namespaces.len(), 1);
}

#[test]
fn what_a_version_cannot_express_is_left_out_and_reported() {
    let old = CrioFacts {
        version: Version::new(1, 30, 0),
        ..facts()
    };
    let mut audit = draft("audit", &["a.example"], &[]);
    audit.requirement.mode = Mode::Audit;
    let policies = vec![
        namespaced("team", "own", &["a.example"]),
        Policy::try_from(audit).unwrap(),
    ];
    let rendered = rendered(policies, Settings::default(), &old);
    let reasons: Vec<Reason> = rendered.diagnostics.iter().map(|d| d.reason).collect();
    assert_eq!(reasons, [Reason::AuditUnsupported, Reason::NotExpressible]);
    assert!(rendered.files(&old).is_empty());
}

#[test]
fn a_policy_may_ask_that_what_cannot_be_verified_is_refused() {
    let old = CrioFacts {
        version: Version::new(1, 24, 0),
        ..facts()
    };
    let mut strict = draft("p", &["a.example:1"], &[]);
    strict.on_unsupported = crate::model::OnUnsupported::Reject;
    let rendered = rendered(
        vec![Policy::try_from(strict).unwrap()],
        Settings::default(),
        &old,
    );
    assert_eq!(docker(&rendered)["a.example:1"], json!(["reject"]));
    assert_eq!(rendered.diagnostics[0].reason, Reason::NotExpressible);
}

#[test]
fn a_location_of_another_file_is_reported_and_not_written_twice() {
    let taken = CrioFacts {
        taken_locations: ["a.example".to_owned()].into(),
        ..facts()
    };
    let rendered = rendered(
        vec![policy("p", &["a.example"], &[])],
        Settings::default(),
        &taken,
    );
    assert_eq!(rendered.locations, ["a.example:443".to_owned()].into());
    assert_eq!(rendered.diagnostics[0].reason, Reason::ForeignOwner);
}

#[test]
fn scopes_of_the_node_that_are_not_canonical_are_covered_as_the_runtime_reads_them() {
    let base = on(
        r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{
        "docker":{"docker.io/acme":[{"type":"insecureAcceptAnything"}]}}}"#,
    );
    let rendered = rendered(
        vec![policy("p", &["docker.io"], &[])],
        Settings::default(),
        &base,
    );
    assert_eq!(docker(&rendered)["docker.io/acme"], json!([SIGNED]));
}

#[test]
fn a_policy_whose_rules_would_fill_the_node_is_left_out_before_they_are_built() {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    let key = || {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        ::pem::encode(&::pem::Pem::new("PUBLIC KEY", der.as_ref().to_vec()))
    };
    let mut large = draft("large", &[], &[]);
    large.scopes = (0..256).map(|i| format!("a{i}.example")).collect();
    large.requirement.threshold = 2;
    large.requirement.authorities = (0..8)
        .map(|i| crate::testing::authority(&format!("a{i}"), &[key(), key(), key()].concat()))
        .collect();
    let policies = vec![
        Policy::try_from(large).unwrap(),
        policy("p", &["b.example:1"], &[]),
    ];
    let rendered = rendered(policies, Settings::default(), &facts());
    assert_eq!(rendered.diagnostics[0].reason, Reason::TooLarge);
    assert_eq!(
        docker(&rendered),
        json!({"": [ACCEPT], "b.example:1": [SIGNED]})
    );
}
