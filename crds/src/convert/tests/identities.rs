//! Every way in which an identity can be wrong.

use super::authorities::{ID, identity, keyless, ready, said};
use super::*;

fn with(changes: &Value) -> Value {
    let mut identity = identity();
    for (name, value) in changes.as_object().unwrap() {
        identity[name] = value.clone();
    }
    identity
}

/// Said once, and likewise where the trust root is missing.
fn is_refused(identities: &Value, reason: &str, field: &str) {
    let expected = format!("{reason} {ID}.keyless.identities{field}: ");
    let alone = said(&keyless(identities), &ready());
    assert!(
        alone.len() == 1 && alone[0].starts_with(&expected),
        "{identities}: {alone:?}"
    );
    let without_root = said(&keyless(identities), &Cluster::default());
    assert_eq!(without_root.len(), 2, "{identities}: {without_root:?}");
}

#[test]
fn an_authority_has_one_to_sixteen_identities() {
    is_refused(&json!([]), "Invalid", "");
    is_refused(&json!(vec![identity(); 17]), "Invalid", "");
    // They are not looked at any more.
    let broken = json!({ "issuer": "a", "subjectRegExp": "(" });
    is_refused(&json!(vec![broken; 17]), "Invalid", "");
}

#[test]
fn an_identity_has_one_issuer_and_one_subject_of_some_length() {
    for (identity, field) in [
        (with(&json!({ "issuerRegExp": "a" })), "[0]"),
        (with(&json!({ "subjectRegExp": "a" })), "[0]"),
        (json!({ "subject": "a" }), "[0]"),
        (json!({ "issuer": "a" }), "[0]"),
        (with(&json!({ "issuer": "" })), "[0].issuer"),
        (with(&json!({ "subject": "a".repeat(1025) })), "[0].subject"),
        (
            json!({ "issuer": "a", "subjectRegExp": "" }),
            "[0].subjectRegExp",
        ),
        (
            json!({ "issuer": "a", "subjectRegExp": "(".repeat(1025) }),
            "[0].subjectRegExp",
        ),
    ] {
        is_refused(&json!([identity]), "Invalid", field);
    }
}

#[test]
fn expressions_that_are_none_or_match_everything_or_are_too_large_are_refused() {
    for text in [
        "(",
        "a)|(?:.*",
        ".*",
        "a|.+",
        "(?=a)b",
        "\\p{nothing}",
        "(\\w{100}){100}",
    ] {
        let subject = json!({ "issuer": "a", "subjectRegExp": text });
        is_refused(&json!([subject]), "InvalidRegExp", "[0].subjectRegExp");
        let issuer = json!({ "issuerRegExp": text, "subject": "a" });
        is_refused(&json!([issuer]), "InvalidRegExp", "[0].issuerRegExp");
    }
}

#[test]
fn claims_have_known_names_and_values() {
    for (claims, field) in [
        (json!({ "workflow": "a" }), ".workflow"),
        (json!({ "a.b": "a" }), "[\"a.b\"]"),
        (json!({ "tokenSubject": "" }), ".tokenSubject"),
        (json!({ "tokenSubject": "a".repeat(1025) }), ".tokenSubject"),
    ] {
        let identity = with(&json!({ "claims": claims }));
        is_refused(&json!([identity]), "Invalid", &format!("[0].claims{field}"));
    }
    let many: BTreeMap<String, String> = (0..33).map(|n| (format!("c{n}"), "v".into())).collect();
    let identity = with(&json!({ "claims": many }));
    assert_eq!(said(&keyless(&json!([identity])), &ready()).len(), 33);
}

#[test]
fn a_wrong_expression_is_said_with_its_place_and_what_helps() {
    let message = |text: &str| {
        let identities = json!([{ "issuer": "a", "subjectRegExp": text }]);
        said(&keyless(&identities), &ready()).remove(0)
    };
    assert!(message("ab(c").contains("unclosed group at character 3: mend it there"));
    assert!(message("a\\p{nothing}").contains(" at character 2: "));
    assert!(message("(?!a)b").contains("list several identities"));
    let identities =
        json!([{ "issuer": "a", "subject": "b", "claims": { "sourceRepositoryUri": "c" } }]);
    let claim = said(&keyless(&identities), &ready()).remove(0);
    assert!(
        claim.ends_with("did you mean `sourceRepositoryURI`?"),
        "{claim}"
    );
}
