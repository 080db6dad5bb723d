use super::*;
use crate::identity::UnnamedSignatures;
use crate::testing::{KEYS, authority, draft, policy};

/// The problems of a draft as `field: Reason`.
fn problems(draft: PolicyDraft) -> Vec<String> {
    let Problems(problems) = Policy::try_from(draft).unwrap_err();
    problems
        .iter()
        .map(|p| format!("{}: {}", p.field, p.reason))
        .collect()
}

#[test]
fn a_valid_policy_survives_its_own_json() {
    let before = policy(
        "p",
        &["example.com/a", "*.corp.example"],
        &["example.com/a/b"],
    );
    let json = serde_json::to_string(&before).unwrap();
    let draft: PolicyDraft = serde_json::from_str(&json).unwrap();
    assert_eq!(Policy::try_from(draft).unwrap(), before);
}

#[test]
fn the_order_of_lists_does_not_matter() {
    let mut one = draft(
        "p",
        &["a.example", "b.example"],
        &["a.example/x", "b.example/y"],
    );
    one.requirement.authorities = vec![authority("a", KEYS[0]), authority("b", KEYS[1])];
    let mut two = one.clone();
    two.scopes.reverse();
    two.exclude.reverse();
    two.requirement.authorities.reverse();
    assert_eq!(
        Policy::try_from(one).unwrap(),
        Policy::try_from(two).unwrap()
    );
}

#[test]
fn empty_and_overlong_lists_are_refused() {
    assert_eq!(problems(draft("p", &[], &[])), ["scopes: InvalidScope"]);
    let mut many = draft("p", &[], &[]);
    many.scopes = (0..=MAX_SCOPES).map(|i| format!("a.example/{i}")).collect();
    assert_eq!(problems(many), ["scopes: InvalidScope"]);
    let mut none = draft("p", &["a.example"], &[]);
    none.requirement.authorities.clear();
    assert_eq!(problems(none), ["authorities: Invalid"]);
    let mut many = draft("p", &["a.example"], &[]);
    many.requirement.authorities = (0..=MAX_AUTHORITIES)
        .map(|i| authority(&format!("a{i}"), KEYS[0]))
        .collect();
    assert_eq!(problems(many), ["authorities: Invalid"]);
}

#[test]
fn every_problem_is_reported_at_once_with_its_field() {
    let mut bad = draft("p", &["a.example", "busybox"], &["b.example/c:v1"]);
    bad.requirement.authorities = vec![authority("a", "nothing"), authority("a", KEYS[0])];
    bad.requirement.threshold = 3;
    assert_eq!(
        problems(bad),
        [
            "scopes[1]: InvalidScope",
            "exclude[0]: InvalidScope",
            "threshold: Invalid",
            "authorities[0].key: InvalidKey",
            "authorities[1].name: Invalid",
        ]
    );
}

#[test]
fn an_exclude_has_no_tag_and_lies_inside_a_scope() {
    let inside = draft("p", &["*.example.com"], &["reg.example.com/a"]);
    assert!(Policy::try_from(inside).is_ok());
    assert_eq!(
        problems(draft("p", &["example.com"], &["example.com/a:v1"])),
        ["exclude[0]: InvalidScope"]
    );
    assert_eq!(
        problems(draft("p", &["example.com/a"], &["example.com/ab"])),
        ["exclude[0]: InvalidScope"]
    );
}

#[test]
fn a_repeated_scope_is_refused() {
    assert_eq!(
        problems(draft("p", &["a.example", "a.example"], &[])),
        ["scopes[1]: InvalidScope"]
    );
}

#[test]
fn authorities_may_share_a_key_only_where_one_signature_is_enough() {
    let mut shared = draft("p", &["a.example"], &[]);
    let both = format!("{}{}", KEYS[1], KEYS[0]);
    shared.requirement.authorities = vec![authority("a", KEYS[0]), authority("b", &both)];
    assert!(Policy::try_from(shared.clone()).is_ok());
    shared.requirement.threshold = 2;
    assert_eq!(problems(shared), ["authorities[1].key: InvalidKey"]);
}

#[test]
fn authority_names_are_dns_labels() {
    for name in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(64)] {
        let mut bad = draft("p", &["a.example"], &[]);
        bad.requirement.authorities = vec![authority(name, KEYS[0])];
        assert_eq!(problems(bad), ["authorities[0].name: Invalid"], "{name}");
    }
}

#[test]
fn signed_identities_name_repositories_in_canonical_form() {
    let with = |signed_identity| {
        let mut draft = draft("p", &["a.example"], &[]);
        draft.requirement.signed_identity = signed_identity;
        draft
    };
    for repository in [
        "example.com",
        "example.com/a:v1",
        "*.example.com",
        "busybox",
    ] {
        assert_eq!(
            problems(with(SignedIdentity::ExactRepository {
                repository: repository.into()
            })),
            ["signedIdentity.exactRepository.repository: InvalidScope"],
            "{repository}"
        );
    }
    let remap = |prefix: &str, signed_prefix: &str| SignedIdentity::RemapIdentity {
        prefix: prefix.into(),
        signed_prefix: signed_prefix.into(),
    };
    assert!(Policy::try_from(with(remap("mirror.example", "example.com/team"))).is_ok());
    assert_eq!(
        problems(with(remap("*.example", "example.com/a@b"))),
        [
            "signedIdentity.remapIdentity.prefix: InvalidScope",
            "signedIdentity.remapIdentity.signedPrefix: InvalidScope",
        ]
    );
    let unnamed = SignedIdentity::MatchRepository {
        unnamed: UnnamedSignatures::Refuse,
    };
    assert!(Policy::try_from(with(unnamed)).is_ok());
}

#[test]
fn a_tenant_cannot_close_a_node_for_others() {
    let mut tenant = draft("p", &["a.example"], &[]);
    tenant.on_unsupported = OnUnsupported::Reject;
    assert!(Policy::try_from(tenant.clone()).is_ok());
    tenant.id = PolicyId::Namespaced {
        namespace: "ns".into(),
        name: "p".into(),
    };
    assert_eq!(problems(tenant), ["onUnsupported: NotPermitted"]);
}
