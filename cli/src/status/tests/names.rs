use policy::model::PolicyId;

use crate::status::objects::{self, Snapshot};
use crate::status::{find, named};

fn id(text: &str) -> PolicyId {
    named(text).unwrap()
}

#[test]
fn a_policy_is_named_with_or_without_its_namespace() {
    assert_eq!(id("release.images").to_string(), "release.images");
    assert_eq!(id("team-a/own").namespace(), Some("team-a"));
    for wrong in ["", "/", "a/", "/a", "A", "a/b/c", "a_b", "-a", "a..b"] {
        assert!(named(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_name_without_namespace_is_found_where_only_one_policy_has_it() {
    let mut snapshot = Snapshot::default();
    for name in ["p", "a/p", "a/own", "b/own", "b/only"] {
        snapshot
            .policies
            .insert(id(name), objects::PolicyObject::default());
    }
    let find = |asked: &str, namespace| {
        find(&snapshot, &id(asked), namespace).map(|(id, _)| id.to_string())
    };
    assert_eq!(find("p", None).unwrap(), "p");
    assert_eq!(find("p", Some("a")).unwrap(), "a/p");
    assert_eq!(find("p", Some("b")).unwrap(), "p");
    assert_eq!(find("only", None).unwrap(), "b/only");
    assert_eq!(find("a/own", Some("a")).unwrap(), "a/own");
    let error = find("own", None).unwrap_err();
    assert!(
        error.starts_with("2 namespaces have a policy `own`"),
        "{error}"
    );
    let error = find("c/own", Some("c")).unwrap_err();
    assert!(error.starts_with("there is no policy `c/own`"), "{error}");
}
