use crds::load::{Source, load};
use serde_json::json;

use super::*;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\nURdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n-----END PUBLIC KEY-----\n";

fn policy(key: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": "ClusterImageSignaturePolicy",
        "metadata": { "name": "p" },
        "spec": { "scopes": ["a.example"], "authorities": [{ "name": "a", "key": key }] },
    })
}

fn checked(object: &Value) -> Loaded {
    let name = "cluster".to_owned();
    load(&[Source {
        name,
        text: object.to_string(),
    }])
}

fn secret() -> Value {
    json!({ "secretKeyRef": { "name": "keys", "namespace": "default", "key": "k.pub" } })
}

fn reference() -> Reference {
    Reference {
        kind: "Secret",
        namespace: "default".to_owned(),
        name: "keys".to_owned(),
        keys: ["k.pub".to_owned()].into(),
    }
}

#[test]
fn each_object_that_is_referred_to_is_read_once_for_all_its_keys() {
    let mut own = policy(&json!({ "configMapKeyRef": { "name": "m", "key": "a" } }));
    own["metadata"]["namespace"] = "team".into();
    let mut other = own.clone();
    other["spec"]["authorities"][0]["key"]["configMapKeyRef"]["key"] = "b".into();
    let root = json!({ "spec": { "trustedRoot": { "configMapKeyRef": { "name": "r", "namespace": "n", "key": "k" } } } });
    let objects = [
        policy(&secret()),
        own,
        other,
        root,
        policy(&json!({ "data": KEY })),
    ];
    let found = references(objects.iter());
    let shown: Vec<String> = found
        .iter()
        .map(|it| format!("{} {}/{} {}", it.kind, it.namespace, it.name, it.keys.len()))
        .collect();
    assert_eq!(
        shown,
        [
            "ConfigMap n/r 1",
            "ConfigMap team/m 2",
            "Secret default/keys 1"
        ]
    );
    assert!(found.contains(&reference()));
}

#[test]
fn a_key_that_may_not_be_read_is_taken_as_nodes_have_it() {
    let loaded = checked(&policy(&secret()));
    assert!(loaded.has_errors() && loaded.policies.is_empty());
    let as_nodes = checked(&policy(&json!({ "data": KEY })))
        .policies
        .remove(0)
        .policy;
    let digest = as_nodes.digest().to_string();
    let id = as_nodes.id().clone();
    let forms = || Forms {
        bundles: vec![Bundle::new(Settings::default(), [as_nodes.clone()])],
    };
    let refused = [(reference(), "forbidden".to_owned())];

    let digests = [(id.clone(), digest)].into();
    let given_ = given(loaded.clone(), &digests, &refused, &forms(), None);
    assert!(given_.bundle.policy(&id).is_some());
    assert!(!given_.incomplete && !given_.has_errors());
    assert!(
        given_
            .problems
            .iter()
            .any(|it| it.message.ends_with("the form that nodes have is used"))
    );

    // An older form than the one in force is no answer, and neither is none.
    for (digests, forms) in [
        ([(id.clone(), "sha256:0".to_owned())].into(), forms()),
        (BTreeMap::new(), forms()),
        (digests, Forms::default()),
    ] {
        let given = given(loaded.clone(), &digests, &refused, &forms, None);
        assert!(given.bundle.policy(&id).is_none());
        assert!(given.incomplete);
        let named = given
            .problems_of(Severity::Error)
            .any(|it| it.object == "Secret/default/keys");
        assert!(named, "{:?}", given.problems);
    }
}

#[test]
fn a_policy_that_is_wrong_is_wrong_and_not_unreadable() {
    let mut wrong = policy(&json!({ "data": KEY }));
    wrong["spec"]["scopes"] = json!(["busybox"]);
    let given = given(
        checked(&wrong),
        &BTreeMap::new(),
        &[],
        &Forms::default(),
        None,
    );
    assert!(given.has_errors() && !given.incomplete);
}

#[test]
fn a_trust_root_that_only_the_operator_can_fetch_is_no_fault_by_itself() {
    let root = json!({
        "apiVersion": crds::API_VERSION, "kind": "TrustRoot",
        "metadata": { "name": "sigstore" }, "spec": { "tuf": {} },
    });
    let given = given(
        checked(&root),
        &BTreeMap::new(),
        &[],
        &Forms::default(),
        None,
    );
    assert!(!given.has_errors(), "{:?}", given.problems);
}

#[test]
fn a_configuration_that_was_deleted_stays_as_nodes_have_it() {
    let settings = Settings {
        default_action: policy::bundle::DefaultAction::Reject,
        ..Settings::default()
    };
    let forms = Forms {
        bundles: vec![Bundle::new(settings.clone(), [])],
    };
    let loaded = checked(&policy(&json!({ "data": KEY })));
    let given = given(loaded, &BTreeMap::new(), &[], &forms, None);
    assert_eq!(given.bundle.settings(), &settings);
}

#[test]
fn what_is_wrong_in_another_namespace_keeps_nobody_from_an_answer() {
    let named = |kind: &str, namespace: Option<&str>, key: &Value, scope: &str| {
        let mut object = policy(key);
        object["kind"] = kind.into();
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        object["spec"]["scopes"] = json!([scope]);
        let place = namespace.map(|namespace| format!("{namespace}/"));
        Source {
            name: format!("cluster:{kind}/{}p", place.unwrap_or_default()),
            text: object.to_string(),
        }
    };
    let (cluster, own) = ("ClusterImageSignaturePolicy", "ImageSignaturePolicy");
    let data = json!({ "data": KEY });
    let by_secret = json!({ "secretKeyRef": { "name": "keys", "key": "k.pub" } });
    let good = || named(cluster, None, &data, "a.example");
    let answer = |wrong: Source, asked| {
        let loaded = load(&[good(), wrong]);
        assert!(loaded.has_errors());
        given(loaded, &BTreeMap::new(), &[], &Forms::default(), asked)
    };
    for (key, scope) in [
        (&data, "busybox"),
        (&by_secret, "a.example"),
        (&json!({ "data": 1 }), "a.example"),
    ] {
        let wrong = || named(own, Some("tenant"), key, scope);
        for asked in [None, Some("team")] {
            let given = answer(wrong(), asked);
            let problems = &given.problems;
            assert!(!given.has_errors() && !given.incomplete, "{problems:?}");
            assert_eq!(given.bundle.policies().count(), 1);
        }
        assert!(answer(wrong(), Some("tenant")).has_errors());
    }
    let wrong = named(cluster, None, &data, "b.example/*");
    let wrong = Source {
        name: "cluster:ClusterImageSignaturePolicy/q".to_owned(),
        text: wrong.text.replace("\"name\":\"p\"", "\"name\":\"q\""),
    };
    assert!(answer(wrong, Some("team")).has_errors());

    // What may not be read matters to those who would need it.
    let refused = [(
        Reference {
            namespace: "tenant".to_owned(),
            ..reference()
        },
        "forbidden".to_owned(),
    )];
    let incomplete = |asked| {
        let loaded = load(&[named(own, Some("tenant"), &by_secret, "a.example")]);
        given(loaded, &BTreeMap::new(), &refused, &Forms::default(), asked).incomplete
    };
    assert!(!incomplete(Some("team")));
    assert!(incomplete(Some("tenant")));
}
