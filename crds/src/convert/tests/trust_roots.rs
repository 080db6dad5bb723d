//! Every way in which a `TrustRoot` can be wrong.

use super::*;
use crate::types::TrustRootSpec;

const TSA: &str = include_str!("../../../../policy/testdata/certificates/tsa.pem");
const INTERMEDIATE: &str =
    include_str!("../../../../policy/testdata/certificates/intermediate-a.pem");
const P521: &str = include_str!("../../../../policy/testdata/keys/p521.pem");

fn resolved(spec: Value, store: &impl Keys) -> Result<policy::trust::Parsed, Vec<FieldProblem>> {
    trust_root(
        &serde_json::from_value::<TrustRootSpec>(spec).unwrap(),
        store,
    )
}

fn said(spec: Value) -> Vec<String> {
    let problems = resolved(spec, &Cluster::default()).unwrap_err();
    let line = |problem: &FieldProblem| format!("{} {problem}", problem.reason);
    problems.iter().map(line).collect()
}

fn json_of(root: &TrustRoot) -> Value {
    serde_json::from_str(&root.to_trusted_root_json()).unwrap()
}

fn inline(value: &Value) -> Value {
    json!({ "trustedRoot": { "data": value.to_string() } })
}

fn reference(namespace: Option<&str>) -> Value {
    let mut reference = json!({ "name": "roots", "key": "k" });
    if let Some(namespace) = namespace {
        reference["namespace"] = namespace.into();
    }
    json!({ "trustedRoot": { "configMapKeyRef": reference } })
}

#[test]
fn a_trust_root_comes_from_json_or_a_config_map_or_pem() {
    let root = trusted();
    let text = root.to_trusted_root_json();
    let of_json = resolved(inline(&json_of(&root)), &Cluster::default()).unwrap();
    assert_eq!(
        (of_json.root.digest(), of_json.filtered),
        (root.digest(), vec![])
    );
    let store = keys([("ConfigMap signing/roots k", Ok(text))]);
    let of_map = resolved(reference(Some("signing")), &store).unwrap();
    assert_eq!(of_map.root.digest(), root.digest());
    let pem = json!({ "keys": { "fulcio": ROOT, "rekor": [OTHER_KEY] } });
    let of_pem = resolved(pem, &Cluster::default()).unwrap();
    assert_eq!(of_pem.root.digest(), root.digest());
    let whole = json!({ "keys": {
        "fulcio": format!("{INTERMEDIATE}{ROOT}"), "rekor": [KEY, OTHER_KEY], "ctLog": [KEY],
        "timestampAuthority": format!("{TSA}{INTERMEDIATE}{ROOT}"),
    } });
    let whole = resolved(whole, &Cluster::default()).unwrap().root;
    assert_eq!((whole.rekor_keys().count(), whole.ct_logs().len()), (2, 1));
    assert_eq!(whole.timestamp_authorities().len(), 1);
}

#[test]
fn what_is_left_out_of_a_trusted_root_is_told() {
    let mut json = json_of(&trusted());
    let mut log = json["tlogs"][0].clone();
    log["publicKey"]["keyDetails"] = "PKIX_MLDSA_65".into();
    json["tlogs"].as_array_mut().unwrap().push(log);
    let parsed = resolved(inline(&json), &Cluster::default()).unwrap();
    assert_eq!(parsed.filtered.len(), 1, "{:?}", parsed.filtered);
    assert_eq!(parsed.root.digest(), trusted().digest());
}

#[test]
fn a_trust_root_has_exactly_one_source() {
    for spec in [json!({}), json!({ "tuf": {}, "keys": { "fulcio": ROOT } })] {
        let expected = "Invalid spec: a TrustRoot has exactly one of tuf, trustedRoot and keys: ";
        assert!(said(spec)[0].starts_with(expected));
    }
    let mut both = reference(Some("signing"));
    both["trustedRoot"]["data"] = "{}".into();
    for spec in [json!({ "trustedRoot": {} }), both] {
        assert!(
            said(spec)[0]
                .starts_with("Invalid spec.trustedRoot: a trustedRoot has exactly one of ")
        );
    }
}

/// Knows this of every repository.
struct Fetched(String);

impl Keys for Fetched {
    fn get(&self, _: &KeyReference) -> Result<String, Unavailable> {
        Err(Unavailable::NoObject)
    }

    fn trust_root(&self, _: &str) -> Result<std::sync::Arc<TrustRoot>, RootUnavailable> {
        Err(RootUnavailable::NoObject)
    }

    fn tuf(&self, repository: &Tuf) -> Result<String, String> {
        assert_eq!(repository.mirror.as_deref(), Some("https://tuf.example/a"));
        Ok(self.0.clone())
    }
}

#[test]
fn without_a_cluster_the_public_good_instance_is_the_one_that_was_built_in() {
    let spec = json!({ "tuf": { "refreshInterval": "12h" } });
    let parsed = resolved(spec, &Cluster::default()).unwrap();
    let expected = TrustRoot::from_trusted_root_json(policy::trust::PUBLIC_GOOD).unwrap();
    assert_eq!(parsed, expected);
}

#[test]
fn of_another_repository_only_what_was_fetched_is_known() {
    for other in [
        json!({ "mirror": "https://tuf.example/a" }),
        json!({ "rootJSON": r#"{"signed":{"_type":"root"}}"# }),
        json!({ "target": "other.json" }),
    ] {
        let said = said(json!({ "tuf": other }));
        assert!(
            said[0].starts_with("TrustRootNotReady spec.tuf: ")
                && said[0].contains("trustedRoot.data"),
            "{said:?}"
        );
    }
    let spec = || json!({ "tuf": { "mirror": "https://tuf.example/a" } });
    let good = Fetched(trusted().to_trusted_root_json());
    assert_eq!(resolved(spec(), &good).unwrap().root, trusted());
    let problems = resolved(spec(), &Fetched("{}".to_owned())).unwrap_err();
    assert_eq!(
        (problems[0].reason, problems[0].field.as_str()),
        (Reason::Invalid, "spec.tuf")
    );
}

#[test]
fn a_tuf_repository_that_could_never_be_asked_is_refused() {
    let root = |text: &str| json!({ "rootJSON": text });
    for (source, field) in [
        (json!({ "mirror": "http://tuf.example" }), "mirror"),
        (json!({ "mirror": "https://" }), "mirror"),
        (json!({ "mirror": "https:///path" }), "mirror"),
        (
            json!({ "mirror": "https://user:password@tuf.example" }),
            "mirror",
        ),
        (json!({ "mirror": "https://tuf.example/?a=b" }), "mirror"),
        (json!({ "mirror": "https://tuf.example/#a" }), "mirror"),
        (root("{}"), "rootJSON"),
        (root("-----BEGIN PUBLIC KEY-----"), "rootJSON"),
        (root(r#"{"signed":{"_type":"targets"}}"#), "rootJSON"),
        (json!({ "target": "" }), "target"),
        (json!({ "target": "../x.json" }), "target"),
        (json!({ "target": ".." }), "target"),
        (json!({ "refreshInterval": "9m59s" }), "refreshInterval"),
        (json!({ "refreshInterval": "169h" }), "refreshInterval"),
        (json!({ "refreshInterval": "soon" }), "refreshInterval"),
    ] {
        let said = said(json!({ "tuf": source }));
        assert!(
            said.len() == 1 && said[0].starts_with(&format!("Invalid spec.tuf.{field}: ")),
            "{source}: {said:?}"
        );
    }
    for interval in ["10m", "1h30m", "168h", "86400s"] {
        assert!(
            resolved(
                json!({ "tuf": { "refreshInterval": interval } }),
                &Cluster::default()
            )
            .is_ok()
        );
    }
}

#[test]
fn a_config_map_that_gives_no_text_says_why() {
    let field = "spec.trustedRoot.configMapKeyRef";
    assert_eq!(
        said(reference(None)),
        [format!(
            "Invalid {field}: a TrustRoot has no namespace to look in: add namespace"
        )]
    );
    let expected = format!("NotFound {field}: there is no ConfigMap signing/roots: ");
    assert!(said(reference(Some("signing")))[0].starts_with(&expected));
    for (found, expected) in [
        (
            Err(Unavailable::NoKey { known: vec![] }),
            format!("NotFound {field}.key: "),
        ),
        (
            Err(Unavailable::NotPermitted),
            format!("NotPermitted {field}: "),
        ),
        (
            Err(Unavailable::NotText("its value is a number".into())),
            format!("Invalid {field}: "),
        ),
        (
            Ok("{".to_owned()),
            format!("Invalid {field}: ConfigMap signing/roots, key `k`: "),
        ),
    ] {
        let store = keys([("ConfigMap signing/roots k", found)]);
        let problems = resolved(reference(Some("signing")), &store).unwrap_err();
        let said = format!("{} {}", problems[0].reason, problems[0]);
        assert!(said.starts_with(&expected), "{said}");
    }
}

#[test]
fn json_that_is_no_trusted_root_is_refused_with_its_place() {
    let text = |text: &str| said(json!({ "trustedRoot": { "data": text } })).remove(0);
    for (data, reason, part) in [
        (
            "{,",
            "Invalid",
            "at character 2 of the value: copy the file again",
        ),
        (
            "{\n \"mediaType\": 5\n}",
            "Invalid",
            "on line 2 of the value, column 15: ",
        ),
        (
            "{}",
            "Invalid",
            "missing field `mediaType` at character 2 of the value: this is another file",
        ),
        (KEY, "Invalid", "this is PEM"),
        (
            "{\"a\": \"-----BEGIN PRIVATE KEY-----\"}",
            "InvalidKey",
            "PRIVATE key",
        ),
        (
            &" ".repeat(policy::trust::MAX_BYTES + 1),
            "Invalid",
            "at most",
        ),
    ] {
        let said = text(data);
        assert!(
            said.starts_with(&format!("{reason} spec.trustedRoot.data: ")),
            "{said}"
        );
        assert!(said.contains(part) && !said.contains('?'), "{said}");
    }
    let mut other = json_of(&trusted());
    other["mediaType"] = "text/plain".into();
    assert!(said(inline(&other))[0].starts_with("Invalid spec.trustedRoot.data: mediaType: "));
    let mut id = json_of(&trusted());
    id["tlogs"][0]["logId"]["keyId"] = "AAAA".into();
    assert!(said(inline(&id))[0].starts_with("Invalid spec.trustedRoot.data: tlogs[0].logId: "));
}

#[test]
fn every_wrong_part_of_pem_is_said_at_its_field_and_all_at_once() {
    let private = "-----BEGIN PRIVATE KEY-----\nbmV2ZXI=\n-----END PRIVATE KEY-----\n";
    let both = format!("{INTERMEDIATE}{ROOT}");
    for (keys, expected) in [
        (
            json!({ "fulcio": LEAF }),
            "InvalidCertificate spec.keys.fulcio: ",
        ),
        (
            json!({ "fulcio": INTERMEDIATE }),
            "InvalidCertificate spec.keys.fulcio: ",
        ),
        (
            json!({ "fulcio": KEY }),
            "InvalidCertificate spec.keys.fulcio: ",
        ),
        (
            json!({ "fulcio": private }),
            "InvalidKey spec.keys.fulcio: ",
        ),
        (
            json!({ "rekor": [KEY, ROOT] }),
            "InvalidKey spec.keys.rekor[1]: ",
        ),
        (
            json!({ "rekor": [P521] }),
            "InvalidKey spec.keys.rekor[0]: ",
        ),
        (
            json!({ "rekor": [KEY], "ctLog": [private] }),
            "InvalidKey spec.keys.ctLog[0]: ",
        ),
        (
            json!({ "rekor": [KEY, KEY] }),
            "Invalid spec.keys.rekor[1]: ",
        ),
        (
            json!({ "rekor": [KEY], "timestampAuthority": both }),
            "InvalidCertificate spec.keys.timestampAuthority: ",
        ),
        (json!({ "ctLog": [KEY] }), "Invalid spec.keys: "),
        (json!({}), "Invalid spec.keys: "),
        (
            json!({ "rekor": vec![KEY; 17] }),
            "Invalid spec.keys.rekor: ",
        ),
    ] {
        let said = said(json!({ "keys": keys }));
        assert!(
            said.len() == 1 && said[0].starts_with(expected),
            "{expected}: {said:?}"
        );
        assert!(!said[0].contains("bmV2ZXI") && !said[0].contains("`certificate` authority"));
    }
    let all =
        json!({ "fulcio": LEAF, "rekor": [ROOT], "ctLog": ["text"], "timestampAuthority": KEY });
    assert_eq!(said(json!({ "keys": all })).len(), 4);
}

#[test]
fn what_may_be_key_material_is_not_shown() {
    let secret = "bmV2ZXIgdG8gYmUgc2Vlbg".repeat(3);
    let said_of = |data: String| said(json!({ "trustedRoot": { "data": data } })).remove(0);
    for data in [
        format!("\"{secret}\""),
        format!("{{\"mediaType\": \"{secret}\"}}"),
        format!("{{\"mediaType\": \"a\", \"tlogs\": \"{secret}\"}}"),
        format!(
            "{{\"mediaType\": \"a\", \"tlogs\": \"{}\"}}",
            "a b ".repeat(100)
        ),
    ] {
        let said = said_of(data);
        assert!(!said.contains("bmV2ZXI") && said.len() < 400, "{said}");
    }
    assert!(said_of("{\"mediaType\": 5}".to_owned()).contains("integer `5`"));
}
