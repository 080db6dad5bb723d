use super::*;

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

#[test]
fn canonical_scopes_are_accepted_as_they_are() {
    let digest = Digest::of(b"x");
    for text in [
        "example.com",
        "example.com:5000",
        "localhost",
        "localhost:5000",
        "127.0.0.1:5000/app",
        "example.com/team/app",
        "example.com/team/app:v1",
        "docker.io",
        "docker.io/library",
        "docker.io/library/busybox",
        "[::1]:5000",
        "[::1]/app",
        "*.corp.example",
        &format!("example.com/app@{digest}"),
    ] {
        assert_eq!(scope(text).as_str(), text);
    }
}

#[test]
fn the_twin_of_the_longest_scope_is_no_longer_than_tables_hold() {
    let longest = format!("a.example/{}", "a/".repeat(300));
    let longest = Scope::parse(longest[..MAX_SCOPE - 1].trim_end_matches('/')).unwrap();
    let twin = longest.twin().unwrap();
    assert!(twin.as_str().len() > MAX_SCOPE);
    assert_eq!(Scope::parse_compiled(twin.as_str()), Ok(twin));
    let longer = format!("{longest}{}", "a".repeat(MAX_SCOPE));
    assert_eq!(Scope::parse(&longer), Err(ScopeError::TooLong));
    assert_eq!(Scope::parse_compiled(&longer), Err(ScopeError::TooLong));
}

#[test]
fn non_canonical_scopes_are_refused_with_the_form_to_write() {
    for (written, canonical) in [
        ("docker.io/busybox:1", "docker.io/library/busybox:1"),
        (
            "index.docker.io/library/busybox",
            "docker.io/library/busybox",
        ),
        ("Example.com/app", "example.com/app"),
        ("example.com:443/app", "example.com/app"),
        ("example.com:443", "example.com"),
        ("*.Example.com", "*.example.com"),
    ] {
        let expected = ScopeError::NotCanonical {
            written: written.into(),
            canonical: canonical.into(),
        };
        assert_eq!(Scope::parse(written), Err(expected));
    }
    let hub = Scope::parse("docker.io/busybox").unwrap_err();
    assert_eq!(hub, ScopeError::DockerHub("busybox".into()));
    assert!(
        hub.to_string()
            .contains("write `docker.io/library/busybox`"),
        "{hub}"
    );
    for (written, canonical) in [
        ("busybox", "docker.io/library/busybox"),
        ("busybox:v1", "docker.io/library/busybox:v1"),
        ("acme/app", "docker.io/acme/app"),
    ] {
        let expected = ScopeError::NoHost {
            written: written.into(),
            canonical: canonical.into(),
        };
        assert_eq!(Scope::parse(written), Err(expected));
    }
}

#[test]
fn what_is_no_scope_is_refused_with_its_reason() {
    use ScopeError as E;
    let digest = Digest::of(b"x");
    assert_eq!(Scope::parse(""), Err(E::Empty));
    assert_eq!(
        Scope::parse(&format!("a.b/{}", "a".repeat(600))),
        Err(E::TooLong)
    );
    assert!(matches!(
        Scope::parse("https://example.com"),
        Err(E::Scheme(_))
    ));
    assert!(
        matches!(Scope::parse("example.com/"), Err(E::TrailingSlash(_, s)) if s == "example.com")
    );
    for wild in [
        "*",
        "*.",
        "a.*.b",
        "*.example.com/app",
        "*.example.com:5000",
        "*example.com",
    ] {
        assert!(matches!(Scope::parse(wild), Err(E::Wildcard(_))), "{wild}");
    }
    assert!(matches!(
        Scope::parse(&format!("example.com/app:v1@{digest}")),
        Err(E::TagAndDigest(_))
    ));
    for host in ["example.com:v1", &format!("example.com@{digest}")] {
        assert!(
            matches!(Scope::parse(host), Err(E::VersionWithoutRepository(_))),
            "{host}"
        );
    }
    for part in [
        "example.com/App",
        "example.com:0500/a",
        "example.com/a//b",
        "exa mple.com/a",
    ] {
        assert!(matches!(Scope::parse(part), Err(E::Part { .. })), "{part}");
    }
}

#[test]
fn nesting_follows_the_lookup_list_and_not_string_prefixes() {
    assert!(scope("example.com/repo:v1").is_within(&scope("example.com/repo")));
    assert!(scope("x.example.com/r:v1").is_within(&scope("*.example.com")));
    assert!(scope("*.a.example.com").is_within(&scope("*.example.com")));
    assert!(scope("example.com:5000/a").is_within(&scope("example.com:5000")));
    assert!(scope("reg.example.com:5000/a").is_within(&scope("*.example.com")));
    assert!(!scope("example.com/repository").is_within(&scope("example.com/repo")));
    assert!(!scope("example.com").is_within(&scope("*.example.com")));
    assert!(!scope("example.com:5000/a").is_within(&scope("example.com")));
    assert!(!scope("example.com").is_within(&scope("example.com/repo")));
}

#[test]
fn a_host_without_port_has_a_twin_on_443() {
    assert_eq!(
        scope("example.com/a:v1").twin().unwrap().as_str(),
        "example.com:443/a:v1"
    );
    assert_eq!(
        scope("example.com").twin().unwrap().as_str(),
        "example.com:443"
    );
    assert_eq!(scope("example.com:5000/a").twin(), None);
    assert_eq!(scope("*.example.com").twin(), None);
    assert_eq!(scope("[::1]/a").twin().unwrap().as_str(), "[::1]:443/a");
    assert_eq!(scope("[::1]:5000/a").twin(), None);
}
